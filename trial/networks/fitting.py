"""Whether a network and the images of a data set fit together, found out before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from analysis.errors import WrongInput
from methods.core.modes import in_eval_mode

__all__ = ["check_fits"]


def check_fits(network: nn.Module, *, image: Sequence[int], classes: int, called: str) -> None:
    """Raise WrongInput where a network does not make one logit per class of an image, or has nothing to train.

    Args:
        network: On the CPU; it is left as it was.
        image: An image's shape, (C, H, W).
        classes: How many there are.
        called: The network's name in messages.
    """
    shape = "×".join(map(str, image))
    try:
        with in_eval_mode(network), torch.no_grad():
            logits = network(torch.zeros(1, *image))
    except Exception as error:  # a user's own network may raise anything
        said = " ".join(str(error).split())
        raise WrongInput(
            f"{called} cannot take images of {shape}: {said:.200} (set data.size to what it takes, or take another "
            "network)"
        ) from error
    if not isinstance(logits, Tensor):
        raise WrongInput(f"{called} must return a tensor of logits, it returned a {type(logits).__name__}")
    if logits.shape != (1, classes) or not logits.is_floating_point():
        raise WrongInput(
            f"{called} must return logits of shape (1, {classes}) for one image of {shape} and {classes} classes, it "
            f"returned {tuple(logits.shape)} of {logits.dtype}"
        )
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise WrongInput(f"{called} has no parameter that asks for a gradient: nothing of it could be trained")
