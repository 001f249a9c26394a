"""How long a network takes for one image in torch."""

from __future__ import annotations

import statistics
import time

import torch
from torch import Tensor, nn

from methods.core.modes import in_eval_mode
from trial.numerics import autocast
from trial.processor import cpu

__all__ = ["PASSES", "WARM_UP", "machine", "torch_latency_ms"]

WARM_UP = 10
"""Forward passes before the first that is timed: kernels are chosen and memory is taken."""
PASSES = 50
"""Forward passes that are timed, each for itself; of an odd delay the median knows nothing."""


def torch_latency_ms(network: nn.Module, image: Tensor) -> float:
    """Median wall-clock milliseconds of a forward pass in eval and inference mode, > 0.

    Takes the precision and the threads that `trial.numerics.computing` set, and does not see to it that nobody else
    is on the machine: see `quiet`.

    Args:
        network: On its device, in its layout; its modes are left as they are.
        image: A normalised batch of one on the same device, shape (1, C, H, W).
    """
    on_gpu = image.device.type == "cuda"
    seconds = []
    with in_eval_mode(network), torch.inference_mode(), autocast(image.device):
        for _ in range(WARM_UP):
            network(image)
        for _ in range(PASSES):
            if on_gpu:
                torch.cuda.synchronize(image.device)
            start = time.perf_counter()
            network(image)
            if on_gpu:
                torch.cuda.synchronize(image.device)
            seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds)


def machine(device: torch.device) -> str:
    """The name of what computes: a time is that of its processor, and is not shared with another's."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return cpu()
