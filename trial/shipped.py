"""The stages of what ships: a finished network as an ONNX file, quantised, and what is measured of the file."""

from __future__ import annotations

import gzip
from copy import deepcopy
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from methods.core.knobs import flat, option_name
from trial import gates
from trial.augmentation import normalised
from trial.cutting import drawn, examples
from trial.data import Splits
from trial.measures import train_sample
from trial.onnx_file import BATCH, OPSET, Floats, exported, logits, session, stored_tensors
from trial.quantising import Quantisation, StaticInt8, quantised
from trial.store import Product
from trial.training import evaluate

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["FromFile", "calibration", "export", "file_of", "measured", "quantise", "settings_of"]

ONNX = "onnx"
"""The tensor of a product that holds a file's bytes."""


class FromFile(nn.Module):
    """An ONNX file called as a network is: what ONNX Runtime computes on the CPU, ``BATCH`` images at a time."""

    def __init__(self, opened: InferenceSession) -> None:
        super().__init__()
        self._opened = opened

    def forward(self, images: Tensor) -> Tensor:
        """Logits, shape (N, classes), of normalised images, on their device."""
        return torch.from_numpy(logits(self._opened, _floats(images))).to(images.device)


def export(network: nn.Module, splits: Splits, *, seed: int, threads: int) -> Product:
    """Write the network as a float32 file, and see that the file computes it.

    Raises WrongInput where it cannot be exported, ExportDiffers where the file computes something else.
    """
    # On the CPU: a GPU's convolutions may round to fewer bits.
    images, plain = examples(splits, seed=seed).cpu(), deepcopy(network).cpu().eval()
    model = exported(plain, image=splits.train.images.shape[1:])
    with torch.inference_mode():
        gates.export_agrees(plain(images), FromFile(session(model, threads=threads))(images))
    return _product(model, {})


def quantise(float32: Product, splits: Splits, how: Quantisation, *, seed: int, threads: int) -> Product:
    """Quantise an exported file, see that it is stored whole, and measure it.

    Raises GateFailed where a logit is no number, or where the file as it is read back computes something else.
    """
    images = examples(splits, seed=seed)
    model = quantised(file_of(float32), how, images=calibration(splits, how, seed=seed))
    made = FromFile(session(model, threads=threads))(images)
    gates.finite_logits(made, what=f"the {option_name(type(how))} network")
    stored = _product(model, {})
    back = file_of(Product.from_bytes(stored.to_bytes(), {}))
    gates.file_loads_back(made, FromFile(session(back, threads=threads))(images))
    return _product(model, measured(model, splits, threads=threads))


def measured(model: bytes, splits: Splits, *, threads: int) -> dict[str, float | int]:
    """The measures that a file has of its own; all others are those of the network that it was made of."""
    network = FromFile(session(model, threads=threads))
    loss, accuracy = evaluate(network, splits.validation, splits, batch=BATCH)
    stored = stored_tensors(model)
    return {
        "val_accuracy": accuracy,
        "val_loss": loss,
        "train_accuracy": evaluate(network, train_sample(splits), splits, batch=BATCH)[1],
        "bytes": len(stored),
        "gzip_bytes": len(gzip.compress(stored, compresslevel=6, mtime=0)),
    }


def calibration(splits: Splits, how: Quantisation, *, seed: int) -> Floats | None:
    """The normalised training images that a quantisation calibrates on, drawn by seed; None where it needs none.

    Raises ValueError where there are fewer.
    """
    if not isinstance(how, StaticInt8):
        return None
    if how.calibration_images > len(splits.train):
        raise ValueError(
            f"static-int8 is to calibrate on {how.calibration_images} images, and the training part has "
            f"{len(splits.train)}: a smaller calibration_images"
        )
    return _floats(normalised(drawn(splits, how.calibration_images, seed=seed).images, splits))


def file_of(product: Product) -> bytes:
    """The ONNX file that a product holds."""
    return bytes(product.tensors[ONNX].cpu().numpy().tobytes())


def settings_of(how: Quantisation | None = None) -> dict[str, Any]:
    """What a file depends on besides its network: ready for a stage's key. None is the float32 file."""
    said = {} if how is None else {"quantisation": option_name(type(how)), **flat(how)}
    return {"opset": OPSET, "libraries": _libraries(), **said}


@cache
def _libraries() -> dict[str, str]:
    """Versions, major.minor, of whatever writes files; asked of their metadata, as an import takes a second."""
    names = ("onnx", "onnxscript", "onnxruntime")
    return {name: ".".join(metadata.version(name).split(".")[:2]) for name in names}


def _product(model: bytes, record: dict[str, Any]) -> Product:
    return Product({ONNX: torch.from_numpy(np.frombuffer(model, np.uint8).copy())}, record=record)


def _floats(images: Tensor) -> Floats:
    return images.detach().float().cpu().contiguous().numpy()
