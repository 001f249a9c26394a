"""Made-up studies, with rows such as a search leaves them."""

import json
import random
from pathlib import Path
from typing import Any

from analysis.schema import SCHEMA_VERSION

METHODS = ("filter-l1", "magnitude-global", "random-channels", "slimming")
DENSE_ROW: dict[str, Any] = {
    "study": "made-up",
    "trial": "d" * 16,
    "network": "vgg16-bn",
    "seed": 0,
    "method": "dense",
    "state": "complete",
    "val_accuracy": 0.937,
    "val_loss": 0.25,
    "sparsity": 0.0,
    "params": 14_700_000,
    "macs": 313_000_000,
    "bytes": 58_900_000,
    "classes": 10,
}


def rows(count: int = 60, *, seed: int = 0) -> list[dict[str, Any]]:
    """``count`` rows, the dense one first, a few of them failed or stopped."""
    chance = random.Random(seed)
    made = [dict(DENSE_ROW)]
    for index in range(1, count):
        method = METHODS[index % len(METHODS)]
        ratio = round(chance.uniform(0.05, 0.95), 3)
        works_on_weights = method == "magnitude-global"
        weakness = {"filter-l1": 0.25, "magnitude-global": 0.05, "random-channels": 0.45, "slimming": 0.14}[method]
        kept = (1 - ratio) ** 1.6 * chance.uniform(0.9, 1.1)
        row: dict[str, Any] = {
            **DENSE_ROW,
            "trial": f"{index:016x}",
            "method": method,
            "ratio": ratio,
            "lambda": 10 ** chance.uniform(-5, -3) if method == "slimming" else None,
            "penalty": chance.choice(["l1", "tl1"]) if method == "slimming" else None,
            "scope": chance.choice(["layer", "global"]) if method == "filter-l1" else None,
            "schedule": "one-shot",
            "recovery_epochs": 4,
            "val_accuracy": round(0.94 - weakness * ratio**3 * chance.uniform(0.7, 1.6) - chance.uniform(0, 0.02), 4),
            "val_loss": round(0.25 + ratio * weakness, 4),
            "sparsity": ratio if works_on_weights else round(1 - kept, 4),
            "params": 14_700_000 if works_on_weights else int(14_700_000 * kept),
            "macs": 313_000_000 if works_on_weights else int(313_000_000 * min(1, kept * chance.uniform(0.9, 1.2))),
        }
        if index % 17 == 5:
            row |= {
                "state": "failed",
                "error": "FloatingPointError: loss is NaN",
                "val_accuracy": None,
                "macs": None,
            }
        elif index % 13 == 5:
            row |= {"state": "stopped"}
        made.append(row)
    return made


def write(study: Path, made: list[dict[str, Any]]) -> Path:
    """One JSON file per row, as trials leave them."""
    (study / "rows").mkdir(parents=True, exist_ok=True)
    for row in made:
        (study / "rows" / f"{row['trial']}.json").write_text(json.dumps({"schema": SCHEMA_VERSION, **row}))
    return study


def repeat(study: Path, *, seed: int, gain: float = 0.0, count: int = 24) -> Path:
    """One of several repeats of a study: ``rows`` of another seed, ended one after the other, ``gain`` more accurate.

    Every trial takes 10 seconds and runs 4 epochs of its 6; the dense network 20 seconds and 8 epochs.
    """
    made = []
    for place, row in enumerate(rows(count, seed=seed)):
        is_dense = place == 0
        accuracy = row["val_accuracy"]
        made.append(
            row
            | {
                "study": study.name,
                "seed": seed,
                "started": f"2026-11-22T00:{place // 6:02d}:{10 * (place % 6):02d}.000+00:00",
                "seconds": 20.0 if is_dense else 10.0,
                "epochs": 8 if is_dense else 6,
                "epochs_reused": 0 if is_dense else 2,
                "val_accuracy": accuracy if is_dense or accuracy is None else min(1.0, accuracy + gain),
            }
        )
    return write(study, made)
