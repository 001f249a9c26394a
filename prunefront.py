"""The front door: one command whose subcommands each load only the room that they need."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from analysis import commands
from analysis.arguments import FOLDER, Json, Study, study_path
from analysis.errors import WorkFailed, WrongInput
from search import cluster_commands
from search.arguments import Setting, Spec, Trials, Workers, settings

DONE, WORK_FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130


class FrontDoor(TyperGroup):
    """A group of commands that turns how they end into exit codes and one line on stderr, never a traceback."""

    def main(self, *args: Any, **settings: Any) -> NoReturn:
        """Run and exit: 0 done, 1 the work failed, 2 the input was wrong, 130 interrupted."""
        try:
            ended = super().main(*args, **{**settings, "standalone_mode": False})
        except typer.Abort:
            ended = _said("interrupted", INTERRUPTED)
        except TyperException as error:
            ended = _said(_usage(error), WRONG_INPUT)
        sys.exit(ended or DONE)

    def invoke(self, ctx: Any) -> Any:
        """Run one command; whatever it raises on purpose ends here."""
        try:
            ended = super().invoke(ctx)
            sys.stdout.flush()
        except WrongInput as error:
            raise typer.Exit(_said(str(error), WRONG_INPUT)) from error
        except WorkFailed as error:
            raise typer.Exit(_said(str(error), WORK_FAILED)) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(_said(str(error) or "interrupted", INTERRUPTED)) from error
        except BrokenPipeError as error:  # the reader has gone (`| head`): nothing more is wanted
            _drop_stdout()
            raise typer.Exit(DONE) from error
        except OSError as error:  # a full disk, a folder that may not be read
            _drop_stdout()
            where = f" ({error.filename})" if error.filename else ""
            raise typer.Exit(_said(f"{error.strerror or error}{where}", WORK_FAILED)) from error
        return ended


def _said(line: str, code: int) -> int:
    typer.echo(f"prunefront: {line}", err=True)
    return code


def _drop_stdout() -> None:
    """Let what is still buffered go nowhere, so that the flush at exit does not fail once more."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage(error: TyperException) -> str:
    """What was wrong with the command line, and whose help to read."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "prunefront"
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{message} (see `{command} --help`)"


app = typer.Typer(
    name="prunefront",
    cls=FrontDoor,
    help="Find the Pareto front of pruned networks.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


app.add_typer(commands.app)
app.add_typer(cluster_commands.app)


@app.callback(invoke_without_command=True)
def prunefront(context: typer.Context) -> None:
    """Find the Pareto front of pruned networks."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def run(
    spec: Spec,
    study: Annotated[
        Path | None,
        typer.Option(help=f"{FOLDER} [default: studies/SPEC]", parser=study_path, metavar="STUDY", show_default=False),
    ] = None,
    trials: Trials = None,
    workers: Workers = None,
    address: Annotated[
        str | None,
        typer.Option(help="A Ray cluster that runs already, HOST:PORT or auto.", show_default=False),
    ] = None,
    retry: Annotated[str | None, typer.Option(help="failed: run failed trials again.", show_default=False)] = None,
    setting: Setting = None,
) -> None:
    """Search for the front of pruned networks; run it again to go on where it stopped."""
    from search.termination import terminated_as_interrupted

    with terminated_as_interrupted():  # while torch is being imported, too
        from search.launch import run as run_search

        run_search(
            spec, study=study, settings=settings(setting, trials=trials, workers=workers), address=address, retry=retry
        )


@app.command()
def check(
    spec: Spec,
    setting: Setting = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Time training steps here, for up to a minute, and say what it will cost.")
    ] = False,
    address: Annotated[
        str | None, typer.Option(help="A Ray cluster, HOST:PORT: see that it answers.", show_default=False)
    ] = None,
) -> None:
    """Validate a spec, and say what a search of it is about to do."""
    from search.check import describe

    typer.echo(describe(spec, settings=setting or [], probe=probe, address=address))


@app.command()
def spec(
    name: Annotated[str, typer.Argument(help="A ready spec; the list of them where it is left out.")] = "",
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of specs, for editors.")] = False,
    example: Annotated[bool, typer.Option("--example", help="Print a commented spec to start from.")] = False,
) -> None:
    """Print a ready spec, an example with every setting, or the JSON schema for editors."""
    from search import spec_command

    if bool(name) + schema + example > 1:
        raise WrongInput("say one of NAME, --schema and --example")
    if schema or example:
        typer.echo(spec_command.schema() if schema else spec_command.example())
    else:
        typer.echo(spec_command.printed(name) if name else spec_command.listed())


@app.command()
def trial(
    recipe: Annotated[Path, typer.Argument(help="A recipe: method and knobs, in YAML.", show_default=False)],
    study: Annotated[
        Path, typer.Option(help=f"{FOLDER} It gets the row.", parser=study_path, metavar="STUDY", show_default=False)
    ],
) -> None:
    """Run one trial here, without a search, and print its row as JSON."""
    from json import dumps

    from trial.single import run_file

    row = run_file(recipe, study)
    typer.echo(dumps(row, indent=1))
    if row["state"] == "failed":
        raise WorkFailed(f"the trial failed: {row['error']} (its row is kept in {study})")


@app.command()
def sensitivity(
    recipe: Annotated[Path, typer.Argument(help="A recipe: method and knobs, in YAML.", show_default=False)],
    study: Annotated[
        Path, typer.Option(help=f"{FOLDER} It gets the figure.", parser=study_path, metavar="STUDY", show_default=False)
    ],
    json: Json = False,
) -> None:
    """Draw how accuracy falls as one layer at a time is cut by a recipe's method, without recovery."""
    from analysis.sensitivity import write
    from trial.single import sensitivity_file

    method, points = sensitivity_file(recipe, study)
    paths = [str(path) for path in write(points, study, method=method)]
    if json:
        from json import dumps

        typer.echo(dumps({"points": points, "figures": paths}))
    else:
        typer.echo("\n".join(paths))


@app.command()
def confirm(
    study: Study,
    trials: Annotated[
        str,
        typer.Option(help="Trials by the first digits of their names, front, all, or dense, joined by commas."),
    ] = "front",
    seeds: Annotated[
        int | None, typer.Option(help="How many seeds, the study's own first. [default: 3]", show_default=False)
    ] = None,
    as_trained: Annotated[
        bool, typer.Option("--as-trained", help="Test the networks that the study trained; train nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Train chosen trials again under several seeds and test them; no other command opens the test images."""
    from analysis import confirmed_command

    count = confirmed_command.check_seeds(seeds, as_trained=as_trained)
    rows = confirmed_command.chosen(study, trials)

    from trial.confirm import confirm as confirm_trials

    lines = confirm_trials(
        study,
        rows,
        seeds=count,
        as_trained=as_trained,
        keep=lambda line: confirmed_command.add(study, [line]),
        say=lambda line: typer.echo(line, err=True),
    )
    confirmed_command.print_confirmed(study, rows, lines, as_json=json)


@app.command()
def export(
    study: Study,
    trial: Annotated[str, typer.Argument(help="The first digits of a trial's name, or dense.", show_default=False)],
    to: Annotated[str, typer.Option(help="onnx, safetensors or pt2.")] = "onnx",
    quantise: Annotated[
        str | None,
        typer.Option(help="none, dynamic-int8, static-int8 or float16. [default: the recipe's]", show_default=False),
    ] = None,
    opset: Annotated[int | None, typer.Option(help="Of ONNX's operators. [default: 20]", show_default=False)] = None,
    check: Annotated[bool, typer.Option("--check", help="Read the file back and compare it with the network.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="The file. [default: TRIAL.onnx, .safetensors or .pt2]", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Write a trial's network as one file: ONNX, safetensors that describe their layers, or torch's pt2."""
    from analysis.selection import single

    row = single(study, trial)

    from trial.export import export as export_trial

    told = export_trial(study, row, to=to, quantise=quantise, opset=opset, check=check, out=out)
    if json:
        from json import dumps

        typer.echo(dumps(told))
    else:
        shown = {"val_accuracy": ".4f", "difference": ".1e"}
        found = [f"{name} {told[name]:{form}}" for name, form in shown.items() if name in told]
        typer.echo(", ".join([f"{told['file']}: {told['bytes']:,} bytes, {told['quantisation']}", *found]))


@app.command()
def latency(
    study: Study,
    trials: Annotated[
        str,
        typer.Option(help="Trials by the first digits of their names, front, all, or dense, joined by commas."),
    ] = "front",
    threads: Annotated[
        int | None, typer.Option(help="CPU threads. [default: all cores that it may use]", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Time the ONNX files of chosen trials here, in turn and alone: on the machine that they are to run on."""
    from analysis import latency_command
    from trial.processor import cores

    count = latency_command.check_threads(threads, cores=cores())
    rows = latency_command.chosen(study, trials)

    from trial.study_latency import measured

    lines = measured(
        study,
        [row["trial"] for row in rows],
        threads=count,
        say=lambda line: typer.echo(line, err=True),
    )
    latency_command.print_latencies(study, rows, lines, as_json=json)
    latency_command.add(study, lines)


@app.command()
def store(
    study: Study,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check every stage's checksum; exit code 1 for damage.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove stages; a trial that needs one makes it again.")
    ] = False,
    older_than: Annotated[str, typer.Option(help="With --prune: what was not used for so long, such as 7d.")] = "",
    keep: Annotated[
        str, typer.Option(help="With --prune: the least recently used, until the rest fits, such as 2GB.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --prune: only say what would go.")] = False,
    json: Json = False,
) -> None:
    """List what a study has stored of its stages, check it, or make room."""
    from search.store_command import list_stages, prune_stages, verify_stages

    given = {"--older-than": older_than, "--keep": keep, "--dry-run": dry_run}
    alone = next((option for option, value in given.items() if value), None)
    if alone and not prune:
        raise WrongInput(f"{alone} belongs to --prune: say that too")
    if verify and prune:
        raise WrongInput("--verify and --prune do not go together: one at a time")
    if prune:
        prune_stages(study, older_than=older_than, keep=keep, dry_run=dry_run, as_json=json)
    elif verify:
        verify_stages(study, as_json=json)
    else:
        list_stages(study, as_json=json)


@app.command()
def methods(
    name: Annotated[str, typer.Argument(help="One method; all of them where it is left out.")] = "",
    json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print one table, as in the README.")] = False,
) -> None:
    """List the methods with their knobs, ranges, formulas, sources and costs."""
    from methods import catalogue, method
    from methods.core.description import card, describe, table

    if markdown:
        if name or json:
            raise WrongInput("--markdown prints every method in one table: leave the name and --json out")
        typer.echo(table())
        return
    chosen = [method(name, where="prunefront methods")] if name else list(catalogue().values())
    if json:
        from json import dumps

        typer.echo(dumps([describe(each) for each in chosen], ensure_ascii=False))
    else:
        typer.echo("\n\n".join(card(each) for each in chosen))
        if name:
            from methods.core.knobs import knob_names
            from trial.course import Course

            typer.echo(f"  and, as every method: {', '.join(knob_names(Course))} (see the README)")


def main() -> NoReturn:
    """Run the command line."""
    # Read when torch loads, here and in every worker. OpenMP's threads spin while they wait for one another: beside any
    # other busy process that made a step of two threads thirty times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app(prog_name="prunefront")
    raise AssertionError("the front door exits by itself")


if __name__ == "__main__":
    main()
