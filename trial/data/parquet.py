"""Images in Parquet files as the Hugging Face hub lays them out."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from analysis.errors import WrongInput
from trial.data.source import Augmentation, Decoded, Part, register

if TYPE_CHECKING:
    import pyarrow.parquet as pq

    from trial.data.settings import Data

__all__ = ["Parquet", "decode_parquet", "parquet_files"]

SIDE = 32
IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMNS = ("label", "labels")


@register("parquet")
class Parquet:
    """A folder with ``train.parquet`` and ``test.parquet``, or several ``train-*.parquet`` and ``test-*.parquet``.

    Columns: ``img`` or ``image``, a struct whose ``bytes`` are an encoded RGB image of 32×32 pixels; ``label`` or
    ``labels``, integers from 0. Class names are read from the schema's metadata, else they are the numbers, and then
    each number from 0 to the largest must occur.
    """

    # Whether a mirrored image is still of its class is not known here.
    augment: ClassVar[tuple[Augmentation, ...]] = ("shift",)
    takes_folder: ClassVar[bool] = True
    downloads: ClassVar[bool] = False

    @staticmethod
    def files(data: Data, part: Part) -> Sequence[Path]:
        """The part's files in the folder, in the order of their names."""
        if data.folder is None:
            raise WrongInput("data.folder: parquet needs the folder that holds train.parquet and test.parquet")
        if not data.folder.is_dir():
            raise WrongInput(f"data.folder: {data.folder} is not a folder")
        if not (files := parquet_files(data.folder, part)):
            raise WrongInput(f"data.folder: {data.folder} has neither {part}.parquet nor {part}-*.parquet")
        return files

    @staticmethod
    def decode(files: Sequence[Path], part: Part) -> Decoded:
        """Decode all files of a part, one after the other."""
        del part
        return decode_parquet(files)


def parquet_files(folder: Path, part: Part) -> list[Path]:
    """``PART.parquet``, else ``PART-*.parquet`` by name; empty where there is neither."""
    whole = folder / f"{part}.parquet"
    return [whole] if whole.is_file() else sorted(folder.glob(f"{part}-*.parquet"))


def decode_parquet(files: Sequence[Path], *, names: tuple[str, ...] = ()) -> Decoded:
    """Decode the files' images and labels in row order.

    Args:
        files: At least one.
        names: The classes of files whose metadata names none; empty where they are not known, then labels must be
            dense from 0.

    Raises:
        WrongInput: A file is not Parquet, lacks a column, or has an image or label that cannot be used; rows
            count from 0 in each file.
    """
    parts = [_decode_file(file, names=names) for file in files]
    classes = parts[0].classes
    for file, part in zip(files, parts, strict=True):
        if part.classes != classes:
            raise WrongInput(f"{file} has other class names than {files[0]}")
    labels = np.concatenate([part.labels for part in parts])
    if not len(labels):
        raise WrongInput(f"{files[0]} has no rows")
    if not classes:
        _check_dense(files, [part.labels for part in parts])
        classes = tuple(str(label) for label in range(int(labels.max()) + 1))
    return Decoded(np.concatenate([part.images for part in parts]), labels, classes)


def _check_dense(files: Sequence[Path], labels: Sequence[npt.NDArray[np.int64]]) -> None:
    """Refuse labels, ≥ 0, that leave out a class below the largest; the first row beyond the gap is named."""
    rows = sum(map(len, labels))
    # N rows hold at most N classes: one of 0 … N is missing, and a label ≥ N, however large, lies beyond it.
    occurs = np.zeros(rows + 1, dtype=np.bool_)
    for some in labels:
        occurs[some[some < rows]] = True
    missing = int(np.argmin(occurs))
    for file, some in zip(files, labels, strict=True):
        for row in np.flatnonzero(some > missing)[:1]:
            raise WrongInput(
                f"{file} row {row}: label {some[row]} is out of range, no row has label {missing}; without class names "
                "in the metadata every label from 0 to the largest must occur"
            )


def _decode_file(file: Path, *, names: tuple[str, ...]) -> Decoded:
    """Decode one file; its classes are ``names`` where the metadata names none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as parquet:
            image = _column(parquet, IMAGE_COLUMNS, file=file)
            label = _column(parquet, LABEL_COLUMNS, file=file)
            names = _class_names(parquet, label) or names
            labels = _labels(parquet.read([label])[label], names=names, file=file)
            images = np.empty((len(labels), 3, SIDE, SIDE), np.uint8)
            with ThreadPoolExecutor() as pool:
                decoded = pool.map(_all_pixels, _encoded(parquet, image, file=file))
                for row, pixels in enumerate(chain.from_iterable(decoded)):
                    if isinstance(pixels, str):
                        raise WrongInput(f"{file} row {row}: {pixels}; an RGB image of {SIDE}×{SIDE} is accepted")
                    images[row] = pixels
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise WrongInput(f"{file} is not a whole Parquet file: {_reason(error)}") from error
    return Decoded(images, labels, names)


def _column(parquet: pq.ParquetFile, accepted: Sequence[str], *, file: Path) -> str:
    for name in accepted:
        if name in parquet.schema_arrow.names:
            return name
    raise WrongInput(f"{file} has no column {' or '.join(accepted)}; it has {', '.join(parquet.schema_arrow.names)}")


def _class_names(parquet: pq.ParquetFile, label: str) -> tuple[str, ...]:
    try:
        described = json.loads(parquet.schema_arrow.metadata[b"huggingface"])
        return tuple(described["info"]["features"][label]["names"])
    except (KeyError, TypeError, ValueError):  # no metadata, or another program's
        return ()


def _labels(column: Any, *, names: tuple[str, ...], file: Path) -> npt.NDArray[np.int64]:
    end = len(names) or 2**63  # an unsigned label beyond int64 would come out negative below
    for row, label in enumerate(column.to_pylist()):
        if not isinstance(label, int) or not 0 <= label < end:
            accepted = f"0 to {len(names) - 1} are accepted" if names else "whole numbers from 0 are accepted"
            raise WrongInput(f"{file} row {row}: label {label} is out of range; {accepted}")
    return column.to_numpy().astype(np.int64)  # type: ignore[no-any-return]


def _encoded(parquet: pq.ParquetFile, image: str, *, file: Path) -> Iterator[list[bytes | None]]:
    for batch in parquet.iter_batches(batch_size=1024, columns=[image]):
        column = batch.column(0)
        if not hasattr(column, "field") or column.type.get_field_index("bytes") < 0:
            raise WrongInput(f"{file}: column {image} must be a struct with a field bytes, it is {column.type}")
        yield column.field("bytes").to_pylist()


def _all_pixels(encoded: list[bytes | None]) -> list[npt.NDArray[np.uint8] | str]:
    return [_pixels(image) for image in encoded]


def _pixels(encoded: bytes | None) -> npt.NDArray[np.uint8] | str:
    """Decode one image to (3, 32, 32), or say what is wrong with it."""
    from PIL import Image

    if encoded is None:
        return "no image bytes"
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            if image.size != (SIDE, SIDE) or image.mode != "RGB":
                return f"the image is {image.mode} of {image.width}×{image.height}"
            return np.asarray(image).transpose(2, 0, 1)
    except (Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        return f"the image does not decode ({_reason(error)})"


def _reason(error: Exception) -> str:
    """The first line of an error's text without addresses of objects, else the error's name."""
    text = re.sub(r" ?<[^<>]* object at 0x[0-9a-fA-F]+>", "", str(error)).strip()
    return text.splitlines()[0] if text else type(error).__name__
