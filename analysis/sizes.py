"""How large a figure is drawn: for a screen, or for the columns of a paper."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.errors import WrongInput, nearest

__all__ = ["SCREEN", "SIZES", "Size", "size_of"]


@dataclass(frozen=True)
class Size:
    """The width of a figure and of what is in it; heights follow from the figure."""

    name: str
    inches: float | None
    """Width; None: as wide as the figure likes."""
    font: float
    """Of the axes' labels [pt]; all other text is of this size or a point less."""
    mark: float
    """Of a mark's area, as a share of that on a screen."""
    dots: int
    """Of a PNG, per inch."""

    @property
    def is_narrow(self) -> bool:
        """Whether two panels stand above one another, and not side by side."""
        return self.inches is not None and self.inches < 5


SCREEN = Size("screen", None, 13.0, 1.0, 150)
SIZES = {
    size.name: size
    for size in (
        SCREEN,
        Size("single", 3.5, 8.0, 0.3, 300),
        Size("double", 7.2, 8.5, 0.4, 300),
    )
}


def size_of(name: str) -> Size:
    """Look a size up by name; raises WrongInput, with the nearest name, where there is none.

    >>> size_of("single").inches
    3.5
    """
    if name not in SIZES:
        raise WrongInput(f"{name!r} is not a size of figures: {nearest(name, SIZES)} (--size)")
    return SIZES[name]
