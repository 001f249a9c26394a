"""How much memory a forward pass needs, counted and not observed: the same number on every machine."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from methods.core.modes import in_eval_mode

__all__ = ["peak_memory"]


def peak_memory(network: nn.Module, *, image: Sequence[int]) -> int:
    """The largest number of bytes alive at once in the forward pass of one image, in eval and inference mode.

    Parameters, buffers, the image and activations; each storage counts once and whole, however many views there are
    of it, from its first use to the end of its last reference. Sizes are those of the tensors as they are stored,
    contiguous, in the network's own type. While an operation runs, what it reads and what it returns are both there:
    ReLU in place needs one tensor less than ReLU. What an operation takes inside itself is not seen: a convolution's
    workspace, a copy in another memory layout, max pooling's indices; nor is what an allocator keeps or rounds up.

    Args:
        network: On any device; it is left as it was.
        image: The image's shape, (C, H, W).
    """
    device = next(network.parameters()).device
    # A flatten of a channels-last tensor copies it: the study's memory layout would be part of the number.
    plain = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    counter = _StorageCounter()
    with in_eval_mode(plain), torch.inference_mode():
        counter.see((*plain.parameters(), *plain.buffers()))
        example = torch.zeros(1, *image, device=device)
        counter.see((example,))
        with counter:
            plain(example)
    return counter.peak


class _StorageCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own __init_subclass__
    """Counts the bytes of the storages that it has seen and that are alive, and keeps the largest count."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._alive: dict[int, int] = {}
        self._entries = 0
        self._entry: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()

    def see(self, tensors: Sequence[Any]) -> None:
        """Count the tensors' storages, those in place resized anew, and note the peak."""
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                continue
            # Torch gives the same object for a storage as long as that lives, and drops it with the storage.
            storage = tensor.untyped_storage()
            if storage not in self._entry:
                self._entries += 1
                self._entry[storage] = self._entries
                weakref.finalize(storage, self._alive.pop, self._entries, None)
            self._alive[self._entry[storage]] = storage.nbytes()
        self.peak = max(self.peak, sum(self._alive.values()))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.see(tree_leaves((args, kwargs, result)))
        return result
