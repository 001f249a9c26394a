"""How fast a network trains once channels are gone, against the dense one and against one whose channels are masked."""

from collections.abc import Iterator
from fractions import Fraction

import torch
from torch import nn

import methods
from benchmarks import in_turn, made_up, ratio
from methods.core.knobs import parse
from methods.core.mask import Mask
from methods.core.method import Evidence, Method
from methods.core.removal import remove
from trial.augmentation import normalised
from trial.data import Splits
from trial.memory import keep_freed_memory
from trial.networks import Network, build
from trial.training import Training, train

NETWORK = Network(name="vgg16-bn", width=0.5)
IMAGES = 1_280
TARGETS = {Fraction(1, 2): 0.35, Fraction(7, 10): 0.20}


def figures() -> Iterator[str]:
    """Ratios of an epoch's seconds in float32 on one thread, after filter-l1 cut the same share of every layer."""
    # What a trial has beside another on two cores. Threads share the small layers of a thin network badly.
    torch.set_num_threads(1)
    keep_freed_memory()
    splits = made_up(IMAGES)
    for share, target in TARGETS.items():
        dense, thin, masked, mask = _three(splits, share)
        found = in_turn(
            {
                "dense": lambda: _epoch(dense, splits),  # noqa: B023
                "thin": lambda: _epoch(thin, splits),  # noqa: B023
                "masked": lambda: _epoch(masked, splits, mask),  # noqa: B023
            }
        )
        what = f"vgg16-bn × {NETWORK.width:g}, an epoch with {float(share):.0%} of the channels"
        yield f"{what} removed takes {ratio(found['thin'], found['dense'])} of the dense epoch (target {target:g})"
        yield f"{what} masked takes {ratio(found['masked'], found['dense'])} of the dense epoch"


def _three(splits: Splits, share: Fraction) -> tuple[nn.Module, nn.Module, nn.Module, Mask]:
    """The dense network, the one with channels removed, and the one with the same channels held at zero."""
    images = normalised(splits.train.images[:2], splits)
    owner = methods.method("filter-l1", where="benchmark")
    method: Method = parse(owner, {"ratio": float(share)}, what="filter-l1", where="benchmark")
    cut = method.cut(_built(), Evidence(images, splits.train.labels[:2], 0), ratio=share)
    thin, _ = remove(_built(), cut, images)
    masked = _built()
    mask = Mask.of_channels(masked, cut, images)
    mask.zero_weights(masked)
    return _built(), thin.to(memory_format=torch.channels_last), masked, mask  # type: ignore[call-overload]


def _built() -> nn.Module:
    network = build(NETWORK, classes=10, seed=0).eval()
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _epoch(network: nn.Module, splits: Splits, mask: Mask | None = None) -> None:
    held = (mask or Mask({})).on(network)
    train(
        network,
        splits,
        Training(epochs=1, rate=1e-3),
        seed=0,
        before_step=held.zero_gradients,
        after_step=held.zero_weights,
    )
