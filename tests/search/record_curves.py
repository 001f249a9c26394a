"""Turns a study into the fixture on which early stopping is judged: ``python -m tests.search.record_curves STUDY OUT``.

Taken are complete trials whose recovery is one round of as many epochs as the study's ``recovery`` section says: each
with its epochs from 0, the network as it was cut, to the last. What was run, and how, is in the file's metadata.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from analysis import curves
from analysis.errors import WrongInput
from analysis.schema import COLUMNS, DENSE, RECIPE

SCHEMA = pa.schema(
    {
        "trial": pa.string(),
        "method": pa.string(),
        "knobs": pa.string(),
        "epoch": pa.int16(),
        "val_accuracy": pa.float64(),
        "macs": pa.int64(),
    }
)
COMMAND = "prunefront run SPEC --study STUDY && python -m tests.search.record_curves STUDY OUT"


def record(study: Path, out: Path) -> int:
    """Write the curves of a study's trials to ``out`` and return how many there are."""
    spec = yaml.safe_load((study / "spec.yaml").read_text())
    spec["data"].pop("folder", None)
    epochs = spec["recovery"]["epochs"]
    rows = [json.loads(path.read_bytes()) for path in sorted((study / "rows").glob("[!.]*.json"))]
    dense = next((row for row in rows if row["method"] == DENSE and row["state"] == "complete"), None)
    if dense is None:
        raise WrongInput(f"{study} has no complete row of the dense network, which hypervolumes start from")
    lines = [line for row in rows if row["method"] != DENSE for line in _lines(study, row, epochs=epochs)]
    told = {
        "command": COMMAND,
        "spec": json.dumps(spec),
        "dense_macs": str(dense["macs"]),
        "dense_val_accuracy": str(dense["val_accuracy"]),
        "classes": str(dense["classes"]),
        "torch": dense["torch"],
        "version": dense["version"],
    }
    table = pa.Table.from_pylist(lines, schema=SCHEMA.with_metadata(told))
    pq.write_table(table, out, compression="zstd")
    return len(lines) // (epochs + 1)


def _lines(study: Path, row: dict[str, Any], *, epochs: int) -> list[dict[str, Any]]:
    """A trial's epochs; none where it did not run to the end, or in several rounds."""
    if row["state"] != "complete" or row["recovery_epochs"] != epochs:
        return []
    recovery = [entry for entry in curves.of_trial(study, row["trial"])["epochs"] if entry["stage"] == "recovery"]
    if [(entry["round"], entry["epoch"]) for entry in recovery] != [(1, epoch) for epoch in range(1, epochs + 1)]:
        return []
    accuracies = [row["val_accuracy_before"], *(entry["val_accuracy"] for entry in recovery)]
    known = {"trial": row["trial"], "method": row["method"], "knobs": _knobs(row), "macs": row["macs"]}
    return [known | {"epoch": epoch, "val_accuracy": accuracy} for epoch, accuracy in enumerate(accuracies)]


def _knobs(row: dict[str, Any]) -> str:
    """What the recipe says beside its method, as JSON; knobs that do not apply are left out."""
    others = {column.name for column in COLUMNS} - {column.name for column in RECIPE} | {"method"}
    return json.dumps({name: value for name, value in sorted(row.items()) if name not in others and value is not None})


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m tests.search.record_curves STUDY OUT")
    try:
        print(f"{record(Path(sys.argv[1]), Path(sys.argv[2]))} curves in {sys.argv[2]}")
    except WrongInput as error:
        sys.exit(str(error))
