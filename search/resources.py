"""What a trial holds of a machine, and how many find room at once on the machines that there are; pure of Ray."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil

from pydantic import BaseModel, ConfigDict, Field, field_validator

from analysis.errors import WrongInput

__all__ = ["Machine", "Resources", "Share", "check_room"]

UNITS = 10_000
"""Ray counts in ten-thousandths: what is compared here is what Ray compares."""
LEAST = 0.01
"""A hundred trials on one core or GPU are more than any has memory for."""


class Resources(BaseModel):
    """What each trial holds of its machine while it runs."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    cpu: float | None = Field(
        None,
        ge=LEAST,
        le=1024,
        description="cores of a trial; left out, one on a cluster, and here as many trials at once as workers says",
    )
    gpu: float | None = Field(
        None,
        ge=0,
        le=1,
        description="the part of a GPU that a trial holds, as .25 for four trials on each; 0: none; "
        "left out, the GPUs that there are shared out among the workers",
    )

    @field_validator("gpu")
    @classmethod
    def _is_a_part(cls, gpu: float | None) -> float | None:
        if gpu is not None and 0 < gpu < LEAST:
            raise ValueError(f"a part of a GPU is at least {LEAST}, or 0: none, got {gpu:g}")
        return gpu

    def share(self, machines: Iterable[Machine], *, workers: int | None) -> Share:
        """What a trial holds there; ``workers`` is how many run at once, None as many as find room."""
        gpu = self.gpu
        if gpu is None:
            gpus = sum(int(machine.gpus) for machine in machines)
            # Whole trials on each GPU: of four workers on three GPUs, three quarters each would leave one without.
            # Rounded down to what Ray counts: of six sixths rounded up the last finds no room.
            each = 1 if workers is None or not gpus else ceil(max(1.0, workers / gpus))
            gpu = UNITS // each / UNITS if gpus else 0.0
        return Share(cpu=1.0 if self.cpu is None else self.cpu, gpu=gpu)


@dataclass(frozen=True)
class Machine:
    """One machine, as Ray counts it."""

    name: str
    cpus: float
    gpus: float = 0.0
    is_leaving: bool = False
    """It is about to be taken away, and gets no new trials."""
    is_brought: bool = False
    """An autoscaler, or what started the cluster, has brought it, and may bring others of other kinds."""


@dataclass(frozen=True)
class Share:
    """What one trial holds: cores, and a part of one GPU or none."""

    cpu: float
    gpu: float

    def room(self, machine: Machine) -> int:
        """How many trials the machine has room for at once: a trial's part of a GPU lies on one GPU.

        >>> Share(cpu=2, gpu=.25).room(Machine("small", cpus=16, gpus=1))
        4
        >>> Share(cpu=1, gpu=.4).room(Machine("two GPUs of two trials each", cpus=16, gpus=2))
        4
        >>> Share(cpu=1, gpu=.4).room(Machine("none", cpus=16))
        0
        """
        if machine.is_leaving:
            return 0
        by_cores = _units(machine.cpus) // _units(self.cpu)
        if not self.gpu:
            return by_cores
        return min(by_cores, int(machine.gpus) * (UNITS // _units(self.gpu)))

    def on(self, machines: Iterable[Machine]) -> int:
        """How many trials all machines have room for."""
        return sum(map(self.room, machines))

    def __str__(self) -> str:
        cores = f"{self.cpu:g} {'core' if self.cpu == 1 else 'cores'}"
        return f"{cores} and {self.gpu:.4g} of a GPU" if self.gpu else cores


def check_room(machines: Sequence[Machine], share: Share, *, place: str) -> None:
    """Raise WrongInput where no machine has room for one trial; ``place`` is where they are, as in "at HOST:PORT".

    Where machines are brought as they are needed nobody knows what the next one has.
    """
    if share.on(machines) or any(machine.is_brought for machine in machines):
        return
    cores = max((machine.cpus for machine in machines), default=0)
    gpus = max((machine.gpus for machine in machines), default=0)
    if share.gpu and not gpus:
        raise WrongInput(
            f"a trial is to hold {share.gpu:.4g} of a GPU, and no machine {place} has one: "
            "let one join, or say gpu: 0 (resources.gpu)"
        )
    setting = "cpu" if _units(share.cpu) > _units(cores) else "gpu"
    raise WrongInput(
        f"a trial is to hold {share}, and no machine {place} has that: the largest have {cores:g} cores and {gpus:g} "
        f"GPUs (resources.{setting})"
    )


def _units(amount: float) -> int:
    return max(1, round(amount * UNITS)) if amount else 0
