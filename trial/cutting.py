"""The stages of cutting: what a method may look at, what it sees there, and the cut, decided and carried out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from methods.core.cut import Cut, Past
from methods.core.mask import Mask
from methods.core.method import Evidence, Method
from methods.core.penalties import scales
from methods.core.removal import remove, sliced
from methods.core.units import traced_once
from trial import gates
from trial.augmentation import normalised
from trial.course import Apply
from trial.data import ImageSet, Splits
from trial.seeds import generator
from trial.store import Product
from trial.training import evaluate
from trial.weights import nonzero_weights

__all__ = ["CHECKED", "PAST", "cut", "drawn", "evidence", "examples", "observe", "past"]

CHECKED = 64
"""Images on which networks that should be equal are compared."""
PAST = "past"
"""The entry of a cut's record that `past` reads, handed on to the network recovered from it."""
NEAR_ZERO = 0.01
"""A batch-norm scale below this counts as near zero."""


def evidence(splits: Splits, method: Method, *, seed: int, past: Past) -> Evidence:
    """What the method may look at: so many images of the training part as it reads, at least one, drawn by seed.

    Raises ValueError where there are fewer images than it reads.
    """
    if method.images_read > len(splits.train):
        raise ValueError(
            f"{method.name()} is to read {method.images_read} images, and the training part has {len(splits.train)}"
        )
    chosen = drawn(splits, max(1, method.images_read), seed=seed)
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
    with traced_once():
        chosen = method.cut(network, seen, ratio=ratio)
        layers = len(method.ranked(network, seen))
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
        layers=layers,
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
            past = _past(seen.past, network, chosen, removed=True)
            if chosen.channels:
                Mask.of_channels(network, chosen, image).zero_weights(network)
                gates.removal_agrees(network, thin, examples(splits, seed=seen.seed), chosen=chosen)
            return _Carried(thin, thin_mask, thin_momentum, past)
        case "mask":
            of_channels = Mask.of_channels(network, chosen, image)
            columns = {
                name.removesuffix(".weight"): (~kept).all(0).nonzero().flatten().tolist()
                for name, kept in of_channels.keep.items()
                if kept.dim() == 2
            }
            mask = held.merged(of_channels)
            past = _past(seen.past, network, chosen, columns=columns)
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
    *,
    removed: bool = False,
    columns: Mapping[str, list[int]] | None = None,
) -> dict[str, Any]:
    """What the next round has to know of this cut and those before, ready for JSON; the mask says the rest."""
    sizes, lost = dict(before.sizes), dict(before.lost)
    for layer, gone in chosen.channels.items() if removed else ():
        sizes.setdefault(layer, network.get_parameter(f"{layer}.weight").shape[0])
        lost[layer] = lost.get(layer, 0) + len(gone)
    for layer in chosen.weights:
        sizes.setdefault(layer, network.get_parameter(f"{layer}.weight").numel())
    channels = {} if removed else {layer: gone.tolist() for layer, gone in chosen.channels.items()}
    return {"sizes": sizes, "lost": lost, "channels": channels, "columns": dict(columns or {})}


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


def drawn(splits: Splits, count: int, *, seed: int) -> ImageSet:
    """So many training images, drawn by seed; a smaller number's are among a larger's."""
    order = torch.randperm(len(splits.train), generator=generator(seed, "evidence"))[:count]
    chosen = order.to(splits.train.labels.device)
    return ImageSet(splits.train.images[chosen], splits.train.labels[chosen])


def examples(splits: Splits, *, seed: int) -> Tensor:
    """Normalised training images on which networks are compared."""
    return normalised(drawn(splits, min(CHECKED, len(splits.train)), seed=seed).images, splits)


def _near_zero(network: nn.Module) -> float | None:
    """The share of batch-norm scales that are near zero, None without batch norm."""
    every = [gamma.detach().flatten() for gamma in scales(network)]
    return float((torch.cat(every).abs() < NEAR_ZERO).double().mean()) if every else None
