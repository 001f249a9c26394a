"""A search that is asked to end."""

import os
import signal

import pytest

from search import halt
from search.halt import gently
from search.restarts import RayLost


@pytest.mark.parametrize(("is_asked", "comes"), [(True, KeyboardInterrupt), (False, RayLost)])
def test_one_whose_ray_is_lost_begins_again_unless_it_was_asked_to_end(
    monkeypatch: pytest.MonkeyPatch, is_asked: bool, comes: type[BaseException]
) -> None:
    monkeypatch.setattr(halt, "_tell", lambda: None)
    before = signal.getsignal(signal.SIGTERM)

    def search() -> None:
        with gently(is_here=False):
            if is_asked:
                os.kill(os.getpid(), signal.SIGTERM)
            raise RayLost("lost")

    with pytest.raises(comes):
        search()
    assert signal.getsignal(signal.SIGTERM) == before
