"""Weights trained on ImageNet that some of our networks can start from, as torchvision publishes them."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from analysis.errors import WrongInput
from trial.registry import Registry

__all__ = ["PRETRAINED", "Pretrained"]


@dataclass(frozen=True)
class Pretrained:
    """Published weights of all layers of a network but the new ones on top.

    ``entry`` is torchvision's name for them. The file at ``url`` ends its name with the first digits of its sha256.
    ``new`` are the prefixes of the tensors that are not in it.
    """

    entry: str
    url: str
    new: tuple[str, ...]

    @property
    def file(self) -> Path:
        """Where torch keeps the file on this machine: below TORCH_HOME, else the user's cache."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.url.rpartition("/")[2]

    def is_new(self, name: str) -> bool:
        """Whether a parameter or buffer belongs to the layers on top."""
        return name.startswith(self.new)

    def load(self, network: nn.Module) -> None:
        """Load the weights into a network on the CPU, downloaded unless torch's cache has them.

        Raises:
            WrongInput: They cannot be downloaded, or the file in the cache is another one.
        """
        if not self.file.exists():
            self._download()
        self._check()
        stored = torch.load(self.file, map_location="cpu", weights_only=True)
        odd = stored.keys() ^ {name for name in network.state_dict() if not self.is_new(name)}
        assert not odd, f"{self.entry} has not the tensors of our network: {sorted(odd)}"
        network.load_state_dict(stored, strict=False)

    def _download(self) -> None:
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            # Written under another name first: workers that download at once do not meet a half-written file.
            torch.hub.download_url_to_file(
                self.url, str(self.file), hash_prefix=self._digits, progress=sys.stderr.isatty()
            )
        except Exception as error:  # what urllib raises when a network fails has no common base
            said = " ".join(str(error).split())
            raise WrongInput(
                f"network.weights: imagenet could not be downloaded from {self.url} ({said}): put that file at "
                f"{self.file}, or give a .safetensors file of the whole network, or leave weights out to train from "
                "random ones"
            ) from error

    def _check(self) -> None:
        try:
            with self.file.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise WrongInput(f"network.weights: {self.file} cannot be read: {error.strerror}") from None
        if not found.startswith(self._digits):
            raise WrongInput(
                f"network.weights: {self.file} is not {self.entry}: its sha256 begins with {found[:8]}, not "
                f"{self._digits}: remove it, or put the file of {self.url} there"
            )

    @property
    def _digits(self) -> str:
        return self.file.stem.rpartition("-")[2]


PRETRAINED: Registry[Pretrained] = Registry("trial.networks", noun="network with ImageNet weights")
