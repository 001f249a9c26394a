import pyarrow as pa
import pytest

from analysis import report
from analysis.comparison import comparison_figure
from analysis.errors import WrongInput
from tests.analysis import studies


def row(method: str, macs: float, before: float | None, after: float, **others: object) -> dict[str, object]:
    measured = {"macs": macs, "val_accuracy_before": before, "val_accuracy": after}
    return {"state": "complete", "method": method, **measured, **others}


ROWS = [
    row("dense", 10e6, None, 0.9),
    row("taylor", 4e6, 0.5, 0.8),
    row("taylor", 6e6, 0.4, 0.85),
    row("random-channels", 5e6, 0.2, 0.7),
    row("fpgm", 5e6, 0.9, 0.9, state="failed"),
]


def test_each_panel_has_its_own_accuracy_and_a_line_through_a_methods_best() -> None:
    before, after = comparison_figure(pa.Table.from_pylist(ROWS)).axes
    drawn = {axes: sorted((*line.get_xdata(), *line.get_ydata()) for line in axes.lines) for axes in (before, after)}
    # Before recovery the taylor network at 6 M MACs is beaten by the one at 4 M; after it both stand.
    assert drawn[before] == [(4.0, 0.5), (5.0, 0.2)]
    assert (4.0, 6.0, 0.8, 0.85) in drawn[after]
    assert len(before.collections) == 2, "the dense network has no accuracy before recovery, the failed one none at all"
    assert len(after.collections) == 3


def test_without_an_accuracy_before_recovery_there_is_nothing_to_compare() -> None:
    with pytest.raises(WrongInput, match="none of the 1 rows is complete with val_accuracy_before and macs"):
        comparison_figure(pa.Table.from_pylist([row("taylor", 1e6, None, 0.5)]))


def test_a_report_writes_it_beside_the_front(tmp_path) -> None:
    rows = [each | {"val_accuracy_before": each["val_accuracy"]} for each in studies.rows(20)]
    written = report.write_figures(studies.write(tmp_path / "made-up", rows))
    assert [path.name for path in written] == ["front.png", "front.svg", "methods.png", "methods.svg"]
    assert all(path.stat().st_size < 300_000 for path in written)
