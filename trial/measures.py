"""Numbers taken from a finished network; their names, units and directions are those of `analysis.schema`.

A measure is one line there and one line here, in ``TAKERS``.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from analysis.schema import MEASURES
from methods.core.modes import in_eval_mode
from trial.data import ImageSet, Splits
from trial.peak_memory import peak_memory
from trial.seeds import generator
from trial.training import evaluate
from trial.weights import nonzero_weights, weights_total

__all__ = ["TAKERS", "Finished", "costs", "macs", "measure", "stored_bytes", "train_sample", "weights_total"]

TRAIN_SAMPLE = 900
"""Training images on which train_accuracy is taken, as in document 004."""


@dataclass(frozen=True)
class Finished:
    """A trial's finished network, and what several measures need of it, computed once."""

    network: nn.Module
    """On the device that holds the splits; its modes are left as they are."""
    splits: Splits
    dense_weights: int
    """`weights_total` of the unpruned network, > 0."""
    known: tuple[float, float] | None = None
    """Loss and accuracy on the validation images, where they have been taken."""

    @cached_property
    def validated(self) -> tuple[float, float]:
        """Loss and accuracy on the validation images."""
        return self.known or evaluate(self.network, self.splits.validation, self.splits)

    @cached_property
    def stored(self) -> bytes:
        """See `stored_bytes`."""
        return stored_bytes(self.network)

    @property
    def image(self) -> Sequence[int]:
        """The shape of one image, (C, H, W)."""
        return self.splits.train.images.shape[1:]


TAKERS: dict[str, Callable[[Finished], float]] = {
    "val_accuracy": lambda finished: finished.validated[1],
    "val_loss": lambda finished: finished.validated[0],
    "train_accuracy": lambda finished: evaluate(finished.network, train_sample(finished.splits), finished.splits)[1],
    "sparsity": lambda finished: 1 - nonzero_weights(finished.network) / finished.dense_weights,
    "params": lambda finished: sum(parameter.numel() for parameter in finished.network.parameters()),
    "macs": lambda finished: macs(finished.network, image=finished.image),
    "bytes": lambda finished: len(finished.stored),
    "gzip_bytes": lambda finished: len(gzip.compress(finished.stored, compresslevel=6, mtime=0)),
    "peak_memory": lambda finished: peak_memory(finished.network, image=finished.image),
}
"""What takes a measure, by its name; ints where the schema says int."""
OF_IMAGES = {"val_accuracy", "val_loss", "train_accuracy"}
"""The measures that training changes."""


def costs(network: nn.Module, splits: Splits, *, dense_weights: int) -> dict[str, float | int]:
    """The measures of `measure` that a cut decides, or nearly so: all save those of how well it knows images."""
    finished = Finished(network, splits, dense_weights)
    names = (column.name for column in MEASURES if column.taken == "at the end")
    return {name: TAKERS[name](finished) for name in names if name not in OF_IMAGES}


def measure(
    network: nn.Module, splits: Splits, *, dense_weights: int, validated: tuple[float, float] | None = None
) -> dict[str, float | int]:
    """Take all measures that the schema has taken at the end of every trial, in its order.

    val_accuracy, val_loss   on the validation images
    train_accuracy           on 900 training images without augmentation, the same for every network; on all of
                             them where there are fewer
    sparsity                 1 − nonzero weights / ``dense_weights``, of convolutions and linear layers
    params                   all stored parameters, biases' and batch norm's included
    macs                     multiply-accumulates of one image
    bytes, gzip_bytes        see `stored_bytes`; gzipped at level 6 with mtime 0
    peak_memory              bytes for one image, see `trial.peak_memory`

    Before recovery only validation accuracy and loss are taken, with the cut. Recovery changes no shape, so params,
    macs, bytes and peak memory would be the same; sparsity before it is in the curve, as every cut's; and how well a
    network knows training images is a question to the training, which is still to come.

    Args:
        network: On the device that holds the splits; its modes are left as they are.
        splits: The images.
        dense_weights: `weights_total` of the unpruned network, > 0.
        validated: Loss and accuracy on the validation images where they are known; None takes them.
    """
    finished = Finished(network, splits, dense_weights, validated)
    return {column.name: TAKERS[column.name](finished) for column in MEASURES if column.taken == "at the end"}


def macs(network: nn.Module, *, image: Sequence[int] = (3, 32, 32)) -> int:
    """Multiply-accumulates of convolutions and matrix products for one image, without biases and norms.

    ``image`` is its shape, (C, H, W).
    """
    from torch.utils.flop_counter import FlopCounterMode  # which imports triton, 70 MB that no driver needs

    example = torch.zeros(1, *image, device=next(network.parameters()).device)
    with in_eval_mode(network), torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(example)
    # torch counts a multiply-accumulate as two.
    return int(counter.get_total_flops()) // 2


def stored_bytes(network: nn.Module) -> bytes:
    """The tensors of the state dict, in its order, as little-endian float32 without any header.

    Batch norm's running statistics are among them, as inference needs them; its counter ``num_batches_tracked`` is
    not. So ``bytes`` is 4·(params + running statistics).
    """
    tensors = [
        tensor.detach().float().cpu().contiguous().numpy()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    ]
    return b"".join(tensor.astype("<f4", copy=False).tobytes() for tensor in tensors)


def train_sample(splits: Splits) -> ImageSet:
    """The training images on which train_accuracy is taken."""
    order = torch.randperm(len(splits.train), generator=generator(0, "train sample"))[:TRAIN_SAMPLE]
    chosen = order.to(splits.train.labels.device)
    return ImageSet(splits.train.images[chosen], splits.train.labels[chosen])
