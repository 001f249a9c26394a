"""Who proposes recipes: asked for one no one has tried, told the rows. Knows nothing of Ray."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from analysis.constraints import Constraint
from search.model import KINDS, Model
from search.space import Flat, Space
from search.told import Aims
from search.walk import walk
from trial.seeds import derived

__all__ = ["LISTED", "SAMPLERS", "Sampler"]

REPEATS = 4
"""So many proposals in a row that were tried before, and the next untried recipe is taken instead."""

LISTED = ("grid", "points")
"""Samplers that go through a list to its end and learn nothing."""

SAMPLERS = (*KINDS, *LISTED)
"""Who proposes, by its name in YAML."""

_Key = tuple[tuple[str, Any], ...]


class Sampler:
    """Proposes recipes of a space, each once, and learns what became of them.

    Call ``remember`` with every row that there is already; then ``ask`` for a number and a recipe, run it, and
    ``tell`` the number what came out. Recipes that were asked for and not yet told are not proposed again.
    The same seed and the same calls give the same proposals.

    ``nsga2`` and ``random`` are Optuna's, ``tpe`` is that of `search.parzen`. They learn from what `search.told` makes
    of a row and see a bounded part of the rows, as `search.model` says: after 250 trials of a made-up problem TPE's
    front gains two thirds of the hypervolume over chance that Optuna's TPE gains, which sees all
    (``benchmarks/results/search.txt``); how much of the rest is the bound's and how much the estimator's is not known.
    ``grid`` goes through every recipe of a space that can be counted, in the order
    of `search.walk`; ``points`` through ``points``, recipes of the space, as they are listed. A recipe whose worker was
    lost comes once more at the end of those two; the others do not propose it again.
    """

    def __init__(
        self,
        space: Space,
        objectives: Sequence[str],
        *,
        seed: int,
        sampler: str = "tpe",
        constraints: Sequence[Constraint] = (),
        points: Sequence[Flat] = (),
    ) -> None:
        assert sampler != "grid" or space.size is not None, "the spec refuses a grid of continuous knobs"
        self._space = space
        self._seed = seed
        self._aims = Aims(tuple(objectives), tuple(constraints))
        self.learns = sampler in KINDS and KINDS[sampler].learns
        """Whether what it proposes depends on what came of earlier proposals."""
        self._tried: set[_Key] = set()
        self._count = 0
        self._asked: dict[int, Flat] = {}
        self._numbers: dict[int, int] = {}
        self._lost: deque[Flat] = deque()
        self._given_back: set[_Key] = set()
        self._size = len(points) if sampler == "points" else space.size
        self._list: Iterator[Flat] | None = None
        self._model: Model | None = None
        self._chance: Model | None = None
        if sampler == "points":
            self._list = iter(points)
        elif space.size is not None:
            self._list = walk(space, seed=seed)
        if sampler not in LISTED:
            self._model = self._new_model(sampler)

    @property
    def is_used_up(self) -> bool:
        """Whether every recipe has been proposed or remembered."""
        return self._size is not None and len(self._tried) >= self._size and not self._lost

    def remember(self, row: Mapping[str, Any], *, is_own: bool = True) -> bool:
        """Learn from a row of an earlier run; False, and nothing learnt, where it lies outside the space.

        Its recipe is not proposed again; that of another study's row, ``is_own=False``, only where it is complete. Rows
        move the seed on: a search that goes on does not begin with the random recipes of its start.
        """
        traced = self._space.trace(row)
        if traced is None:
            return False
        recipe, parameters, distributions = traced
        if is_own or row.get("state") == "complete":
            self._tried.add(_key(recipe))
        if self._model is not None:
            self._model.learn(parameters, distributions, self._aims.told(row))
        return True

    def ask(self) -> tuple[int, Flat] | None:
        """Propose a recipe that nobody has tried: a number and the recipe; None where there is none left."""
        if self.is_used_up:
            return None
        place, recipe = self._next() if self._model is None else self._modelled(self._model)
        self._tried.add(_key(recipe))
        self._count += 1
        self._numbers[self._count], self._asked[self._count] = place, recipe
        return self._count, recipe

    def take_up(self, recipe: Flat) -> tuple[int, Flat] | None:
        """A number for a recipe that an earlier search had asked for, and the recipe with the knobs of this version.

        None where it was tried or lies outside.
        """
        traced = self._space.trace(recipe)
        if traced is None or _key(traced[0]) in self._tried:
            return None
        recipe, parameters, distributions = traced  # without knobs that another version wrote
        self._tried.add(_key(recipe))
        self._count += 1
        self._asked[self._count] = recipe
        self._numbers[self._count] = self._model.begin(parameters, distributions) if self._model is not None else 0
        return self._count, recipe

    def tell(self, number: int, row: Mapping[str, Any] | None) -> None:
        """Learn what became of a proposal: its row, or None where it left none, since its worker was lost."""
        recipe = self._asked.pop(number)
        if self._model is not None:
            self._model.tell(self._numbers.pop(number), self._aims.told(row))
        elif row is None and _key(recipe) not in self._given_back:
            self._given_back.add(_key(recipe))
            self._lost.append(recipe)

    def _new_model(self, name: str, *path: str) -> Model:
        def seeds(count: int) -> int:
            """As Optuna takes it, in [0, 2³²)."""
            return derived(self._seed, "sampler", *path, count) % 2**32

        return Model(self._space, self._aims, KINDS[name], seeds=seeds)

    def _modelled(self, model: Model) -> tuple[int, Flat]:
        """What the model proposes, or, where it repeats itself, the next recipe of those that are left."""
        for _ in range(REPEATS):
            place, recipe = model.ask()
            if _key(recipe) not in self._tried:
                return place, recipe
            model.withdraw(place)
        _, recipe = self._by_chance() if self._list is None else self._next()
        traced = self._space.trace(recipe)
        assert traced is not None, "a recipe of the space lies in the space"
        return model.begin(*traced[1:]), recipe

    def _next(self) -> tuple[int, Flat]:
        """The next untried recipe of the list, then those whose worker was lost."""
        assert self._list is not None, "who has no model has a list"
        for recipe in self._list:
            if _key(recipe) not in self._tried:
                return 0, recipe
        return 0, self._lost.popleft()

    def _by_chance(self) -> tuple[int, Flat]:
        """An untried recipe drawn at random, where there are too many to list."""
        self._chance = self._chance or self._new_model("random", "afresh")
        while True:
            place, recipe = self._chance.ask()
            self._chance.withdraw(place)
            if _key(recipe) not in self._tried:
                return place, recipe


def _key(recipe: Mapping[str, Any]) -> _Key:
    return tuple(sorted(recipe.items()))
