"""From a recipe to its outcome: the stages it needs, one after another, each shared with whoever needs it too."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any, TypeVar

from torch import nn

from methods.core.knobs import flat
from trial import cutting, shipped, stages
from trial.data import Splits
from trial.leaving import NO_MARKS, Marks
from trial.links import links
from trial.maker import Maker, Tally
from trial.measuring import Measuring
from trial.networks import build, redraw, trainable
from trial.quantising import None_, Quantisation
from trial.recipe import Recipe, digest
from trial.recovery import Recovery
from trial.seeds import derived
from trial.stages import OnEpoch, Part
from trial.store import Product
from trial.training import Training
from trial.weights import weights_total

__all__ = ["NONE", "Parent", "Plan", "Rung", "Step", "ended"]

BEFORE = ("ratio_achieved", "floored", "ratio_reason", "val_accuracy_before", "val_loss_before")
"""What a row takes over from its last cut."""


NONE = None_()


@dataclass(frozen=True)
class Parent:
    """The network that several recipes cut is in the store from now on."""


@dataclass(frozen=True)
class Rung:
    """A trial has reached an epoch of its last recovery at which it is compared with others, and may be stopped."""

    epoch: int
    known: dict[str, Any]
    """What its row would say if it ended here: accuracy and loss of now, costs of the cut network."""


Step = Parent | Rung

Outcome = TypeVar("Outcome")


class Plan:
    """The stages of one trial, got from ``maker`` and counted in ``tally``.

    ``rungs`` are epochs of the last recovery at which `outcome` stops for a word, none after its end, ``marks`` those
    after which trainings were left.
    """

    def __init__(
        self, maker: Maker, splits: Splits, tally: Tally, *, rungs: Collection[int] = (), marks: Marks = NO_MARKS
    ) -> None:
        self._maker = maker
        self._splits = splits
        self._tally = tally
        self._experiment = maker.experiment
        self._rungs = frozenset(rungs)
        self._marks = marks
        self._measuring = Measuring(maker, splits, tally)

    def dense(self, on_epoch: OnEpoch | None = None) -> dict[str, Any]:
        """Train the dense network unless the store has it, and measure it."""
        product, _ = self._dense(on_epoch)
        known = self._measuring.measures(product, dense_weights=self._weights(product))
        return {"ratio_achieved": 0.0} | known | self._measuring.file_times(product, NONE)

    def outcome(self, recipe: Recipe) -> Generator[Step, None, dict[str, Any]]:
        """Run a recipe's stages to the measures of its network; yields what others may wait for or decide on.

        Raises ValueError where the method cannot work on the network or the images, Left where the maker ``leaves``.
        """
        network, known = yield from self._pruned(recipe)
        return known | self.measures(network, recipe.course.quantisation)

    def network(self, recipe: Recipe | None, *, on_epoch: OnEpoch | None = None) -> Product:
        """The network that a recipe ends with, None the dense one; raises as `outcome` does."""
        return self._dense(on_epoch)[0] if recipe is None else ended(self._pruned(recipe))[0]

    def measures(self, product: Product, how: Quantisation = NONE) -> dict[str, Any]:
        """What is measured of a finished network; where it is quantised, of its file what that alone can say."""
        known = self._measuring.measures(product, dense_weights=weights_total(self._maker.network(None)))
        of_file = {} if how == NONE else self._measuring.of_file(product, how)
        return known | of_file | self._measuring.file_times(product, how)

    def file(self, product: Product, how: Quantisation) -> bytes:
        """The ONNX file of a finished network."""
        return shipped.file_of(self._measuring.file(product, how))

    def _pruned(self, recipe: Recipe) -> Generator[Step, None, tuple[Product, dict[str, Any]]]:
        """The network that a recipe ends with, and what its cuts give to the row."""
        dense, key = self._dense()
        self._tally.curve.clear()  # the dense network's row has it
        refusal = recipe.method.refusal(self._maker.network(dense))
        if refusal:
            raise ValueError(refusal)
        dense_weights = self._weights(dense)
        network, key = self._sparsified(recipe, dense, key)
        if recipe.sparsity is not None:
            yield Parent()
        near_zero: Any = None
        for round_, ratio in enumerate(recipe.ratios, 1):
            is_last = round_ == len(recipe.ratios)
            cut = self._cut(recipe, network, key, ratio=ratio, round_=round_, dense_weights=dense_weights)
            if round_ == 1:
                # Of the network that was trained for it: later rounds cut, and train, what is left.
                near_zero = cut.record["scales_near_zero"]
            known = {name: cut.record[name] for name in BEFORE} | {"scales_near_zero": near_zero}
            if is_last and recipe.course.control == "scratch":
                network = self._from_scratch(recipe, cut, round_=round_, dense_weights=dense_weights)
                continue
            recovered = self._recovered(
                recipe, cut, dense, round_=round_, dense_weights=dense_weights, goes_on=not is_last
            )
            for epoch, network, key in recovered:  # noqa: B007  # the key is the next round's
                if is_last and epoch in self._rungs and epoch < recipe.recovery.epochs:
                    yield Rung(epoch, known | self._measuring.so_far(cut, network, dense_weights=dense_weights))
        return network, known

    def parent(self, recipe: Recipe) -> Product:
        """The network that the recipe's method cuts first."""
        network, _ = self._sparsified(recipe, *self._dense())
        return network

    def _dense(self, on_epoch: OnEpoch | None = None) -> tuple[Product, str]:
        # A network with a file of its weights comes trained: there is nothing to train.
        training, seed = self._experiment.dense, self._experiment.seed
        if self._experiment.network.weights_file is not None:
            training = training.model_copy(update={"epochs": 0})
        frees = trainable(self._experiment.network, in_dense=True)
        *_, (_, product, key) = self._trained(
            "dense",
            {},
            training,
            None,
            lambda network, part: stages.dense(network, self._splits, training, seed=seed, part=part, trainable=frees),
            threads=self._experiment.numerics.dense_threads,
            on_epoch=on_epoch,
        )
        return product, key

    def _sparsified(self, recipe: Recipe, dense: Product, key: str) -> tuple[Product, str]:
        """The network trained with the method's penalty, where it has one; and its key."""
        penalty, training = recipe.method.sparsifier, recipe.sparsity
        if penalty is None or training is None:
            return dense, key
        seed, frees = self._experiment.seed, trainable(self._experiment.network, in_dense=False)

        def make(network: nn.Module, part: Part) -> Product:
            return stages.sparsify(network, self._splits, training, penalty, seed=seed, part=part, trainable=frees)

        settings = {"parent": key, "penalty": type(penalty).__name__, **flat(penalty)}
        *_, (_, product, key) = self._trained("sparsity", settings, training, dense, make)
        return product, key

    def _trained(
        self,
        kind: str,
        settings: dict[str, Any],
        training: Training,
        start: Product | None,
        make: Callable[[nn.Module, Part], Product],
        *,
        ends: Collection[int] = (),
        is_shared: bool = False,
        goes_on: bool = False,
        round_: int = 0,
        threads: int | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> Iterator[tuple[int, Product, str]]:
        """Train from ``start`` on, link by link; yields each link's last epoch, what it left, and its key.

        A link's key says from where and how far, not by which links: the result is the same bits. ``goes_on`` keeps
        the last one's momentum. See `trial.links` for ``ends`` and ``is_shared``.
        """
        without_total = is_shared and training.schedule == "constant"
        settings = {**settings, "training": training.model_dump(exclude={"epochs"} if without_total else None)}
        whole = self._maker.key(kind, settings, threads=threads)
        every = self._experiment.checkpoint_every
        network = start
        ends = (*ends, *self._marks.get(whole, ()))
        for link in links(training, ends=ends, every=every, is_shared=is_shared):
            is_last = link.last == training.epochs
            part = Part(
                network or Product({}),
                first=link.first,
                last=link.last,
                keeps_momentum=link.may_go_on or goes_on,
                on_epoch=self._maker.watched(whole, on_epoch),
                leaves=self._maker.leaves,
            )
            about: Any = {"training": whole, "part": part, "parent": network, "round_": round_, "threads": threads}

            def make_part(network: nn.Module, part: Part = part) -> Product:
                return make(network, part)

            network, key = self._maker.get_link(kind, settings, make_part, self._tally, **about)
            # Measures are of the network, which is the same whether or not somebody may train on from here.
            yield link.last, replace(network, momentum={}) if is_last and not goes_on else network, key

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
    ) -> Iterator[tuple[int, Product, str]]:
        """The cut network trained on: its epochs so far, itself and its key, at the start and after every link.

        Whoever comes by the same network in the same round shares it.
        """
        recovery, experiment = recipe.recovery, self._experiment
        teaches = recovery.distillation > 0
        seed = experiment.seed if round_ == 1 else derived(experiment.seed, "round", round_)
        # Rounds see their images in orders of their own.
        settings: dict[str, Any] = {"cut": cut.content(), "recalibrate": recovery.recalibrate, "round": round_}
        start = self._recalibrated(recovery, cut, settings, seed=seed, round_=round_)
        yield 0, start, settings["cut"]

        def make(network: nn.Module, part: Part) -> Product:
            return stages.recover(
                network,
                self._splits,
                recovery,
                part=part,
                dense=experiment.dense,
                dense_weights=dense_weights,
                seed=seed,
                teacher=self._maker.network(dense) if teaches else None,
                trainable=trainable(experiment.network, in_dense=False),
            )

        settings |= {
            "distillation": recovery.distillation,
            "teacher": dense.content() if teaches else None,
            "dense_weights": dense_weights,
        }
        # A later round has to know of the cuts before it, which equal networks need not have in common.
        past = cut.record[cutting.PAST]
        for epoch, network, key in self._trained(
            "recovery",
            settings,
            recovery.training(experiment.dense),
            start,
            make,
            ends=() if goes_on else self._rungs,
            is_shared=True,
            goes_on=goes_on,
            round_=round_,
        ):
            if goes_on:
                known = replace(network, record={**network.record, cutting.PAST: past})
                yield epoch, known, digest({"network": key, "past": past})
            else:
                yield epoch, network, key

    def _recalibrated(
        self, recovery: Recovery, cut: Product, settings: dict[str, Any], *, seed: int, round_: int
    ) -> Product:
        """The cut network with batch-norm statistics taken anew, where the recovery wants that."""
        if recovery.recalibrate == 0:
            return cut
        product, _ = self._maker.get(
            "recalibration",
            {**settings, "batch": recovery.batch},
            lambda network: stages.recalibrated(
                network, cut, self._splits, batches=recovery.recalibrate, batch=recovery.batch, seed=seed
            ),
            self._tally,
            parent=cut,
            round_=round_,
        )
        self._tally.note_recalibration(product, round_=round_)
        return product

    def _from_scratch(self, recipe: Recipe, cut: Product, *, round_: int, dense_weights: int) -> Product:
        """The control: the cut architecture with new weights, trained as the dense network for all epochs together."""
        experiment = self._experiment
        epochs = experiment.dense.epochs + round_ * recipe.recovery.epochs
        epochs += recipe.sparsity.epochs if recipe.sparsity is not None else 0
        training: Training = experiment.dense.model_copy(update={"epochs": epochs})

        def make(network: nn.Module, part: Part) -> Product:
            if part.first == 0:
                untrained = build(
                    experiment.network, classes=len(self._splits.classes), seed=experiment.seed, trained=False
                )
                redraw(network, untrained, network=experiment.network, seed=experiment.seed)
            return stages.scratch(
                network, self._splits, training, part=part, dense_weights=dense_weights, seed=experiment.seed
            )

        settings = {
            "shapes": {name: list(tensor.shape) for name, tensor in cut.tensors.items()},
            "mask": Product({}, cut.mask).content(),
            "dense_weights": dense_weights,
        }
        # New weights have no momentum.
        start = replace(cut, momentum={})
        *_, (_, product, _) = self._trained("scratch", settings, training, start, make, round_=round_)
        return product

    def _weights(self, dense: Product) -> int:
        return weights_total(self._maker.network(dense))


def ended(steps: Generator[Step, None, Outcome]) -> Outcome:
    """What comes of all steps."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
