"""Who else is told of a search's trials: an Optuna storage, MLflow, TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from search.aside import Aside
from search.loggers import Loggers
from search.progress import Progress
from search.storage import Mirror
from trial.rows import Row

__all__ = ["logged", "mirrored"]


@contextmanager
def mirrored(address: str | None, study: Path, progress: Progress, *, experiment: str) -> Iterator[None]:
    """Keep the storage at ``address`` up with the trials of a search inside the block; None: there is no storage.

    ``experiment`` is as in `Mirror`. Raises WrongInput before the block where the storage cannot be used.
    """
    if address is None:
        yield
        return
    mirror = Mirror(
        address,
        name=study.resolve().name,
        experiment=experiment,
        space=progress.space,
        objectives=progress.objectives,
        where="search.storage",
    )
    with _followed(progress, "the storage failed", begin=mirror.begin, tell=mirror.tell):
        yield


@contextmanager
def logged(names: Sequence[str], study: Path, progress: Progress) -> Iterator[None]:
    """Log the trials of a search inside the block, and those of earlier runs that were not; imports Ray.

    Raises WrongInput before the block where a logger cannot begin.
    """
    if not names:
        yield
        return
    loggers = Loggers(names, study, where="search.loggers")
    with _followed(progress, "the loggers failed", begin=lambda: None, tell=loggers.tell):
        yield


@contextmanager
def _followed(
    progress: Progress, what: str, *, begin: Callable[[], None], tell: Callable[[Row], None]
) -> Iterator[None]:
    """Tell every row that the progress has, and each that ends inside the block; a block that ends well waits for all.

    Errors are said by the progress, in one line.
    """
    aside = Aside(what, begin=begin, tell=tell, say=progress.say)
    for row in progress.rows:
        aside.add(row)
    progress.followers.append(aside.add)
    ended_well = False
    try:
        yield
        ended_well = True
    finally:
        progress.followers.remove(aside.add)
        aside.close(wait=ended_well)
