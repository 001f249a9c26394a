import pyarrow as pa
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from analysis import plots, report
from analysis.errors import WrongInput
from analysis.sizes import size_of
from tests.analysis import studies


@pytest.fixture
def study(tmp_path):
    return studies.write(tmp_path / "made-up", studies.rows(60))


def table_of(rows):
    names = {name: None for row in studies.rows(2) for name in row}
    return pa.Table.from_pylist([names | row for row in rows])


def axes_of(rows):
    return plots.front_figure(table_of(rows)).axes


def test_writes_a_small_png_and_an_svg_whose_text_is_text(study):
    png, svg = report.write_figures(study)
    assert (png, svg) == (study / "figures" / "front.png", study / "figures" / "front.svg")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert png.stat().st_size < 200_000
    text = svg.read_text()
    for words in ("validation accuracy", "sparsity", "[M MACs]", "slimming", "random-channels", "dense network"):
        assert words in text
    assert "<dc:date>" not in text
    assert sorted(path.name for path in png.parent.iterdir()) == ["front.png", "front.svg"]


def test_the_same_rows_give_the_same_bytes(study):
    first = [path.read_bytes() for path in report.write_figures(study)]
    assert [path.read_bytes() for path in report.write_figures(study)] == first


@pytest.mark.parametrize(("name", "inches"), [("single", 3.5), ("double", 7.2)])
def test_figures_for_papers_have_the_width_of_a_column_and_text_that_can_be_read(name, inches):
    rows = table_of(studies.rows(60))
    figure = plots.front_figure(rows, size=size_of(name), title="not in a paper")
    assert figure.get_size_inches()[0] == inches
    drawn = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    assert min(text.get_fontsize() for text in drawn) >= 7
    assert "not in a paper" not in {text.get_text() for text in drawn}
    canvas = FigureCanvasAgg(figure)
    inside = figure.get_tightbbox(canvas.get_renderer())
    assert inside.x0 >= 0
    assert inside.x1 <= inches
    assert [axes.get_xlabel().split()[0] for axes in figure.axes] == ["sparsity", "multiply-accumulates"]


def test_a_pdf_is_the_same_bytes_again_and_its_text_is_text(study):
    first, *_ = (path for path in report.write_figures(study, size=size_of("single"), endings=["pdf"]))
    assert first.name == "front-single.pdf"
    data = first.read_bytes()
    assert data.startswith(b"%PDF")
    assert b"/FontFile2" in data  # whole outlines of letters, not of pictures
    report.write_figures(study, size=size_of("single"), endings=["pdf"])
    assert first.read_bytes() == data


def test_only_complete_networks_are_drawn_each_once():
    rows = studies.rows(60)
    complete = [row for row in rows if row["state"] == "complete"]
    for axes in axes_of(rows):
        drawn = [
            tuple(point) for marks in axes.collections if marks.get_offsets().size for point in marks.get_offsets()
        ]
        assert len([point for point in drawn if point != (0.0, 0.0)]) == len(complete)


@pytest.mark.parametrize("panel", [0, 1])
def test_the_staircase_says_what_accuracy_each_cost_buys(panel):
    """Between the points of the front, the line must be the best accuracy among networks that cost no more."""
    rows = [row for row in studies.rows(60) if row["state"] == "complete"]
    axes = axes_of(rows)[panel]
    stairs = next(line for line in axes.lines if line.get_drawstyle().startswith("steps"))
    x, y = stairs.get_data()
    cost = (lambda row: row["sparsity"]) if panel == 0 else (lambda row: row["macs"] / 1e6)
    for i in range(1, len(x)):
        middle = (x[i - 1] + x[i]) / 2
        if x[i - 1] == x[i]:
            continue
        affordable = [row for row in rows if (cost(row) >= middle if panel == 0 else cost(row) <= middle)]
        drawn = y[i] if stairs.get_drawstyle() == "steps-pre" else y[i - 1]
        assert drawn == max(row["val_accuracy"] for row in affordable)


def test_marks_are_stable_and_all_different():
    names = [f"method-{i:02d}" for i in range(70)]
    drawn = plots.marks([*reversed(names), "dense", "random-channels"])
    assert drawn == plots.marks(["random-channels", *names, "dense"])
    assert len(set(drawn.values())) == 72
    assert drawn["random-channels"].colour == plots.GREY


@pytest.mark.parametrize(
    ("largest", "label"), [(2e9, "[G MACs]"), (3e8, "[M MACs]"), (5e4, "[k MACs]"), (50, "[MACs]")]
)
def test_macs_have_a_unit_that_fits(largest, label):
    row = studies.DENSE_ROW | {"macs": int(largest)}
    assert label in axes_of([row])[1].get_xlabel()


def test_costs_of_many_sizes_get_a_logarithmic_axis():
    rows = [studies.DENSE_ROW, studies.DENSE_ROW | {"trial": "1", "macs": 200_000_000}]
    assert axes_of(rows)[1].get_xscale() == "linear"
    assert axes_of([*rows, studies.DENSE_ROW | {"trial": "2", "macs": 3_000_000}])[1].get_xscale() == "log"


def test_a_single_network_and_a_missing_measure_are_drawn_as_far_as_they_go():
    row = studies.DENSE_ROW | {"macs": None}
    left, right = axes_of([row])
    assert left.get_xlabel().startswith("sparsity")
    assert [text.get_text() for text in right.texts] == ["no network has macs"]


def test_nothing_to_draw_is_said(tmp_path):
    failed = studies.DENSE_ROW | {"state": "failed"}
    with pytest.raises(WrongInput, match=r"none of the 1 rows is complete with val_accuracy.*nothing to draw"):
        report.write_figures(studies.write(tmp_path / "a", [failed]))
    with pytest.raises(WrongInput, match="has no rows yet"):
        report.write_figures(studies.write(tmp_path / "b", []))
