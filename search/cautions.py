"""What a spec asks for that cannot do what was meant: not wrong, and worth a line before hours are spent on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from analysis.schema import TIMED
from methods import method
from search.forecast import Forecast, most
from search.ranges import Among
from search.space import Group
from search.spec import Spec
from trial.course import accepted_applies
from trial.data import Splits

__all__ = ["cautions"]

OF_SHAPES = ("params", "macs", "bytes", "peak_memory", *TIMED)
"""Measures that only removed channels change: zeros are stored and multiplied like any other number."""
MOVING = ("one-cycle", "cosine")
"""Schedules whose rate changes from step to step: of 75 trials the order at epoch 4 agreed with that at 16 by a rank
correlation of .73 under one-cycle, of 220 by .97 at a constant rate (docs/log.md)."""
OF_OUTPUTS = ("val_accuracy", "val_loss", "train_accuracy")
"""Measures of what the network computes; all others are costs, and better the more is cut."""


def cautions(spec: Spec, splits: Splits, known: Forecast) -> Iterator[str]:
    """One line for each thing that cannot work or is likely a mistake, with its place in the spec and the cure."""
    yield from _of_budget(spec)
    yield from _of_objectives(spec)
    yield from _of_trainings(spec, splits)
    yield from _of_rounds(spec)
    for why, count in Counter(known.refused).most_common(3):
        yield f"{count} of {spec.size} recipes will fail: {why}"


def _of_budget(spec: Spec) -> Iterator[str]:
    size, asked, methods = spec.size, spec.search.trials, len(spec.space.methods.options)
    if size is not None and asked > size:
        yield f"{asked} trials are asked for, and there are {size} recipes: the search ends with them (search.trials)"
    if spec.workers is not None and spec.workers > spec.budget:
        yield f"{spec.workers} workers and {spec.budget} trials: some workers will have nothing to do (workers)"
    if asked < methods:
        yield f"{asked} trials and {methods} methods: some are never tried (search.trials)"


def _of_objectives(spec: Spec) -> Iterator[str]:
    removing = [name for name, group in spec.space.methods.options.items() if "remove" in _applies(name, group)]
    still = [name for name in spec.search.objectives if name in OF_SHAPES]
    if still and not removing:
        yield (
            f"{', '.join(still)}: no method here removes channels, so that every trial has the dense network's: "
            "add one that cuts channels with apply: remove, or take sparsity or gzip_bytes (search.objectives)"
        )
    if not set(spec.search.objectives) & set(OF_OUTPUTS):
        yield (
            f"{', '.join(spec.search.objectives)}: nothing says how well a network does, the smallest one wins: add "
            "val_accuracy (search.objectives)"
        )


def _applies(name: str, group: Group) -> tuple[object, ...]:
    said = group.knobs.get("apply")
    return said.values if isinstance(said, Among) else accepted_applies(method(name, where=name))[:1]


def _of_trainings(spec: Spec, splits: Splits) -> Iterator[str]:
    trained = [name for name in spec.space.methods.options if "sparsity training" in method(name, where=name).needs]
    if trained and spec.sparsity.epochs == 0:
        yield (
            f"{', '.join(trained)}: sparsity training has no epochs, so that every penalty and strength gives the same "
            "cut (sparsity.epochs)"
        )
    if spec.dense.epochs == 0 and spec.network.weights is None:
        yield "the dense network is not trained: its random weights are pruned (dense.epochs, or network.weights)"
    if spec.dense.epochs and spec.dense.batch >= len(splits.train):
        yield f"an epoch of {len(splits.train)} images is one step of at most {spec.dense.batch} (dense.batch)"


def _schedules(spec: Spec) -> list[str]:
    """The schedules of recovery that are tried, the dense training's where that is taken."""
    tried: list[object] = []
    for group in spec.space.methods.options.values():
        said = group.knobs.get("recovery_schedule")
        tried += said.values if isinstance(said, Among) else [spec.recovery.schedule]
    return list(dict.fromkeys(str(spec.dense.schedule if name == "original" else name) for name in tried))


def _of_rounds(spec: Spec) -> Iterator[str]:
    searched = [group.knobs.get("recovery_epochs") for group in spec.space.methods.options.values()]
    epochs = max(most(each, spec.recovery.epochs) for each in searched)
    said = any(each is not None for each in searched)
    place = "recovery_epochs" if said else "recovery.epochs"
    rounds = spec.space.largest("rounds", 1)
    if rounds > 1 and epochs == 0:
        yield f"up to {rounds} rounds of cuts with no recovery between them ({place})"
    moving = [name for name in _schedules(spec) if name in MOVING]
    if spec.search.rungs and moving:
        yield (
            f"rungs in the middle of a {' or '.join(moving)} recovery say little of its end if rates are searched: a "
            "constant rate ranks trials early, and shares epochs (recovery.schedule)"
        )
    unreached = [rung for rung in spec.search.rungs if rung > epochs]
    if unreached:
        yield (
            f"rungs at {', '.join(map(str, unreached))} are never reached: recovery has at most {epochs} epochs "
            f"(search.rungs, {place})"
        )
    if spec.search.rungs and all(rung >= epochs for rung in spec.search.rungs):
        yield f"rungs stop nobody: the first is at the end of a recovery of {epochs} epochs (search.rungs, {place})"
