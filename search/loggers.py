"""MLflow and TensorBoard: each trial that ends is logged through Ray Tune's own loggers.

A logger gets the recipe's knobs as parameters, every epoch's loss and accuracy, and the measures of the row. It is
called when the row is there and not while the trial runs: only then does a trial have its name.
"""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis import curves
from analysis.errors import WrongInput, nearest
from analysis.object_path import ObjectPath
from analysis.schema import CURVE, MEASURES
from trial.recipe import columns
from trial.rows import Row

__all__ = ["LOGGERS", "Logged", "Loggers", "check_installed", "check_loggers"]

LOGS = "logs"
EPOCH = tuple(column.name for column in CURVE if column.kind == "float" and column.name != "ratio_achieved")
"""What is logged of an epoch."""
SUMS = ("seconds", "epochs", "epochs_reused", "ratio_achieved")
"""What is logged of a row beside its measures."""
# Read by MLflow when it is imported.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "GIT_PYTHON_REFRESH": "quiet",  # else a machine without git is told so at length
    # Else a server that is gone is asked again for minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
PACKAGES = {"mlflow": "mlflow", "tensorboard": "tensorboardX"}
LOGGERS = tuple(PACKAGES)


@dataclass(frozen=True)
class Logged:
    """A trial as Tune's loggers see one: they read these names and no others."""

    name: str
    config: dict[str, Any]
    """The recipe's knobs."""
    local_path: str

    def __str__(self) -> str:
        return self.name

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def evaluated_params(self) -> dict[str, Any]:
        """What TensorBoard calls hyperparameters."""
        return self.config

    def init_local_path(self) -> None:
        """Make the folder."""
        Path(self.local_path).mkdir(parents=True, exist_ok=True)


def check_loggers(names: Sequence[str], *, where: str) -> None:
    """Raise WrongInput for a name that is no logger's, or one that is given twice."""
    for name in names:
        if name not in PACKAGES:
            raise WrongInput(f"{name!r} is not a logger: {nearest(name, LOGGERS)} ({where})")
    if len(set(names)) < len(names):
        raise WrongInput(f"loggers must be different, got {list(names)} ({where})")


def check_installed(names: Sequence[str]) -> None:
    """Raise WrongInput for a logger whose package is missing here; a study's frozen spec may name it all the same."""
    for name in names:
        if importlib.util.find_spec(PACKAGES[name]) is None:
            raise WrongInput(
                f"the logger {name} needs {PACKAGES[name]}: pip install 'prunefront[{name}]' (search.loggers)"
            )


class Loggers:
    """The loggers of a study; files go to STUDY/logs/NAME, MLflow's elsewhere where MLFLOW_TRACKING_URI says so.

    Raises WrongInput where a logger cannot begin, such as for a server that does not answer.
    """

    def __init__(self, names: Sequence[str], study: Path, *, where: str) -> None:
        self._study = study
        self._loggers: dict[str, Any] = {}
        self._known: dict[str, set[str]] = {}
        for name in names:
            try:
                self._loggers[name], self._known[name] = _BEGUN[name](study)
            except Exception as error:  # whatever a server can think of
                said = " ".join(str(error).split())[:300]
                raise WrongInput(f"the logger {name} cannot begin: {said} ({where})") from None

    def tell(self, row: Row) -> None:
        """Log a row's trial, unless a logger has it already."""
        knobs = {"method", *columns()}
        config = {name: row[name] for name in row if name in knobs and row[name] is not None}
        for name, logger in self._loggers.items():
            if row["trial"] in self._known[name]:
                continue
            trial = Logged(row["trial"], config, str(self._study / LOGS / name / row["trial"]))
            if name == "mlflow":
                logger.tags = {key: str(row[key]) for key in ("study", "trial", "state", "error") if row[key]}
            logger.log_trial_start(trial)
            for result in _results(self._study, row):
                logger.log_trial_result(result["training_iteration"], trial, result)
            logger.log_trial_end(trial, failed=row["state"] == "failed")
            self._known[name].add(row["trial"])


def _results(study: Path, row: Row) -> Iterator[dict[str, Any]]:
    """What Tune's loggers are told: a result for each epoch, its number under Tune's name, and last the row's numbers.

    A trial whose curve is not there has the last one only.
    """
    epochs = []
    with suppress(OSError, WrongInput):
        epochs = curves.of_trial(study, row["trial"])["epochs"]
    number = 0
    for epoch in epochs:
        number += epoch["epoch"] > 0  # 0 is the network as it was cut, after the last epoch before
        yield {"training_iteration": number, **_numbers(epoch, EPOCH)}
    yield {"training_iteration": max(1, number), **_numbers(row, (*SUMS, *(each.name for each in MEASURES)))}


def _numbers(given: dict[str, Any], names: Sequence[str]) -> dict[str, float]:
    values = {name: given.get(name) for name in names}
    return {
        name: float(value) for name, value in values.items() if isinstance(value, int | float) and math.isfinite(value)
    }


def _begun_mlflow(study: Path) -> tuple[Any, set[str]]:
    """Tune's MLflow logger, and the trials that the experiment has runs of."""
    for variable, setting in ENVIRONMENT.items():
        os.environ.setdefault(variable, setting)
    from mlflow import MlflowClient
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    address = os.environ.get("MLFLOW_TRACKING_URI")
    if not address:
        if isinstance(study, ObjectPath):
            raise WrongInput("beside a study on an object store it needs a server: set MLFLOW_TRACKING_URI")
        (study / LOGS).mkdir(exist_ok=True)
        address = f"sqlite:///{(study / LOGS).resolve()}/mlflow.db"  # MLflow has given plain files up
    logger: Any = MLflowLoggerCallback(tracking_uri=address, experiment_name=study.resolve().name)
    logger.setup()
    client, known, token = MlflowClient(tracking_uri=address), set[str](), None
    while True:
        page = client.search_runs([str(logger.mlflow_util.experiment_id)], page_token=token)
        known |= {run.data.tags.get("trial", "") for run in page if run.info.status != "RUNNING"}
        token = page.token
        if not token:
            return logger, known


def _begun_tensorboard(study: Path) -> tuple[Any, set[str]]:
    """Tune's TensorBoard logger, and the trials that have a folder."""
    if isinstance(study, ObjectPath):
        raise WrongInput("it writes to a disk, and the study lies on an object store")
    from ray.tune.logger import TBXLoggerCallback

    made: Any = TBXLoggerCallback
    return made(), {path.name for path in (study / LOGS / "tensorboard").glob("*")}


_BEGUN: dict[str, Callable[[Path], tuple[Any, set[str]]]] = {
    "mlflow": _begun_mlflow,
    "tensorboard": _begun_tensorboard,
}
