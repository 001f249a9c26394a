import warnings

import pytest

from trial.notices import Notice, noticed


def three_kinds() -> list[str]:
    with noticed() as lines:
        for _ in range(3):
            warnings.warn("stage 1 is damaged", Notice, stacklevel=1)
        warnings.warn("stage 2 is damaged", Notice, stacklevel=1)
        warnings.warn("not ours", UserWarning, stacklevel=1)
    return lines


def test_notices_are_collected_once_each_and_other_warnings_are_left_alone() -> None:
    with pytest.warns(UserWarning, match="not ours") as others:
        lines = three_kinds()
    assert lines == ["stage 1 is damaged", "stage 2 is damaged"]
    assert [str(each.message) for each in others] == ["not ours"]


def test_outside_the_block_a_notice_is_a_warning_as_before() -> None:
    with noticed():
        pass
    with pytest.warns(Notice, match="damaged"):
        warnings.warn("damaged", Notice, stacklevel=1)
