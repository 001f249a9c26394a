"""Studies on a cluster that outlive the terminal: each is a Ray job, and a job is nothing but ``prunefront run``.

What a job needs travels with it: the spec in its environment; our packages, then the user's own, by Ray's
``py_modules``; the front door, and a user's module that is a single file, in a working folder that holds nothing else,
so that nothing in anybody's folder takes the place of ours.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import re
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from analysis.errors import WorkFailed, WrongInput
from search import token
from search.environment import PINNED, Environment, pinned, shipped
from search.session import ENVIRONMENT, PACKAGES, packages

__all__ = ["Jobs", "Study", "check_address", "check_name"]

STUDIES = "${PRUNEFRONT_STUDIES:-$HOME/studies}"
"""Where studies lie on a cluster, as the head's shell says it: the cluster's own setting, else the home folder."""
PYTHON = "${PRUNEFRONT_PYTHON:-python3}"
SPEC = "PRUNEFRONT_SPEC"
NAME, FOLDER, CODE, PACKAGED = "prunefront.study", "prunefront.folder", "prunefront.code", "prunefront.environment"
"""What a job's metadata say of its study."""
STOP_SECONDS = 600
"""A stopped job has so long to let its epochs end and to write; Ray's own three seconds are less than one epoch."""
ASK_SECONDS = 120.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_OURS = "prunefront-"


@dataclass(frozen=True)
class Study:
    """A study on a cluster, as its newest job has it."""

    name: str
    folder: str
    job: str
    state: str
    """Ray's word in small letters: pending, running, succeeded, failed or stopped."""
    started: float
    """Seconds since 1970."""
    spec: str
    code: str
    environment: Environment

    @property
    def is_running(self) -> bool:
        """Whether its job has not ended."""
        return self.state in {"pending", "running"}


def check_name(name: str) -> str:
    """The name of a study, which becomes a folder's: nothing that could lead out of the folder of studies.

    Raises WrongInput for anything but letters, digits, dots, dashes and underscores, the first one no dot.
    """
    if not _NAME.fullmatch(name):
        raise WrongInput(
            f"a study's name takes up to 100 letters, digits, dots, dashes and underscores and begins with a letter "
            f"or a digit, got {name!r:.120}"
        )
    return name


def check_address(address: str, *, insecure: bool) -> str:
    """The address of a cluster's dashboard, ``http://HOST:8265``, where it is safe to send a job to.

    Raises WrongInput for what is no such address, and for plain http to another machine without a token, where
    anybody on the way could run what they like on the cluster; ``insecure`` allows it.
    """
    given = address if "://" in address else f"http://{address}"
    url = urlsplit(given)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise WrongInput(f"--address takes the cluster's dashboard, such as http://10.0.0.5:8265; got {address!r}")
    if url.username or url.password:
        raise WrongInput(
            "--address holds a password, which would be kept in logs: put a token into RAY_AUTH_TOKEN_PATH"
        )
    if url.scheme == "http" and not _is_here(url.hostname) and not token.held() and not insecure:
        raise WrongInput(
            f"{given} is plain http to another machine, and there is no token: forward the port (`ray dashboard "
            "cluster.yaml`, then http://127.0.0.1:8265), use https, or set RAY_AUTH_TOKEN_PATH to a file with the "
            "cluster's token; --insecure sends it all the same"
        )
    return given.rstrip("/")


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Jobs:
    """The studies of one cluster, by its dashboard's address."""

    def __init__(self, address: str, *, insecure: bool = False) -> None:
        """Connect; raises WrongInput where nobody answers, or who answers is not convinced."""
        self.address = check_address(address, insecure=insecure)
        for name, setting in ENVIRONMENT.items():
            os.environ.setdefault(name, setting)
        with self._said(), token.used(own=None):
            from ray.job_submission import JobSubmissionClient

            logging.getLogger("ray").setLevel(logging.ERROR)  # after Ray has set its own
            self._client = JobSubmissionClient(self.address)

    def submit(
        self,
        name: str,
        *,
        spec: str,
        folder: str = "",
        code: str = "",
        retry: str | None = None,
        environment: Environment = "check",
    ) -> Study:
        """Start a study, or go on with it, and return at once.

        Args:
            name: The study's, see `check_name`.
            spec: The whole spec, in YAML.
            folder: The study's on the cluster, an absolute path that every node sees, or an URI; by default NAME
                in the cluster's folder of studies.
            code: The module or package of the user's own network, found in the current folder; "" where it is ours.
            retry: As ``prunefront run --retry``.
            environment: What becomes of packages whose releases are not those that are here.

        Raises WrongInput where the study runs already, or a folder or code cannot be taken.
        """
        check_name(name)
        if folder and "://" not in folder and not folder.startswith("/"):
            raise WrongInput(f"--study takes an absolute path on the cluster, or an URI, got {folder!r}")
        before = self._jobs_of(name)
        if before and before[0].is_running:
            raise WrongInput(
                f"the study {name} is running as job {before[0].job}: `prunefront logs {name}` shows it, "
                f"`prunefront stop {name}` ends it"
            )
        options = ["--address", "auto", *(["--retry", retry] if retry else [])]
        # What Ray has installed for a job is first in its PATH.
        python = "python" if environment == "ship" else PYTHON
        entrypoint = (
            f'printf %s "${SPEC}" | {python} -m prunefront run /dev/stdin --study {_quoted(folder, name)} '
            f"{shlex.join(options)}"
        )
        job = f"{_OURS}{name}-{len(before) + 1}"
        metadata = {NAME: name, FOLDER: folder, CODE: code, PACKAGED: environment}
        self._start(job, entrypoint, metadata=metadata, spec=spec, code=code, environment=environment)
        return self.study(name)

    def study(self, name: str) -> Study:
        """The newest job of a study; raises WrongInput where the cluster knows of none."""
        found = self._jobs_of(check_name(name))
        if not found:
            known = sorted({study.name for study in self.studies()})
            raise WrongInput(
                f"{self.address} knows of no study {name!r}: there are {', '.join(known) or 'none'}; "
                "where its folder is left, submitting its spec again goes on with it"
            )
        return found[0]

    def studies(self) -> list[Study]:
        """The newest job of each study, the newest study first."""
        newest: dict[str, Study] = {}
        for study in self._all():
            newest.setdefault(study.name, study)
        return list(newest.values())

    def resume(self, name: str, *, retry: str | None = None) -> Study:
        """Go on with a study that has ended or was ended, from its rows and stages."""
        before = self.study(name)
        given: Any = {"spec": before.spec, "folder": before.folder, "code": before.code}
        return self.submit(name, **given, retry=retry, environment=before.environment)

    def stop(self, name: str) -> Study:
        """Ask a study's job to end, and wait until it has; raises WrongInput where it does not run."""
        study = self.study(name)
        if not study.is_running:
            raise WrongInput(f"the study {name} does not run: its last job {study.state}")
        with self._said():
            self._client.stop_job(study.job)
        return self._ended(study.job, name, seconds=STOP_SECONDS + ASK_SECONDS)

    def logs(self, name: str, *, follow: bool = False) -> Iterator[str]:
        """What a study's newest job has printed, in pieces; with ``follow`` until it ends."""
        study = self.study(name)
        with self._said():
            if not follow:
                yield _own_lines(self._client.get_job_logs(study.job))
                return
            shown = ""
            while True:
                is_running = self.study(name).is_running
                printed = _own_lines(self._client.get_job_logs(study.job))
                yield printed[len(shown) :]
                shown = printed
                if not is_running:
                    return
                time.sleep(1.0)

    def ask(self, name: str, *command: str) -> str:
        """What ``prunefront COMMAND STUDY`` prints on the cluster, where the study's folder is.

        Raises WorkFailed with what it said where it failed.
        """
        study = self.study(name)
        job = f"{_OURS}{command[0]}-{os.getpid()}-{time.time_ns()}"
        first, *options = command
        entrypoint = f"{PYTHON} -m prunefront {first} {_quoted(study.folder, name)} {shlex.join(options)}"
        self._start(job, entrypoint, metadata={}, spec="", code="")
        until = time.monotonic() + ASK_SECONDS
        with self._said():
            while (state := str(self._client.get_job_status(job)).lower()) in {"pending", "running"}:
                if time.monotonic() > until:
                    self._client.stop_job(job)
                    raise WorkFailed(f"{self.address} did not answer `prunefront {first}` in {ASK_SECONDS:g} s")
                time.sleep(0.2)
            printed = _own_lines(self._client.get_job_logs(job))
            self._client.delete_job(job)
        if state != "succeeded":
            raise WorkFailed(printed.strip().removeprefix("prunefront: ") or f"`prunefront {first}` {state} there")
        return printed

    def _start(
        self,
        job: str,
        entrypoint: str,
        *,
        metadata: dict[str, str],
        spec: str,
        code: str,
        environment: Environment = "any",
    ) -> None:
        versions = {} if environment == "any" else {PINNED: json.dumps(pinned())}
        packaged = {"uv": {"packages": shipped(), "uv_check": False}} if environment == "ship" else {}
        own = [_own_code(code)] if code else []
        # Ray ships folders: what is a single file lies in the one that the job starts in.
        files = [_front_door(), *(path for path in own if path.is_file())]
        with tempfile.TemporaryDirectory() as folder, self._said():
            for file in files:
                shutil.copy(file, folder)
            self._client.submit_job(
                entrypoint=entrypoint,
                submission_id=job,
                metadata=metadata,
                runtime_env={
                    "working_dir": folder,
                    "py_modules": [*packages(), *(str(path) for path in own if path.is_dir())],
                    "env_vars": {SPEC: spec, "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS), **ENVIRONMENT, **versions},
                    **packaged,
                },
            )

    def _ended(self, job: str, name: str, *, seconds: float) -> Study:
        until = time.monotonic() + seconds
        while (study := self.study(name)).job == job and study.is_running:
            if time.monotonic() > until:
                raise WorkFailed(f"the job {job} did not end in {seconds:g} s: `ray job stop {job}` may")
            time.sleep(0.5)
        return study

    def _jobs_of(self, name: str) -> list[Study]:
        return [study for study in self._all() if study.name == name]

    def _all(self) -> list[Study]:
        """Every job that is a study's, the newest first."""
        with self._said():
            jobs = [job for job in self._client.list_jobs() if NAME in (job.metadata or {})]
        return sorted((_study(job) for job in jobs), key=lambda study: (study.started, study.job), reverse=True)

    @contextmanager
    def _said(self) -> Iterator[None]:
        """Say in one line what came of a request."""
        from ray.exceptions import AuthenticationError

        try:
            yield
        except AuthenticationError as error:
            raise WrongInput(
                f"{self.address} takes no job without its token: set RAY_AUTH_TOKEN_PATH to a file that holds it"
            ) from error
        except (ConnectionError, OSError) as error:
            raise WrongInput(
                f"no Ray dashboard answers at {self.address}: is the cluster up, and its port forwarded (`ray "
                "dashboard cluster.yaml`)? (--address)"
            ) from error
        except RuntimeError as error:
            raise WorkFailed(f"{self.address} refused: {' '.join(str(error).split())[:300]}") from error


def _study(job: Any) -> Study:
    return Study(
        name=job.metadata[NAME],
        folder=job.metadata.get(FOLDER, ""),
        job=job.submission_id,
        state=str(job.status.value).lower(),
        started=(job.start_time or 0) / 1000,
        spec=((job.runtime_env or {}).get("env_vars") or {}).get(SPEC, ""),
        code=job.metadata.get(CODE, ""),
        environment=job.metadata.get(PACKAGED, "check"),
    )


def _quoted(folder: str, name: str) -> str:
    """A study's folder for the head's shell."""
    return shlex.quote(folder) if folder else f'"{STUDIES}/{name}"'


def _front_door() -> Path:
    found = importlib.util.find_spec("prunefront")
    assert found is not None, "the front door is ours"
    assert found.origin is not None, "and is a file"
    return Path(found.origin)


def _own_code(code: str) -> Path:
    """The file or folder of a module in the current folder."""
    if code in {*PACKAGES, "prunefront"}:
        raise WrongInput(f"network.code names a module {code}, and that is one of prunefront's: give it another name")
    for path in (Path.cwd() / code, Path.cwd() / f"{code}.py"):
        if path.exists():
            return path
    raise WrongInput(
        f"network.code names the module {code}, and {Path.cwd()} has neither {code}.py nor a folder {code}"
    )


def _own_lines(printed: str) -> str:
    """What the job itself printed: Ray writes its entry point, and how it set up, before."""
    lines = printed.splitlines(keepends=True)
    first = next((i + 1 for i, line in enumerate(lines) if line.startswith("Running entrypoint for job")), 0)
    return "".join(lines[first:])
