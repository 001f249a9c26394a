"""How numbers are computed: precision, memory layout and threads, chosen once for a study."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

__all__ = ["Layout", "Numerics", "Precision", "autocast", "computing", "device_here"]

Precision = Literal["float32", "bfloat16"]
Layout = Literal["channels-last", "contiguous"]

MOST_THREADS = 1024
"""OpenMP crashes the process when asked for many millions."""


class Numerics(BaseModel):
    """How numbers are computed: frozen when a study is made, since it can change a result's last bits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    precision: Precision = Field(
        "float32",
        description="the type that networks are trained and evaluated in; weights, their updates, batch norm's "
        "statistics, and what decides and checks a cut stay float32",
    )
    layout: Layout = Field(
        "channels-last",
        description="how weights, and so the images between layers, lie in memory; channels-last is what CPUs and GPUs "
        "convolve fastest",
    )
    threads: int = Field(1, ge=1, le=MOST_THREADS, description="CPU threads of one trial")
    dense_threads: int = Field(
        1, ge=1, le=MOST_THREADS, description="CPU threads of dense training, which everyone waits for"
    )

    def lay_out(self, network: nn.Module, device: torch.device) -> None:
        """Move a network to a device in this layout, in place; contiguous where the other cannot be trained."""
        is_last = self.layout == "channels-last" and not (device.type == "cpu" and _breaks_channels_last(network))
        layout = torch.channels_last if is_last else torch.contiguous_format
        network.to(device, memory_format=layout)  # type: ignore[call-overload]  # torch's stubs lack this form


def _breaks_channels_last(network: nn.Module) -> bool:
    """Whether a convolution's backward pass writes past its memory in channels-last on a CPU, and ends the process.

    oneDNN's strided 1×1 convolutions do where they read fewer channels than a vector holds, as a cut residual
    network's shortcuts may (uxlfoundation/oneDNN, issue 6035).
    """
    vector = 16 if "AVX512" in torch.backends.cpu.get_cpu_capability() else 8
    return any(
        isinstance(module, nn.Conv2d)
        and module.kernel_size == (1, 1)
        and max(module.stride) > 1
        and module.weight.shape[1] < vector
        for module in network.modules()
    )


_precision: ContextVar[Precision] = ContextVar("precision", default="float32")


@contextmanager
def computing(precision: Precision, *, threads: int) -> Iterator[None]:
    """Compute in this precision and on so many CPU threads in the block; both are what they were after it.

    Training and evaluation ask for the precision by `autocast`; whatever does not ask computes in float32, so that
    scores, cuts and the comparison of removed and masked networks never depend on it.
    """
    before, token = torch.get_num_threads(), _precision.set(precision)
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        _precision.reset(token)
        torch.set_num_threads(before)


def autocast(device: torch.device) -> torch.autocast:
    """Let a network's pass compute in the precision that `computing` set, float32 outside of it."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=_precision.get() == "bfloat16")


def device_here() -> torch.device:
    """Where this process trains: its first GPU, or the CPU where it sees none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
