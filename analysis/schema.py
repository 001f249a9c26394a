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
    "ARTEFACTS",
    "COLUMNS",
    "CONFIRMED",
    "CURVE",
    "DENSE",
    "LATENCY",
    "MEASURES",
    "OBJECTIVES",
    "SCHEMA_VERSION",
    "TIMED",
    "Column",
    "arrow_schema",
    "measure",
    "parquet_schema",
    "readable",
    "schema_version",
]

SCHEMA_VERSION = 2
"""What this version writes; it reads every version from 1 on (see ``analysis.migration``)."""

ARTEFACTS = "artefacts"
"""In a study's folder: a folder for each trial whose network was made ready to deploy."""

DENSE = "dense"
"""The `method` of the row that holds the unpruned network's measures: a study's point of reference."""

Kind = Literal["string", "int", "float", "bool", "strings", "floats"]
Group = Literal["identity", "recipe", "outcome", "measure", "provenance"]
Taken = Literal["at the end", "at the cut", "when asked for", "of the artefact", ""]
"""When a measure is taken: of every trial's finished network; of the network that was cut, before recovery, and not of
the dense one; of the finished network where the study asks for it; of the ONNX file, likewise, or later on."""


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
    about: str = ""
    """What it holds and when it is null, for whoever reads the files without us."""

    @property
    def axis(self) -> str:
        """The text on a figure's axis: what is measured, and its unit in brackets."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label


def _columns(group: Group, **given: Kind | tuple[Kind, str]) -> tuple[Column, ...]:
    """Columns of a group, each with its kind, or with its kind and what it holds."""
    columns = []
    for name, said in given.items():
        kind, about = said if isinstance(said, tuple) else (said, "")
        called = name.removesuffix("_")
        columns.append(Column(called, kind, group, label=called.replace("_", " "), about=about))
    return tuple(columns)


def _measure(
    name: str,
    label: str,
    unit: str,
    better: Literal["higher", "lower"],
    kind: Kind = "float",
    *,
    taken: Taken = "at the end",
    about: str = "",
) -> Column:
    return Column(name, kind, "measure", label, unit, better, taken, about)


IDENTITY = _columns(
    "identity",
    study=("string", "the study's folder when the trial ran; where several are read, what tells them apart"),
    trial=("string", "16 hex digits: a hash of recipe, network, data and seed, the same on every machine"),
    network=("string", "the network's name in the spec"),
    width=("float", "the factor of its layers' widths"),
    data=("string", "the data set's name in the spec"),
    seed=("int", "the seed of weights and order of images"),
)

RECIPE = _columns(
    "recipe",
    method=("string", "the pruning method; `dense` for the row of the unpruned network"),
    ratio=("float", "the share of units asked to go"),
    lambda_=("float", "the strength of the penalty on batch-norm scales"),
    p=("float", "the exponent of the penalty lp"),
    a=("float", "the shape of the penalty tl1"),
    delta=("float", "of mixed lists: 0 ranks by parameters, 1 by relevance"),
    statistic=("string", "how a unit's values become one score"),
    penalty=("string", "the penalty on batch-norm scales"),
    schedule=("string", "`one-shot`, `stepwise` or `polynomial`"),
    rounds=("int", "rounds of cutting and recovering, of schedules that have several"),
    recovery_epochs=("int", "epochs of training after each cut"),
    apply=("string", "how a cut is carried out: `remove`, `mask` or `zero`"),
    linear=("string", "what a channel method does with hidden linear layers"),
    quantisation=(
        "string",
        "`none`, `dynamic-int8`, `static-int8` or `float16`: how the finished network was quantised",
    ),
)

OUTCOME = _columns(
    "outcome",
    state=("string", "`complete`, `stopped` at a rung, or `failed`"),
    error=("string", "of a failed trial: the exception's class and message"),
    epochs=("int", "epochs of training that lead to the network, whoever ran them"),
    epochs_reused=("int", "those of them that other trials had run: this one ran `epochs - epochs_reused`"),
    ratio_achieved=("float", "the share of units that went"),
    floored=("int", "units kept because their layer would have been left with too few"),
    ratio_reason=("string", "why `ratio_achieved` is not the ratio asked for; null where it is"),
)

MEASURES = (
    _measure(
        "val_accuracy",
        "validation accuracy",
        "",
        "higher",
        about="share of validation images whose class was found; of a quantised network by its ONNX file",
    ),
    _measure(
        "val_loss",
        "validation loss",
        "nats",
        "lower",
        about="mean cross-entropy over the validation images; of a quantised network by its ONNX file",
    ),
    _measure("val_accuracy_before", "validation accuracy before recovery", "", "higher", taken="at the cut"),
    _measure("val_loss_before", "validation loss before recovery", "nats", "lower", taken="at the cut"),
    _measure(
        "train_accuracy",
        "training accuracy",
        "",
        "higher",
        about="on 900 training images; of a quantised network by its ONNX file",
    ),
    _measure(
        "sparsity",
        "sparsity",
        "",
        "higher",
        about="1 - nonzero weights / weights of the dense network; before any quantisation",
    ),
    _measure(
        "params",
        "parameters",
        "",
        "lower",
        "int",
        about="weights as they are stored, batch norm included; before any quantisation",
    ),
    _measure(
        "macs",
        "multiply-accumulates",
        "MACs",
        "lower",
        "int",
        about="multiply-accumulates of one image, by the shapes that are stored; before any quantisation",
    ),
    _measure(
        "bytes",
        "size of the stored tensors",
        "bytes",
        "lower",
        "int",
        about="float32; of a quantised network those of its ONNX file, scales and zero points included",
    ),
    _measure(
        "gzip_bytes",
        "gzipped size of the stored tensors",
        "bytes",
        "lower",
        "int",
        about="gzip level 6; of a quantised network those of its ONNX file",
    ),
    _measure("scales_near_zero", "batch-norm scales below .01 at the cut", "", "higher", taken="at the cut"),
    _measure(
        "latency_ms",
        "latency, median",
        "ms",
        "lower",
        taken="of the artefact",
        about="of one image under ONNX Runtime, on latency_machine",
    ),
    _measure("latency_ms_p10", "latency, 10th percentile", "ms", "lower", taken="of the artefact"),
    _measure("latency_ms_mean", "latency, mean", "ms", "lower", taken="of the artefact"),
    _measure(
        "latency_ms_std",
        "latency, standard deviation",
        "ms",
        "lower",
        taken="of the artefact",
        about="of single runs, n - 1",
    ),
    _measure("latency_ms_64", "latency of 64 images, median", "ms", "lower", taken="of the artefact"),
    _measure("torch_latency_ms", "latency in torch, median", "ms", "lower", taken="when asked for"),
    _measure(
        "peak_memory", "peak memory", "bytes", "lower", "int", about="counted, not observed: of one image in float32"
    ),
)

TIMED = tuple(column.name for column in MEASURES if column.taken in {"when asked for", "of the artefact"})
"""The measures that a trial takes only where its study asks for them, alone on the machine."""

OBJECTIVES = tuple(column.name for column in MEASURES if column.taken != "at the cut")
"""The measures that a search can be for: whatever every trial of it takes, the dense network's too."""

PROVENANCE = _columns(
    "provenance",
    started=("string", "when the trial began, ISO 8601, UTC"),
    seconds=("float", "wall-clock seconds of its worker, waiting for others' stages included"),
    worker=("string", "the worker's host and process"),
    device=("string", "the processor it was trained on"),
    latency_machine=("string", "the CPU that latency_ms and its like were taken on"),
    latency_threads=("int", "the threads that they were taken with"),
    precision=("string", "the numbers it was trained in"),
    torch=("string", "torch's version"),
    version=("string", "prunefront's version"),
    classes=("int", "classes of the data set: guessing has an accuracy of 1 / classes"),
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


LATENCY = (
    *_columns("identity", trial="string"),
    *(column for column in PROVENANCE if column.name in {"latency_machine", "latency_threads"}),
    *(column for column in MEASURES if column.taken == "of the artefact"),
    *_columns(
        "provenance",
        runs=("int", "timed runs of one image, and as many of 64"),
        onnxruntime=("string", "ONNX Runtime's version"),
        measured=("string", "when, ISO 8601, UTC; files that were timed in turn have it in common"),
        version=("string", "prunefront's version"),
    ),
)
"""The columns of ``latency.parquet``: one line per trial, machine and thread count."""


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


def schema_version(metadata: Mapping[bytes, bytes] | None, *, where: str) -> int:
    """The schema version that a Parquet file's metadata names, from 1 to ``SCHEMA_VERSION``.

    Raises WrongInput, with the file, for one that we did not write and for one of a newer prunefront.
    """
    found = (metadata or {}).get(b"prunefront_schema")
    if found is None:
        raise WrongInput(f"{where} was not written by prunefront: its metadata names no prunefront_schema")
    return readable(found.decode("utf-8", "replace"), where=where)


def readable(version: object, *, where: str) -> int:
    """``version`` as a number, where this prunefront reads it; raises WrongInput for any other."""
    said = str(version)
    if not said.isdecimal() or len(said) > 9 or int(said) < 1:
        raise WrongInput(f"{where} has schema version {said:.20}: accepted are 1 to {SCHEMA_VERSION}")
    if int(said) > SCHEMA_VERSION:
        raise WrongInput(
            f"{where} has schema version {said:.20}, this prunefront reads versions up to {SCHEMA_VERSION}: "
            "it was written by a newer one, read it with that"
        )
    return int(said)
