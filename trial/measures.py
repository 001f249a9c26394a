"""Numbers taken from a finished network; their names, units and directions are those of `analysis.schema`."""

from __future__ import annotations

import gzip

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from methods.core.modes import in_eval_mode
from trial.data import ImageSet, Splits
from trial.seeds import generator
from trial.training import evaluate
from trial.weights import nonzero_weights, weights_total

__all__ = ["macs", "measure", "stored_bytes", "weights_total"]

TRAIN_SAMPLE = 900
"""Training images on which train_accuracy is taken, as in document 004."""


def measure(network: nn.Module, splits: Splits, *, dense_weights: int) -> dict[str, float | int]:
    """Take all measures that need no stopwatch.

    val_accuracy, val_loss   on the validation images
    train_accuracy           on 900 training images without augmentation, the same for every network; on all of
                             them where there are fewer
    sparsity                 1 − nonzero weights / ``dense_weights``, of convolutions and linear layers
    params                   all stored parameters, biases' and batch norm's included
    macs                     multiply-accumulates of one 3×32×32 image
    bytes, gzip_bytes        see `stored_bytes`; gzipped at level 6 with mtime 0

    Args:
        network: On the device that holds the splits; its modes are left as they are.
        splits: The images.
        dense_weights: `weights_total` of the unpruned network, > 0.
    """
    val_loss, val_accuracy = evaluate(network, splits.validation, splits)
    stored = stored_bytes(network)
    return {
        "val_accuracy": val_accuracy,
        "val_loss": val_loss,
        "train_accuracy": evaluate(network, _train_sample(splits), splits)[1],
        "sparsity": 1 - nonzero_weights(network) / dense_weights,
        "params": sum(parameter.numel() for parameter in network.parameters()),
        "macs": macs(network),
        "bytes": len(stored),
        "gzip_bytes": len(gzip.compress(stored, compresslevel=6, mtime=0)),
    }


def macs(network: nn.Module) -> int:
    """Multiply-accumulates of convolutions and matrix products for one 3×32×32 image, without biases and norms."""
    example = torch.zeros(1, 3, 32, 32, device=next(network.parameters()).device)
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


def _train_sample(splits: Splits) -> ImageSet:
    order = torch.randperm(len(splits.train), generator=generator(0, "train sample"))[:TRAIN_SAMPLE]
    chosen = order.to(splits.train.labels.device)
    return ImageSet(splits.train.images[chosen], splits.train.labels[chosen])
