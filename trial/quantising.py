"""Quantisation of an ONNX file, by ONNX Runtime's own tools."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from analysis.errors import WrongInput
from methods.core.knobs import Whole
from trial.onnx_file import BATCH, INPUT, Floats, read, written

__all__ = ["DynamicInt8", "Float16", "None_", "Quantisation", "StaticInt8", "quantised"]


@dataclass(frozen=True, kw_only=True)
class None_:  # noqa: N801  # its name is `none`
    """float32, as it was trained."""


@dataclass(frozen=True, kw_only=True)
class DynamicInt8:
    """Weights of convolutions and matrix products int8, one scale a tensor; activations as they come.

    The scale of activations is that of a whole batch, and is found while the file runs: slower than float32 on some
    CPUs, for convolutions above all.
    """


@dataclass(frozen=True, kw_only=True)
class StaticInt8:
    """Weights int8, symmetric, a scale for each output channel; activations uint8, their ranges calibrated; QDQ.

    The range of an activation is from its smallest to its largest value over ``calibration_images`` of the training
    part. On an x86 CPU without VNNI instructions sums of products may saturate, and accuracy differ from elsewhere.
    """

    calibration_images: Annotated[int, Whole(1, 1_000_000, grid=(32, 128, 512))] = 128


@dataclass(frozen=True, kw_only=True)
class Float16:
    """Weights and activations float16; what goes in and comes out stays float32.

    CPUs mostly compute it in float32, converting on the way: smaller, not faster, and nothing overflows there that may
    elsewhere.
    """


Quantisation = None_ | DynamicInt8 | StaticInt8 | Float16


def quantised(model: bytes, how: Quantisation, *, images: Floats | None = None) -> bytes:
    """A float32 file of `trial.onnx_file.exported`, quantised; equal bytes for equal arguments.

    Args:
        model: The file.
        how: In which way; ``None_`` gives the file itself.
        images: Normalised, (N, C, H, W), N ≥ 1: what ``StaticInt8`` calibrates on, all of them. Others need none.

    Raises:
        WrongInput: The file is damaged or foreign, or there is nothing to calibrate on.
    """
    from onnx import load_model

    if isinstance(how, None_):
        return model
    if isinstance(how, StaticInt8) and (images is None or not len(images)):
        raise WrongInput("static-int8 needs images of the training part to calibrate on, got none (images)")
    proto = read(model)
    with tempfile.TemporaryDirectory(prefix="prunefront-") as folder, _own_path():
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
        from onnxruntime.quantization.onnx_model import ONNXModel
        from onnxruntime.quantization.quant_utils import add_pre_process_metadata

        # Folded and with known shapes already; without this mark the tools warn by way of logging's root.
        add_pre_process_metadata(proto)
        out = Path(folder) / "quantised.onnx"
        match how:
            case Float16():
                from onnxruntime.transformers.float16 import convert_float_to_float16

                converted = ONNXModel(convert_float_to_float16(proto, keep_io_types=True))
                converted.topological_sort()  # its casts are at the end, and a file's operators are to be in order
                return written(converted.model)
            case DynamicInt8():
                quantize_dynamic(proto, out, weight_type=QuantType.QInt8)
            case StaticInt8():
                assert images is not None
                quantize_static(
                    proto,
                    out,
                    _Reader(images),
                    quant_format=QuantFormat.QDQ,
                    per_channel=True,
                    activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8,
                )
        return written(load_model(out))


class _Reader:
    """Hands images to the calibration, a batch at a time: what ONNX Runtime calls a CalibrationDataReader."""

    def __init__(self, images: Floats) -> None:
        self._batches = (images[start : start + BATCH] for start in range(0, len(images), BATCH))

    def get_next(self) -> dict[str, Floats] | None:
        """The next batch, None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}

    def __iter__(self) -> Iterator[dict[str, Floats]]:
        return iter(self.get_next, None)


@contextmanager
def _own_path() -> Iterator[None]:
    """ONNX Runtime's tools put their folder on the path for imports, with a ``metrics`` and more in it."""
    before = list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = before
