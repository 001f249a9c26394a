"""What a study leaves to look at: its figures, written into its folder."""

from pathlib import Path

from analysis import table
from analysis.errors import WrongInput

__all__ = ["write_figures"]


def write_figures(study: Path) -> list[Path]:
    """Write STUDY/figures/front.png and front.svg and return their paths; the same rows give the same bytes.

    Raises WrongInput for what cannot be read, and where no complete network has what the figure shows.
    """
    rows = table.read(study)
    if len(rows) == 0:
        raise WrongInput(f"{study} has no rows yet: a figure needs at least one finished trial")

    from analysis import plots

    figure = plots.front_figure(rows, title=study.resolve().name)
    folder = study / "figures"
    try:
        folder.mkdir(exist_ok=True)
        return [plots.save(figure, folder / name) for name in ("front.png", "front.svg")]
    except OSError as error:
        raise WrongInput(f"figures cannot be written to {folder}: {error.strerror}") from error
