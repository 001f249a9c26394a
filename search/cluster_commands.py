"""The commands of a cluster and its studies: what each takes, and who answers it. The front door adds them."""

from __future__ import annotations

from typing import Annotated

import typer

from analysis.arguments import Json, study_path
from search.arguments import Setting, Spec, Trials, Workers, settings

__all__ = ["app"]

app = typer.Typer()

HERE = "http://127.0.0.1:8265"
Name = Annotated[str, typer.Argument(help="A study's name on the cluster.", show_default=False)]
Dashboard = Annotated[
    str,
    typer.Option(
        "--address",
        envvar="RAY_API_SERVER_ADDRESS",
        help="The dashboard of the cluster, http://HOST:8265.",
    ),
]
Insecure = Annotated[bool, typer.Option("--insecure", help="Take plain http to another machine without a token.")]


@app.command()
def submit(
    spec: Spec,
    address: Dashboard = HERE,
    study: Annotated[
        str | None,
        typer.Option(
            help="The study's folder there: an absolute path that every node sees, or an URI. "
            "[default: NAME in the cluster's $PRUNEFRONT_STUDIES, else ~/studies]",
            show_default=False,
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The study's name. [default: SPEC's]", show_default=False)] = None,
    trials: Trials = None,
    workers: Workers = None,
    setting: Setting = None,
    environment: Annotated[
        str,
        typer.Option(
            help="check: refuse where torch, optuna and the like are of other releases than here; ship: have Ray "
            "install these; any: take what is there."
        ),
    ] = "check",
    insecure: Insecure = False,
) -> None:
    """Start a search on a cluster as a job that outlives this terminal, and return at once."""
    from search import jobs_command

    given = settings(setting, trials=trials, workers=workers)
    jobs_command.submit(
        spec,
        address=address,
        study=study,
        called=name,
        settings=given,
        insecure=insecure,
        environment=environment,
    )


@app.command()
def studies(address: Dashboard = HERE, json: Json = False, insecure: Insecure = False) -> None:
    """List the studies of a cluster."""
    from search import jobs_command

    jobs_command.studies(address=address, as_json=json, insecure=insecure)


@app.command()
def logs(
    name: Name,
    address: Dashboard = HERE,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job ends.")] = False,
    insecure: Insecure = False,
) -> None:
    """Print what a study's job on a cluster has printed."""
    from search import jobs_command

    jobs_command.logs(name, address=address, follow=follow, insecure=insecure)


@app.command()
def stop(name: Name, address: Dashboard = HERE, insecure: Insecure = False) -> None:
    """End a study's job on a cluster; what has finished is safe, and `resume` goes on."""
    from search import jobs_command

    jobs_command.stop(name, address=address, insecure=insecure)


@app.command()
def resume(
    name: Name,
    address: Dashboard = HERE,
    retry: Annotated[str | None, typer.Option(help="failed: run failed trials again.", show_default=False)] = None,
    insecure: Insecure = False,
) -> None:
    """Go on with a study on a cluster whose job has ended, from its rows and stages."""
    from search import jobs_command

    jobs_command.resume(name, address=address, retry=retry, insecure=insecure)


@app.command()
def status(
    study: Annotated[str, typer.Argument(help="A study's folder; with --address its name.", show_default=False)],
    address: Annotated[
        str | None, typer.Option(help="The dashboard of the cluster that it is on.", show_default=False)
    ] = None,
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """Say how a study stands: who writes it, how many trials, how fast, how good; at any time, from any terminal."""
    if address is None:
        from search.status_command import print_status

        print_status(study_path(study), as_json=json)
    else:
        from search import jobs_command

        jobs_command.status(study, address=address, as_json=json, insecure=insecure)


@app.command()
def doctor(
    address: Annotated[
        str | None, typer.Option(help="A Ray cluster to look at too, HOST:PORT or auto.", show_default=False)
    ] = None,
    study: Annotated[
        str | None, typer.Option(help="A study's folder or URI, to be written to and read.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Say what this machine or a cluster has, what is wrong with it, and what to do; exit code 1 for a problem."""
    from search.doctor import examine

    examine(address=address, study=study, as_json=json)
