"""Names found from files."""

import sys

import pytest

from analysis.errors import WrongInput
from trial.registry import Registry


@pytest.fixture
def colours(tmp_path, monkeypatch):
    package = tmp_path / "colours_of_a_test"
    package.mkdir()
    registry = Registry("colours_of_a_test", noun="colour")
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    module = __import__("colours_of_a_test")
    module.register = registry.register
    (package / "warm.py").write_text("from colours_of_a_test import register\nregister('red')(1)\n")
    (package / "cold.py").write_text("from colours_of_a_test import register\nregister('blue')(2)\n")
    yield registry
    for name in [name for name in sys.modules if name.startswith("colours_of_a_test")]:
        del sys.modules[name]


def test_every_file_is_found_and_names_are_sorted(colours):
    assert colours.names() == ["blue", "red"]
    assert (colours["red"], colours["blue"]) == (1, 2)


def test_an_unknown_name_is_answered_with_the_nearest(colours):
    with pytest.raises(WrongInput, match="'rad' is not a colour: did you mean red"):
        colours["rad"]
