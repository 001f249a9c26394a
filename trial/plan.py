"""From a recipe to its outcome: the stages it needs, one after another, each shared with whoever needs it too."""

from __future__ import annotations

from dataclasses import asdict, replace
from fractions import Fraction
from typing import Any

from torch import nn

from methods.core.knobs import flat
from trial import cutting, gates, stages
from trial.data import Splits
from trial.latency import machine
from trial.links import Link, links
from trial.maker import Maker, Tally
from trial.networks import build, redraw, trainable
from trial.recipe import Recipe, digest
from trial.seeds import derived
from trial.stages import OnEpoch
from trial.store import Product
from trial.training import Training
from trial.weights import weights_total

__all__ = ["Plan"]

BEFORE = ("ratio_achieved", "floored", "ratio_reason", "val_accuracy_before", "val_loss_before")
"""What a row takes over from its last cut."""


class Plan:
    """The stages of one trial, got from ``maker`` and counted in ``tally``."""

    def __init__(self, maker: Maker, splits: Splits, tally: Tally) -> None:
        self._maker = maker
        self._splits = splits
        self._tally = tally
        self._experiment = maker.experiment

    def dense(self, on_epoch: OnEpoch | None = None) -> dict[str, Any]:
        """Train the dense network unless the store has it, and measure it."""
        product, _ = self._dense(on_epoch)
        return {"ratio_achieved": 0.0} | self._measures(product, dense_weights=self._weights(product))

    def outcome(self, recipe: Recipe) -> dict[str, Any]:
        """Run a recipe's stages to the measures of its network.

        Raises ValueError where the method cannot work on the network or the images.
        """
        network, known = self._pruned(recipe)
        return known | self.measures(network)

    def network(self, recipe: Recipe | None, *, on_epoch: OnEpoch | None = None) -> Product:
        """The network that a recipe ends with, None the dense one; raises as `outcome` does."""
        return self._dense(on_epoch)[0] if recipe is None else self._pruned(recipe)[0]

    def measures(self, product: Product) -> dict[str, Any]:
        """What is measured of a finished network."""
        return self._measures(product, dense_weights=weights_total(self._maker.network(None)))

    def _pruned(self, recipe: Recipe) -> tuple[Product, dict[str, Any]]:
        """The network that a recipe ends with, and what its cuts give to the row."""
        dense, key = self._dense()
        self._tally.curve.clear()  # the dense network's row has it
        refusal = recipe.method.refusal(self._maker.network(dense))
        if refusal:
            raise ValueError(refusal)
        dense_weights = self._weights(dense)
        network, key = self._sparsified(recipe, dense, key)
        cuts = []
        for round_, ratio in enumerate(recipe.ratios, 1):
            is_last = round_ == len(recipe.ratios)
            cut = self._cut(recipe, network, key, ratio=ratio, round_=round_, dense_weights=dense_weights)
            cuts.append(cut.record)
            if is_last and recipe.course.control == "scratch":
                network = self._from_scratch(recipe, cut, round_=round_, dense_weights=dense_weights)
            else:
                network, key = self._recovered(
                    recipe, cut, dense, round_=round_, dense_weights=dense_weights, goes_on=not is_last
                )
        before = {name: cuts[-1][name] for name in BEFORE}
        # Of the network that was trained for it: later rounds cut, and train, what is left.
        near_zero = {"scales_near_zero": cuts[0]["scales_near_zero"]}
        return network, before | near_zero

    def parent(self, recipe: Recipe) -> Product:
        """The network that the recipe's method cuts first."""
        network, _ = self._sparsified(recipe, *self._dense())
        return network

    def _sparsified(self, recipe: Recipe, dense: Product, key: str) -> tuple[Product, str]:
        """The network trained with the method's penalty, where it has one; and its key."""
        penalty, training = recipe.method.sparsifier, recipe.sparsity
        if penalty is None or training is None:
            return dense, key
        settings = {"penalty": type(penalty).__name__, **flat(penalty), "training": training.model_dump()}
        return self._maker.get(
            "sparsity",
            {"parent": key, **settings},
            lambda network: stages.sparsify(
                network,
                self._splits,
                training,
                penalty,
                seed=self._experiment.seed,
                trainable=trainable(self._experiment.network, in_dense=False),
            ),
            self._tally,
            parent=dense,
        )

    def _dense(self, on_epoch: OnEpoch | None = None) -> tuple[Product, str]:
        # A network with a file of its weights comes trained: there is nothing to train.
        training, seed = self._experiment.dense, self._experiment.seed
        if self._experiment.network.weights_file is not None:
            training = training.model_copy(update={"epochs": 0})
        return self._maker.get(
            "dense",
            {"training": training.model_dump()},
            lambda network: stages.dense(
                network,
                self._splits,
                training,
                seed=seed,
                trainable=trainable(self._experiment.network, in_dense=True),
                on_epoch=on_epoch,
            ),
            self._tally,
            threads=self._experiment.numerics.dense_threads,
        )

    def _cut(
        self, recipe: Recipe, parent: Product, key: str, *, ratio: Fraction, round_: int, dense_weights: int
    ) -> Product:
        """One round's cut; what its method sees in images is a stage of its own, the same whatever the ratio."""
        method, seed, splits = recipe.method, self._experiment.seed, self._splits
        past = cutting.past(parent)
        observation: Product | None = None
        observer = method.observer
        if observer is not None:
            looked_for = {"observer": type(observer).__name__, **asdict(observer)}
            observation, _ = self._maker.get(
                "scores",
                {"parent": key, **looked_for},
                lambda network: cutting.observe(
                    network, method, cutting.evidence(splits, method, seed=seed, past=past)
                ),
                self._tally,
                parent=parent,
            )

        def make(network: nn.Module) -> Product:
            seen = cutting.evidence(splits, method, seed=seed, past=past)
            if observation is not None:
                seen = replace(seen, seen=observation.tensors)
            return cutting.cut(
                network,
                splits,
                method,
                seen,
                ratio=ratio,
                apply=recipe.course.apply,
                dense_weights=dense_weights,
                mask=parent.mask,
                momentum=parent.momentum,
            )

        settings = {"parent": key, **recipe.knobs(), "ratio": str(ratio), "apply": recipe.course.apply}
        cut, _ = self._maker.get("cut", settings, make, self._tally, parent=parent)
        self._tally.note_cut(cut, round_=round_)
        return cut

    def _recovered(
        self, recipe: Recipe, cut: Product, dense: Product, *, round_: int, dense_weights: int, goes_on: bool
    ) -> tuple[Product, str]:
        """The cut network trained on, link by link; whoever comes by the same network in the same round shares it."""
        recovery, experiment = recipe.recovery, self._experiment
        training = recovery.training(experiment.dense)
        teaches = recovery.distillation > 0
        seed = experiment.seed if round_ == 1 else derived(experiment.seed, "round", round_)
        settings: dict[str, Any] = {
            "training": training.model_dump(exclude={"epochs"} if training.schedule == "constant" else None),
            "recalibrate": recovery.recalibrate,
            "distillation": recovery.distillation,
            "teacher": dense.content() if teaches else None,
            "dense_weights": dense_weights,
            # Rounds see their images in orders of their own.
            "round": round_,
        }
        network, key = cut, cut.content()
        for link in links(training):
            keeps = link.may_go_on or (goes_on and link.last == training.epochs)
            of_link = {"before": key, "epochs": [link.first, link.last], "keeps_momentum": keeps}

            def make(module: nn.Module, link: Link = link, before: Product = network, keeps: bool = keeps) -> Product:
                return stages.recover(
                    module,
                    before,
                    self._splits,
                    recovery,
                    dense=experiment.dense,
                    dense_weights=dense_weights,
                    seed=seed,
                    teacher=self._maker.network(dense) if teaches else None,
                    first=link.first,
                    last=link.last,
                    goes_on=keeps,
                    trainable=trainable(experiment.network, in_dense=False),
                )

            network, key = self._maker.get(
                "recovery", settings | of_link, make, self._tally, parent=network, round_=round_
            )
        if not goes_on:
            # Measures are of the network, which is the same whether or not somebody may train on from here.
            return replace(network, momentum={}), key
        # A later round has to know of the cuts before it, which equal networks need not have in common.
        past = cut.record[cutting.PAST]
        return replace(network, record={**network.record, cutting.PAST: past}), digest({"network": key, "past": past})

    def _from_scratch(self, recipe: Recipe, cut: Product, *, round_: int, dense_weights: int) -> Product:
        """The control: the cut architecture with new weights, trained as the dense network for all epochs together."""
        experiment = self._experiment
        epochs = experiment.dense.epochs + round_ * recipe.recovery.epochs
        epochs += recipe.sparsity.epochs if recipe.sparsity is not None else 0
        training: Training = experiment.dense.model_copy(update={"epochs": epochs})

        def make(network: nn.Module) -> Product:
            untrained = build(
                experiment.network, classes=len(self._splits.classes), seed=experiment.seed, trained=False
            )
            redraw(network, untrained, network=experiment.network, seed=experiment.seed)
            return stages.scratch(
                network, cut.mask, self._splits, training, dense_weights=dense_weights, seed=experiment.seed
            )

        settings = {
            "shapes": {name: list(tensor.shape) for name, tensor in cut.tensors.items()},
            "mask": Product({}, cut.mask).content(),
            "dense_weights": dense_weights,
            "training": training.model_dump(),
        }
        product, _ = self._maker.get("scratch", settings, make, self._tally, parent=cut, round_=round_)
        return product

    def _measures(self, product: Product, *, dense_weights: int) -> dict[str, Any]:
        measured, _ = self._maker.get(
            "measure",
            {"network": product.content(), "dense_weights": dense_weights},
            lambda network: stages.finish(
                network,
                product,
                self._splits,
                again=self._maker.network,
                dense_weights=dense_weights,
                seed=self._experiment.seed,
            ),
            self._tally,
            parent=product,
        )
        # Not in the stage: another trial may have measured an equal network that came of another training.
        taken = dict(measured.record)
        gates.trained_and_stored_agree(product.record.get(stages.CHECKED_LOSS), taken.pop(stages.CHECKED_LOSS))
        return taken | (self._timed(product) if self._experiment.latency else {})

    def _timed(self, product: Product) -> dict[str, Any]:
        """The latency, which networks of equal shapes share: a weight of zero takes as long as any other."""
        shapes = {name: list(tensor.shape) for name, tensor in product.tensors.items()}
        timed, _ = self._maker.get(
            "latency",
            {"shapes": shapes, "machine": machine(self._maker.device)},
            lambda network: stages.timed(network, self._splits),
            self._tally,
            parent=product,
            alone=True,
        )
        return dict(timed.record)

    def _weights(self, dense: Product) -> int:
        return weights_total(self._maker.network(dense))
