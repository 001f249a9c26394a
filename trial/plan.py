"""From a recipe to its outcome: the stages it needs, one after another, each shared with whoever needs it too."""

from __future__ import annotations

from dataclasses import asdict, replace
from fractions import Fraction
from typing import Any

from torch import nn

from methods.core.knobs import flat
from trial import stages
from trial.data import Splits
from trial.maker import Maker, Tally
from trial.measures import measure
from trial.networks import redraw
from trial.recipe import Recipe
from trial.seeds import derived
from trial.stages import OnEpoch
from trial.store import Product
from trial.training import Training
from trial.weights import weights_total

__all__ = ["dense_outcome", "outcome", "parent"]

KEPT = ("ratio_achieved", "scales_near_zero", "val_accuracy_before", "val_loss_before")
"""What a row takes over from its last cut."""


def dense_outcome(maker: Maker, splits: Splits, tally: Tally, on_epoch: OnEpoch | None) -> dict[str, Any]:
    """Train the dense network unless the store has it, and measure it."""
    product, _ = _dense(maker, splits, tally, on_epoch)
    return {"ratio_achieved": 0.0} | _measures(maker, splits, product, product, tally)


def outcome(recipe: Recipe, maker: Maker, splits: Splits, tally: Tally) -> dict[str, Any]:
    """Run a recipe's stages to the measures of its network; raises ValueError where the method cannot work here."""
    dense, key = _dense(maker, splits, tally)
    tally.curve.clear()  # the dense network's row has it
    refusal = recipe.method.refusal(maker.network(dense))
    if refusal:
        raise ValueError(refusal)
    network, key = _sparsified(recipe, maker, splits, tally, dense, key)
    rounds = list(enumerate(recipe.ratios, 1))
    for round_, ratio in rounds:
        goes_on = round_ < len(rounds)
        cut, _ = _cut(recipe, maker, splits, tally, network, key, ratio=ratio)
        if not goes_on and recipe.course.control == "scratch":
            network = _from_scratch(recipe, maker, splits, tally, cut, round_)
        else:
            network, key = _recovered(recipe, maker, splits, tally, cut, dense, round_, goes_on=goes_on)
    return {name: cut.record[name] for name in KEPT} | _measures(maker, splits, network, dense, tally)


def parent(recipe: Recipe, maker: Maker, splits: Splits, tally: Tally) -> tuple[Product, str]:
    """The network that the recipe's method cuts first, and its key."""
    dense, key = _dense(maker, splits, tally)
    return _sparsified(recipe, maker, splits, tally, dense, key)


def _dense(maker: Maker, splits: Splits, tally: Tally, on_epoch: OnEpoch | None = None) -> tuple[Product, str]:
    experiment = maker.experiment
    # A user's own trained network comes with its weights: there is nothing to train.
    training = experiment.dense
    if experiment.network.weights is not None:
        training = training.model_copy(update={"epochs": 0})
    return maker.get(
        "dense",
        {"training": training.model_dump()},
        lambda network: stages.dense(network, splits, training, seed=experiment.seed, on_epoch=on_epoch),
        tally,
        threads=experiment.numerics.dense_threads,
    )


def _sparsified(
    recipe: Recipe, maker: Maker, splits: Splits, tally: Tally, dense: Product, key: str
) -> tuple[Product, str]:
    """The network trained with the method's penalty, where it has one."""
    penalty, training = recipe.method.sparsifier, recipe.sparsity
    if penalty is None or training is None:
        return dense, key
    settings = {"penalty": type(penalty).__name__, **flat(penalty), "training": training.model_dump()}
    return maker.get(
        "sparsity",
        {"parent": key, **settings},
        lambda network: stages.sparsify(network, splits, training, penalty, seed=maker.experiment.seed),
        tally,
        parent=dense,
    )


def _cut(
    recipe: Recipe, maker: Maker, splits: Splits, tally: Tally, parent: Product, key: str, *, ratio: Fraction
) -> tuple[Product, str]:
    """One round's cut; what its method sees in images is a stage of its own, the same whatever the ratio."""
    method, seed = recipe.method, maker.experiment.seed
    past = stages.past(parent)
    observation: Product | None = None
    observer = method.observer
    if observer is not None:
        looked_for = {"observer": type(observer).__name__, **asdict(observer)}
        observation, _ = maker.get(
            "scores",
            {"parent": key, **looked_for},
            lambda network: stages.observe(network, observer, stages.evidence(splits, method, seed=seed, past=past)),
            tally,
            parent=parent,
        )

    def make(network: nn.Module) -> Product:
        seen = stages.evidence(splits, method, seed=seed, past=past)
        if observation is not None:
            seen = replace(seen, seen=observation.tensors)
        return stages.cut(
            network,
            splits,
            method,
            seen,
            ratio=ratio,
            apply=recipe.course.apply,
            mask=parent.mask,
            momentum=parent.momentum,
        )

    settings = {"parent": key, **recipe.knobs(), "ratio": str(ratio), "apply": recipe.course.apply}
    return maker.get("cut", settings, make, tally, parent=parent)


def _recovered(
    recipe: Recipe,
    maker: Maker,
    splits: Splits,
    tally: Tally,
    cut: Product,
    dense: Product,
    round_: int,
    *,
    goes_on: bool,
) -> tuple[Product, str]:
    """The cut network trained on; whoever comes by the same network in the same round shares it."""
    recovery, experiment = recipe.recovery, maker.experiment
    settings: dict[str, Any] = {"network": cut.content(), "training": recovery.training(experiment.dense).model_dump()}
    settings |= {"recalibrate": recovery.recalibrate, "goes_on": goes_on}
    # The record holds what a later round has to know, and rounds see their images in orders of their own.
    settings |= {"past": [cut.record.get("sizes"), cut.record.get("channels")] if goes_on else None, "round": round_}
    teaches = recovery.distillation > 0
    settings |= {"distillation": recovery.distillation, "teacher": dense.content() if teaches else None}
    seed = experiment.seed if round_ == 1 else derived(experiment.seed, "round", round_)
    return maker.get(
        "recovery",
        settings,
        lambda network: stages.recover(
            network,
            cut,
            splits,
            recovery,
            dense=experiment.dense,
            seed=seed,
            teacher=maker.network(dense) if teaches else None,
            goes_on=goes_on,
        ),
        tally,
        parent=cut,
        round_=round_,
    )


def _from_scratch(recipe: Recipe, maker: Maker, splits: Splits, tally: Tally, cut: Product, round_: int) -> Product:
    """The control: the cut architecture with new weights, trained as the dense network for the same total of epochs."""
    experiment = maker.experiment
    epochs = experiment.dense.epochs + round_ * recipe.recovery.epochs
    epochs += recipe.sparsity.epochs if recipe.sparsity is not None else 0
    training: Training = experiment.dense.model_copy(update={"epochs": epochs})
    shapes = {name: list(tensor.shape) for name, tensor in cut.tensors.items()}

    def make(network: nn.Module) -> Product:
        redraw(network, experiment.network, seed=experiment.seed)
        return stages.scratch(network, cut.mask, splits, training, seed=experiment.seed)

    architecture = Product({}, cut.mask).content()
    settings = {"shapes": shapes, "mask": architecture, "training": training.model_dump()}
    product, _ = maker.get("scratch", settings, make, tally, parent=cut, round_=round_)
    return product


def _measures(maker: Maker, splits: Splits, product: Product, dense: Product, tally: Tally) -> dict[str, Any]:
    total = weights_total(maker.network(dense))
    measured, _ = maker.get(
        "measure",
        {"network": product.content(), "dense_weights": total},
        lambda network: Product({}, record=measure(network, splits, dense_weights=total)),
        tally,
        parent=product,
    )
    return dict(measured.record)
