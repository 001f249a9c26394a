"""Gets a trial's stages from the store, or makes them, under keys that hold whatever can change a result."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

import torch
from torch import nn

from methods.core.removal import fit_shapes
from trial import quiet
from trial.experiment import Experiment
from trial.gates import DoesNotLoadBack
from trial.networks import build, identity
from trial.numerics import computing
from trial.recipe import digest
from trial.spans import Spans
from trial.stages import VERSIONS
from trial.store import Product, Store

__all__ = ["Maker", "NotStored", "Tally"]


class NotStored(LookupError):
    """A stage that was only to be fetched is not in the store."""


class Tally:
    """Counts the epochs behind a trial's network, and those that another trial had run; keeps curves and spans."""

    def __init__(self) -> None:
        self.epochs = 0
        self.reused = 0
        self.curve: list[dict[str, Any]] = []
        self.spans = Spans()

    def count(self, product: Product, *, stage: str, round_: int, made: bool) -> None:
        """Add a stage's epochs."""
        epochs = int(product.record.get("epochs", 0))
        self.epochs += epochs
        self.reused += 0 if made else epochs
        self.curve += [{"stage": stage, "round": round_, **epoch} for epoch in product.record.get("curve", ())]

    def note_cut(self, product: Product, *, round_: int) -> None:
        """Add a round's cut to the curve, as its epoch 0: what came of the network before it was recovered."""
        record = product.record
        self.curve.append(
            {
                "stage": "cut",
                "round": round_,
                "epoch": 0,
                "val_loss": record["val_loss_before"],
                "val_accuracy": record["val_accuracy_before"],
                "sparsity": record["sparsity"],
                "ratio_achieved": record["ratio_achieved"],
            }
        )


class Maker:
    """Makes the stages of one experiment's trials, each once."""

    def __init__(
        self, experiment: Experiment, store: Store, *, fingerprint: str, classes: int, device: torch.device
    ) -> None:
        self.experiment = experiment
        self._store = store
        self._fingerprint = fingerprint
        self._classes = classes
        self.device = device
        self._network_identity = identity(experiment.network)
        self._makes = True

    def with_seed(self, seed: int) -> Maker:
        """A maker of the same experiment's stages under another seed, in the same store."""
        other = copy(self)
        other.experiment = self.experiment.model_copy(update={"seed": seed})
        return other

    def fetching_only(self) -> Maker:
        """A maker that gets what is stored and raises NotStored instead of making what is not."""
        other = copy(self)
        other._makes = False
        return other

    def get(
        self,
        name: str,
        settings: dict[str, Any],
        make: Callable[[nn.Module], Product],
        tally: Tally,
        *,
        parent: Product | None = None,
        round_: int = 0,
        threads: int | None = None,
        alone: bool = False,
    ) -> tuple[Product, str]:
        """Get a stage from the store, or make it from its parent's network; also its key.

        Stages are made side by side, except one that is to be ``alone`` on the machine (see `trial.quiet`).
        """
        threads = threads or self.experiment.numerics.threads
        key = digest(
            {
                "stage": name,
                "version": VERSIONS[name],
                "settings": settings,
                "network": self._network_identity,
                "data": self._fingerprint,
                "seed": self.experiment.seed,
                "torch": ".".join(torch.__version__.split(".")[:2]),
                "precision": self.experiment.numerics.precision,
                "layout": self.experiment.numerics.layout,
                "device": self.device.type,
                "threads": threads,
            }
        )

        def make_it() -> Product:
            if not self._makes:
                raise NotStored(f"stage {name} ({key[:16]}) is not stored")
            numerics = self.experiment.numerics
            with quiet.alone() if alone else quiet.at_work(), computing(numerics.precision, threads=threads):
                span.works()
                return make(self.network(parent))

        span = tally.spans.begin(name, key, round_=round_)
        product, made = self._store.get_or_make(key, make_it, kind=name, absent=span.waits)
        span.ends(made=made, epochs=int(product.record.get("epochs", 0)))
        tally.count(product, stage=name, round_=round_, made=made)
        return product.to(self.device), key

    def network(self, product: Product | None) -> nn.Module:
        """The network of a product, or the untrained one, on the device and in eval mode.

        Raises DoesNotLoadBack where the product's tensors are not those of the network.
        """
        # A product has all tensors: weights that were given are read for the first stage only.
        network = build(
            self.experiment.network, classes=self._classes, seed=self.experiment.seed, trained=product is None
        )
        if product is not None:
            try:
                fit_shapes(network, dict(product.tensors))
            except (ValueError, RuntimeError) as error:
                raise DoesNotLoadBack(f"a stored stage does not load: {' '.join(str(error).split())}") from error
        self.experiment.numerics.lay_out(network, self.device)
        return network.eval()
