"""The front of several studies together, and what each of them adds to it.

python -m analysis.examples.front_of_several studies/a studies/b s3://bucket/studies/c
"""

import sys

from analysis import Reference, contributions, front, read, thin

OBJECTIVES = ["val_accuracy", "macs"]
# Those of the network are read so that studies of several networks, which no scale fits, are refused.
COLUMNS = ["study", "trial", "method", "ratio", "state", "network", "width", "data", "classes", *OBJECTIVES]


def main(studies: list[str]) -> None:
    """Print the networks of the front, thinned to what a person reads, and a line for each study."""
    rows = read(*studies, columns=COLUMNS)
    best = front(rows, OBJECTIVES)
    shown = thin(best, OBJECTIVES, epsilon=0.02, scale_of=rows)
    print(shown.select(["study", "trial", "method", "ratio", *OBJECTIVES]).to_pandas().to_string(index=False))
    print(f"{len(shown)} of the {len(best)} networks on the front: no other is better by more than .02 of the scale")

    reference = Reference.of(rows, OBJECTIVES)
    print(f"\nhypervolume of each study alone, and what the front of all loses without it ({reference}):")
    for each in contributions(rows, reference, by="study"):
        print(
            f"{each.group}: {each.alone:.4f}, {each.own:.4f}; {each.on_front} of {each.networks} networks on the front"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
