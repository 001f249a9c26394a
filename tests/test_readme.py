"""The README's table of methods is the catalogue's."""

from pathlib import Path

from methods import catalogue
from methods.core.description import table

README = Path(__file__).parent.parent / "README.md"


def test_the_table_of_methods_is_the_catalogues() -> None:
    assert table() in README.read_text(encoding="utf-8"), "write `prunefront methods --markdown` into the README"
    assert len(table().splitlines()) == len(catalogue()) + 2
