"""How numbers are computed: precision, memory layout and threads, chosen once for a study."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Layout", "Numerics", "Precision", "autocast", "computing", "device_here"]

Precision = Literal["float32", "bfloat16"]
Layout = Literal["channels-last", "contiguous"]


class Numerics(BaseModel):
    """How numbers are computed: frozen when a study is made, since it can change a result's last bits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    precision: Precision = Field(
        "float32",
        description="the type that networks are trained and evaluated in; weights, their updates, batch norm's "
        "statistics, and what decides and checks a cut stay float32",
    )
    layout: Layout = Field(
        "channels-last", description="how images lie in memory; channels-last is what CPUs and GPUs convolve fastest"
    )
    threads: int = Field(1, ge=1, description="CPU threads of one trial")
    dense_threads: int = Field(1, ge=1, description="CPU threads of dense training, which everyone waits for")

    @property
    def memory_format(self) -> torch.memory_format:
        """The layout as torch calls it."""
        return torch.channels_last if self.layout == "channels-last" else torch.contiguous_format


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
