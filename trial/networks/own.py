"""A user's own files: the function that makes a network, found by import, and trained weights."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from analysis.errors import WrongInput

__all__ = ["load_weights", "made_by", "source_file_hash", "weights_file_hash"]


def made_by(code: str, *, classes: int) -> nn.Module:
    """Import ``package.module:function`` and call it with ``classes``.

    Raises:
        WrongInput: The module or function is not there, the call fails, it returns no nn.Module, or one whose state
            safetensors cannot hold: entries that are no tensors, or that share memory, as tied weights do.
    """
    function = _imported(code)
    try:
        network = function(classes=classes)
    except Exception as error:
        raise WrongInput(f"{code} could not be called with classes={classes}: {_said(error)}") from error
    if not isinstance(network, nn.Module):
        raise WrongInput(f"{code} must return a torch.nn.Module, it returned a {type(network).__name__}")
    _refuse_unstorable(network, code)
    return network


def load_weights(network: nn.Module, file: Path) -> None:
    """Load every tensor of a safetensors file into the network: no name or shape may differ.

    Raises:
        WrongInput: The file is missing, is not safetensors, or does not fit; the first difference is named.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not file.is_file():
        raise WrongInput(f"network.weights: {file} is not a file; a .safetensors file is accepted")
    try:
        stored = load_file(file)
    except (SafetensorError, OSError) as error:
        raise WrongInput(f"network.weights: {file} is not a readable safetensors file: {_said(error)}") from error
    expected = network.state_dict()
    for name, tensor in expected.items():
        if name not in stored:
            raise WrongInput(f"network.weights: {file} does not fit the network: it lacks {name}")
        if stored[name].shape != tensor.shape:
            raise WrongInput(
                f"network.weights: {file} does not fit the network: {name} has shape {tuple(stored[name].shape)}, "
                f"the network's is {tuple(tensor.shape)}"
            )
    for name in stored:
        if name not in expected:
            raise WrongInput(f"network.weights: {file} does not fit the network: the network has no {name}")
    network.load_state_dict(stored)


def source_file_hash(code: str) -> str:
    """Hash the file of ``code``'s module (sha256, 64 hex digits); what that file imports is not looked at."""
    module = code.partition(":")[0]
    _offer_current_folder()
    try:
        found = importlib.util.find_spec(module)
    except Exception as error:  # looking for a.b runs a, which may raise anything
        raise WrongInput(f"network.code: {module} cannot be imported: {_said(error)}") from error
    if found is None or found.origin is None or not Path(found.origin).is_file():
        raise WrongInput(f"network.code: no file for {module} on Python's path or in {Path.cwd()}")
    return hashlib.sha256(Path(found.origin).read_bytes()).hexdigest()


def weights_file_hash(file: Path) -> str:
    """Hash a file of trained weights (sha256, 64 hex digits); raises WrongInput where it cannot be read."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise WrongInput(f"network.weights: {file} cannot be read: {error.strerror}") from None


def _refuse_unstorable(network: nn.Module, code: str) -> None:
    owners: dict[tuple[str, int], str] = {}
    for name, tensor in network.state_dict().items():
        if is_lazy(tensor):
            raise WrongInput(
                f"network.code: {code} left {name} without a shape: let its function send an image through lazy modules"
            )
        if not isinstance(tensor, Tensor):
            raise WrongInput(
                f"network.code: {code} cannot be stored: {name} of its state is a {type(tensor).__name__}, only "
                "tensors are kept"
            )
        if not tensor.numel():
            continue
        owner = owners.setdefault((str(tensor.device), tensor.untyped_storage().data_ptr()), name)
        if owner != name:
            raise WrongInput(
                f"network.code: {code} cannot be stored: {owner} and {name} share their memory; give each a tensor of "
                "its own"
            )


def _imported(code: str) -> Callable[..., Any]:
    module, _, name = code.partition(":")
    _offer_current_folder()
    try:
        # A file written a moment ago is invisible to the import system's cached folder listings.
        importlib.invalidate_caches()
        function = getattr(importlib.import_module(module), name, None)
    except Exception as error:
        raise WrongInput(f"network.code: {module} cannot be imported: {_said(error)}") from error
    if not callable(function):
        raise WrongInput(f"network.code: {module} has no function {name}")
    return function  # type: ignore[no-any-return]


def _offer_current_folder() -> None:
    # Last, so that a folder of the user's called analysis or trial never shadows ours.
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
