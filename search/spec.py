"""The YAML spec of a search: what is pruned and trained, which recipes are tried, and for how long."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from analysis.constraints import Constraint
from analysis.constraints import parse as parse_constraints
from analysis.errors import WrongInput, nearest
from analysis.object_path import path_of
from analysis.schema import OBJECTIVES, TIMED, measure
from search import points
from search.address import ACCEPTED, checked
from search.loggers import LOGGERS, check_loggers
from search.machines import cores_here, workers_here
from search.resources import Resources
from search.sampler import LISTED, SAMPLERS, Sampler
from search.sources import gather, ready
from search.space import Flat, Space
from search.walk import check_countable
from trial.experiment import Experiment
from trial.recipe import Recipe

__all__ = ["Search", "Spec", "load", "ready"]


def _seconds(given: object) -> object:
    """A time as people write it, in seconds; anything else as it is, for pydantic to refuse.

    >>> _seconds("30 min"), _seconds("1.5h"), _seconds(90)
    (1800.0, 5400.0, 90)
    """
    if not isinstance(given, str):
        return given
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)\s*", given)
    if found is None or found[2] not in TIMES:
        raise ValueError(
            f"a time is a number of seconds or of {', '.join(list(TIMES)[1:])}, as in 30 min, got {given!r}"
        )
    return float(found[1]) * TIMES[found[2]]


def _written(given: object) -> object:
    """An address of a storage; without what follows its colon YAML makes a mapping of it."""
    if isinstance(given, dict):
        raise ValueError(f"takes {ACCEPTED}, and nothing follows the colon of what is given")
    return given


TIMES = {"": 1, "s": 1, "min": 60, "h": 3600}


def _number(given: object) -> object:
    """How many workers, None for as many as there is room for."""
    if isinstance(given, str):
        if given != "auto":
            raise ValueError(f"takes a whole number from 1 on, or auto, got {given!r}")
        return None
    return given


Workers = Annotated[
    Annotated[int, Field(ge=1)] | None,
    BeforeValidator(_number),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"enum": ["auto", None]}]}),
]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(_seconds)]


class Search(BaseModel):
    """Which recipes are tried, what for, and how many."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    methods: Any = Field(None, description="names, a mapping from names to knobs, or any: all methods")
    recipe: Any = Field({}, description="knobs of what follows a cut, schedule to recovery, searched with every method")
    objectives: tuple[str, ...] = Field(("val_accuracy", "sparsity", "macs"), description="measures to be good in")
    constraints: Any = Field({}, description='what the front must meet, such as {val_accuracy: ">= .9"}')
    sampler: str = Field("tpe", description=f"who proposes recipes: {' or '.join(SAMPLERS)}")
    points: list[Any] = Field([], description="recipes, for the sampler points, which takes no methods")
    trials: int = Field(
        40,
        ge=1,
        description="how many recipes are tried, stopped and failed ones included; grid and points: left out, all",
    )
    rungs: tuple[int, ...] = Field(
        (), description="epochs of the last recovery, the first possibly 0, at which weak trials are stopped"
    )
    factor: int = Field(8, ge=2, le=1000, description="at each rung about one trial in so many goes on")
    time_limit: Seconds | None = Field(None, description="how long a trial may take, in seconds or as in 30 min")
    warm_start: tuple[Path, ...] = Field((), description="other studies, whose rows teach the sampler")
    storage: Annotated[str | None, BeforeValidator(_written)] = Field(
        None, description="an Optuna storage that mirrors the study: sqlite:///FILE, postgresql://… or journal:FILE"
    )
    loggers: tuple[str, ...] = Field((), description=f"who else keeps a log of trials: {', '.join(LOGGERS)}")


class Spec(Experiment):
    """A search: an experiment, the recipes to try on it, and how many workers try them."""

    search: Search
    workers: Workers = Field(
        None,
        description="trials at once; auto, or left out: on a cluster as many as its machines have room for, as they "
        "come and go; here one per GPU, else per core up to 4",
    )
    resources: Resources = Field(Resources(), description="what each trial holds of its machine")
    artefacts: Literal["front", "all", "none"] = Field(
        "front", description="which trials' networks are written as files to ship, when the search has ended"
    )

    @property
    def space(self) -> Space:
        """The recipes that may be tried; of listed points the space that they span."""
        if self.search.sampler == "points":
            return points.spanned(self.search.points, self._points())
        return Space.parse(self.search.methods, where="search.methods", recipe=self.search.recipe)

    @property
    def size(self) -> int | None:
        """How many recipes there are to try, None where a knob is continuous."""
        return len(self.search.points) if self.search.sampler == "points" else self.space.size

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """What a network must meet to be on the front."""
        return parse_constraints(self.search.constraints, where="search.constraints")

    def recipes(self) -> Iterable[Flat]:
        """Every recipe to try, where they can be counted."""
        is_listed = self.search.sampler == "points"
        return points.recipes(self.space, self._points()) if is_listed else self.space.recipes()

    def sampler(self) -> Sampler:
        """Who proposes this spec's recipes; it knows of no row yet."""
        return Sampler(
            self.space,
            self.search.objectives,
            seed=self.seed,
            sampler=self.search.sampler,
            constraints=self.constraints,
            points=list(self.recipes()) if self.search.sampler == "points" else (),
        )

    def _points(self) -> list[Recipe]:
        return points.parse(self.search.points, self.experiment(), where="search.points")

    @property
    def budget(self) -> int:
        """How many trials there will be: no more than there are recipes."""
        size = self.size
        return self.search.trials if size is None else min(self.search.trials, size)

    @classmethod
    def parse(cls, given: dict[str, Any], *, where: str | Path) -> Any:
        """Validate a mapping, and write every range and path in full.

        Raises WrongInput that names the first mistake, its place and what is accepted.
        """
        spec: Spec = super().parse(given, where=where)
        if spec.search.sampler not in SAMPLERS:
            raise WrongInput(
                f"{spec.search.sampler!r} is not a sampler: {nearest(spec.search.sampler, SAMPLERS)} "
                f"({where}: search.sampler)"
            )
        written = _recipes(spec, where=where)
        _check_rungs(spec.search, where=f"{where}: search.rungs")
        _check_objectives(spec.search.objectives, where=f"{where}: search.objectives")
        constraints = parse_constraints(spec.search.constraints, where=f"{where}: search.constraints")
        network, data = spec.network, spec.data
        if network.weights_file is not None:
            network = network.model_copy(update={"weights": network.weights_file.expanduser().resolve()})
        if data.folder is not None:
            data = data.model_copy(update={"folder": data.folder.expanduser().resolve()})
        check_loggers(spec.search.loggers, where=f"{where}: search.loggers")
        storage = spec.search.storage
        if storage is not None:
            storage = checked(storage, where=f"{where}: search.storage")
        warm_start = tuple(path_of(str(folder)).expanduser().resolve() for folder in spec.search.warm_start)
        said = {
            "constraints": {each.measure: each.written for each in constraints},
            "warm_start": warm_start,
            "storage": storage,
        }
        search = spec.search.model_copy(update={**written, **said})
        measured = (*search.objectives, *search.constraints)
        latency = tuple(dict.fromkeys((*spec.latency, *(name for name in measured if name in TIMED))))
        return spec.model_copy(update={"search": search, "network": network, "data": data, "latency": latency})

    def experiment(self) -> Experiment:
        """The part that one trial needs."""
        return Experiment(**{name: getattr(self, name) for name in Experiment.model_fields})

    @property
    def workers_here(self) -> int:
        """How many trials at once on this machine."""
        return self.workers or workers_here(self.resources)

    def with_numerics(self, *, is_here: bool = True) -> Spec:
        """The spec of a new study: a trial computes on the cores that it holds, dense training on all of them.

        Where nothing is said of cores, this machine's are shared out among the workers; those of a cluster, where as
        many trials run as there are cores, are not (``is_here``).
        """
        cores = cores_here()
        if self.resources.cpu is not None:
            threads = int(self.resources.cpu)
        else:
            threads = cores // self.workers_here if is_here or self.workers else 1
        chosen = {"threads": max(1, threads), "dense_threads": cores}
        given = {name: getattr(self.numerics, name) for name in self.numerics.model_fields_set}
        return self.model_copy(update={"numerics": self.numerics.model_copy(update=chosen | given)})


def load(name: str, *, settings: Sequence[str] = ()) -> tuple[Spec, str]:
    """Read a spec: a ready one by name, or a YAML file by path; also what its study is called.

    ``settings`` are ``path=value`` pairs in YAML that replace what the spec says. Raises WrongInput for whatever
    ``search.sources.gather`` and ``Spec.parse`` refuse.
    """
    given, where, named = gather(name, settings=settings, model=Spec)
    return Spec.parse(given, where=where), named


def _check_rungs(search: Search, *, where: str) -> None:
    rungs = search.rungs
    if list(rungs) != sorted({rung for rung in rungs if rung >= 0}):
        raise WrongInput(f"rungs are epochs of recovery, growing and not below 0, got {list(rungs)} ({where})")
    if rungs and "train_accuracy" in search.objectives:
        raise WrongInput(f"train_accuracy is not known at rungs: leave it out of objectives, or rungs out ({where})")
    if rungs and not {"val_accuracy", "val_loss"} & set(search.objectives):
        raise WrongInput(
            f"rungs compare trials by validation accuracy or loss, and objectives are {list(search.objectives)}: "
            f"add val_accuracy, or leave rungs out ({where})"
        )


def _recipes(spec: Spec, *, where: str | Path) -> dict[str, Any]:
    """The settings of the search that say which recipes there are, each in full."""
    given, place = spec.search, f"{where}: search"
    if given.sampler == "points":
        said = next((name for name in ("methods", "recipe") if getattr(given, name)), None)
        if said:
            raise WrongInput(f"the sampler points tries search.points alone: leave {said} out ({place}.{said})")
        size: int | None = len(points.parse(given.points, spec.experiment(), where=f"{place}.points"))
        written: dict[str, Any] = {"points": [dict(point) for point in given.points]}
    else:
        if given.points:
            raise WrongInput(f"points belong to the sampler points, got sampler {given.sampler} ({place}.sampler)")
        if "methods" not in given.model_fields_set:
            raise WrongInput(f"methods is missing ({place}.methods)")
        space = Space.parse(
            given.methods, where=f"{place}.methods", recipe=given.recipe, recipe_where=f"{place}.recipe"
        )
        if given.sampler == "grid":
            check_countable(space, where=f"{place}.methods")
        size = space.size
        written = {"methods": space.written(), "recipe": {}}
    if given.sampler in LISTED and "trials" not in given.model_fields_set:
        assert size is not None, "a list has a length"
        written["trials"] = size
    return written


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
