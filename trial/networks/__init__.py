"""Networks for 3×32×32 images: ours by name, one file per family, and users' own.

Sources: [He 2015] Delving deep into rectifiers, ICCV. [He 2016] Deep residual learning for image recognition, CVPR.
[Huang 2017] Densely connected convolutional networks, CVPR. [Li 2017] Pruning filters for efficient ConvNets, ICLR.
[Liu 2017] Learning efficient convolutional networks through network slimming, ICCV.
[Simonyan 2015] Very deep convolutional networks for large-scale image recognition, ICLR.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from trial.networks.catalogue import NETWORKS, initialise, register
from trial.networks.own import load_weights, made_by, source_file_hash, weights_file_hash
from trial.networks.settings import Network
from trial.seeds import derived

__all__ = ["Network", "build", "identity", "names", "redraw", "register", "source_hash"]


def names() -> list[str]:
    """The networks that can be asked for by name, found from the files of this package."""
    return NETWORKS.names()


def build(network: Network, *, classes: int, seed: int, trained: bool = True) -> nn.Module:
    """Build a network on the CPU in float32, its first weights drawn by ``seed``, or a user's own loaded.

    ``trained=False`` leaves a user's weights file unread. The global random state is left as it was.

    Raises:
        WrongInput: A user's code or weights file cannot be used.
    """
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also reseed every GPU, which fork_rng(devices=[]) does not restore.
        torch.default_generator.manual_seed(derived(seed, "weights"))
        if network.code is None:
            assert network.name is not None, "Network has a name or code"
            return NETWORKS[network.name](classes=classes, width=network.width)
        built = made_by(network.code, classes=classes)
    if network.weights is not None and trained:
        load_weights(built, network.weights)
    return built


def redraw(thin: nn.Module, untrained: nn.Module, *, network: Network, seed: int) -> None:
    """Give a network, whatever its widths are by now, first weights again, in place.

    Each layer is drawn for its own widths, as its ``reset_parameters`` does, ours as they are built. What has no
    such layer, a parameter of a user's module itself, is taken from the ``untrained`` network where its shape is
    the same.
    """
    device = next(thin.parameters()).device
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(derived(seed, "scratch"))
        thin.cpu()  # where the generator is
        for name, module in thin.named_modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
                continue
            first = untrained.get_submodule(name)
            for entry, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
                given = getattr(first, entry)
                if given.shape == tensor.shape:
                    tensor.copy_(given)
        if network.code is None:
            initialise(thin)
        thin.to(device)


def source_hash(network: Network) -> str:
    """The sha256 of the file with a user's own network, "" for ours; a weights file is not part of it.

    Raises:
        WrongInput: The code's file cannot be found.
    """
    return "" if network.code is None else source_file_hash(network.code)


def identity(network: Network) -> dict[str, Any]:
    """What tells a network from another, on any machine and ready for JSON: a user's files by content, not by place.

    Raises:
        WrongInput: A user's code or weights file cannot be found.
    """
    weights = None if network.weights is None else weights_file_hash(network.weights)
    return {**network.model_dump(mode="json"), "source": source_hash(network), "weights": weights}
