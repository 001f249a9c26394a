"""The page of the columns, made from `analysis.schema`: ``python -m analysis.schema_page > docs/schema.md``.

A test compares the two.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from analysis.schema import COLUMNS, CONFIRMED, CURVE, LATENCY, SCHEMA_VERSION, Column

__all__ = ["page"]

TYPES = {
    "string": "string",
    "int": "int64",
    "float": "double",
    "bool": "bool",
    "strings": "list of string",
    "floats": "list of double",
}

TOP = f"""# The columns of a study's Parquet files

Made by `python -m analysis.schema_page`; a test compares it with the code. A study has one plain Parquet file for each
of the tables below, without partitions or indices. Read them with what you like:

```python
pandas.read_parquet("STUDY/trials.parquet")
polars.read_parquet("STUDY/trials.parquet")
duckdb.sql("SELECT method, max(val_accuracy) FROM 'STUDY/trials.parquet' WHERE state = 'complete' GROUP BY method")
```

In SQL `lambda` needs quotes: `"lambda"`. A search writes `trials.parquet` when it ends; while it runs, and after a
crash, the newest rows are in `STUDY/rows/`, and `analysis.read("STUDY")` gives both together. The files' metadata says
`prunefront_schema`: {SCHEMA_VERSION} here. Older versions are read as this one would have written them
(`analysis/migration.py` says what changed), newer ones are refused. Null means: does not apply, or was not measured.
"""

KNOBS = """
Between the recipe and the outcome stand the further knobs of the catalogue, a column each: `prunefront methods` lists
them.
"""


def page() -> str:
    """The whole page."""
    return "\n".join(
        [
            TOP,
            "## trials.parquet: a row per trial",
            *_table(COLUMNS),
            KNOBS,
            "## curves.parquet: a row per epoch, and one per cut (its round's epoch 0, before recovery)",
            *_table(CURVE),
            "",
            "Rounds count from 1; training before any cut is round 0.",
            "",
            "## confirmed.parquet: a row per trial, seed and way of testing",
            *_table(CONFIRMED),
            "",
            "`trial` is the study's, whatever the seed. `class_accuracy` is in the order of `classes`. Mean and",
            "standard deviation (n - 1) are over the `seeds` complete rows of the same trial, `as_trained` and",
            "`test_data`.",
            "",
            "## latency.parquet: a row per trial, machine and thread count, written by `prunefront latency`",
            *_table(LATENCY),
            "",
            "Whoever reads a study finds those of the machine and thread count that were measured last in the rows'",
            "columns, unless the search itself took latencies.",
            "",
        ]
    )


def _table(columns: Iterable[Column]) -> list[str]:
    lines = ["", "| column | type | unit | better | what it holds |", "| --- | --- | --- | --- | --- |"]
    return lines + [
        f"| `{column.name}` | {TYPES[column.kind]} | {column.unit} | {column.better} | {_meaning(column)} |"
        for column in columns
    ]


def _meaning(column: Column) -> str:
    """What a column holds, and for a measure when it is taken."""
    parts = [column.label if column.group == "measure" or not column.about else "", column.about]
    parts += [f"taken {column.taken}"] if column.taken not in {"", "at the end"} else []
    return "; ".join(part for part in parts if part)


if __name__ == "__main__":
    sys.stdout.write(page())
