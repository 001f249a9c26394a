"""Labelled images of 3×S×S pixels: where they come from, decoded once, split the same way everywhere.

Sources: [Krizhevsky 2009] Learning multiple layers of features from tiny images;
[Netzer 2011] Reading digits in natural images with unsupervised feature learning.
"""

from trial.data.settings import Data
from trial.data.source import SOURCES, register
from trial.data.splits import ImageSet, Splits, load, load_test

__all__ = ["Data", "ImageSet", "Splits", "load", "load_test", "names", "register"]


def names() -> list[str]:
    """The data sets that can be asked for by name, found from the files of this package."""
    return SOURCES.names()
