"""What must hold before a row says complete: one function and one exception for each gate.

The gates of a cut run when it is carried out, those of a finished network when it is measured, in the stages
themselves: a stage whose gate fails is not stored, so every trial that comes by the same cut or network fails alike.
What is said of numbers alone, `trained_and_stored_agree` and `finite_outcome`, is asked of every trial.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from methods.core.cut import Cut
from methods.core.mask import Mask
from methods.core.units import weighted_layers

__all__ = [
    "DoesNotLoadBack",
    "EmptyLayer",
    "ExportDiffers",
    "GateFailed",
    "NotFinite",
    "RatioMissed",
    "RemovalDiffers",
    "export_agrees",
    "file_loads_back",
    "filled",
    "finite_logits",
    "finite_network",
    "finite_outcome",
    "loads_back",
    "no_layer_is_empty",
    "ratio_is_kept",
    "removal_agrees",
    "trained_and_stored_agree",
]

TOLERANCE = 1e-4
"""How far logits that should be equal may lie apart, relative to the largest logit (float32)."""
OF_LOSS = 0.01
"""How far losses of one network may lie apart over thread counts, relative to the loss, or to .1 where it is
smaller."""


class GateFailed(RuntimeError):
    """A trial's network is not what its row would say."""


class RatioMissed(GateFailed):
    """Other than what was asked went, by more than one unit per layer, for no reason that is known."""


class EmptyLayer(GateFailed):
    """A layer has no channel or no weight left: nothing of the image comes through it."""


class RemovalDiffers(GateFailed):
    """The thinner network does not compute what the masked one computes: the cut was carried out wrongly."""


class NotFinite(GateFailed):
    """NaN or infinity among weights, running statistics or measures."""


class DoesNotLoadBack(GateFailed):
    """A network loaded back from safetensors, or its ONNX file, is another one, or none."""


class ExportDiffers(GateFailed):
    """The ONNX file does not compute what the network computes."""


def ratio_is_kept(
    chosen: Cut, network: nn.Module, *, ratio: Fraction | None, layers: int, round_to: int = 1
) -> str | None:
    """Count what goes, and compare with what was asked; return the reason of a difference, None where there is none.

    With n units in the dense network, m ranked layers and g units gone, |g − ratio·n| ≤ m needs no reason. A floor
    that kept f units explains f fewer; widths that are multiples of ``round_to`` up to that many per layer.

    Args:
        chosen: The cut; its own counts of what goes are not believed.
        network: The one that is cut, as it was before.
        ratio: What was asked, None where the method has no ratio: then what its rule chose, ``chosen.asked``.
        layers: How many layers are ranked.
        round_to: What widths are to be multiples of.

    Raises:
        RatioMissed: The difference is larger, or a unit goes twice or is not there.
    """
    gone = chosen.removed
    for kind in (chosen.channels, chosen.weights):
        for layer, places in kind.items():
            weight = network.get_parameter(f"{layer}.weight")
            size = weight.shape[0] if kind is chosen.channels else weight.numel()
            ascend = (places[1:] > places[:-1]).all()
            if places.numel() and not (ascend and int(places[0]) >= 0 and int(places[-1]) < size):
                raise RatioMissed(f"the cut of layer {layer} names units twice, in disorder, or that are not there")
            gone += places.numel()
    asked = Fraction(chosen.asked) if ratio is None else ratio * chosen.units
    floored = sum(chosen.floored.values())
    more = gone - asked
    if abs(more) <= layers:
        return None
    if floored and -layers - floored <= more < 0:
        return f"{gone} of {round(asked)} units went: floors kept the others"
    if round_to > 1 and abs(more) <= layers * round_to + floored:
        floors = " and floors kept some" if floored else ""
        return f"{gone} of {round(asked)} units went: widths are multiples of {round_to}{floors}"
    raise RatioMissed(
        f"{gone} of {chosen.units} units went, asked were {float(asked):g}: more than one in each of {layers} layers "
        "lies between, and no floor and no rounding explains it"
    )


def filled(network: nn.Module) -> set[str]:
    """The names of the layers that hold a weight other than zero."""
    layers = list(weighted_layers(network))
    counts = [torch.count_nonzero(layer.weight) for layer in layers]
    # Stacked before they are read, so that a GPU is waited for once.
    held = torch.stack(counts).tolist() if counts else []
    return {layer.name for layer, count in zip(layers, held, strict=True) if count}


def no_layer_is_empty(network: nn.Module, mask: Mask, *, before: Collection[str] = ()) -> None:
    """Raise EmptyLayer where a layer has no weight, or the mask holds all of them at zero.

    ``before`` are the layers that were `filled` before a cut: none of them may hold nothing but zeros after it.
    """
    after = filled(network) if before else set()
    for layer in weighted_layers(network):
        shape = tuple(layer.weight.shape)
        kept = mask.keep.get(f"{layer.name}.weight")
        if not layer.weight.numel():
            raise EmptyLayer(f"layer {layer.name} has no channel left: its weight has shape {shape}")
        if (kept is not None and not kept.any()) or (layer.name in before and layer.name not in after):
            raise EmptyLayer(
                f"the cut left layer {layer.name} no weight but zeros, of shape {shape}: a smaller ratio, or spare "
                "with its name, leaves it some"
            )


def removal_agrees(masked: nn.Module, thin: nn.Module, images: Tensor, *, chosen: Cut) -> None:
    """Raise RemovalDiffers where the thin network's widths or logits are not those of the cut.

    Args:
        masked: The network with the cut's channels at zero, at its full width, which computes the truth.
        thin: The network without them.
        images: Normalised images, shape (N, C, H, W).
        chosen: The cut.
    """
    for layer, gone in chosen.channels.items():
        width, whole = (each.get_parameter(f"{layer}.weight").shape[0] for each in (thin, masked))
        expected = whole - len(gone)
        if width != expected:
            raise RemovalDiffers(f"layer {layer} of the thin network has {width} channels, {expected} should be left")
    with torch.inference_mode():
        truth, logits = masked.eval()(images), thin.eval()(images)
    _agree(logits, truth, what="the thin network differ from the masked one's", error=RemovalDiffers)


def finite_network(network: nn.Module) -> None:
    """Raise NotFinite where a parameter or running statistic is NaN or infinite, or any other buffer NaN."""
    state = {name: tensor for name, tensor in network.state_dict().items() if tensor.is_floating_point()}
    parameters = {name for name, _ in network.named_parameters(remove_duplicate=False)}
    # A user's buffer may be infinite on purpose, as an attention mask is.
    checks = {
        name: tensor.isfinite() if name in parameters or ".running_" in f".{name}" else ~tensor.isnan()
        for name, tensor in state.items()
    }
    if not checks:
        return
    good = torch.stack([check.all() for check in checks.values()]).tolist()
    odd = [name for name, is_good in zip(checks, good, strict=True) if not is_good]
    if odd:
        more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
        raise NotFinite(f"{odd[0]}{more} of the trained network came out as NaN or infinite")


def finite_outcome(outcome: Mapping[str, Any]) -> None:
    """Raise NotFinite where a number that goes into the row is NaN or infinite."""
    odd = [name for name, value in outcome.items() if isinstance(value, float) and not math.isfinite(value)]
    if odd:
        raise NotFinite(f"{', '.join(odd)} came out as NaN or infinite")


def loads_back(network: nn.Module, again: Callable[[], nn.Module], images: Tensor) -> None:
    """Raise DoesNotLoadBack where the network that ``again`` loads from the stored tensors has other logits.

    On a CPU they are the same bits: the same operations on the same numbers.

    Args:
        network: The one that is measured.
        again: Builds the network anew, of the recorded widths, from safetensors.
        images: Normalised images, shape (N, C, H, W).
    """
    loaded = again()
    with torch.inference_mode():
        truth, logits = network.eval()(images), loaded.eval()(images)
    if images.device.type == "cpu" and not torch.equal(logits, truth):
        raise DoesNotLoadBack(
            "logits of the network loaded back from safetensors are not the same bits twice: does its code keep "
            "numbers outside parameters and buffers, or draw at random in eval mode?"
        )
    _agree(logits, truth, what="the network loaded back from safetensors differ", error=DoesNotLoadBack)


def trained_and_stored_agree(trained: float | None, stored: float) -> None:
    """Raise DoesNotLoadBack where a stored network has another loss on the same images than when its training ended.

    ``trained`` is None where it was not trained. A loss that is no number is `finite_outcome`'s to refuse.
    """
    if trained is not None and math.isfinite(stored) and abs(stored - trained) > OF_LOSS * max(trained, 0.1):
        raise DoesNotLoadBack(
            f"the stored network's loss is {stored:.6g}, it was {trained:.6g} on the same images when training "
            "ended: does its code keep numbers outside parameters and buffers?"
        )


def export_agrees(truth: Tensor, logits: Tensor) -> None:
    """Raise ExportDiffers where the float32 file's logits are not the network's, as far as float32 goes."""
    _agree(logits, truth, what="the ONNX file differ from the network's", error=ExportDiffers)


def finite_logits(logits: Tensor, *, what: str) -> None:
    """Raise NotFinite where a logit is NaN or infinite; float16 ends at 65,504, which a CPU may not notice."""
    if not logits.isfinite().all():
        raise NotFinite(f"logits of {what} came out as NaN or infinite")


def file_loads_back(made: Tensor, again: Tensor) -> None:
    """Raise DoesNotLoadBack where the file read back has other logits on the same images, in any bit."""
    if not torch.equal(made, again):
        raise DoesNotLoadBack("logits of the ONNX file read back are not those that it had when it was made")


def _agree(logits: Tensor, truth: Tensor, *, what: str, error: type[GateFailed]) -> None:
    difference = (truth - logits).abs().max() / truth.abs().max().clamp_min(1e-12)
    if not difference <= TOLERANCE:
        raise error(f"logits of {what} by {difference:.1e} of the largest, more than {TOLERANCE:.0e}")
