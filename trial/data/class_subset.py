"""Taking some classes of a data set: ``data.classes``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import WrongInput, nearest
from trial.data.source import Decoded

if TYPE_CHECKING:
    from trial.data.settings import Data

__all__ = ["numbers_of", "subset"]


def numbers_of(data: Data, classes: tuple[str, ...], /) -> list[int]:
    """The numbers of the classes that ``data.classes`` asks for, in its order; all where it is left out.

    Text is a name, a whole number the place of a class among ``classes``.

    Raises:
        WrongInput: There is no such class, it is asked for twice, or a number is the name of another class.
    """
    if data.classes is None:
        return list(range(len(classes)))
    numbers: list[int] = []
    for asked in data.classes:
        number = _number(asked, classes, of=data.name)
        if number in numbers:
            raise WrongInput(f"data.classes: class {classes[number]!r} is asked for twice")
        numbers.append(number)
    return numbers


def _number(asked: str | int, classes: tuple[str, ...], *, of: str) -> int:
    if isinstance(asked, str):
        if asked not in classes:
            raise WrongInput(f"data.classes: {asked!r} is not a class of {of}: {nearest(asked, classes)}")
        return classes.index(asked)
    # Folders named 1, 2, 10 sort as 1, 10, 2: whoever writes 2 may mean either.
    if str(asked) in classes and classes.index(str(asked)) != asked:
        raise WrongInput(
            f"data.classes: {asked} is the name of class number {classes.index(str(asked))}: write names in quotes"
        )
    if not 0 <= asked < len(classes):
        raise WrongInput(f"data.classes: class numbers of {of} lie in 0 to {len(classes) - 1}, got {asked}")
    return asked


def subset(decoded: Decoded, numbers: list[int], /) -> Decoded:
    """The images of the classes ``numbers``, all different, in the order they had; class numbers[i] becomes class i."""
    renumbered = np.full(len(decoded.classes), -1, dtype=np.int64)
    renumbered[numbers] = np.arange(len(numbers))
    labels = renumbered[decoded.labels]
    chosen = labels >= 0
    classes = tuple(decoded.classes[number] for number in numbers)
    return Decoded(decoded.images[chosen], labels[chosen], classes)
