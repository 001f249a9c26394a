"""Does slimming with TL1 give better fronts than with L1? Asked of repeated studies: one spec, several seeds.

python -m analysis.examples.is_tl1_better studies/seed-0 studies/seed-1 studies/seed-2 studies/seed-3
"""

import sys

import numpy as np

from analysis import hypervolume, read, where

OBJECTIVES = ["val_accuracy", "macs"]
COLUMNS = ["study", "trial", "method", "penalty", "state", "classes", *OBJECTIVES]
DRAWS = 10_000


def main(studies: list[str]) -> None:
    """Print the difference in hypervolume of each study, its mean, and how sure that is."""
    differences = []
    for study in studies:
        rows = read(study, columns=COLUMNS)
        trained = {name: where(rows, f"method == 'slimming' and penalty == '{name}'") for name in ("l1", "tl1")}
        worth = {name: hypervolume(found, OBJECTIVES, scale_of=rows) for name, found in trained.items()}
        differences.append(worth["tl1"] - worth["l1"])
        networks = ", ".join(f"{name} {worth[name]:.4f} of {len(found)} trials" for name, found in trained.items())
        print(f"{study}: hypervolume {networks}; TL1 - L1 = {differences[-1]:+.4f}")

    if len(differences) < 3:
        print("fewer than three studies say nothing of the spread between seeds: nothing is claimed")
        return
    # Each study is one draw from what a search may give: the mean of as many draws, ten thousand times.
    chance = np.random.default_rng(0)
    means = chance.choice(differences, (DRAWS, len(differences))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    print(f"mean {np.mean(differences):+.4f}, 95% of bootstrapped means in [{low:+.4f}, {high:+.4f}]")
    verdict = "TL1 is better" if low > 0 else "L1 is better" if high < 0 else "no difference can be claimed"
    print(f"{verdict} ({len(differences)} studies, scaled hypervolume of {' and '.join(OBJECTIVES)})")


if __name__ == "__main__":
    main(sys.argv[1:])
