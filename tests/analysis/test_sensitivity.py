import json
from pathlib import Path

from analysis.sensitivity import sensitivity_figure, write

POINTS = [
    {"layer": "", "ratio": 0.0, "val_accuracy": 0.9},
    {"layer": "stem", "ratio": 0.5, "val_accuracy": 0.4},
    {"layer": "stem", "ratio": 0.9, "val_accuracy": 0.2},
    {"layer": "out", "ratio": 0.5, "val_accuracy": 0.8},
]


def test_each_layer_is_a_line_from_the_uncut_network() -> None:
    lines = {line.get_label(): line for line in sensitivity_figure(POINTS).axes[0].lines}
    assert list(lines["stem"].get_xdata()) == [0.0, 0.5, 0.9]
    assert list(lines["stem"].get_ydata()) == [0.9, 0.4, 0.2]
    assert list(lines["out"].get_ydata()) == [0.9, 0.8]


def test_figure_and_numbers_are_written(tmp_path: Path) -> None:
    written = write(POINTS, tmp_path, method="taylor")
    assert [path.name for path in written] == [f"sensitivity-taylor.{ending}" for ending in ("png", "svg", "json")]
    assert json.loads(written[-1].read_text()) == POINTS
    assert "stem" in written[1].read_text()
