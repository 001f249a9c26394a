"""The columns of a study's rows: name, type, unit, and which direction is better.

A measure is declared here, once; objectives, columns, axis labels and constraints refer to it by its name.
Knobs are declared in the methods' own files: a study's recipe columns are ``RECIPE`` followed by whatever
further knobs its catalogue has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from analysis.errors import WrongInput, nearest

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "COLUMNS",
    "CONFIRMED",
    "CURVE",
    "DENSE",
    "MEASURES",
    "OBJECTIVES",
    "SCHEMA_VERSION",
    "Column",
    "arrow_schema",
    "check_schema_version",
    "measure",
    "parquet_schema",
]

SCHEMA_VERSION = 1

DENSE = "dense"
"""The `method` of the row that holds the unpruned network's measures: a study's point of reference."""

Kind = Literal["string", "int", "float", "bool", "strings", "floats"]
Group = Literal["identity", "recipe", "outcome", "measure", "provenance"]
Taken = Literal["at the end", "at the cut", "when asked for", "of the artefact", ""]
"""When a measure is taken: of every trial's finished network; of the network that was cut, before recovery, and not of
the dense one; of the finished network where the study asks for it; of the ONNX file that is made of it later."""


@dataclass(frozen=True)
class Column:
    """One column: where it belongs, what it holds, and for a measure which direction is better and when it is taken."""

    name: str
    kind: Kind
    group: Group
    label: str = ""
    unit: str = ""
    better: Literal["higher", "lower", ""] = ""
    taken: Taken = ""

    @property
    def axis(self) -> str:
        """The text on a figure's axis: what is measured, and its unit in brackets."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label


def _columns(group: Group, **kinds: Kind) -> tuple[Column, ...]:
    return tuple(
        Column(name.removesuffix("_"), kind, group, label=name.removesuffix("_").replace("_", " "))
        for name, kind in kinds.items()
    )


def _measure(
    name: str,
    label: str,
    unit: str,
    better: Literal["higher", "lower"],
    kind: Kind = "float",
    *,
    taken: Taken = "at the end",
) -> Column:
    return Column(name, kind, "measure", label, unit, better, taken)


IDENTITY = _columns(
    "identity", study="string", trial="string", network="string", width="float", data="string", seed="int"
)

RECIPE = _columns(
    "recipe",
    method="string",
    ratio="float",
    lambda_="float",
    p="float",
    a="float",
    delta="float",
    statistic="string",
    penalty="string",
    schedule="string",
    rounds="int",
    recovery_epochs="int",
    apply="string",
    linear="string",
    quantisation="string",
)

OUTCOME = _columns(
    "outcome",
    state="string",
    error="string",
    epochs="int",
    epochs_reused="int",
    ratio_achieved="float",
    floored="int",
    ratio_reason="string",
)

MEASURES = (
    _measure("val_accuracy", "validation accuracy", "", "higher"),
    _measure("val_loss", "validation loss", "nats", "lower"),
    _measure("val_accuracy_before", "validation accuracy before recovery", "", "higher", taken="at the cut"),
    _measure("val_loss_before", "validation loss before recovery", "nats", "lower", taken="at the cut"),
    _measure("train_accuracy", "training accuracy", "", "higher"),
    _measure("sparsity", "sparsity", "", "higher"),
    _measure("params", "parameters", "", "lower", "int"),
    _measure("macs", "multiply-accumulates", "MACs", "lower", "int"),
    _measure("bytes", "size of the stored tensors", "bytes", "lower", "int"),
    _measure("gzip_bytes", "gzipped size of the stored tensors", "bytes", "lower", "int"),
    _measure("scales_near_zero", "batch-norm scales below .01 at the cut", "", "higher", taken="at the cut"),
    _measure("latency_ms", "latency, median", "ms", "lower", taken="of the artefact"),
    _measure("latency_ms_p10", "latency, 10th percentile", "ms", "lower", taken="of the artefact"),
    _measure("latency_ms_mean", "latency, mean", "ms", "lower", taken="of the artefact"),
    _measure("latency_ms_std", "latency, standard deviation", "ms", "lower", taken="of the artefact"),
    _measure("latency_ms_64", "latency of 64 images, median", "ms", "lower", taken="of the artefact"),
    _measure("torch_latency_ms", "latency in torch, median", "ms", "lower", taken="when asked for"),
    _measure("peak_memory", "peak memory", "bytes", "lower", "int"),
)

OBJECTIVES = tuple(column.name for column in MEASURES if column.taken in {"at the end", "when asked for"})
"""The measures that a search can be for: whatever every trial of it takes, the dense network's too."""

PROVENANCE = _columns(
    "provenance",
    started="string",
    seconds="float",
    worker="string",
    device="string",
    precision="string",
    torch="string",
    version="string",
    classes="int",
)

COLUMNS = (*IDENTITY, *RECIPE, *OUTCOME, *MEASURES, *PROVENANCE)

CURVE = _columns(
    "outcome",
    trial="string",
    stage="string",
    round="int",
    epoch="int",
    train_loss="float",
    train_accuracy="float",
    val_loss="float",
    val_accuracy="float",
    sparsity="float",
    rate="float",
    ratio_achieved="float",
)
"""The columns of ``curves.parquet``: one line per epoch, and one per cut, its round's epoch 0, before recovery.

Rounds count from 1; training before any cut is round 0.
"""

CONFIRMED = (
    *_columns("identity", trial="string", method="string", ratio="float", seed="int", as_trained="bool"),
    *_columns("outcome", state="string", error="string"),
    _measure("test_accuracy", "test accuracy", "", "higher"),
    _measure("test_loss", "test loss", "nats", "lower"),
    *_columns("measure", class_accuracy="floats", classes="strings"),
    *_columns("measure", test_accuracy_mean="float", test_accuracy_std="float", seeds="int"),
    *(column for column in MEASURES if column.taken == "at the end"),
    *_columns("provenance", test_data="string", started="string", seconds="float", device="string"),
    *_columns("provenance", precision="string", torch="string", version="string"),
)
"""The columns of ``confirmed.parquet``: one line per trial, seed and ``as_trained``.

``trial`` is the study's, whatever the seed; measures are those of the network that was tested. ``class_accuracy`` is in
the order of ``classes``, null for a class without test images. ``test_accuracy_mean`` and ``test_accuracy_std`` (n − 1;
null for one seed) are over the ``seeds`` complete lines of the same trial, ``as_trained`` and ``test_data``, which
names the images that were tested on.
"""


def measure(name: str) -> Column:
    """Look a measure up by name; raises WrongInput, with the nearest name, where there is none.

    >>> measure("macs").better
    'lower'
    """
    for column in MEASURES:
        if column.name == name:
            return column
    raise WrongInput(f"{name!r} is not a measure: {nearest(name, [column.name for column in MEASURES])}")


def arrow_schema(knobs: Mapping[str, Kind] | None = None) -> pa.Schema:
    """The Arrow schema of ``trials.parquet``, its version in the metadata.

    ``knobs`` are the catalogue's knobs (column name → kind): those that ``RECIPE`` does not name are
    appended to the recipe group, in the order given.
    """
    known = {column.name for column in COLUMNS}
    further = tuple(Column(name, kind, "recipe") for name, kind in (knobs or {}).items() if name not in known)
    return parquet_schema((*IDENTITY, *RECIPE, *further, *OUTCOME, *MEASURES, *PROVENANCE))


def parquet_schema(columns: Iterable[Column]) -> pa.Schema:
    """The Arrow schema of some columns, in their order, its version in the metadata."""
    import pyarrow as pa

    types = {
        "string": pa.string(),
        "int": pa.int64(),
        "float": pa.float64(),
        "bool": pa.bool_(),
        "strings": pa.list_(pa.string()),
        "floats": pa.list_(pa.float64()),
    }
    return pa.schema(
        [pa.field(column.name, types[column.kind]) for column in columns],
        metadata={"prunefront_schema": str(SCHEMA_VERSION)},
    )


def check_schema_version(metadata: Mapping[bytes, bytes] | None, *, where: str) -> None:
    """Refuse a Parquet file that this version cannot read; raises WrongInput naming file and versions."""
    found = (metadata or {}).get(b"prunefront_schema", b"none").decode()
    if found != str(SCHEMA_VERSION):
        raise WrongInput(
            f"{where} has schema version {found}, this prunefront reads version {SCHEMA_VERSION}: "
            "read it with the version that wrote it, or run the study again"
        )
