"""What finished trials mean: tables, fronts, indicators, figures; reads Parquet, never loads torch or Ray.

    from analysis import front, hypervolume, read

    rows = read("studies/a", "s3://bucket/studies/b", where="ratio >= .3")
    best = front(rows, ["val_accuracy", "macs"])          # a pyarrow.Table: best.to_pandas(), polars.from_arrow(best)
    hypervolume(rows, ["val_accuracy", "macs"])

Importing the package loads nothing heavy: each name is fetched from its module when it is first asked for, and each
module imports what it needs where it is used. ``docs/schema.md`` lists the columns, ``analysis/examples`` has scripts
to copy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.costs import added_over_cost, over_cost
    from analysis.errors import WrongInput
    from analysis.groups import grouped
    from analysis.pareto import front, fronts
    from analysis.quality import Contribution, Indicators, Reference, assess, contributions, hypervolume
    from analysis.schema import MEASURES, measure
    from analysis.summary import thin
    from analysis.table import read, where

__all__ = [
    "MEASURES",
    "Contribution",
    "Indicators",
    "Reference",
    "WrongInput",
    "added_over_cost",
    "assess",
    "contributions",
    "front",
    "fronts",
    "grouped",
    "hypervolume",
    "measure",
    "over_cost",
    "read",
    "thin",
    "where",
]

_HOME = {
    "MEASURES": "schema",
    "Contribution": "quality",
    "Indicators": "quality",
    "Reference": "quality",
    "WrongInput": "errors",
    "added_over_cost": "costs",
    "assess": "quality",
    "contributions": "quality",
    "front": "pareto",
    "fronts": "pareto",
    "grouped": "groups",
    "hypervolume": "quality",
    "measure": "schema",
    "over_cost": "costs",
    "read": "table",
    "thin": "summary",
    "where": "expression",
}
"""Name → the module that it is fetched from."""


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'analysis' has no attribute {name!r}")
    return getattr(import_module(f"analysis.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
