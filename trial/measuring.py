"""The measures of a plan's networks: the stages that look at a network and leave it as it is."""

from __future__ import annotations

from typing import Any

from torch import nn

from trial import gates, shipped, stages
from trial.data import Splits
from trial.latency import machine
from trial.maker import Maker, Tally
from trial.onnx_latency import BATCHES, OF_BATCH, latencies, taken
from trial.processor import cpu
from trial.quantising import None_, Quantisation
from trial.store import Product

__all__ = ["Measuring"]

FILE = "the ONNX file"


class Measuring:
    """Takes the measures of one trial's networks, as stages got from ``maker`` and counted in ``tally``."""

    def __init__(self, maker: Maker, splits: Splits, tally: Tally) -> None:
        self._maker = maker
        self._splits = splits
        self._tally = tally

    def measures(self, product: Product, *, dense_weights: int) -> dict[str, Any]:
        """What is measured of a finished network; raises GateFailed where it is not whole."""
        measured, _ = self._maker.get(
            "measure",
            {"network": product.content(), "dense_weights": dense_weights},
            lambda network: stages.finish(
                network,
                product,
                self._splits,
                again=lambda stored: self._maker.network(stored, afresh=True),
                dense_weights=dense_weights,
                seed=self._maker.experiment.seed,
            ),
            self._tally,
            parent=product,
        )
        # Not in the stage: another trial may have measured an equal network that came of another training.
        taken = dict(measured.record)
        gates.trained_and_stored_agree(product.record.get(stages.CHECKED_LOSS), taken.pop(stages.CHECKED_LOSS))
        return taken | self._timed(product)

    def of_file(self, product: Product, how: Quantisation) -> dict[str, Any]:
        """What is measured of the quantised file of a finished network, which is what ships."""
        return dict(self.file(product, how).record)

    def file(self, product: Product, how: Quantisation) -> Product:
        """The ONNX file of a finished network; the float32 one is shared by whatever it is quantised to.

        Raises WrongInput, ValueError or GateFailed where it cannot be made.
        """
        seed, numerics = self._maker.experiment.seed, self._maker.experiment.numerics
        float32, _ = self._maker.get(
            "export",
            {"network": product.content(), **shipped.settings_of()},
            lambda network: shipped.export(network, self._splits, seed=seed, threads=numerics.threads),
            self._tally,
            parent=product,
        )
        if isinstance(how, None_):
            return float32
        made, _ = self._maker.get(
            "quantise",
            {"file": float32.content(), **shipped.settings_of(how)},
            lambda _: shipped.quantise(float32, self._splits, how, seed=seed, threads=numerics.threads),
            self._tally,
            parent=product,
        )
        return made

    def so_far(self, cut: Product, network: Product, *, dense_weights: int) -> dict[str, Any]:
        """What is known of a network that is recovering: accuracy and loss of now, and what its cut costs."""
        curve = network.record.get("curve")
        now = curve[-1] if curve else network.record
        validated = {name: now.get(name, cut.record[f"{name}_before"]) for name in ("val_loss", "val_accuracy")}
        costs, _ = self._maker.get(
            "costs",
            {"network": cut.content(), "dense_weights": dense_weights},
            lambda module: stages.costed(module, self._splits, dense_weights=dense_weights),
            self._tally,
            parent=cut,
        )
        return validated | dict(costs.record) | self._timed(cut) | self.file_times(cut, None_())

    def file_times(self, product: Product, how: Quantisation) -> dict[str, Any]:
        """The latencies of a network's ONNX file, and where they were taken; nothing where the study asks for none.

        Networks of equal shapes share them: a weight of zero takes as long as any other. Raises as `file` does.
        """
        asked = self._maker.experiment.latency
        batches = [batch for batch in BATCHES if any(name in asked for name in OF_BATCH[batch])]
        if not batches:
            return {}
        model, threads = shipped.file_of(self.file(product, how)), self._maker.experiment.numerics.threads

        def make(_: nn.Module) -> Product:
            found = latencies({FILE: lambda: model}, threads=threads, batches=batches)
            return Product({}, record={**found[FILE], **taken(threads)})

        timed, _ = self._maker.get(
            "file_latency",
            {"shapes": _shapes(product), **shipped.settings_of(how), "machine": cpu(), "batches": batches},
            make,
            self._tally,
            parent=product,
            alone=True,
        )
        return dict(timed.record)

    def _timed(self, product: Product) -> dict[str, Any]:
        """The latency in torch, shared likewise; nothing where the study does not ask for it."""
        if "torch_latency_ms" not in self._maker.experiment.latency:
            return {}
        timed, _ = self._maker.get(
            "latency",
            {"shapes": _shapes(product), "machine": machine(self._maker.device)},
            lambda network: stages.timed(network, self._splits),
            self._tally,
            parent=product,
            alone=True,
        )
        return dict(timed.record)


def _shapes(product: Product) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in product.tensors.items()}
