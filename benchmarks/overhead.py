"""What a trial costs beside its training, and what a study's store weighs."""

import io
import statistics
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from benchmarks import cores, made_up
from search.sampler import Sampler
from search.spec import Spec, ready
from trial.experiment import Experiment
from trial.recipe import Recipe
from trial.training import train
from trial.workbench import Workbench
from trial.yaml_file import read

ROUNDS = 3
SIZES = (5_000, 50_000)
"""Images, a tenth of them for validation: a small part of CIFAR-10, and all that its ready spec trains on."""
EPOCHS = 4
TRIALS = 100


def figures() -> Iterator[str]:
    """One worker on seed-cnn: a trial's seconds over those of a bare loop; then the bytes of a hundred trials."""
    torch.set_num_threads(cores())
    with tempfile.TemporaryDirectory() as folder:
        for images in SIZES:
            yield _added(Path(folder) / f"added-{images}", images=images)
        yield _stored(Path(folder) / "store")


def _added(folder: Path, *, images: int) -> str:
    """Trials of magnitude-global, which leaves the network as large as it was, each beside the loop alone."""
    _write(folder / "data", images=images)
    bench = _workbench(
        folder / "study",
        {
            "network": "seed-cnn",
            "data": {"name": "parquet", "folder": str(folder / "data"), "validation": images // 10},
            "dense": {"epochs": 1},
            "recovery": {"epochs": EPOCHS},
            "numerics": {"threads": cores(), "dense_threads": cores()},
        },
    )
    bench.dense()  # the first trial pays for what torch sets up, and is not counted
    trials, bare = [], []
    for number in range(ROUNDS + 1):
        given = {"method": "magnitude-global", "ratio": float(Fraction(number + 50, 100))}
        recipe = Recipe.parse(given, bench.experiment, where="benchmark")
        start = time.perf_counter()
        row = bench.run(recipe)
        trials.append(time.perf_counter() - start)
        assert row["state"] == "complete", row["error"]
        network = bench.parent(recipe)
        start = time.perf_counter()
        train(network, bench.splits, recipe.recovery.training(bench.experiment.dense), seed=0)
        bare.append(time.perf_counter() - start)
    added = [trial - loop for trial, loop in zip(trials[1:], bare[1:], strict=True)]
    share = statistics.median(a / loop for a, loop in zip(added, bare[1:], strict=True))
    return (
        f"seed-cnn, {images - images // 10:,} images, {EPOCHS} epochs: a trial adds {statistics.median(added):.3f} s "
        f"to the {statistics.median(bare[1:]):.2f} s of a bare loop, {100 * share:.1f}% (target 2%; {ROUNDS} rounds)"
    )


def _stored(study: Path) -> str:
    """Recipes drawn at random from seed-cnn's ready spec, trained for one epoch on digits: bytes know no epochs."""
    given = {**read(ready()["seed-cnn-cifar10"]), "data": "digits", "dense": {"epochs": 1}, "recovery": {"epochs": 1}}
    spec: Spec = Spec.parse(given, where="benchmark")
    bench = _workbench(study, spec.experiment().model_dump(mode="json"))
    dense = bench.dense()
    sampler = Sampler(spec.space, spec.search.objectives, seed=0, sampler="random")
    for _ in range(TRIALS):
        asked = sampler.ask()
        assert asked is not None, "the space is continuous"
        row = bench.run(Recipe.parse(asked[1], bench.experiment, where="benchmark"))
        assert row["state"] == "complete", row["error"]
        sampler.tell(asked[0], row)
    files = [path for path in (study / "stages").rglob("*") if path.is_file()]
    total = sum(path.stat().st_size for path in files)
    kept = sum(path.stat().st_size for path in (study / "rows").glob("*.json"))
    return (
        f"seed-cnn, {TRIALS} trials: the store weighs {total / 1e6:.0f} MB in {len(files):,} files, "
        f"{total / dense['bytes'] / TRIALS:.2f} dense networks a trial; rows {kept / 1e6:.2f} MB"
    )


def _workbench(study: Path, given: dict[str, Any]) -> Workbench:
    experiment: Experiment = Experiment.parse(given, where="benchmark")
    return Workbench(experiment, study, study_name="benchmark", worker="benchmark")


def _write(folder: Path, *, images: int) -> None:
    """Noise as a Parquet folder, which is what a workbench can load."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    made = made_up(images).train

    def encoded(pixels: torch.Tensor) -> bytes:
        file = io.BytesIO()
        Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy()).save(file, "png", compress_level=0)
        return file.getvalue()

    folder.mkdir(parents=True)
    image = pa.array([{"bytes": encoded(pixels)} for pixels in made.images])
    pq.write_table(pa.table({"image": image, "label": made.labels.numpy()}), folder / "train.parquet")
