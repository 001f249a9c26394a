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
    study: Studies,
    objectives: Annotated[
        str, typer.Option(help="Measures, joined by commas. [default: what the study was searched for]")
    ] = "",
    where: Annotated[
        str, typer.Option(help="Rows to look at, such as \"ratio >= 0.5 and method == 'slimming'\".")
    ] = "",
    by: Annotated[str, typer.Option(help="A front for each value of a column, such as method; or of several.")] = "",
    ranks: Annotated[int, typer.Option(min=1, help="So many fronts, each without the networks of those before.")] = 1,
    thin: Annotated[
        float | None,
        typer.Option(help="Show fewer: no other is better by more than this share of the scale.", show_default=False),
    ] = None,
    reference: Annotated[
        str, typer.Option(help="Unscaled hypervolume to this point, such as val_accuracy=.1,macs=3e8.")
    ] = "",
    indicators: Annotated[
        bool, typer.Option("--indicators", help="Epsilon, IGD+, R2, and what each method adds to the front.")
    ] = False,
    over: Annotated[
        str,
        typer.Option(
            help="How the front grew over trials, seconds or epochs; with --indicators, what each method added by then."
        ),
    ] = "",
    json: Json = False,
) -> None:
    """Print the networks that no other network beats, and how good they are together."""
    from analysis.front_command import Wish, print_front

    wish = Wish(
        objectives=objectives,
        where=where,
        by=by,
        ranks=ranks,
        thin=thin,
        reference=reference,
        indicators=indicators,
        over=over,
    )
    print_front(study, wish, as_json=json)


@app.command()
def compare(
    groups: Annotated[
        list[str],
        typer.Argument(
            help="What is compared: a study, or repeats of one (same spec, other seeds) as NAME=STUDY,STUDY or "
            "NAME=studies/l1-*, where * stands for all that fit.",
            metavar="GROUP...",
            show_default=False,
        ),
    ],
    objectives: Annotated[
        str, typer.Option(help="Measures, joined by commas. [default: what the studies were searched for]")
    ] = "",
    over: Annotated[
        str, typer.Option(help="The cost at which fronts are compared: trials, seconds or epochs.")
    ] = "trials",
    figure: Annotated[
        Path | None,
        typer.Option(help="Draw hypervolume over cost into this .png or .svg.", dir_okay=False, show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Compare studies over their repeats, and say which is better where that can be said."""
    from analysis.compare_command import print_comparison

    print_comparison(groups, objectives=objectives, over=over, figure=figure, as_json=json)


@app.command()
def importance(
    studies: Studies,
    objectives: Annotated[
        str, typer.Option(help="Measures, joined by commas. [default: what the studies were searched for]")
    ] = "",
    where: Annotated[
        str, typer.Option(help="Trials to learn from, such as \"method == 'slimming'\".", show_default=False)
    ] = "",
    dependence: Annotated[
        str,
        typer.Option(
            help="Knobs, joined by commas, on which each objective's dependence is told. "
            "[default: accuracy's on ratio, lambda, p, a, delta]"
        ),
    ] = "",
    json: Json = False,
) -> None:
    """Say which knobs matter for which objective, which act together, and how accuracy depends on them."""
    from analysis.importance_command import print_importance

    print_importance(studies, objectives=objectives, where=where, dependence=dependence, as_json=json)


@app.command()
def pick(
    studies: Studies,
    lowest: Annotated[
        list[str] | None, typer.Option(help="A measure: the network with its lowest value.", show_default=False)
    ] = None,
    highest: Annotated[
        list[str] | None, typer.Option(help="A measure: the network with its highest value.", show_default=False)
    ] = None,
    knee: Annotated[bool, typer.Option("--knee", help="The network from which on each objective gets dearer.")] = False,
    least: Annotated[
        list[str] | None,
        typer.Option("--min", help="MEASURE=NUMBER that it has at least, such as val_accuracy=.9.", show_default=False),
    ] = None,
    most: Annotated[
        list[str] | None,
        typer.Option("--max", help="MEASURE=NUMBER that it has at most, such as bytes=2MB.", show_default=False),
    ] = None,
    within: Annotated[
        list[str] | None,
        typer.Option(
            help="MEASURE=NUMBER: by so much worse than the dense network at most, such as val_accuracy=.01.",
            show_default=False,
        ),
    ] = None,
    objectives: Annotated[
        str,
        typer.Option(
            help="Measures, joined by commas, that are traded for one another. [default: those named, else the study's]"
        ),
    ] = "",
    json: Json = False,
) -> None:
    """Pick the network to ship: its recipe, why it, and what a little more of each objective would cost."""
    from analysis.pick_command import print_picks

    print_picks(
        studies,
        lowest=lowest or [],
        highest=highest or [],
        knee=knee,
        least=least or [],
        most=most or [],
        within=within or [],
        objectives=objectives,
        as_json=json,
    )


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
