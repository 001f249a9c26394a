"""The commands of analysis: what each takes, and who answers it. The front door adds them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.arguments import Json, Studies, Study, study_path

__all__ = ["app"]

app = typer.Typer()


@app.command()
def front(
    study: Study,
    objectives: Annotated[
        str, typer.Option(help="Measures, joined by commas. [default: what the study was searched for]")
    ] = "",
    where: Annotated[
        str, typer.Option(help="Rows to look at, such as \"ratio >= 0.5 and method == 'slimming'\".")
    ] = "",
    json: Json = False,
) -> None:
    """Print the networks that no other network beats, and how good they are together."""
    from analysis.front_command import print_front

    print_front(study, objectives=objectives, where=where, as_json=json)


@app.command()
def report(
    study: Studies,
    output: Annotated[
        Path | None,
        typer.Option(
            help="The page. [default: STUDY/report.html]", parser=study_path, metavar="FILE", show_default=False
        ),
    ] = None,
    figures: Annotated[
        bool, typer.Option("--figures", help="Draw STUDY/figures/front and methods too, as PNG, SVG and PDF.")
    ] = False,
    size: Annotated[
        str, typer.Option(help="With --figures: screen, or single or double, a paper's column widths.")
    ] = "screen",
    json: Json = False,
) -> None:
    """Write one page to explore studies in a browser, which needs no network, and figures for papers."""
    from analysis.report_command import write

    write(study, output=output, figures=figures, size=size, as_json=json)


@app.command()
def trace(
    study: Study,
    figure: Annotated[bool, typer.Option("--figure", help="Write STUDY/figures/trace.png and .svg too.")] = False,
    json: Json = False,
) -> None:
    """Write STUDY/trace.json, for chrome://tracing or Perfetto, and print what each worker did with its time."""
    from analysis.trace_command import print_trace

    print_trace(study, figure=figure, as_json=json)
