"""Images in Parquet files as the Hugging Face hub lays them out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from analysis.errors import WrongInput
from trial.data.hub_layout import part_files
from trial.data.pixels import decoded, reason
from trial.data.source import Augmentation, Decoded, Part, register

if TYPE_CHECKING:
    import pyarrow.parquet as pq

    from trial.data.settings import Data

__all__ = ["Parquet", "decode_parquet", "decode_part"]

IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMNS = ("label", "labels", "fine_label")


@register("parquet")
class Parquet:
    """A folder in the hub's layout, such as ``train.parquet`` and ``test.parquet``; see `part_files` for the others.

    Columns: ``img`` or ``image``, else the only struct whose ``bytes`` are an encoded image; ``label``, ``labels`` or
    ``fine_label``, else what ``data.label`` names, integers from 0. Class names are read from the schema's metadata,
    else they are the numbers, and then each number from 0 to the largest must occur in the train part.
    """

    # Whether a mirrored image is still of its class is not known here.
    augment: ClassVar[tuple[Augmentation, ...]] = ("shift",)
    takes_folder: ClassVar[bool] = True
    takes_label: ClassVar[bool] = True
    downloads: ClassVar[bool] = False

    @staticmethod
    def files(data: Data, part: Part) -> Sequence[Path]:
        """The part's files in the folder, in the order of their names."""
        if data.folder is None:
            raise WrongInput("data.folder: parquet needs the folder that holds train.parquet and test.parquet")
        if not data.folder.is_dir():
            raise WrongInput(f"data.folder: {data.folder} is not a folder")
        if not (files := part_files(data.folder, part)):
            raise WrongInput(
                f"data.folder: {data.folder} has neither {part}.parquet nor {part}-*.parquet nor {part}/*.parquet, "
                "nor has a folder in it, such as data"
            )
        return files

    @staticmethod
    def decode(data: Data, files: Sequence[Path], part: Part) -> Decoded:
        """Decode all files of a part, one after the other; the test part has the train part's classes."""
        assert data.folder is not None
        return decode_part(data.folder, files, part, label=data.label, size=data.size)


def decode_part(
    folder: Path,
    files: Sequence[Path],
    part: Part,
    *,
    names: tuple[str, ...] = (),
    label: str | None = None,
    size: int | None = None,
) -> Decoded:
    """Decode a part's files as `decode_parquet` does; the test part must have the train part's classes."""
    if part == "train":
        return decode_parquet(files, names=names, label=label, size=size)
    train = part_files(folder, "train")
    classes, labels = _labels_of(train, names=names, label=label)
    classes = classes or _dense(train, labels)
    test = decode_parquet(files, names=classes, label=label, size=size)
    if test.classes != classes:
        raise WrongInput(f"{files[0]} has other class names than {train[0]}")
    return test


def decode_parquet(
    files: Sequence[Path], *, names: tuple[str, ...] = (), label: str | None = None, size: int | None = None
) -> Decoded:
    """Decode the files' images and labels in row order.

    Args:
        files: At least one.
        names: The classes of files whose metadata names none; empty where they are not known, then labels must be
            dense from 0.
        label: The column of labels; None for the usual ones.
        size: The images' side in pixels; None where they are to be RGB of 32×32 already.

    Raises:
        WrongInput: A file is not Parquet, lacks a column, or has an image or label that cannot be used; rows
            count from 0 in each file.
    """
    # All labels before the first image: what is cheap to find wrong is found at once.
    classes, labels = _labels_of(files, names=names, label=label)
    if not sum(map(len, labels)):
        raise WrongInput(f"{files[0]} has no rows")
    if not classes:
        classes = _dense(files, labels)
    images = [_images(file, size=size) for file in files]
    return Decoded(np.concatenate(images), np.concatenate(labels), classes)


def _labels_of(
    files: Sequence[Path], *, names: tuple[str, ...], label: str | None
) -> tuple[tuple[str, ...], list[npt.NDArray[np.int64]]]:
    """Class names (``names`` where the metadata has none) and each file's labels."""
    labels = []
    classes: tuple[str, ...] = ()
    for number, file in enumerate(files):
        with _opened(file) as parquet:
            column = _label_column(parquet, label, file=file)
            here = _class_names(parquet, column, file=file) or names
            if number and here != classes:
                raise WrongInput(f"{file} has other class names than {files[0]}")
            classes = here
            labels.append(_labels(parquet.read([column])[column], names=classes, file=file))
    return classes, labels


def _dense(files: Sequence[Path], labels: Sequence[npt.NDArray[np.int64]]) -> tuple[str, ...]:
    """The numbers from 0 to the largest label, as names.

    Refuses labels, ≥ 0, that leave out a class below the largest; the first row beyond the gap is named.
    """
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
    return tuple(str(label) for label in range(missing))


@contextmanager
def _opened(file: Path) -> Iterator[pq.ParquetFile]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as parquet:
            columns = parquet.schema_arrow.names
            if twice := {name for name in columns if columns.count(name) > 1}:
                raise WrongInput(f"{file} has more than one column {' and '.join(sorted(twice))}: keep one of each")
            yield parquet
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise WrongInput(f"{file} is not a whole Parquet file: {reason(error)}") from error


def _images(file: Path, *, size: int | None) -> npt.NDArray[np.uint8]:
    with _opened(file) as parquet:
        column = _image_column(parquet, file=file)
        count = parquet.metadata.num_rows
        return decoded(_encoded(parquet, column), count=count, size=size, place=partial(_row, file))


def _row(file: Path, row: int) -> str:
    return f"{file} row {row}"


def _encoded(parquet: pq.ParquetFile, image: str) -> Iterator[list[bytes | None]]:
    for batch in parquet.iter_batches(batch_size=1024, columns=[image]):
        yield batch.column(0).field("bytes").to_pylist()


def _image_column(parquet: pq.ParquetFile, *, file: Path) -> str:
    """``img``, else ``image``, else the only column that can hold images."""
    schema = parquet.schema_arrow
    names: list[str] = schema.names
    able = [name for name in names if _holds_images(schema.field(name).type)]
    usual = [name for name in IMAGE_COLUMNS if name in names]
    for name in usual:
        if name in able:
            return name
    if len(able) == 1:
        return able[0]
    if able:
        raise WrongInput(f"{file} may have its images in {' or '.join(able)}: call the right column image")
    if usual:
        given = schema.field(usual[0]).type
        raise WrongInput(f"{file}: column {usual[0]} must be a struct with binary bytes in it, it is {given}")
    raise WrongInput(f"{file} has no column {' or '.join(IMAGE_COLUMNS)}; it has {', '.join(names)}")


def _holds_images(given: Any) -> bool:
    import pyarrow as pa

    if not pa.types.is_struct(given) or given.get_field_index("bytes") < 0:
        return False
    content = given.field("bytes").type
    return bool(pa.types.is_binary(content) or pa.types.is_large_binary(content))


def _label_column(parquet: pq.ParquetFile, asked: str | None, *, file: Path) -> str:
    import pyarrow as pa

    schema = parquet.schema_arrow
    accepted = (asked,) if asked is not None else LABEL_COLUMNS
    name = next((name for name in accepted if name in schema.names), None)
    if name is None:
        cure = "" if asked is not None else ": name the column of labels in data.label"
        place = "data.label: " if asked is not None else ""
        raise WrongInput(f"{place}{file} has no column {' or '.join(accepted)}; it has {', '.join(schema.names)}{cure}")
    given = schema.field(name).type
    if not (pa.types.is_integer(given) or pa.types.is_null(given)):
        raise WrongInput(f"{file}: column {name} must hold whole numbers from 0, it holds {given}")
    return name


def _class_names(parquet: pq.ParquetFile, label: str, *, file: Path) -> tuple[str, ...]:
    try:
        described = json.loads(parquet.schema_arrow.metadata[b"huggingface"])
        names = described["info"]["features"][label]["names"]
    except (KeyError, TypeError, ValueError):  # no metadata, or another program's
        return ()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise WrongInput(
            f"{file}: the class names of {label} in the metadata must be different texts, got {names!r:.80}"
        )
    return tuple(names)


def _labels(column: Any, *, names: tuple[str, ...], file: Path) -> npt.NDArray[np.int64]:
    end = len(names) or 2**63  # an unsigned label beyond int64 would come out negative below
    for row, label in enumerate(column.to_pylist()):
        if not isinstance(label, int) or not 0 <= label < end:
            accepted = f"0 to {len(names) - 1} are accepted" if names else "whole numbers from 0 are accepted"
            raise WrongInput(f"{file} row {row}: label {label} is out of range; {accepted}")
    return column.to_numpy().astype(np.int64)  # type: ignore[no-any-return]
