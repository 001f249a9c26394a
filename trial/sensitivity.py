"""How much each layer minds a cut: one layer at a time, without recovery."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from analysis.errors import WrongInput
from methods.core.cut import Past
from methods.core.mask import Mask
from methods.core.method import Evidence, Method
from methods.core.units import channel_groups, weighted_layers
from trial import cutting, quiet
from trial.numerics import computing
from trial.recipe import Recipe
from trial.training import evaluate
from trial.workbench import Workbench

__all__ = ["RATIOS", "sensitivity"]

RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def sensitivity(workbench: Workbench, recipe: Recipe, *, ratios: Sequence[float] = RATIOS) -> Iterator[dict[str, Any]]:
    """Cut each layer alone by the recipe's method at each ratio, and evaluate on the validation images.

    Coupled channels are one layer, called by its first one's name. The units of the layer are masked, which gives the
    logits of their removal; what the method sees in images is looked at once.

    Yields ``layer``, ``ratio``, ``ratio_achieved``, ``val_accuracy`` and ``val_loss``: first the network that is cut,
    as layer "" at ratio 0, then layer by layer. Raises WrongInput where the method knows no ratio or cannot work here.
    """
    method = recipe.method
    if method.target is None:
        raise WrongInput(f"{method.name()} has no ratio to be varied: its threshold decides how many units go")
    network = workbench.parent(recipe)
    refusal = method.refusal(network)
    if refusal:
        raise WrongInput(refusal)
    splits = workbench.splits
    seen = cutting.evidence(splits, method, seed=workbench.experiment.seed, past=Past())
    seen = replace(seen, seen=method.look(network, seen))
    loss, accuracy = _evaluated(network, workbench)
    yield {"layer": "", "ratio": 0.0, "ratio_achieved": 0.0, "val_accuracy": accuracy, "val_loss": loss}
    for layer, alone in _alone(method, network, seen):
        for ratio in ratios:
            chosen = alone.cut(network, seen, ratio=ratio)
            cut = copy.deepcopy(network)
            cut.load_state_dict({**cut.state_dict(), **chosen.replaced})
            Mask.of_weights(cut, chosen).merged(Mask.of_channels(cut, chosen, seen.images[:1])).zero_weights(cut)
            loss, accuracy = _evaluated(cut, workbench)
            yield {
                "layer": layer,
                "ratio": ratio,
                "ratio_achieved": chosen.ratio,
                "val_accuracy": accuracy,
                "val_loss": loss,
            }


def _evaluated(network: nn.Module, workbench: Workbench) -> tuple[float, float]:
    """Loss and accuracy as the study's trials compute them; never held over a yield, where others compute."""
    numerics = workbench.experiment.numerics
    with quiet.at_work(), computing(numerics.precision, threads=numerics.threads):
        return evaluate(network, workbench.splits.validation, workbench.splits)


def _alone(method: Method, network: nn.Module, seen: Evidence) -> Iterator[tuple[str, Method]]:
    """Each layer that the method cuts, and the method with all others spared; coupled layers are one."""
    every = [layer.name for layer in weighted_layers(network)]
    coupled = {name: [name] for name in every}
    if method.unit == "channel":
        coupled = {
            group.name: [layer.name for layer in group.layers] for group in channel_groups(network, seen.images[:1])
        }
    for name, members in coupled.items():
        others = [layer for layer in every if layer not in members or method.spares(layer)]
        alone = replace(method, spare=" ".join(others))
        if alone.cut(network, seen, ratio=0.0).units:
            yield name, alone
