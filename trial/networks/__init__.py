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

from trial.freezing import Trainable, everything
from trial.networks.catalogue import NETWORKS, initialise, register, start_scales
from trial.networks.fitting import check_fits
from trial.networks.own import load_weights, made_by, source_file_hash, weights_file_hash
from trial.networks.pretrained import PRETRAINED
from trial.networks.settings import Network
from trial.seeds import derived

__all__ = ["Network", "build", "check_fits", "identity", "names", "redraw", "register", "source_hash", "trainable"]


def names() -> list[str]:
    """The networks that can be asked for by name, found from the files of this package."""
    return NETWORKS.names()


def build(network: Network, *, classes: int, seed: int, trained: bool = True) -> nn.Module:
    """Build a network on the CPU in float32, its first weights drawn by ``seed``, or given ones loaded.

    ``trained=False`` leaves given weights, a file's or ImageNet's, unread. The global random state is left as it was.

    Raises:
        WrongInput: A user's code or weights file cannot be used, or ImageNet's weights cannot be had.
    """
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also reseed every GPU, which fork_rng(devices=[]) does not restore.
        torch.default_generator.manual_seed(derived(seed, "weights"))
        if network.code is None:
            assert network.name is not None, "Network has a name or code"
            built = NETWORKS[network.name](classes=classes, width=network.width)
            start_scales(built, network.scales)
        else:
            built = made_by(network.code, classes=classes)
    if trained and network.weights == "imagenet":
        assert network.name is not None, "Network refuses imagenet for code"
        PRETRAINED[network.name].load(built)
    elif trained and network.weights_file is not None:
        load_weights(built, network.weights_file)
    return built


def trainable(network: Network, *, in_dense: bool) -> Trainable:
    """Which parameters a training changes, by name: all, or the new layers' where the network is to be frozen.

    ``in_dense`` says that it is the dense network's training, not one after it.
    """
    if network.freeze == "always" or (network.freeze == "dense" and in_dense):
        assert network.name is not None, "Network refuses freeze for code"
        return PRETRAINED[network.name].is_new
    return everything


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
            start_scales(thin, network.scales)
        thin.to(device)


def source_hash(network: Network) -> str:
    """The sha256 of the file with a user's own network, "" for ours; a weights file is not part of it.

    Raises:
        WrongInput: The code's file cannot be found.
    """
    return "" if network.code is None else source_file_hash(network.code)


def identity(network: Network) -> dict[str, Any]:
    """What tells a network from another, on any machine and ready for JSON.

    A user's files by content, not by place; ImageNet's weights by torchvision's name, so that none are downloaded.

    Raises:
        WrongInput: A user's code or weights file cannot be found.
    """
    weights = None if network.weights_file is None else weights_file_hash(network.weights_file)
    if network.weights == "imagenet":
        weights = PRETRAINED[str(network.name)].entry
    return {**network.model_dump(mode="json"), "source": source_hash(network), "weights": weights}
