"""Which network is the most accurate one within 5 ms, and what would a little more time buy?

python -m analysis.examples.network_for_budget 5 studies/a studies/b
"""

import sys

from analysis import WrongInput, front, read, where

TIME = "torch_latency_ms"  # latency_ms, once the front's artefacts were timed
SHOWN = ["study", "trial", "method", "ratio", "val_accuracy", TIME, "bytes"]


def main(budget: float, studies: list[str]) -> None:
    """Print the network, and the next faster and the next slower one on the front."""
    rows = read(*studies, columns=["state", *SHOWN])
    best = front(rows, ["val_accuracy", TIME])  # the most accurate first, so that times fall too
    fits = where(best, f"{TIME} <= {budget}")
    if len(fits) == 0:
        least = f"the fastest takes {best[TIME][-1].as_py():.3g} ms" if len(best) else f"no complete row has {TIME}"
        raise WrongInput(f"no network runs within {budget:g} ms: {least}")
    place = len(best) - len(fits)
    named = {"this one": place, "slower": place - 1, "faster": place + 1}
    for name, at in named.items():
        if 0 <= at < len(best):
            (row,) = best.slice(at, 1).select(SHOWN).to_pylist()
            print(f"{name}: " + ", ".join(f"{column} {value}" for column, value in row.items() if value is not None))


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2:])
