"""The commands of analysis: what each takes, and who answers it. The front door adds them."""

from __future__ import annotations

from typing import Annotated

import typer

from analysis.arguments import Json, Study
from analysis.errors import WrongInput

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
    study: Study,
    figures: Annotated[bool, typer.Option("--figures", help="Write STUDY/figures/front.png and .svg.")] = False,
    json: Json = False,
) -> None:
    """Write what there is to look at into the study's folder."""
    from analysis.report import write_figures

    if not figures:
        raise WrongInput("say what to write: accepted is --figures")
    paths = [str(path) for path in write_figures(study)]
    if json:
        from json import dumps

        typer.echo(dumps({"figures": paths}))
    else:
        typer.echo("\n".join(paths))


@app.command()
def trace(
    study: Study,
    figure: Annotated[bool, typer.Option("--figure", help="Write STUDY/figures/trace.png and .svg too.")] = False,
    json: Json = False,
) -> None:
    """Write STUDY/trace.json, for chrome://tracing or Perfetto, and print what each worker did with its time."""
    from analysis.trace_command import print_trace

    print_trace(study, figure=figure, as_json=json)
