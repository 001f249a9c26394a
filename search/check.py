"""What a spec asks for, before anything is run: ``prunefront check SPEC``."""

from __future__ import annotations

from collections.abc import Sequence

from search.launch import check_methods
from search.spec import load
from trial import data

__all__ = ["describe"]


def describe(name: str, *, settings: Sequence[str]) -> str:
    """Validate a spec with its data and network, and say how much there is to try; raises WrongInput."""
    spec, named = load(name, settings=settings)
    splits = data.load(spec.data)
    check_methods(spec, splits)
    space = spec.space
    recipes = "continuous" if space.size is None else f"{space.size:,}"
    parents = "one per recipe that needs it" if space.parents is None else f"at most {space.parents}"
    budget = spec.budget
    most = space.largest("rounds", 1)
    rounds = f" of up to {most} rounds" if most > 1 else ""
    epochs = space.largest("recovery_epochs", spec.recovery.epochs)
    dense = "none: weights are given" if spec.network.weights_file else f"1, {spec.dense.epochs} epochs"
    network = spec.network.called
    network += f" × {spec.network.width:g}" if spec.network.width != 1 else ""
    network += f", {spec.network.weights} weights" if spec.network.weights == "imagenet" else ""
    network += f", freeze {spec.network.freeze}" if spec.network.freeze != "none" else ""
    network += f", scales from {spec.network.scales:g}" if spec.network.scales != 1 else ""
    return "\n".join(
        [
            f"{named} is valid",
            f"network     {network}",
            f"data        {spec.data.name}: {len(splits.classes)} classes, {len(splits.train)} images for training, "
            f"{len(splits.validation)} for validation",
            f"methods     {', '.join(space.methods.options)}",
            f"recipes     {recipes}",
            f"objectives  {', '.join(spec.search.objectives)}",
            f"budget      {budget} trials on {spec.workers} {'worker' if spec.workers == 1 else 'workers'}, "
            f"{spec.search.sampler} sampler",
            f"stages      dense training {dense}; sparsity training {parents}, "
            f"{spec.sparsity.epochs} epochs each; recovery at most {budget}{rounds}, {epochs} epochs each",
        ]
    )
