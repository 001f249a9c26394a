"""The stages of a trial, each a function from networks to a product; none knows the store.

``VERSIONS`` counts a stage's meaning: raise the number when a change to a stage changes its result, and results
stored by the old one are no longer found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from methods.core.cut import Cut, Past
from methods.core.mask import Mask
from methods.core.method import Evidence, Method
from methods.core.penalties import Penalty, add_subgradient, scales
from methods.core.removal import remove, sliced
from trial import gates
from trial.augmentation import normalised
from trial.course import Apply
from trial.data import ImageSet, Splits
from trial.freezing import Trainable, everything, only
from trial.latency import torch_latency_ms
from trial.measures import measure
from trial.recovery import Recovery, distillation_loss, recalibrate
from trial.seeds import generator
from trial.store import Product
from trial.training import Epoch, Training, evaluate, train
from trial.weights import nonzero_weights

__all__ = [
    "VERSIONS",
    "cut",
    "dense",
    "evidence",
    "finish",
    "observe",
    "past",
    "recover",
    "scratch",
    "sparsify",
    "timed",
]

VERSIONS = {
    "dense": 3,
    "sparsity": 3,
    "scores": 1,
    "cut": 4,
    "recovery": 4,
    "scratch": 2,
    "measure": 2,
    "latency": 1,
}

CHECKED = 64
"""Images on which networks that should be equal are compared."""
PAST = "past"
"""The entry of a cut's record that `past` reads, handed on to the network recovered from it."""
NEAR_ZERO = 0.01
"""A batch-norm scale below this counts as near zero."""

OnEpoch = Callable[[Epoch], None]


def dense(
    network: nn.Module,
    splits: Splits,
    training: Training,
    *,
    seed: int,
    trainable: Trainable = everything,
    on_epoch: OnEpoch | None = None,
) -> Product:
    """Train the unpruned network."""
    with only(network, trainable):
        return _product(network, train(network, splits, training, seed=seed, on_epoch=on_epoch))


def sparsify(
    network: nn.Module,
    splits: Splits,
    training: Training,
    penalty: Penalty,
    *,
    seed: int,
    trainable: Trainable = everything,
) -> Product:
    """Train on with the penalty's subgradient added to the gradients of the batch-norm scales."""
    with only(network, trainable):
        curve = train(network, splits, training, seed=seed, before_step=lambda: add_subgradient(network, penalty))
    return _product(network, curve)


def evidence(splits: Splits, method: Method, *, seed: int, past: Past) -> Evidence:
    """What the method may look at: so many images of the training part as it reads, at least one, drawn by seed.

    Raises ValueError where there are fewer images than it reads.
    """
    if method.images_read > len(splits.train):
        raise ValueError(
            f"{method.name()} is to read {method.images_read} images, and the training part has {len(splits.train)}"
        )
    chosen = _drawn(splits, max(1, method.images_read), seed=seed)
    return Evidence(normalised(chosen.images, splits), chosen.labels, seed, past=past)


def observe(network: nn.Module, method: Method, seen: Evidence) -> Product:
    """Let a method's observer look at the images."""
    return Product({name: tensor.contiguous() for name, tensor in method.look(network, seen).items()})


def cut(
    network: nn.Module,
    splits: Splits,
    method: Method,
    seen: Evidence,
    *,
    ratio: Fraction,
    apply: Apply,
    dense_weights: int,
    mask: Mask | None = None,
    momentum: Mapping[str, Tensor] | None = None,
) -> Product:
    """Cut the network by the method, and carry the cut out.

    ``mask`` holds what earlier rounds cut; ``momentum`` is the optimiser's, which loses what the network loses. The
    record has the ratio achieved, what later rounds have to know of this one, and accuracy, loss and sparsity before
    recovery. Raises ValueError where nothing can be cut, GateFailed where another share goes than was asked, where a
    layer loses all it has, or where the thinner network computes something else than the masked one.
    """
    near_zero = _near_zero(network)
    chosen = method.cut(network, seen, ratio=ratio)
    if chosen.units == 0:
        raise ValueError(f"{method.name()} has nothing to cut: every layer that it ranks is spared")
    if chosen.asked and not chosen.size + chosen.removed:
        raise ValueError(
            f"{method.name()} cuts none of the {chosen.asked} units asked for: every layer is at its floor (keep_min)"
        )
    reason = gates.ratio_is_kept(
        chosen,
        network,
        ratio=None if method.target is None else ratio,
        layers=len(method.ranked(network, seen)),
        round_to=getattr(method, "round_to", 1),
    )
    filled = gates.filled(network)
    with torch.no_grad():
        for name, values in chosen.replaced.items():
            network.get_parameter(name).copy_(values)
    held = (mask or Mask({})).merged(Mask.of_weights(network, chosen))
    held.zero_weights(network)
    made = _carried_out(network, splits, chosen, seen, held, momentum or {}, apply=apply)
    made.mask.zero_weights(made.network)
    gates.no_layer_is_empty(made.network, made.mask, before=filled)
    loss, accuracy = evaluate(made.network, splits.validation, splits)
    record = {
        PAST: made.past,
        "scales_near_zero": near_zero,
        "ratio_achieved": chosen.ratio,
        "units": chosen.units,
        "asked": chosen.asked,
        "floored": sum(chosen.floored.values()),
        "ratio_reason": reason,
        "val_loss_before": loss,
        "val_accuracy_before": accuracy,
        "sparsity": 1 - nonzero_weights(made.network) / dense_weights,
    }
    return Product(made.network.state_dict(), made.mask, record, made.mask.applied(made.momentum))


@dataclass(frozen=True)
class _Carried:
    """A cut carried out: the network, what holds at zero, its momentum, and what later rounds have to know."""

    network: nn.Module
    mask: Mask
    momentum: Mapping[str, Tensor]
    past: dict[str, Any]


def _carried_out(
    network: nn.Module,
    splits: Splits,
    chosen: Cut,
    seen: Evidence,
    held: Mask,
    momentum: Mapping[str, Tensor],
    *,
    apply: Apply,
) -> _Carried:
    image = seen.images[:1]
    match apply:
        case "remove":
            thin, thin_mask = remove(network, chosen, image, mask=held)
            thin_momentum = sliced(network, chosen, image, momentum)
            past = _past(seen.past, network, chosen, thin_mask, removed=True)
            if chosen.channels:
                Mask.of_channels(network, chosen, image).zero_weights(network)
                gates.removal_agrees(network, thin, _examples(splits, seed=seen.seed), chosen=chosen)
            return _Carried(thin, thin_mask, thin_momentum, past)
        case "mask":
            of_channels = Mask.of_channels(network, chosen, image)
            columns = {
                name.removesuffix(".weight"): (~kept).all(0).nonzero().flatten().tolist()
                for name, kept in of_channels.keep.items()
                if kept.dim() == 2
            }
            mask = held.merged(of_channels)
            past = _past(seen.past, network, chosen, mask, columns=columns)
            return _Carried(network, mask, momentum, past)
        case "zero":
            # As in documents 000 and 003 the filters go to zero, not their readers' columns, and nothing holds them.
            # Their norms go with them: a norm over a constant divides by √ε, and training would explode.
            Mask.of_channels(network, chosen, image, readers=False).zero_weights(network)
            return _Carried(network, Mask({}), momentum, {})


def _past(
    before: Past,
    network: nn.Module,
    chosen: Cut,
    mask: Mask,
    *,
    removed: bool = False,
    columns: Mapping[str, list[int]] | None = None,
) -> dict[str, Any]:
    """What the next round has to know of this cut and those before, ready for JSON; ``mask`` says the rest."""
    columns = columns or {}
    sizes, lost = dict(before.sizes), dict(before.lost)
    for layer, gone in chosen.channels.items() if removed else ():
        sizes.setdefault(layer, network.get_parameter(f"{layer}.weight").shape[0])
        lost[layer] = lost.get(layer, 0) + len(gone)
    for layer, gone in chosen.weights.items():
        sizes.setdefault(layer, network.get_parameter(f"{layer}.weight").numel())
        still_there = _held(mask.keep[f"{layer}.weight"], columns.get(layer, []))
        lost[layer] = lost.get(layer, 0) + len(gone) - len(still_there)
    channels = {} if removed else {layer: gone.tolist() for layer, gone in chosen.channels.items()}
    return {"sizes": sizes, "lost": lost, "channels": channels, "columns": dict(columns)}


def _held(kept: Tensor, columns: Sequence[int]) -> Tensor:
    """The flat positions that a mask holds at zero outside the columns that hang on channels."""
    held = ~kept
    held[:, list(columns)] = False
    return held.flatten().nonzero().flatten()


def past(product: Product) -> Past:
    """What a network's earlier rounds did, as the next round has to know it."""
    known = product.record.get(PAST) or {}
    channels, columns = (
        {layer: torch.tensor(places) for layer, places in known.get(kind, {}).items()}
        for kind in ("channels", "columns")
    )
    weights = {
        name.removesuffix(".weight"): _held(kept, known.get("columns", {}).get(name.removesuffix(".weight"), []))
        for name, kept in product.mask.keep.items()
        if name.removesuffix(".weight") in known.get("sizes", {}) and kept.dim() > 1
    }
    return Past(
        sizes=known.get("sizes", {}), lost=known.get("lost", {}), channels=channels, weights=weights, columns=columns
    )


def recover(
    network: nn.Module,
    before: Product,
    splits: Splits,
    recovery: Recovery,
    *,
    dense: Training,
    dense_weights: int,
    seed: int,
    teacher: nn.Module | None = None,
    first: int = 0,
    last: int | None = None,
    goes_on: bool = False,
    trainable: Trainable = everything,
) -> Product:
    """Train the cut network, its masked weights held at zero.

    ``before`` is what the network was made from: its cut, or this recovery's first ``first`` epochs; ``last`` is the
    epoch to stop after, None the recovery's last. ``dense`` is the dense network's training, which some recoveries
    follow; ``teacher`` the dense network, where it teaches. ``goes_on`` keeps the momentum, for whoever trains on.
    """
    training = recovery.training(dense)
    if first == 0:
        recalibrate(network, splits, batches=recovery.recalibrate, batch=training.batch, seed=seed)

    def loss_of(images: Tensor, logits: Tensor, cross_entropy: Tensor) -> Tensor:
        if teacher is None:
            return cross_entropy
        with torch.no_grad():
            taught = teacher(images)
        return (1 - recovery.distillation) * cross_entropy + recovery.distillation * distillation_loss(logits, taught)

    momentum = dict(before.momentum)
    with only(network, trainable):
        curve = train(
            network,
            splits,
            training,
            seed=seed,
            loss_of=loss_of,
            before_step=lambda: before.mask.zero_gradients(network),
            after_step=lambda: before.mask.zero_weights(network),
            momentum=momentum,
            dense_weights=dense_weights,
            first=first,
            last=last,
        )
    return replace(_product(network, curve, before.mask), momentum=momentum if goes_on else {})


def scratch(
    network: nn.Module, mask: Mask, splits: Splits, training: Training, *, dense_weights: int, seed: int
) -> Product:
    """Train an architecture whose weights were drawn anew, what is masked held at zero."""
    mask.zero_weights(network)
    curve = train(
        network,
        splits,
        training,
        seed=seed,
        before_step=lambda: mask.zero_gradients(network),
        after_step=lambda: mask.zero_weights(network),
        dense_weights=dense_weights,
    )
    return _product(network, curve, mask)


def finish(
    network: nn.Module,
    product: Product,
    splits: Splits,
    *,
    again: Callable[[Product], nn.Module],
    dense_weights: int,
    seed: int,
) -> Product:
    """Take the measures of a trial's last network, once it is known to be whole.

    Args:
        network: The one to measure, which ``again`` made of the product.
        product: What its last stage left.
        splits: The images.
        again: Builds a network of a product's widths and loads its tensors.
        dense_weights: `weights_total` of the unpruned network.
        seed: Of the images on which logits are compared.

    Raises:
        GateFailed: A layer is empty, a weight is NaN, or the network does not load back as it was.
    """
    gates.no_layer_is_empty(network, product.mask)
    gates.finite_network(network)

    def loaded() -> nn.Module:
        return again(Product.from_bytes(Product(network.state_dict()).to_bytes(), {}))

    gates.loads_back(network, loaded, _examples(splits, seed=seed))
    return Product({}, record=measure(network, splits, dense_weights=dense_weights))


def timed(network: nn.Module, splits: Splits) -> Product:
    """Time a forward pass of one image; whoever calls this has seen to it that nobody else works on the machine."""
    image = normalised(splits.validation.images[:1], splits)
    return Product({}, record={"torch_latency_ms": torch_latency_ms(network, image)})


def _product(network: nn.Module, curve: list[Epoch], mask: Mask | None = None) -> Product:
    record: dict[str, Any] = {"curve": [vars(epoch) for epoch in curve], "epochs": len(curve)}
    return Product(network.state_dict(), mask or Mask({}), record)


def _drawn(splits: Splits, count: int, *, seed: int) -> ImageSet:
    """So many training images, drawn by seed; a smaller number's are among a larger's."""
    order = torch.randperm(len(splits.train), generator=generator(seed, "evidence"))[:count]
    chosen = order.to(splits.train.labels.device)
    return ImageSet(splits.train.images[chosen], splits.train.labels[chosen])


def _examples(splits: Splits, *, seed: int) -> Tensor:
    """Normalised training images on which networks are compared."""
    return normalised(_drawn(splits, min(CHECKED, len(splits.train)), seed=seed).images, splits)


def _near_zero(network: nn.Module) -> float | None:
    """The share of batch-norm scales that are near zero, None without batch norm."""
    every = [gamma.detach().flatten() for gamma in scales(network)]
    return float((torch.cat(every).abs() < NEAR_ZERO).double().mean()) if every else None
