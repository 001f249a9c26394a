"""What a layer computes sampled outputs from: patches of its input at positions drawn in advance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.core.method import BATCH
from methods.core.streams import stream_seed

__all__ = ["draw", "places", "read"]

ROWS = 2048
"""Patches gathered at a time: what bounds the memory, whatever the number of samples."""

See = Callable[[str, slice, Tensor, Tensor], None]
"""Called with a layer's name, which of its positions these are, their patches and outputs, as `read` says."""


class _Enough(Exception):
    """All layers were seen; the rest of the forward pass would compute for nobody."""


def draw(total: int, samples: int, *, seed: int, name: str) -> Tensor:
    """``samples`` of the numbers 0 … total − 1 without repetition, all where there are no more; ascending.

    Each name has a stream of its own, so that what is drawn for a layer does not depend on other layers.
    """
    if samples >= total:
        return torch.arange(total)
    # NumPy's draw without repetition needs no permutation of a total that can be millions.
    drawn = np.random.default_rng(stream_seed(seed, name)).choice(total, samples, replace=False)
    return torch.from_numpy(np.sort(drawn))


def places(network: nn.Module, names: Sequence[str], image: Tensor) -> dict[str, int]:
    """How many output positions each layer has on one image, shape (1, C, H, W): 1 for a linear layer."""
    found: dict[str, int] = {}

    def count(name: str, module: nn.Module, _: object, output: Tensor) -> None:
        found[name] = _maps(module, output)[0, 0].numel()

    hooks = [network.get_submodule(name).register_forward_hook(partial(count, name)) for name in names]
    try:
        with torch.no_grad():
            network(image)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def read(network: nn.Module, images: Tensor, positions: Mapping[str, Tensor], see: See) -> None:
    """Run the network, in the mode it is in, and show ``see`` what layers read and give at the positions.

    ``positions`` maps a layer to numbers image · places + place, int64, ascending, shape (n,), a place counting
    output positions row by row. ``see`` gets the layer's name, the slice of its positions, their patches,
    shape (rows, in, kh·kw), and their outputs, shape (rows, out), both in the network's type. A layer that runs
    several times in a pass is shown the first time.
    """
    for start in range(0, len(images), BATCH):
        _read_batch(network, images[start : start + BATCH], start, positions, see)


def _read_batch(network: nn.Module, batch: Tensor, start: int, positions: Mapping[str, Tensor], see: See) -> None:
    """Show what layers read and give on a batch whose first image has the number ``start``."""
    unseen = set(positions)

    def look(name: str, module: nn.Module, given: tuple[Tensor], output: Tensor) -> None:
        if name in unseen:
            # Here, not after the pass: a later layer may write into these tensors in place.
            _show(module, given[0], output, start, positions[name], partial(see, name))
            unseen.remove(name)
        if not unseen:
            raise _Enough

    hooks = [network.get_submodule(name).register_forward_hook(partial(look, name)) for name in positions]
    try:
        with torch.no_grad(), suppress(_Enough):
            network(batch)
    finally:
        for hook in hooks:
            hook.remove()


def _show(
    module: nn.Module,
    given: Tensor,
    output: Tensor,
    start: int,
    wanted: Tensor,
    see: Callable[[slice, Tensor, Tensor], None],
) -> None:
    inputs, outputs = _maps(module, given), _maps(module, output)
    size, width = outputs[0, 0].numel(), outputs.shape[3]
    first, end = torch.searchsorted(wanted, torch.tensor([start * size, (start + len(inputs)) * size])).tolist()
    padded = _padded(module, inputs).permute(0, 2, 3, 1).contiguous()
    for row in range(first, end, ROWS):
        rows = slice(row, min(row + ROWS, end))
        place = (wanted[rows] - start * size).to(inputs.device)
        image, y, x = place // size, place % size // width, place % width
        see(rows, _patches(module, padded, image, y, x), outputs[image, :, y, x])


def _maps(module: nn.Module, values: Tensor) -> Tensor:
    """A convolution's input or output as it is; a linear layer's as maps, shape (N, features, positions, 1)."""
    if isinstance(module, nn.Linear):
        return values.reshape(len(values), -1, values.shape[-1]).transpose(1, 2)[..., None]
    return values


def _padded(module: nn.Module, inputs: Tensor) -> Tensor:
    if not isinstance(module, nn.Conv2d):
        return inputs
    sides: list[int] = []
    # functional.pad counts from the last dimension.
    for dimension in (1, 0):
        if isinstance(module.padding, str):
            both = module.dilation[dimension] * (module.kernel_size[dimension] - 1) * (module.padding == "same")
            sides += [both // 2, both - both // 2]
        else:
            sides += [module.padding[dimension]] * 2
    return functional.pad(inputs, sides, mode="constant" if module.padding_mode == "zeros" else module.padding_mode)


def _patches(module: nn.Module, padded: Tensor, image: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """The patches, shape (rows, in, kh·kw), of a padded input of shape (N, H, W, in)."""
    if not isinstance(module, nn.Conv2d):
        return padded[image, y, x][..., None]
    ys = y[:, None] * module.stride[0] + torch.arange(module.kernel_size[0], device=y.device) * module.dilation[0]
    xs = x[:, None] * module.stride[1] + torch.arange(module.kernel_size[1], device=x.device) * module.dilation[1]
    patches = padded[image[:, None, None], ys[:, :, None], xs[:, None, :]]
    return patches.flatten(1, 2).transpose(1, 2)
