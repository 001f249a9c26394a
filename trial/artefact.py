"""The files that a trial is shipped as: written, read back and checked before they are called done.

``artefacts/TRIAL/`` holds recipe.yaml, model.safetensors, model.onnx, card.md and, last, status.json.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from analysis.durable import sweep, write_durably
from analysis.errors import WorkFailed, WrongInput
from analysis.schema import ARTEFACTS, DENSE
from methods.core.units import weighted_layers
from trial import described, quiet
from trial.card import card
from trial.cutting import examples
from trial.data import Splits
from trial.numerics import computing
from trial.onnx_file import BATCH, session
from trial.row_recipe import recipe_of, said_in
from trial.rows import Row
from trial.shipped import FromFile, measured
from trial.training import evaluate
from trial.version import VERSION
from trial.workbench import Workbench
from trial.yaml_file import text

__all__ = [
    "CARD",
    "MODEL",
    "RECIPE",
    "STATUS",
    "TOLERANCE",
    "WEIGHTS",
    "ArtefactDiffers",
    "Status",
    "header",
    "load",
    "make",
    "status",
]

RECIPE, WEIGHTS, MODEL, CARD, STATUS = "recipe.yaml", "model.safetensors", "model.onnx", "card.md", "status.json"
TOLERANCE = 1e-4
"""How far float32 logits may lie from the network's, relative to the largest."""
OF_ACCURACY = 0.005
"""How far a file's accuracy may lie from the row's, and float16's from float32's."""

Status = dict[str, Any]


class ArtefactDiffers(RuntimeError):
    """A file that was read back does not compute what its row says."""


def status(study: Path, trial: str) -> Status | None:
    """What became of a trial's artefact: ``state`` done or failed, with ``error``, figures and the files' checksums.

    None where it was not made, or not to its end, or where a file of it is gone or has another size.
    """
    folder = study / ARTEFACTS / trial
    try:
        said: Status = json.loads((folder / STATUS).read_bytes())
        files = {"done": (RECIPE, WEIGHTS, MODEL, CARD), "failed": ()}[said["state"]]
        is_whole = all((folder / name).stat().st_size == said["files"][name]["bytes"] for name in files)
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None
    return said if is_whole else None


def load(folder: Path) -> nn.Module:
    """The thin float32 network of an artefact, built from its file alone: no code of the recipe's, none of the file's.

    Raises WrongInput where the artefact is damaged or is none.
    """
    path = folder / WEIGHTS
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise WrongInput(f"{folder} is no artefact: it has no {WEIGHTS}") from None
    return described.load(data, where=str(path)).eval()


def make(bench: Workbench, row: Row, study: Path) -> Status:
    """Write the artefact of a complete trial, read it back and compare; what it dies of is in its status.

    The trial's stages are got from the study's store, and made where that lacks them. Logits of float32 files are
    those of the network within 1e-4 of the largest; the accuracy of ``model.onnx`` is the row's, and that of float16
    the float32 network's, within .005. Raises OSError where it cannot be written.
    """
    folder = study / ARTEFACTS / row["trial"]
    folder.mkdir(parents=True, exist_ok=True)
    made: Status = {"trial": row["trial"], "quantisation": row.get("quantisation") or "none", "version": VERSION}
    files: dict[str, bytes] = {}
    try:
        numerics = bench.experiment.numerics
        with quiet.at_work(), computing(numerics.precision, threads=numerics.threads):
            files, figures = _made(bench, row, study, folder)
        made |= figures | {"state": "done", "error": None}
    except (OSError, WorkFailed):
        raise
    except Exception as error:  # whatever an artefact dies of is its status, not the others' end
        made |= {"state": "failed", "error": f"{type(error).__name__}: {error}"}
    made["files"] = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()
    }
    write_durably(folder / STATUS, json.dumps(made, indent=1, allow_nan=False).encode())
    return made


def header(row: Row, splits: Splits) -> dict[str, str]:
    """What model.safetensors says of its network besides the layers: JSON where it is no name."""
    return {
        "trial": row["trial"],
        "network": str(row["network"]),
        "width": str(row["width"]),
        "classes": json.dumps(splits.classes),
        "image": json.dumps(list(splits.train.images.shape[1:])),
        "mean": json.dumps(splits.mean.tolist()),
        "std": json.dumps(splits.std.tolist()),
    }


def _made(bench: Workbench, row: Row, study: Path, folder: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Write the files and compare what is read back; the files and the figures that were found."""
    is_dense = row["method"] == DENSE
    recipe = None if is_dense else recipe_of(row, bench.experiment, fingerprint=bench.fingerprint, study=study)
    network, model = bench.deployable(recipe)
    splits = bench.splits
    image = list(splits.train.images.shape[1:])
    mean, std = splits.mean.tolist(), splits.std.tolist()
    experiment = bench.experiment.model_dump(mode="json")
    files = {
        RECIPE: text((said_in(row) if recipe else {}) | experiment).encode(),
        WEIGHTS: described.to_bytes(network, image=image, about=header(row, splits)),
        MODEL: model,
    }
    for name in (*files, CARD, STATUS):
        sweep(folder / name)  # of makers who were killed
    for name, data in files.items():
        write_durably(folder / name, data)
    figures = _compared(bench, row, network, folder)
    files[CARD] = card(
        row,
        measured=figures["measured"],
        classes=splits.classes,
        image=image,
        mean=mean,
        std=std,
        zeros=_zeros(network),
    ).encode()
    write_durably(folder / CARD, files[CARD])
    return files, figures


def _compared(bench: Workbench, row: Row, network: nn.Module, folder: Path) -> dict[str, Any]:
    """The figures of the files as they lie in the folder; raises ArtefactDiffers where one is not right."""
    splits, threads = bench.splits, bench.experiment.numerics.threads
    how = row.get("quantisation") or "none"
    images = examples(splits, seed=bench.experiment.seed).cpu()
    model = (folder / MODEL).read_bytes()
    opened = FromFile(session(model, threads=threads, where=str(folder / MODEL)))
    with torch.inference_mode():
        plain = network.cpu().eval()
        truth = plain(images)
        weights = _difference(load(folder)(images), truth)
        file = _difference(opened(images), truth)
    network.to(bench.device)
    figures: dict[str, Any] = {"weights_difference": weights, "onnx_difference": file}
    for name, found, holds in ((WEIGHTS, weights, True), (MODEL, file, how == "none")):
        if holds and not found <= TOLERANCE:
            raise ArtefactDiffers(
                f"logits of {name} differ from the network's by {found:.1e} of the largest, more than {TOLERANCE:.0e}"
            )
    taken = measured(model, splits, threads=threads)
    figures["measured"] = taken if how != "none" else {"val_accuracy": taken["val_accuracy"]}
    accuracy = taken["val_accuracy"]
    if how == "float16":
        float32 = evaluate(network, splits.validation, splits, batch=BATCH)[1]
        figures["float32_val_accuracy"] = float32
        if abs(accuracy - float32) > OF_ACCURACY:
            raise ArtefactDiffers(
                f"{MODEL} has a validation accuracy of {accuracy:.4f} in float16, {float32:.4f} in float32: more than "
                f"{OF_ACCURACY} apart"
            )
    if abs(accuracy - row["val_accuracy"]) > OF_ACCURACY:
        raise ArtefactDiffers(
            f"{MODEL} has a validation accuracy of {accuracy:.4f}, its row says {row['val_accuracy']:.4f}"
        )
    return figures


def _difference(logits: Tensor, truth: Tensor) -> float:
    return float((logits - truth).abs().max() / truth.abs().max().clamp_min(1e-12))


def _zeros(network: nn.Module) -> float:
    """The share of zeros among the weights of convolutions and linear layers."""
    weights = [layer.weight.detach() for layer in weighted_layers(network)]
    return sum(int((weight == 0).sum()) for weight in weights) / max(1, sum(weight.numel() for weight in weights))
