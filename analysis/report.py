"""What a study leaves to look at: a page that explores it, and figures."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from analysis import table
from analysis.durable import write_durably
from analysis.errors import WrongInput
from analysis.sizes import SCREEN, Size
from analysis.summary import study_constraints

__all__ = ["ENDINGS", "write_figures", "write_page"]

ENDINGS = ("png", "svg", "pdf")


def write_page(studies: Sequence[Path], output: Path) -> Path:
    """Write one self-contained HTML page on one study or several, whole or not at all, and return its path.

    Only read are the studies: they may be running. Raises WrongInput for what cannot be read, a study without rows, one
    that is named twice, and a place that cannot be written.
    """
    from analysis.page import page
    from analysis.page.facts import facts

    found = facts(studies)
    text = page(found, title="prunefront: " + ", ".join(study["name"] for study in found["studies"]))
    try:
        write_durably(output, text.encode("utf-8", "replace"))
    except OSError as error:
        raise WrongInput(f"the report cannot be written to {output}: {error.strerror}") from error
    return output


def write_figures(study: Path, *, size: Size = SCREEN, endings: Sequence[str] = ENDINGS[:2]) -> list[Path]:
    """Write STUDY/figures/front and methods, each with every ending, and return their paths.

    The same rows give the same bytes. ``methods`` is left out where no network was measured before recovery. Figures
    for papers have their size in their names. Raises WrongInput for what cannot be read, and where no complete network
    has what the front's figure shows.
    """
    rows = table.read(study)
    if len(rows) == 0:
        raise WrongInput(f"{study} has no rows yet: a figure needs at least one finished trial")

    from analysis import comparison, plots

    name = study.resolve().name
    figures = {"front": plots.front_figure(rows, title=name, constraints=study_constraints(study), size=size)}
    with suppress(WrongInput):
        figures["methods"] = comparison.comparison_figure(rows, title=f"{name}: every method", size=size)
    folder = study / "figures"
    suffix = "" if size == SCREEN else f"-{size.name}"
    try:
        folder.mkdir(exist_ok=True)
        return [
            plots.save(figure, folder / f"{drawn}{suffix}.{ending}")
            for drawn, figure in figures.items()
            for ending in endings
        ]
    except OSError as error:
        raise WrongInput(f"figures cannot be written to {folder}: {error.strerror}") from error
