"""A worker's place of work: the data on its device, the store, and trials run on them one after another."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import nn

from analysis.schema import DENSE
from methods.core.knobs import flat
from methods.core.removal import fit_shapes
from trial import stages
from trial.data import load
from trial.experiment import Experiment
from trial.measures import measure
from trial.memory import keep_freed_memory
from trial.networks import build, identity
from trial.recipe import Recipe, digest, trial_id
from trial.rows import Row, blank, read, write
from trial.stages import VERSIONS, OnEpoch
from trial.store import FileClaims, Product, Store
from trial.weights import weights_total

__all__ = ["Workbench"]


class Workbench:
    """Runs trials of one experiment; a worker keeps it from trial to trial.

    ``study`` is the study's folder, ``study_name`` and ``worker`` are what rows call the two. Loading the data
    raises WrongInput where the data cannot be used.
    """

    def __init__(self, experiment: Experiment, study: Path, *, study_name: str, worker: str) -> None:
        self.experiment = experiment
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        keep_freed_memory()
        self._splits = load(experiment.data, device=str(self.device))
        self._study = study
        self._study_name = study_name
        self._worker = worker
        self._store = Store(study / "stages", FileClaims(study / "stages" / "claims"))
        self._network_identity = identity(experiment.network)

    @property
    def fingerprint(self) -> str:
        """The data's content hash."""
        return self._splits.fingerprint

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self._splits.classes

    def dense(self, *, on_epoch: OnEpoch | None = None) -> Row:
        """Train the dense network unless the store has it; write and return its row, the study's reference."""
        trial = trial_id(None, self.experiment, fingerprint=self.fingerprint)
        return self._row(trial, {"method": DENSE}, lambda tally: self._measured_dense(tally, on_epoch))

    def run(self, recipe: Recipe) -> Row:
        """Run one trial and return its row, durable before this returns.

        A trial that has a complete row is not run again: its row is returned. A failing trial gives a row whose
        ``state`` is failed and whose ``error`` says why; only what no trial can help, such as a full disk,
        raises (OSError).
        """
        trial = trial_id(recipe, self.experiment, fingerprint=self.fingerprint)
        return self._row(trial, recipe.columns(), lambda tally: self._outcome(recipe, tally))

    def _row(self, trial: str, recipe: dict[str, Any], work: Callable[[_Tally], dict[str, Any]]) -> Row:
        known = read(self._study, trial)
        if known is not None and known["state"] == "complete":
            return known
        row = blank() | self._identity(trial) | recipe | self._provenance()
        tally, start = _Tally(), time.perf_counter()
        try:
            outcome = work(tally)
            _refuse_nan(outcome)
            row |= outcome | {"state": "complete"}
        except OSError:
            raise
        except Exception as error:  # whatever a trial dies of is its row's error, not the study's end
            row |= {"state": "failed", "error": f"{type(error).__name__}: {error}"}
        row |= {"epochs": tally.epochs, "epochs_reused": tally.reused, "seconds": time.perf_counter() - start}
        write(self._study, row)
        return row

    def _outcome(self, recipe: Recipe, tally: _Tally) -> dict[str, Any]:
        parent, parent_key = self._dense(tally)
        dense_weights = weights_total(self._network(parent))
        method, seed = recipe.method, self.experiment.seed
        refusal = method.refusal(self._network(parent))
        if refusal:
            raise ValueError(refusal)
        if method.sparsifier is not None and recipe.sparsity is not None:
            penalty, training = method.sparsifier, recipe.sparsity
            settings = {"penalty": type(penalty).__name__, **flat(penalty), "training": training.model_dump()}
            parent, parent_key = self._stage(
                "sparsity",
                {"parent": parent_key, **settings},
                lambda network: stages.sparsify(network, self._splits, training, penalty, seed=seed),
                tally,
                parent=parent,
            )
        cut, _ = self._stage(
            "cut",
            {"parent": parent_key, **recipe.knobs()},
            lambda network: stages.cut(network, self._splits, method, seed=seed),
            tally,
            parent=parent,
        )
        recovered, _ = self._stage(
            "recovery",
            {"network": cut.content(), "training": recipe.recovery.model_dump()},
            lambda network: stages.recover(network, cut.mask, self._splits, recipe.recovery, seed=seed),
            tally,
            parent=cut,
        )
        before = {name: cut.record[name] for name in ("ratio_achieved", "val_accuracy_before", "val_loss_before")}
        return before | self._measures(recovered, dense_weights, tally)

    def _dense(self, tally: _Tally, on_epoch: OnEpoch | None = None) -> tuple[Product, str]:
        # A user's own trained network comes with its weights: there is nothing to train.
        training = self.experiment.dense
        if self.experiment.network.weights is not None:
            training = training.model_copy(update={"epochs": 0})
        return self._stage(
            "dense",
            {"training": training.model_dump()},
            lambda network: stages.dense(network, self._splits, training, seed=self.experiment.seed, on_epoch=on_epoch),
            tally,
            threads=self.experiment.numerics.dense_threads,
        )

    def _measured_dense(self, tally: _Tally, on_epoch: OnEpoch | None) -> dict[str, Any]:
        product, _ = self._dense(tally, on_epoch)
        return {"ratio_achieved": 0.0} | self._measures(product, weights_total(self._network(product)), tally)

    def _measures(self, product: Product, dense_weights: int, tally: _Tally) -> dict[str, Any]:
        measured, _ = self._stage(
            "measure",
            {"network": product.content(), "dense_weights": dense_weights},
            lambda network: Product({}, record=measure(network, self._splits, dense_weights=dense_weights)),
            tally,
            parent=product,
        )
        return dict(measured.record)

    def _stage(
        self,
        name: str,
        settings: dict[str, Any],
        make: Callable[[nn.Module], Product],
        tally: _Tally,
        *,
        parent: Product | None = None,
        threads: int | None = None,
    ) -> tuple[Product, str]:
        """Get a stage from the store, or make it from its parent's network; also its key."""
        threads = threads or self.experiment.numerics.threads
        key = digest(
            {
                "stage": name,
                "version": VERSIONS[name],
                "settings": settings,
                "network": self._network_identity,
                "data": self.fingerprint,
                "seed": self.experiment.seed,
                "torch": ".".join(torch.__version__.split(".")[:2]),
                "precision": self.experiment.numerics.precision,
                "layout": self.experiment.numerics.layout,
                "device": self.device.type,
                "threads": threads,
            }
        )

        def make_it() -> Product:
            torch.set_num_threads(threads)
            return make(self._network(parent))

        product, made = self._store.get_or_make(key, make_it)
        tally.count(product, made=made)
        return product, key

    def _network(self, product: Product | None) -> nn.Module:
        """The network of a product, or the untrained one, on the device and in eval mode."""
        network = build(self.experiment.network, classes=len(self.classes), seed=self.experiment.seed)
        if product is not None:
            fit_shapes(network, dict(product.tensors))
        last = self.experiment.numerics.layout == "channels-last"
        layout = torch.channels_last if last else torch.contiguous_format
        network.to(self.device, memory_format=layout)  # type: ignore[call-overload]  # torch's stubs lack this form
        return network.eval()

    def _identity(self, trial: str) -> dict[str, Any]:
        network = self.experiment.network
        return {
            "study": self._study_name,
            "trial": trial,
            "network": network.name or network.code,
            "width": network.width,
            "data": self.experiment.data.name,
            "seed": self.experiment.seed,
            "classes": len(self.classes),
        }

    def _provenance(self) -> dict[str, Any]:
        on_gpu = self.device.type == "cuda"
        return {
            "started": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "worker": self._worker,
            "device": torch.cuda.get_device_name(self.device) if on_gpu else "cpu",
            "precision": self.experiment.numerics.precision,
            "torch": str(torch.__version__),
            "version": metadata.version("prunefront"),
        }


class _Tally:
    """Counts the epochs behind a trial's network, and those of them that another trial had run."""

    def __init__(self) -> None:
        self.epochs = 0
        self.reused = 0

    def count(self, product: Product, *, made: bool) -> None:
        epochs = int(product.record.get("epochs", 0))
        self.epochs += epochs
        self.reused += 0 if made else epochs


def _refuse_nan(outcome: dict[str, Any]) -> None:
    odd = [name for name, value in outcome.items() if isinstance(value, float) and not math.isfinite(value)]
    if odd:
        raise ArithmeticError(f"{', '.join(odd)} came out as NaN or infinite")
