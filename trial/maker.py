"""Gets a trial's stages from the store, or makes them, under keys that hold whatever can change a result."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy, deepcopy
from typing import Any

import torch
from torch import nn

from methods.core.removal import fit_shapes
from trial import quiet
from trial.epoch_log import EpochLog
from trial.experiment import Experiment
from trial.gates import DoesNotLoadBack
from trial.leaving import EndedEarly, Leaves, Left, stays
from trial.networks import build, identity
from trial.numerics import computing
from trial.recipe import digest
from trial.spans import Spans
from trial.stages import VERSIONS, OnEpoch, Part
from trial.store import Product, Store
from trial.training import Epoch

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

    def count(self, product: Product, *, stage: str, round_: int, made: bool, first: int) -> int:
        """Add a stage's epochs after its training's ``first``, which were counted before; how many there are."""
        epochs = product.record.get("curve", [])[first:]
        self.epochs += len(epochs)
        self.reused += 0 if made else len(epochs)
        self.curve += [{"stage": stage, "round": round_, **epoch} for epoch in epochs]
        return len(epochs)

    def note_recalibration(self, product: Product, *, round_: int) -> None:
        """Add what new batch-norm statistics gave, at epoch 0 of the round as well."""
        self.curve.append({"stage": "recalibration", "round": round_, "epoch": 0, **product.record})

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
        self,
        experiment: Experiment,
        store: Store,
        *,
        fingerprint: str,
        classes: int,
        device: torch.device,
        log: EpochLog,
        leaves: Leaves = stays,
    ) -> None:
        self.experiment = experiment
        self._store = store
        self._fingerprint = fingerprint
        self._classes = classes
        self.device = device
        self.leaves = leaves
        self._network_identity = identity(experiment.network)
        self._log = log
        self._untrained: nn.Module | None = None
        self._makes = True

    def with_seed(self, seed: int) -> Maker:
        """A maker of the same experiment's stages under another seed, in the same store."""
        other = copy(self)
        other.experiment = self.experiment.model_copy(update={"seed": seed})
        other._untrained = None
        return other

    def fetching_only(self) -> Maker:
        """A maker that gets what is stored and raises NotStored instead of making what is not."""
        other = copy(self)
        other._makes = False
        return other

    def watched(self, training: str, on_epoch: OnEpoch | None) -> OnEpoch:
        """Note every epoch of a training, named by its key, before telling whoever else wants to know."""

        def ended(epoch: Epoch) -> None:
            self._log.note(training, epoch.epoch)
            if on_epoch is not None:
                on_epoch(epoch)

        return ended

    def key(self, name: str, settings: dict[str, Any], *, threads: int | None = None) -> str:
        """A stage's key, 64 hex digits, from whatever can change its result."""
        return digest(
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
                "threads": threads or self.experiment.numerics.threads,
            }
        )

    def get(
        self,
        name: str,
        settings: dict[str, Any],
        make: Callable[[nn.Module], Product],
        tally: Tally,
        *,
        parent: Product | None = None,
        first: int = 0,
        round_: int = 0,
        threads: int | None = None,
        alone: bool = False,
    ) -> tuple[Product, str]:
        """Get a stage from the store, or make it from its parent's network; also its key.

        Stages are made side by side, except one that is to be ``alone`` on the machine (see `trial.quiet`). A part of
        a training comes after that training's ``first`` epochs.
        """
        threads = threads or self.experiment.numerics.threads
        key = self.key(name, settings, threads=threads)

        def make_it() -> Product:
            if not self._makes:
                raise NotStored(f"stage {name} ({key[:16]}) is not stored")
            numerics = self.experiment.numerics
            with quiet.alone() if alone else quiet.at_work(), computing(numerics.precision, threads=threads):
                span.works()
                return make(self.network(parent))

        span = tally.spans.begin(name, key, round_=round_)
        product, made = self._store.get_or_make(key, make_it, kind=name, absent=span.waits)
        self._log.keep()
        epochs = tally.count(product, stage=name, round_=round_, made=made, first=first)
        span.ends(made=made, epochs=epochs)
        return product.to(self.device), key

    def get_link(
        self,
        name: str,
        settings: dict[str, Any],
        make: Callable[[nn.Module], Product],
        tally: Tally,
        *,
        training: str,
        part: Part,
        **further: Any,
    ) -> tuple[Product, str]:
        """Get a part of a training, whose key is ``training``, as `get` does; ``settings`` are those of the whole.

        Raises Left where the trial is to be left now, once what was learned by then is stored.
        """
        further |= {"tally": tally, "first": part.first}
        try:
            said = {"until": part.last, "keeps_momentum": part.keeps_momentum}
            return self.get(name, settings | said, make, **further)
        except EndedEarly as early:
            product, epoch = early.product, early.epoch
        # As the link would be that ends here.
        _, stage = self.get(name, settings | {"until": epoch, "keeps_momentum": True}, lambda _: product, **further)
        raise Left(training, epoch, stage)

    def network(self, product: Product | None, *, afresh: bool = False) -> nn.Module:
        """The network of a product, or the untrained one, on the device and in eval mode.

        ``afresh`` has it built as in another process, for whoever wants to know that it comes out the same. Raises
        DoesNotLoadBack where the product's tensors are not those of the network.
        """
        if product is None:
            network = self._built(trained=True)
        else:
            # A product has all tensors. Drawing first weights takes longer than everything else here, so it is done
            # once; weights that were given are read for the first stage only.
            if afresh or self._untrained is None:
                self._untrained = self._built(trained=False)
            network = deepcopy(self._untrained)
            try:
                fit_shapes(network, dict(product.tensors))
            except (ValueError, RuntimeError) as error:
                raise DoesNotLoadBack(f"a stored stage does not load: {' '.join(str(error).split())}") from error
        self.experiment.numerics.lay_out(network, self.device)
        return network.eval()

    def _built(self, *, trained: bool) -> nn.Module:
        experiment = self.experiment
        return build(experiment.network, classes=self._classes, seed=experiment.seed, trained=trained)
