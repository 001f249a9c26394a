"""The YAML spec of a search: what is pruned and trained, which recipes are tried, and for how long."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field

from analysis.errors import WrongInput, nearest
from analysis.schema import OBJECTIVES, measure
from search.address import checked
from search.loggers import LOGGERS, check_loggers
from search.sampler import SAMPLERS
from search.space import Space
from trial.experiment import Experiment
from trial.yaml_file import read, value

__all__ = ["Search", "Spec", "load", "ready"]


class Search(BaseModel):
    """Which recipes are tried, what for, and how many."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    methods: Any = Field(description="names, a mapping from names to knobs, or any: all methods")
    recipe: Any = Field({}, description="schedule, apply, control and recovery knobs, searched with every method")
    objectives: tuple[str, ...] = Field(("val_accuracy", "sparsity", "macs"), description="measures to be good in")
    sampler: str = Field("tpe", description=f"who proposes recipes: {' or '.join(SAMPLERS)}")
    trials: int = Field(40, ge=1, description="how many recipes are tried, failed ones included")
    storage: str | None = Field(
        None, description="an Optuna storage that mirrors the study: sqlite:///FILE, postgresql://… or journal:FILE"
    )
    loggers: tuple[str, ...] = Field((), description=f"who else keeps a log of trials: {', '.join(LOGGERS)}")


class Spec(Experiment):
    """A search: an experiment, the recipes to try on it, and how many workers try them."""

    search: Search
    workers: int = Field(
        default_factory=lambda: _workers(), ge=1, description="trials at once; left out, one per GPU, else per core"
    )

    @property
    def space(self) -> Space:
        """The recipes that may be tried."""
        return Space.parse(self.search.methods, where="search.methods", recipe=self.search.recipe)

    @property
    def budget(self) -> int:
        """How many trials there will be: no more than there are recipes."""
        size = self.space.size
        return self.search.trials if size is None else min(self.search.trials, size)

    @classmethod
    def parse(cls, given: dict[str, Any], *, where: str | Path) -> Any:
        """Validate a mapping, and write every range and path in full.

        Raises WrongInput that names the first mistake, its place and what is accepted.
        """
        spec: Spec = super().parse(given, where=where)
        space = Space.parse(
            spec.search.methods,
            where=f"{where}: search.methods",
            recipe=spec.search.recipe,
            recipe_where=f"{where}: search.recipe",
        )
        _check_objectives(spec.search.objectives, where=f"{where}: search.objectives")
        if spec.search.sampler not in SAMPLERS:
            raise WrongInput(
                f"{spec.search.sampler!r} is not a sampler: {nearest(spec.search.sampler, SAMPLERS)} "
                f"({where}: search.sampler)"
            )
        network, data = spec.network, spec.data
        if network.weights_file is not None:
            network = network.model_copy(update={"weights": network.weights_file.expanduser().resolve()})
        if data.folder is not None:
            data = data.model_copy(update={"folder": data.folder.expanduser().resolve()})
        check_loggers(spec.search.loggers, where=f"{where}: search.loggers")
        storage = spec.search.storage
        if storage is not None:
            storage = checked(storage, where=f"{where}: search.storage")
        search = spec.search.model_copy(update={"methods": space.written(), "recipe": {}, "storage": storage})
        latency = spec.latency or any(measure(name).taken == "when asked for" for name in search.objectives)
        return spec.model_copy(update={"search": search, "network": network, "data": data, "latency": latency})

    def experiment(self) -> Experiment:
        """The part that one trial needs."""
        return Experiment(**{name: getattr(self, name) for name in Experiment.model_fields})

    def with_numerics(self) -> Spec:
        """The spec of a new study: the cores shared out among the workers, all of them to dense training."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        chosen = {"threads": max(1, cores // self.workers), "dense_threads": cores}
        given = {name: getattr(self.numerics, name) for name in self.numerics.model_fields_set}
        return self.model_copy(update={"numerics": self.numerics.model_copy(update=chosen | given)})


def load(name: str, *, settings: Sequence[str] = ()) -> tuple[Spec, str]:
    """Read a spec: a ready one by name, or a YAML file by path; also what messages call it.

    ``settings`` are ``path=value`` pairs in YAML that replace what the spec says. Raises WrongInput for a name
    that is no ready spec and no file, for a setting that is none, and for whatever ``Spec.parse`` refuses.
    """
    path = _find(name)
    given = read(path)
    for setting in settings:
        _replace(given, setting)
    return Spec.parse(given, where=path.name if _is_ready(name) else path), path.stem


def ready() -> dict[str, Path]:
    """The ready specs by name."""
    folder = Path(str(resources.files("search.specs")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def _is_ready(name: str) -> bool:
    return name in ready()


def _find(name: str) -> Path:
    if _is_ready(name):
        return ready()[name]
    path = Path(name)
    if path.is_file() or path.suffix in {".yaml", ".yml"}:
        return path
    raise WrongInput(f"{name!r} is neither a file nor a ready spec: {nearest(name, ready())}")


def _replace(given: dict[str, Any], setting: str) -> None:
    path, equals, text = setting.partition("=")
    names = path.split(".")
    if not equals or not all(names):
        raise WrongInput(f"--set takes path=value, such as search.trials=10, got {setting!r}")
    inside = given
    for depth, name in enumerate(names[:-1]):
        below = inside.setdefault(name, {})
        if isinstance(below, str) and names[: depth + 1] in (["network"], ["data"]):
            below = inside[name] = {"name": below}
        if not isinstance(below, dict):
            raise WrongInput(
                f"{'.'.join(names[: depth + 1])} is {below!r:.60}, it has no {names[depth + 1]} (--set {setting})"
            )
        inside = below
    inside[names[-1]] = value(text, where=f"--set {setting}")


def _check_objectives(objectives: Sequence[str], *, where: str) -> None:
    for name in objectives:
        try:
            measure(name)
        except WrongInput:
            raise WrongInput(f"{name!r} is not a measure: {nearest(name, OBJECTIVES)} ({where})") from None
        if name not in OBJECTIVES:
            raise WrongInput(f"{name} is not measured in every trial: {nearest(name, OBJECTIVES)} ({where})")
    if not objectives or len(set(objectives)) < len(objectives):
        raise WrongInput(f"objectives must be one or more different measures, got {list(objectives)} ({where})")


def _workers() -> int:
    return torch.cuda.device_count() or min(4, os.cpu_count() or 1)
