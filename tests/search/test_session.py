from pathlib import Path

import pytest

from analysis.errors import WorkFailed
from search.session import session


@pytest.mark.parametrize("kind", [Exception, RuntimeError, ValueError])
def test_a_ray_that_does_not_start_is_one_line_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: type[Exception]
) -> None:
    """Ray raised a bare Exception on a machine with no time for it, and the user saw its traceback."""
    import ray

    def timed_out(**settings: object) -> None:  # noqa: ARG001
        raise kind("The current node\ntimed out during startup.")

    monkeypatch.setattr(ray, "init", timed_out)
    monkeypatch.setattr("search.session.TEMPORARY", tmp_path)
    with (
        pytest.raises(WorkFailed, match=r"^Ray did not start: The current node timed out during startup\.$"),
        session(workers=1),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
