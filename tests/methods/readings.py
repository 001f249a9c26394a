"""A slow literal twin of cutting front to back by what readers lose: loops over images and positions.

The coupling of the example networks is written out here, so that nothing of the code under test decides it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from methods.core.method import Evidence
from tests.methods.examples import images, network

COUPLED: dict[str, list[tuple[str, dict[str, int], dict[str, tuple[int, int]]]]] = {
    # group, its members and where its channels begin in them, its readers: first column and columns of a channel
    "plain": [
        ("0", {"0": 0}, {"2": (0, 1)}),
        ("2", {"2": 0}, {"6": (0, 1)}),
        ("6", {"6": 0}, {"8": (0, 1)}),
    ],
    "normed": [("0", {"0": 0}, {"4": (0, 1)}), ("4", {"4": 0}, {"9": (0, 1)})],
    "flat": [
        ("0", {"0": 0}, {"3": (0, 1)}),
        ("3", {"3": 0}, {"6": (0, 9)}),
        ("6", {"6": 0}, {"8": (0, 1)}),
    ],
    "residual": [
        ("stem", {"stem": 0, "second": 0}, {"first": (0, 1), "out": (0, 1)}),
        ("first", {"first": 0}, {"second": (0, 1)}),
    ],
    "concatenated": [
        ("stem", {"stem": 0}, {"first": (0, 1), "second": (0, 1), "out": (0, 1)}),
        ("first", {"first": 0}, {"second": (8, 1), "out": (8, 1)}),
        ("second", {"second": 0}, {"out": (12, 1)}),
    ],
    "depthwise": [("0", {"0": 0, "3": 0}, {"6": (0, 1)}), ("6", {"6": 0}, {"8": (0, 1)})],
    "inception": [
        ("left", {"left": 0, "wide": 0}, {"out": (0, 1)}),
        ("right", {"right": 0, "wide": 4}, {"out": (4, 1)}),
    ],
}
LINEAR = {"plain": {"6"}, "flat": {"6"}}
"""Groups of hidden linear neurons."""


def varied() -> torch.Tensor:
    """Images that differ in more than noise, so that means over their positions are far from alike."""
    stream = torch.Generator().manual_seed(2)
    return 0.3 * images(8) + torch.randn(8, 3, 1, 1, generator=stream, dtype=torch.float64) * 1.5


def varied_evidence(*, seed: int = 0) -> Evidence:
    """The varied images, all of class 0."""
    return Evidence(varied(), torch.zeros(8, dtype=torch.int64), seed)


def alive(name: str) -> nn.Module:
    """The network with shifts that leave no channel dead behind its ReLU."""
    made = network(name)
    with torch.no_grad():
        for module in made.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.bias.abs_().add_(0.5)
    return made


def every(name: str) -> int:
    """How many positions the reader with the most has on the varied images: with so many samples all give all."""
    return 8 * {"normed": 16, "flat": 9, "inception": 1}.get(name, 64)


@dataclass
class Rows:
    """What one reader computes its outputs from: X (N, C, K), W (M, C, K), and what it should give, Y (N, M)."""

    x: np.ndarray
    w: np.ndarray
    y: np.ndarray


Choose = Callable[[list[Rows], int], list[int]]
Solve = Callable[[Rows, list[int]], np.ndarray]


def inputs_of(network: nn.Module, layer: str) -> torch.Tensor:
    """What the layer reads on all images."""
    read: list[torch.Tensor] = []
    hook = network.get_submodule(layer).register_forward_pre_hook(lambda _, given: read.append(given[0].clone()))
    with torch.no_grad():
        network(varied())
    hook.remove()
    return read[0]


def patches_of(module: nn.Conv2d | nn.Linear, inputs: torch.Tensor) -> list[np.ndarray]:
    """One patch (in, kh·kw) for each image and output position, zeros beyond the edge."""
    if isinstance(module, nn.Linear):
        return [row.numpy()[:, None] for row in inputs]
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = module.kernel_size, module.stride, module.padding, module.dilation
    channels, height, width = inputs.shape[1:]
    found = []
    for image in inputs.numpy():
        for top in range(-ph, height + ph - dh * (kh - 1), sh):
            for left in range(-pw, width + pw - dw * (kw - 1), sw):
                patch = np.zeros((channels, kh * kw))
                for u in range(kh):
                    for v in range(kw):
                        y, x = top + u * dh, left + v * dw
                        if 0 <= y < height and 0 <= x < width:
                            patch[:, u * kw + v] = image[:, y, x]
                found.append(patch)
    return found


def weight_of(network: nn.Module, layer: str) -> np.ndarray:
    """A copy of the layer's weights, shape (out, in, kh·kw)."""
    weight = network.get_parameter(f"{layer}.weight").detach()
    return weight.reshape(*weight.shape[:2], -1).numpy().copy()


def outputs_of(network: nn.Module, layer: str) -> np.ndarray:
    """All outputs of the layer less the bias, shape (rows, out), patch by patch."""
    weight = weight_of(network, layer)
    found = patches_of(network.get_submodule(layer), inputs_of(network, layer))
    return np.array([[(patch * filter_).sum() for filter_ in weight] for patch in found])


def least_squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The least change D with XD nearest to Y: argmin ‖Y − XD‖² + r‖D‖², r a hundredth of the mean of diag XᵀX."""
    ridge = 1e-2 * np.mean([column @ column for column in x.T])
    system = np.concatenate([x, np.sqrt(ridge) * np.eye(x.shape[1])])
    found: np.ndarray = np.linalg.lstsq(system, np.concatenate([y, np.zeros((x.shape[1], *y.shape[1:]))]), rcond=None)[
        0
    ]
    return found


def going(name: str, *, linear: bool) -> dict[str, int]:
    """Half of the channels of each group, hidden linear neurons with them or not."""
    sizes = {group: len(network(name).get_parameter(f"{group}.weight")) for group, *_ in COUPLED[name]}
    return {group: size // 2 for group, size in sizes.items() if linear or group not in LINEAR.get(name, set())}


def live_rows(name: str, chosen: dict[str, list[int]], layer: str) -> list[int]:
    """The outputs of a layer that are still there."""
    size = len(network(name).get_parameter(f"{layer}.weight"))
    dead = {
        members[layer] + channel
        for group, members, _ in COUPLED[name]
        if layer in members
        for channel in chosen.get(group, [])
    }
    return [row for row in range(size) if row not in dead]


def front_to_back(
    given: nn.Module, name: str, *, counts: dict[str, int], choose: Choose, solve: Solve | None
) -> tuple[dict[str, list[int]], dict[str, np.ndarray]]:
    """Cut ``counts`` channels of each group; return which ones, and the weights of the readers at the end."""
    work = copy.deepcopy(given)
    dead: dict[str, set[int]] = {}
    chosen, written = {}, {}
    for group, members, readers in COUPLED[name]:
        if group not in counts:
            continue
        size = len(given.get_parameter(f"{group}.weight"))
        readings, columns, live = {}, {}, {}
        for reader, (first, per) in readers.items():
            weight = weight_of(work, reader)
            live[reader] = [row for row in range(len(weight)) if row not in dead.get(reader, set())]
            columns[reader] = [[first + i * per + j for j in range(per)] for i in range(size)]
            own = [column for channel in columns[reader] for column in channel]
            others = [column for column in range(weight.shape[1]) if column not in own]
            found = np.array(patches_of(work.get_submodule(reader), inputs_of(work, reader)))
            target = outputs_of(given, reader)
            for n, patch in enumerate(found):
                for o in range(len(weight)):
                    target[n, o] -= (patch[others] * weight[o, others]).sum()
            x = found[:, columns[reader]].reshape(len(found), size, -1)
            w = weight[live[reader]][:, columns[reader]].reshape(len(live[reader]), size, -1)
            readings[reader] = Rows(x, w, target[:, live[reader]])
        gone = sorted(choose(list(readings.values()), counts[group]))
        stay = [channel for channel in range(size) if channel not in gone]
        for reader in readers:
            weight = weight_of(work, reader)
            if solve is not None:
                solved = solve(readings[reader], stay)
                for at, row in enumerate(live[reader]):
                    for place, channel in enumerate(stay):
                        weight[row, columns[reader][channel]] = solved[at, place].reshape(len(columns[reader][0]), -1)
            for channel in gone:
                weight[:, columns[reader][channel]] = 0
            with torch.no_grad():
                parameter = work.get_parameter(f"{reader}.weight")
                parameter.copy_(torch.from_numpy(weight).view_as(parameter))
            written[f"{reader}.weight"] = parameter.detach().numpy()
        for member, first in members.items():
            dead.setdefault(member, set()).update(first + channel for channel in gone)
        chosen[group] = gone
    return chosen, written
