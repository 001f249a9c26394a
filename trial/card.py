"""What is said of an artefact beside it, for a reader who has neither the study nor prunefront."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.schema import DENSE, MEASURES
from trial.described import LINES
from trial.onnx_file import BATCH
from trial.row_recipe import said_in
from trial.rows import Row
from trial.yaml_file import text

__all__ = ["card"]

QUANTISED = {
    "none": "float32, as the weights were trained",
    "dynamic-int8": "weights int8, activations quantised while it runs, by the range of a whole batch: its logits "
    f"depend a little on the batch, and were taken {BATCH} images at a time",
    "static-int8": "weights int8, a scale for each output channel; activations uint8, their ranges calibrated on "
    "training images (QDQ). An x86 CPU without VNNI may saturate sums and be less accurate",
    "float16": "float16 inside, float32 in and out; most CPUs compute it in float32",
}


def card(
    row: Row,
    *,
    measured: Mapping[str, Any],
    classes: Sequence[str],
    image: Sequence[int],
    mean: Sequence[float],
    std: Sequence[float],
    zeros: float,
) -> str:
    """The card in Markdown.

    Args:
        row: The trial's.
        measured: What was taken of the files as they were read back, by name.
        classes: The names of the classes, in the order of the logits.
        image: The shape of one image, (C, H, W).
        mean: Of each channel, pixels taken as [0, 1].
        std: Likewise.
        zeros: The share of zeros among the weights in model.safetensors, in [0, 1].
    """
    how = row.get("quantisation") or "none"
    constants = f"mean, std = [np.array(x, np.float32).reshape(-1, 1, 1) for x in ({list(mean)}, {list(std)})]"
    normalise = "images = ((pixels / np.float32(255) - mean) / std).astype(np.float32)"
    size = ", ".join(map(str, image))
    said = said_in(row)
    recipe = "Not pruned: the dense network." if row["method"] == DENSE else f"```yaml\n{text(said)}```"
    return f"""# {row["network"]} on {row["data"]}, trial {row["trial"]}

model.onnx is what was measured: {QUANTISED[how]}.
model.safetensors has the thin network's weights in float32, before any quantisation, and describes its layers.

## Numbers
| measure | value |
| --- | --- |
{_numbers(row, measured)}

{_zeros(row, zeros)}

## Recipe
{recipe}
recipe.yaml holds it with network, data and training: `prunefront trial recipe.yaml --study FOLDER` makes it again.

## Data
{row["data"]}, images of shape ({size}) in {len(classes)} classes: {", ".join(classes)}.
val_accuracy is on images that were held out of the training part; the search saw it. The test part was not opened.
Pixels are divided by 255, and normalised by the training part's mean and standard deviation of each channel.

## How to load it
`pixels` are uint8, shape (N, {size}); `logits` come in the order of the classes.
```python
import numpy as np
{constants}
{normalise}
```
ONNX Runtime and numpy:
```python
import onnxruntime
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
logits = session.run(["logits"], {{"images": images}})[0]
```
torch and safetensors, the float32 network, with `images = torch.from_numpy(images)`; no code is loaded:
```python
import json, safetensors, torch
{LINES}logits = values["logits"]
```
"""


def _numbers(row: Row, measured: Mapping[str, Any]) -> str:
    lines = []
    for column in MEASURES:
        value = measured.get(column.name, row.get(column.name))
        if value is not None:
            shown = f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
            lines.append(f"| {column.label} (`{column.name}`) | {shown}{f' {column.unit}' if column.unit else ''} |")
    return "\n".join(lines)


def _zeros(row: Row, zeros: float) -> str:
    """What zeros among the weights are worth: less to store, and nothing to compute."""
    if zeros < 0.01:
        return "Hardly any stored weight is zero: what was cut is gone from the shapes, which saves bytes and time."
    return (
        f"{zeros:.1%} of the stored weights are zero. They pay in the gzipped size ({row['gzip_bytes']:,} of "
        f"{row['bytes']:,} bytes), not in latency: a zero is multiplied like any other number."
    )
