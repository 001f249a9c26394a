"""The version of prunefront that is installed; read once, since that takes a while."""

from importlib import metadata

__all__ = ["VERSION"]

VERSION = metadata.version("prunefront")
