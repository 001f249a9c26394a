"""An Optuna storage as a mirror of the study, for optuna-dashboard and others to look at.

The sampler's own study, in memory, stays what the search goes by; the rows stay the truth. Each row becomes one trial
of the storage's study, which has the name of the study's folder.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import optuna
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from analysis.errors import WrongInput
from analysis.schema import MEASURES, measure
from search.address import JOURNAL, expanded, secrets
from search.ranges import Steps
from search.space import Branch, Space
from trial.rows import Row

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

__all__ = ["Mirror", "check_reachable"]

STATES = {"complete": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}
TOLD = ("error", "worker", "seconds", "epochs", "epochs_reused", "ratio_achieved", *(each.name for each in MEASURES))
"""What a trial's user attributes hold of its row, beside its name and state."""
LONGEST = 1000
"""Characters of an error that are kept."""
PATIENCE = 10
"""Seconds that a database, or the lock of a journal, is waited for."""


def check_reachable(address: str, *, study: Path, where: str) -> None:
    """Raise WrongInput where the storage cannot be used as far as can be told without writing there.

    Files need a folder that is there or will be: ``study``, the search's own. A server is asked for a connection.
    """
    try:
        opened = expanded(address, where=where)
        if opened.startswith(JOURNAL):
            _check_file(Path(opened.removeprefix(JOURNAL)), study=study)
            return
        from sqlalchemy import create_engine

        url, settings = _engine(opened, where=where)
        if url.drivername.startswith("sqlite"):
            _check_file(Path(str(url.database)), study=study)
            return
        engine = create_engine(url, **settings)
        try:
            engine.connect().close()
        finally:
            engine.dispose()
    except WrongInput:
        raise
    except Exception as error:  # whatever a database can think of
        raise _unusable(error, address, where=where) from None


def _check_file(file: Path, *, study: Path) -> None:
    folder = file.absolute().parent
    if not folder.is_dir() and folder != study.absolute():
        raise FileNotFoundError(f"there is no folder {folder}")
    if file.is_dir():
        raise IsADirectoryError(f"{file} is a folder")
    if not os.access(next(each for each in (file, folder, study.absolute(), Path("/")) if each.exists()), os.W_OK):
        raise PermissionError(f"{file} cannot be written")


def _unusable(error: Exception, address: str, *, where: str) -> WrongInput:
    return WrongInput(f"the storage cannot be used: {_without(secrets(address), error)} ({where})")


def _without(held: Sequence[str], error: Exception) -> str:
    """The first line of an error, without those secrets."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    line = lines[0]
    for secret in held:
        line = line.replace(secret, "***")
    return line[:300]


class Mirror:
    """A study's trials in an Optuna storage, each there once.

    ``address`` is what `checked` returned, ``name`` what the storage calls the study, ``experiment`` the name of the
    dense network's trial, which tells the studies of two experiments apart. Raises WrongInput, in one line without any
    password, where the storage cannot be reached or its study of that name is another one's.
    """

    def __init__(
        self, address: str, *, name: str, experiment: str, space: Space, objectives: Sequence[str], where: str
    ) -> None:
        self._space = space
        self._objectives = tuple(objectives)
        self._there: set[tuple[str, str]] = set()
        self._steps = _steps(space.methods)
        self._secrets = secrets(address)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            with warnings.catch_warnings(action="ignore"):  # metric names are called experimental
                self._study = self._opened(expanded(address, where=where), name=name, where=where)
                is_ours = self._is_ours(experiment)
        except WrongInput:
            raise
        except Exception as error:  # whatever a database can think of
            raise _unusable(error, address, where=where) from None
        if not is_ours:
            raise WrongInput(
                f"the storage holds another study that is called {name}: rename this study's folder, or name another "
                f"storage ({where})"
            )

    def begin(self) -> None:
        """Find out what is there already."""
        self._guarded(self._look)

    def tell(self, row: Row) -> None:
        """Add a row's trial, unless it is there in the same state; a row outside the space is passed over.

        Raises RuntimeError, its message without any password, where the storage fails.
        """
        self._guarded(lambda: self._add(row))

    def without_secrets(self, error: Exception) -> str:
        """The first line of an error, without what the address's environment variables hold."""
        return _without(self._secrets, error)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            raise RuntimeError(self.without_secrets(error)) from None

    def _look(self) -> None:
        for trial in self._study.get_trials(deepcopy=False):
            held = trial.user_attrs
            self._there.add((str(held.get("trial")), str(held.get("state"))))

    def _add(self, row: Row) -> None:
        traced = self._space.trace(row)
        # A failed trial that is tried again is another trial to Optuna, which changes none that has ended.
        key = str(row["trial"]), str(row["state"])
        if traced is None or key in self._there:
            return
        _, parameters, distributions = traced
        for name, steps in self._steps.items():
            if name in parameters:
                # The sampler's parameter is the number of a step; people want to see where the step leads.
                parameters[name] = float(cast(float, steps.at(parameters[name])))
                distributions[name] = FloatDistribution(steps.low, steps.high)
        self._study.add_trial(_frozen(row, parameters, distributions, self._objectives))
        self._there.add(key)

    def _opened(self, address: str, *, name: str, where: str) -> optuna.Study:
        storage: optuna.storages.BaseStorage
        if address.startswith(JOURNAL):
            from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock, JournalStorage

            file = address.removeprefix(JOURNAL)
            storage = JournalStorage(JournalFileBackend(file, JournalFileSymlinkLock(file, grace_period=PATIENCE)))
        else:
            storage = _database(address, where=where)
        directions = [_direction(each) for each in self._objectives]
        return optuna.create_study(storage=storage, study_name=name, directions=directions, load_if_exists=True)

    def _is_ours(self, experiment: str) -> bool:
        """Whether the storage's study is this one; a new one is made so."""
        directions = [each.name.lower() for each in self._study.directions]
        if directions != [_direction(each) for each in self._objectives]:
            return False
        if "experiment" not in self._study.user_attrs and not self._study.get_trials(deepcopy=False):
            self._study.set_metric_names(list(self._objectives))
            self._study.set_user_attr("experiment", experiment)
        return self._study.user_attrs.get("experiment") == experiment and self._study.metric_names == list(
            self._objectives
        )


def _steps(branch: Branch, prefix: str = "") -> dict[str, Steps]:
    """The ranges with steps, by the name that Optuna knows the knob by."""
    found: dict[str, Steps] = {}
    for chosen, group in branch.options.items():
        for name, searched in group.knobs.items():
            if isinstance(searched, Branch):
                found |= _steps(searched, f"{prefix}{chosen}.")
            elif isinstance(searched, Steps):
                found[f"{prefix}{chosen}.{name}"] = searched
    return found


def _database(address: str, *, where: str) -> optuna.storages.BaseStorage:
    url, settings = _engine(address, where=where)
    return optuna.storages.RDBStorage(url.render_as_string(hide_password=False), engine_kwargs=settings)


def _engine(address: str, *, where: str) -> tuple[URL, dict[str, Any]]:
    """What SQLAlchemy's engine of a database is made of; raises WrongInput where its driver is missing."""
    from sqlalchemy import make_url

    url = make_url(address)
    settings: dict[str, Any] = {}
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername == "postgresql+psycopg":
        try:
            import psycopg  # noqa: F401
        except ImportError:
            raise WrongInput(
                f"storage in PostgreSQL needs psycopg: pip install 'prunefront[storage]' ({where})"
            ) from None
        settings = {
            "connect_args": {
                "client_encoding": "utf8",  # else a database in SQL_ASCII answers in bytes
                "connect_timeout": PATIENCE,
                "tcp_user_timeout": PATIENCE * 1000,
                "options": f"-c statement_timeout={PATIENCE * 1000}",
            },
            "pool_pre_ping": True,
        }
    return url, settings


def _frozen(
    row: Row, parameters: Mapping[str, Any], distributions: Mapping[str, Any], objectives: Sequence[str]
) -> FrozenTrial:
    """A row as Optuna holds a trial that has ended."""
    state = STATES.get(str(row["state"]), TrialState.FAIL)
    measured: list[Any] = [row.get(name) for name in objectives]
    values = [float(value) for value in measured if _is_finite(value)]
    whole = len(values) == len(objectives)
    if state is TrialState.COMPLETE and not whole:
        state = TrialState.FAIL  # as the sampler is told
    trial = optuna.create_trial(
        state=state,
        values=values if whole and state is not TrialState.FAIL else None,
        params=dict(parameters),
        distributions=dict(distributions),
        user_attrs={
            "trial": row["trial"],
            "state": row["state"],
            **{name: _kept(row[name]) for name in TOLD if _kept(row.get(name)) is not None},
        },
    )
    started = datetime.fromisoformat(row["started"]).astimezone().replace(tzinfo=None)  # Optuna's are local, and bare
    trial.datetime_start = started
    trial.datetime_complete = started + timedelta(seconds=row["seconds"] or 0.0)
    return trial


def _kept(value: object) -> object:
    """A row's value as a user attribute: JSON, and no endless text."""
    if isinstance(value, str):
        return value[:LONGEST]
    return value if isinstance(value, bool) or _is_finite(value) else None


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _direction(objective: str) -> Literal["maximize", "minimize"]:
    return "maximize" if measure(objective).better == "higher" else "minimize"
