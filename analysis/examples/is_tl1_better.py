"""Does slimming with TL1 give better fronts than with L1? Asked of repeated studies: one spec, at least six seeds.

python -m analysis.examples.is_tl1_better studies/seed-0 studies/seed-1 … studies/seed-5
"""

import sys
from itertools import product

from analysis import hypervolume, read, where

OBJECTIVES = ["val_accuracy", "macs"]
COLUMNS = ["study", "trial", "method", "penalty", "state", "started", "classes", *OBJECTIVES]


def main(studies: list[str]) -> None:
    """Print the difference in hypervolume of each study, their mean, and whether seeds alone could have made it."""
    differences = []
    for study in studies:
        rows = read(study, columns=COLUMNS)
        trained = {name: where(rows, f"method == 'slimming' and penalty == '{name}'") for name in ("l1", "tl1")}
        trials = min(map(len, trained.values()))  # who tried more would have the better front
        worth = {
            name: hypervolume(found.sort_by("started").slice(0, trials), OBJECTIVES, scale_of=rows)
            for name, found in trained.items()
        }
        differences.append(worth["tl1"] - worth["l1"])
        said = f"TL1 {worth['tl1']:.4f}, L1 {worth['l1']:.4f}, difference {differences[-1]:+.4f}"
        print(f"{study}: hypervolume after {trials} trials of each: {said}")

    # Were there no difference, each of them could as well have had the other sign: in how many of all ways to choose
    # the signs is the sum as large? Exact, and never below 2 / 2^n: five studies cannot tell.
    observed = abs(sum(differences))
    every = product((1, -1), repeat=len(differences))
    sums = [abs(sum(sign * each for sign, each in zip(signs, differences, strict=True))) for signs in every]
    p = sum(total >= observed - 1e-12 for total in sums) / len(sums)
    mean = sum(differences) / len(differences)
    better = "TL1" if mean > 0 else "L1"
    verdict = f"{better} is better" if p <= 0.05 else "nothing can be claimed"
    print(f"mean difference {mean:+.4f} over {len(differences)} studies, p = {p:.3f} (signs flipped): {verdict}")


if __name__ == "__main__":
    main(sys.argv[1:])
