"""One trial's network as a file of the user's choosing: ``prunefront export STUDY TRIAL --to onnx``."""

from __future__ import annotations

import io
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from analysis.durable import write_durably
from analysis.errors import WorkFailed, WrongInput, nearest
from analysis.schema import DENSE
from methods.core.knobs import option_name
from trial import described
from trial.artefact import TOLERANCE, header
from trial.cutting import examples
from trial.experiment import Experiment
from trial.frozen import frozen
from trial.numerics import computing
from trial.onnx_file import OPSETS, exported, session
from trial.plan import NONE
from trial.quantising import DynamicInt8, Float16, None_, Quantisation, StaticInt8, quantised
from trial.row_recipe import recipe_of
from trial.rows import Row
from trial.shipped import FromFile, calibration, measured
from trial.workbench import Workbench

__all__ = ["ENDINGS", "export"]

ENDINGS = {"onnx": "onnx", "safetensors": "safetensors", "pt2": "pt2"}
"""What a network is written as, and how such a file's name ends."""
WAYS: tuple[type[Quantisation], ...] = (None_, DynamicInt8, StaticInt8, Float16)


def export(
    study: Path,
    row: Row,
    *,
    to: str,
    quantise: str | None = None,
    opset: int | None = None,
    check: bool = False,
    out: Path | None = None,
) -> dict[str, Any]:
    """Write the network of a complete trial as one file; where it lies, and what a check found.

    Its stages are got from the study's store, and made where that lacks them.

    Args:
        study: The study's folder.
        row: The trial's.
        to: ``onnx`` takes normalised ``images`` (batch, C, H, W) and gives ``logits`` (batch, classes); ``safetensors``
            describes the thin float32 network, see `trial.described`; ``pt2`` is torch.export's.
        quantise: How an ONNX file is quantised; None is as the recipe says.
        opset: Of ONNX's operators; None is the fixed one.
        check: Load what is written, compare float32 logits with the network's, and measure an ONNX file's accuracy;
            where that fails nothing is written.
        out: The file; None is TRIAL.ENDING here.

    Raises:
        WrongInput: A kind, quantisation or opset that is not known, one that does not go with the kind, or a network
            that cannot be exported.
        WorkFailed: The check found another network in what would be written, or the file cannot be written.
    """
    _check_given(to, quantise=quantise, opset=opset)
    path = out or Path(f"{row['trial']}.{ENDINGS[to]}")
    if path.exists() and not path.is_file():
        raise WrongInput(f"{path} is there, and no file (--out)")
    if not path.parent.is_dir():
        raise WrongInput(f"{path.parent} is no folder (--out)")
    known = frozen(study)
    if known is None:
        raise WrongInput(f"{study} has no spec.yaml and no experiment.yaml, which say how its networks were trained")
    # Nothing is timed for a file.
    experiment: Experiment = known[0].model_copy(update={"latency": Experiment.model_fields["latency"].default})
    worker = f"{socket.gethostname()}:{os.getpid()}"
    bench = Workbench(experiment, study, study_name=study.resolve().name, worker=worker)
    recipe = None
    if row["method"] != DENSE:
        recipe = recipe_of(row, experiment, fingerprint=bench.fingerprint, study=study)
    how = _how(quantise, NONE if recipe is None else recipe.course.quantisation)
    if recipe is not None:  # the thin network, whatever comes after
        recipe = replace(recipe, course=replace(recipe.course, quantisation=NONE))
    network, _ = bench.network(recipe)
    network = network.cpu().eval()
    image = bench.splits.train.images.shape[1:]
    threads = experiment.numerics.threads
    with computing("float32", threads=threads):
        if to == "onnx":
            try:
                images = calibration(bench.splits, how, seed=experiment.seed)
            except ValueError as error:
                raise WrongInput(f"{error} (--quantise)") from None
            data = quantised(exported(network, image=image, opset=opset), how, images=images)
        elif to == "safetensors":
            data = described.to_bytes(network, image=image, about=header(row, bench.splits))
        else:
            buffer = io.BytesIO()
            torch.export.save(described.program(network, image=image), buffer)
            data = buffer.getvalue()
        told: dict[str, Any] = {"file": str(path), "bytes": len(data), "to": to, "quantisation": option_name(type(how))}
        if check:
            told |= _checked(data, network, bench, to=to, how=how, where=str(path))
        try:
            write_durably(path, data)
        except OSError as error:
            raise WorkFailed(f"{path} cannot be written: {error.strerror or error} (--out)") from error
        return told


def _check_given(to: str, *, quantise: str | None, opset: int | None) -> None:
    if to not in ENDINGS:
        raise WrongInput(f"--to {to}: {nearest(to, ENDINGS)}")
    for said, value in (("--quantise", quantise), ("--opset", opset)):
        if value is not None and to != "onnx":
            raise WrongInput(f"{said} belongs to --to onnx, got --to {to}: leave it out")
    if opset is not None and opset not in OPSETS:
        raise WrongInput(f"opset must lie in [{OPSETS[0]}, {OPSETS[-1]}], got {opset} (--opset)")


def _how(typed: str | None, recipes: Quantisation) -> Quantisation:
    """The quantisation typed, with the recipe's settings where it is the recipe's, else with its defaults."""
    if typed is None or typed == option_name(type(recipes)):
        return recipes
    for way in WAYS:
        if typed == option_name(way):
            return way()
    raise WrongInput(f"--quantise {typed}: {nearest(typed, [option_name(way) for way in WAYS])}")


def _checked(
    data: bytes, network: nn.Module, bench: Workbench, *, to: str, how: Quantisation, where: str
) -> dict[str, Any]:
    """Load a file's bytes, compare with the network, and measure them; raises WorkFailed where they are another one."""
    threads, splits = bench.experiment.numerics.threads, bench.splits
    images = examples(splits, seed=bench.experiment.seed).cpu()
    found: dict[str, Any] = {}
    back: Any
    if to == "onnx":
        back = FromFile(session(data, threads=threads, where=where))
        found = {"val_accuracy": measured(data, splits, threads=threads)["val_accuracy"]}
    elif to == "safetensors":
        back = described.load(data, where=where)
    else:
        back = torch.export.load(io.BytesIO(data)).module()
    with torch.inference_mode():
        truth: Tensor = network(images)
        found["difference"] = float((back(images) - truth).abs().max() / truth.abs().max().clamp_min(1e-12))
    if how == NONE and not found["difference"] <= TOLERANCE:
        raise WorkFailed(
            f"logits of {where} differ from the network's by {found['difference']:.1e} of the largest, more than "
            f"{TOLERANCE:.0e}"
        )
    return found
