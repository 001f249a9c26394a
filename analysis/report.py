"""What a study leaves to look at: its figures, written into its folder."""

from contextlib import suppress
from pathlib import Path

from analysis import table
from analysis.errors import WrongInput
from analysis.summary import study_constraints

__all__ = ["write_figures"]


def write_figures(study: Path) -> list[Path]:
    """Write STUDY/figures/front and methods, each as .png and .svg, and return their paths.

    The same rows give the same bytes. ``methods`` is left out where no network was measured before recovery. Raises
    WrongInput for what cannot be read, and where no complete network has what the front's figure shows.
    """
    rows = table.read(study)
    if len(rows) == 0:
        raise WrongInput(f"{study} has no rows yet: a figure needs at least one finished trial")

    from analysis import comparison, plots

    name = study.resolve().name
    figures = {"front": plots.front_figure(rows, title=name, constraints=study_constraints(study))}
    with suppress(WrongInput):
        figures["methods"] = comparison.comparison_figure(rows, title=f"{name}: every method")
    folder = study / "figures"
    try:
        folder.mkdir(exist_ok=True)
        return [
            plots.save(figure, folder / f"{drawn}.{ending}")
            for drawn, figure in figures.items()
            for ending in ("png", "svg")
        ]
    except OSError as error:
        raise WrongInput(f"figures cannot be written to {folder}: {error.strerror}") from error
