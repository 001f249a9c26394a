"""How wide each layer of a network was and is, from the stages that its study keeps."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis import curves
from analysis.errors import WrongInput
from analysis.object_path import each, scan

__all__ = ["widths"]

STAGES = "stages"
LONGEST = 10**7
"""A header of safetensors is no longer, in bytes: what says so is something else."""

Layer = tuple[str, int, int]


def widths(study: Path, trials: Sequence[str]) -> dict[str, list[Layer]]:
    """Trial → its layers, each with its output channels before the first cut and after the last.

    Known of trials whose dense network and last cut are in ``STUDY/stages`` still, and whose cuts took whole channels;
    all others are left out. Channels that are held at zero count as gone.
    """
    try:
        keys = {entry.name[:16]: entry.name for entry in scan(study / STAGES)}
    except OSError:
        return {}
    dense: dict[str, dict[str, int]] = {}

    def of(trial: str) -> list[Layer]:
        try:
            spans = curves.of_trial(study, trial)["spans"]
            last = {span["stage"]: study / STAGES / keys[span["key"]] for span in spans if span["key"] in keys}
            if not last.keys() >= {"dense", "cut"}:
                return []
            whole = dense.get(last["dense"].name) or dense.setdefault(last["dense"].name, _outputs(last["dense"]))
            left = _outputs(last["cut"])
            past = json.loads((last["cut"] / "manifest.json").read_bytes())["record"].get("past") or {}
            at_zero = {layer: len(places) for layer, places in past.get("channels", {}).items()}
        except (OSError, WrongInput, ValueError, KeyError, TypeError, AttributeError, struct.error):
            return []  # a stage that was pruned, or is being: the page is about more than this
        ordered = [name for name in (*past.get("sizes", {}), *whole) if name in whole and name in left]
        layers = [(name, whole[name], left[name] - at_zero.get(name, 0)) for name in dict.fromkeys(ordered)]
        return layers if any(before != after for _, before, after in layers) else []

    found = zip(trials, each(of, trials, at=study), strict=True)
    return {trial: layers for trial, layers in found if layers}


def _outputs(stage: Path) -> dict[str, int]:
    """Layer → output channels, of every layer that has a matrix of weights, ``features.10`` after ``features.9``."""
    with (stage / "tensors.safetensors").open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > LONGEST:
            raise ValueError("it is not a file of safetensors")
        header: dict[str, Any] = json.loads(file.read(length))
    shapes = {name: tensor["shape"] for name, tensor in header.items() if name.endswith(".weight")}
    layers = [(name.removesuffix(".weight"), shape[0]) for name, shape in shapes.items() if len(shape) > 1]
    return dict(sorted(layers, key=lambda layer: _natural(layer[0])))


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split(".")]
