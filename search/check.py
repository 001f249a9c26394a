"""What a spec asks for, before anything is run: ``prunefront check SPEC``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch

from analysis.errors import WorkFailed, WrongInput
from search.beforehand import check_beforehand, room_for
from search.cautions import cautions
from search.forecast import Forecast, forecast, hours
from search.spec import Spec, load
from trial import data
from trial.data import Splits
from trial.networks.pretrained import PRETRAINED
from trial.numerics import device_here
from trial.pace import pace
from trial.probe import probe as settle_numerics

__all__ = ["describe"]


def describe(name: str, *, settings: Sequence[str], probe: bool = False, address: str | None = None) -> str:
    """Validate a spec with all that a run of it needs, and say how much there is to try and what looks mistaken.

    ``probe`` times training steps here, for up to about a minute; ``address`` is that of the Ray cluster that a run
    would use. Nothing is downloaded but data whose ``download``
    is set. Raises WrongInput, and WorkFailed where the probe's steps fail.
    """
    spec, named = load(name, settings=settings)
    splits = data.load(spec.data)
    absent = _absent_weights(spec)
    check_beforehand(
        spec if absent is None else _untrained(spec), splits, study=Path("studies") / named, address=address
    )
    space, budget, known = spec.space, spec.budget, forecast(spec)
    lines = [
        f"{named} is valid",
        f"network     {_network(spec)}",
        *([f"weights     imagenet, not on this machine: a run fetches {absent}"] if absent else []),
        f"data        {spec.data.name}: {len(splits.classes)} classes, {len(splits.train)} images for training, "
        f"{len(splits.validation)} for validation",
        f"methods     {', '.join(space.methods.options)}",
        f"recipes     {'continuous' if spec.size is None else f'{spec.size:,}'}",
        f"objectives  {', '.join(spec.search.objectives)}",
        f"budget      {budget} trials, {spec.search.sampler} sampler",
        f"at once     {_at_once(spec, address=address)}",
        *_stages(spec, known),
        f"cost        {_cost(spec, splits, known) if probe else 'not known: --probe times training steps here'}",
    ]
    return "\n".join([*lines, *(f"warning     {caution}" for caution in cautions(spec, splits, known))])


def _at_once(spec: Spec, *, address: str | None) -> str:
    """How many trials run side by side, what each holds, and on which machines."""
    machines, share = room_for(spec, address=address)
    rooms = [share.room(machine) for machine in machines]
    room, used = sum(rooms), sum(map(bool, rooms))
    workers = spec.workers or (spec.workers_here if address is None else None)
    count = min(room, workers or room)
    where = "here" if address is None else f"at {address}, on {used} of {len(machines)} machines"
    said = f"{count} {'trial' if count == 1 else 'trials'} {where}, each with {share}"
    if workers is None:
        return f"{said}; more as machines join"
    return f"{said}; workers says {workers}" if workers > room else said


def _network(spec: Spec) -> str:
    network = spec.network.called
    network += f" × {spec.network.width:g}" if spec.network.width != 1 else ""
    network += f", {spec.network.weights} weights" if spec.network.weights == "imagenet" else ""
    network += f", freeze {spec.network.freeze}" if spec.network.freeze != "none" else ""
    network += f", scales from {spec.network.scales:g}" if spec.network.scales != 1 else ""
    return network


def _absent_weights(spec: Spec) -> str | None:
    """Where ImageNet's weights will be fetched from, None where the spec wants none or they are here."""
    if spec.network.weights != "imagenet":
        return None
    pretrained = PRETRAINED[spec.network.called]
    return None if pretrained.file.exists() else pretrained.url


def _untrained(spec: Spec) -> Spec:
    """The spec with random weights, of the same shapes: hundreds of megabytes are a run's to fetch."""
    return spec.model_copy(update={"network": spec.network.model_copy(update={"weights": None})})


def _stages(spec: Spec, known: Forecast) -> list[str]:
    """How many stages there will be, one line for each kind, and whether that is exact."""
    most = "" if known.is_exact else "at most "
    weights = "none: weights are given" if spec.network.weights_file is not None else str(known.dense)
    lines = [f"dense training {weights}"]
    if known.sparsity.trainings:
        lines.append(f"sparsity training {most}{known.sparsity}")
    lines.append(f"cuts {most}{known.cuts:,}")
    lines.append(f"recovery {most if known.recovery.trainings else ''}{known.recovery}")
    if known.scratch.trainings:
        lines.append(f"from scratch {most}{known.scratch}")
    lines.append(
        "exact: every recipe is tried; recipes that cut alike share what follows"
        if known.is_exact
        else "bounds: it depends on the recipes that are proposed"
    )
    return [f"{'stages' if place == 0 else '':<12}{line}" for place, line in enumerate(lines)]


def _cost(spec: Spec, splits: Splits, known: Forecast) -> str:
    """Hours of cores or of GPUs, from steps that are timed here."""
    device = device_here()
    experiment = spec.experiment()
    try:
        if device.type == "cuda":  # where precision decides; on a CPU it is float32 that lasts longest
            settled = settle_numerics(experiment, splits, device=device)
            if settled is not None:
                experiment = experiment.model_copy(update={"numerics": settled.numerics})
        dense = later = pace(experiment, splits, device=device).epoch(splits)
        if spec.network.freeze == "dense":
            later = pace(experiment, splits, device=device, in_dense=False).epoch(splits)
    except WrongInput:
        raise
    except Exception as error:  # a user's network raises what it likes
        said = " ".join(str(error).split())
        raise WorkFailed(f"the probe's training step failed: {type(error).__name__}: {said}") from error
    by_kind = hours(known, dense=dense, later=later)
    unit, count = ("GPU", torch.cuda.device_count()) if device.type == "cuda" else ("core", os.cpu_count() or 1)
    parts = ", ".join(f"{kind} {_rounded(each)}" for kind, each in by_kind.items())
    total = sum(by_kind.values())
    several = f"; {_rounded(total / count)} hours on {count} {unit}s" if count > 1 else ""
    return (
        f"at most {_rounded(total)} {unit}-hours ({parts or 'nothing is trained'}){several}; an epoch of the dense "
        f"network takes {dense:.3g} {unit}-seconds; cuts and measures are not counted"
    )


def _rounded(hours_: float) -> str:
    """Two digits: the steps of a minute tell no more."""
    return f"{float(f'{hours_:.2g}'):,g}"
