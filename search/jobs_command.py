"""What `prunefront submit`, `logs`, `stop`, `resume` and `studies` print."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import cast, get_args

from rich.table import Table

from analysis.errors import WrongInput
from search.environment import Environment
from search.jobs import Jobs, Study, check_address, check_name
from search.spec import load
from trial.yaml_file import text

__all__ = ["logs", "resume", "status", "stop", "studies", "submit"]


def submit(
    name: str,
    *,
    address: str,
    study: str | None,
    called: str | None,
    settings: Sequence[str],
    insecure: bool,
    environment: str,
) -> None:
    """Start a spec's search as a job, and print the study's name and how to watch it.

    ``study`` is the folder on the cluster, ``called`` the study's name, by default the spec's. Raises WrongInput as
    ``run`` does for a spec, and for what `Jobs` refuses.
    """
    spec, named = load(name, settings=settings)
    check_name(called or named)
    check_address(address, insecure=insecure)
    if environment not in get_args(Environment):
        raise WrongInput(f"--environment takes {', '.join(get_args(Environment))}, got {environment!r}")
    code = (spec.network.code or "").partition(":")[0].partition(".")[0]
    started = Jobs(address, insecure=insecure).submit(
        called or named,
        # What was not said is the cluster's to settle: how many workers there are, what they are fastest in.
        spec=text(spec.model_dump(mode="json", exclude_unset=True)),
        folder=study or "",
        code=code,
        environment=cast(Environment, environment),
    )
    _print_started(started, address)


def resume(name: str, *, address: str, retry: str | None, insecure: bool) -> None:
    """Go on with a study, and print how to watch it."""
    _print_started(Jobs(address, insecure=insecure).resume(name, retry=retry), address)


def _print_started(study: Study, address: str) -> None:
    print(f"the study {study.name} is running as job {study.job}; this terminal may close")  # noqa: T201
    for command in ("status", "logs --follow", "stop"):
        verb, *options = command.split()
        print("  " + " ".join(["prunefront", verb, study.name, *options, "--address", address]))  # noqa: T201


def status(name: str, *, address: str, as_json: bool, insecure: bool) -> None:
    """Print how a study on a cluster stands, as `prunefront status` says it there."""
    print(Jobs(address, insecure=insecure).ask(name, "status", *(["--json"] if as_json else [])), end="")  # noqa: T201


def logs(name: str, *, address: str, follow: bool, insecure: bool) -> None:
    """Print what a study's job has printed; with ``follow`` until it ends."""
    for piece in Jobs(address, insecure=insecure).logs(name, follow=follow):
        sys.stdout.write(piece)
        sys.stdout.flush()


def stop(name: str, *, address: str, insecure: bool) -> None:
    """End a study's job and say so once it has ended."""
    ended = Jobs(address, insecure=insecure).stop(name)
    print(  # noqa: T201
        f"the study {ended.name} has {ended.state}; its finished trials are safe: "
        f"`prunefront resume {ended.name} --address {address}` goes on"
    )


def studies(*, address: str, as_json: bool, insecure: bool) -> None:
    """Print the studies of a cluster, one line each."""
    found = Jobs(address, insecure=insecure).studies()
    if as_json:
        print(json.dumps([{k: v for k, v in asdict(study).items() if k != "spec"} for study in found]))  # noqa: T201
        return
    if not found:
        print(f"{address} has no studies: `prunefront submit SPEC --address {address}` starts one")  # noqa: T201
        return
    table = Table(box=None, pad_edge=False)
    for title in ("study", "state", "started", "folder"):
        table.add_column(title, overflow="fold")
    for study in found:
        started = datetime.fromtimestamp(study.started).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(study.name, study.state, started, study.folder or "(the cluster's folder of studies)")
    from rich.console import Console

    Console(soft_wrap=not sys.stdout.isatty()).print(table)
