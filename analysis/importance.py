"""Which knobs matter for an objective, which pairs of them act together, and how the objective depends on each.

A forest of extremely randomised trees [Geurts, Ernst & Wehenkel 2006] learns the objective from the knobs. It is judged
on the trials that it has not seen: repeated five-fold cross-validation, all trials of one recipe (other seeds, other
studies) in one fold. With ŷ a trial's prediction and ŷ_K the one with the knobs K exchanged for those of another trial,

    T_K = mean over unseen trials of ((y − ŷ_K)² − (y − ŷ)²) / (2 Var y)

This is half the permutation importance [Breiman 2001, §10] as a share of the variance of y. Of a forest that has
learned a function f of independent knobs it is Jansen's estimate of the *total effect* of K [Jansen 1999; Gregorutti,
Michel & Saint-Pierre 2017, prop. 1]: the share of the variance of y that is left when all knobs but K are known. A knob
that a forest fits to by chance gains nothing on unseen trials: its T is 0 on average. The *interaction* of two knobs is

    T_i + T_j − T_ij

all three with the same exchanges: the share of the variance that hangs on both together, in this pair or with further
knobs [Liu & Owen 2006, superset importance]. It is 0 where f is a sum of a function without i and one without j.

A knob is exchanged among trials of the same method to which it applies, and in which the same values decide that it
does; ``method`` is exchanged among all, and brings its own knobs along (`analysis.knobs`). So what is said of a knob is
said within methods. A knob of one method counts for little among many: narrow the rows to that method to see it alone.

Standard errors are those of the mean over folds that share trials, √((1/J + n_test/n_train) s²), the 95 % intervals
Student's t with J − 1 degrees of freedom [Nadeau & Bengio 2003, §3].
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from analysis import arrow, knobs, pareto
from analysis.errors import WrongInput, nearest
from analysis.knobs import ABSENT, METHOD, Knobs
from analysis.schema import DENSE

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["Curve", "Effect", "Forests", "Importance", "dependence", "importance", "learn"]

FEWEST = 20
"""Recipes: fewer leave less than four in a fold, and a forest of sixteen."""
MOST = 1_000
"""Trials that are learned from: drawn at random where there are more, which would change nothing but the time."""
FOLDS = 5
MANY = 300
"""Trials from which on one cross-validation is enough; below there are two."""
TREES = 64
QUANTILES = {FOLDS: 2.7764451052, 2 * FOLDS: 2.2621571628}
"""Student's t at .975 with one degree of freedom less than there are folds in all."""
EXCHANGED = 400
"""About so many trials of each fold are seen with each knob exchanged: the few of a small fold up to eight times."""
PAIRED = 7
"""Interactions are sought among so many knobs, those that matter most: 21 pairs."""
GRID = 15
"""Values of a knob at which a dependence is given, at most."""


@dataclass(frozen=True)
class Effect:
    """A share of the objective's variance, with its 95 % interval; below 0 is noise."""

    mean: float
    std: float
    """The standard error of ``mean``."""
    low: float
    high: float
    trials: int
    """To so many of the trials the knob, or both of a pair, apply."""

    @property
    def is_seen(self) -> bool:
        """Whether the interval lies above 0."""
        return self.low > 0


@dataclass(frozen=True)
class Importance:
    """What the knobs say of one objective."""

    objective: str
    trials: int
    """So many the forest learned from."""
    of: int
    """Out of so many that have the objective."""
    explained: float
    """R² of the forest on trials it has not seen, at most 1; from 0 down it has learned nothing."""
    knobs: Mapping[str, Effect]
    """Knob → its total effect T, the largest first."""
    pairs: Mapping[tuple[str, str], Effect]
    """Two knobs → their interaction T_i + T_j − T_ij, the largest first; none where one decides on the other."""


@dataclass(frozen=True)
class Curve:
    """How the forest's prediction depends on one knob, in one group of trials (partial dependence)."""

    group: str
    """The value of the grouping knob, such as a method's name; "" without groups."""
    values: tuple[Any, ...]
    """Of the knob, ascending, that occur in the group: never beyond what was tried there."""
    means: tuple[float, ...]
    """At each value, in the objective's unit: the mean over the group's trials of the prediction with that value."""
    stds: tuple[float, ...]
    """The standard deviation of ``means`` over the five forests that each leave out a fifth of the recipes."""
    trials: int


def importance(table: pa.Table, objective: str, *, seed: int = 0, pairs: bool = True, trees: int = TREES) -> Importance:
    """Say which knobs matter for ``objective`` among the complete, pruned networks of ``table``.

    ``importance(table, "macs").knobs["ratio"].mean`` is a share of the objective's variance. The same table (its rows
    in the same order) and seed give the same numbers. Without ``pairs`` no interactions are computed; forests of fewer
    ``trees`` take less time and say less.

    Raises WrongInput where there are fewer than 20 recipes with the objective, of one network and data set, where it
    is the same everywhere, or no knob varies.
    """
    return learn(table, objective, seed=seed, trees=trees).importance(pairs=pairs)


def dependence(
    table: pa.Table, objective: str, knob: str, *, by: str | None = METHOD, seed: int = 0
) -> tuple[Curve, ...]:
    """How ``objective`` depends on ``knob``, a curve for each value of the knob ``by`` [Friedman 2001, §8.2].

    Groups come in ascending order; one in which the knob does not apply, or does not vary, has no curve. Whoever wants
    several knobs calls `learn` once, and its ``dependence`` for each.

    Raises WrongInput as `importance` does, and for a knob that is unknown or does not vary.
    """
    return learn(table, objective, seed=seed).dependence(knob, by=by)


def learn(table: pa.Table, objective: str, *, seed: int = 0, trees: int = TREES) -> Forests:
    """Grow the forests for one objective; see `importance` for what takes part and what is refused."""
    import numpy as np

    rows = _rows(table, objective)
    every = len(rows)
    chance = np.random.default_rng(seed)
    if len(rows) > MOST:
        rows = rows.take(arrow.indices(np.sort(chance.choice(len(rows), MOST, replace=False))))
    found = knobs.of(rows)
    if not found.codes and len(rows) >= FEWEST:
        raise WrongInput(f"no knob varies among the {len(rows)} networks that have {objective}: nothing can matter")
    # A column that is the same for all, so that rows without a knob that varies are one recipe.
    told_apart = np.column_stack([np.zeros(len(rows)), np.nan_to_num(found.values, nan=-1.0)])
    recipes = np.unique(told_apart, axis=0, return_inverse=True)[1].reshape(-1)
    distinct = int(recipes.max()) + 1
    if distinct < FEWEST:
        raise WrongInput(
            f"importance needs at least {FEWEST} different recipes with {objective}, got {distinct}: "
            "run more trials, or read more studies"
        )
    target = arrow.numbers(rows[objective])
    spread = float(target.var())
    if not math.sqrt(spread) > 1e-12 * max(abs(float(target.mean())), 1e-300):
        raise WrongInput(f"{objective} is {target[0]:g} in all {len(rows)} networks: nothing can matter for it")
    folds = [chance.permutation(distinct)[recipes] % FOLDS for _ in range(1 if len(rows) >= MANY else 2)]
    return Forests(objective, found, target, tuple(folds), every, seed, trees)


@dataclass(frozen=True)
class Forests:
    """The trials of one objective, and forests that each have not seen a fold of them."""

    objective: str
    knobs: Knobs
    target: NDArray[np.float64]
    folds: tuple[NDArray[np.int64], ...]
    """For each repetition the fold, 0 to 4, in which a trial is not seen."""
    of: int
    seed: int
    trees: int

    def importance(self, *, pairs: bool = True) -> Importance:
        """See `importance`."""
        grown = list(self._grown())
        spread = float(self.target.var())
        left = sum(float(self._errors(forest, unseen).sum()) for forest, unseen in grown)
        single = self._effects(grown, [(name,) for name in self.knobs.codes])
        effects = {knob: effect for (knob, *_), effect in single.items()}
        together = self._effects(grown, self._pairs(list(effects)[:PAIRED]) if pairs else [])
        return Importance(
            objective=self.objective,
            trials=len(self.target),
            of=self.of,
            explained=1.0 - left / (len(self.folds) * len(self.target) * spread),
            knobs=effects,
            pairs={(pair[0], pair[1]): effect for pair, effect in together.items()},
        )

    def dependence(self, knob: str, *, by: str | None = METHOD) -> tuple[Curve, ...]:
        """See `dependence` of this module."""
        import numpy as np

        self._check(knob)
        if by is None or by not in self.knobs.codes:
            groups = {"": self.knobs.applies(knob)}
        else:
            codes, choices = self.knobs.codes[by], self.knobs.choices[by]
            groups = {str(each): (codes == place) & self.knobs.applies(knob) for place, each in enumerate(choices)}
        grown = list(self._grown(repeats=1))
        curves = []
        for group, belongs in groups.items():
            places = np.unique(self.knobs.codes[knob][belongs])
            if len(places) < 2:
                continue
            places = places[np.unique(np.linspace(0, len(places) - 1, GRID).round().astype(np.int64))]
            variants = np.concatenate([self._set(knob, place, belongs) for place in places])
            predicted = np.stack([forest.predict(variants) for forest, _ in grown])
            predicted = predicted.reshape(len(grown), len(places), -1).mean(axis=2)
            curves.append(
                Curve(
                    group=group,
                    values=tuple(self.knobs.choices[knob][place] for place in places),
                    means=tuple(predicted.mean(axis=0).tolist()),
                    stds=tuple(predicted.std(axis=0, ddof=1).tolist()),
                    trials=int(belongs.sum()),
                )
            )
        return tuple(curves)

    def _check(self, knob: str) -> None:
        if knob not in self.knobs.codes:
            raise WrongInput(
                f"{knob!r} is not a knob that varies among the networks that have {self.objective}: "
                f"{nearest(knob, self.knobs.codes)}"
            )

    def _grown(self, *, repeats: int | None = None) -> Iterator[tuple[Any, NDArray[np.bool_]]]:
        """A forest for each fold of each repetition, and which trials it has not seen."""
        from sklearn.ensemble import ExtraTreesRegressor

        for repeat, folds in enumerate(self.folds[:repeats]):
            for fold in range(FOLDS):
                unseen = folds == fold
                forest = ExtraTreesRegressor(self.trees, random_state=self.seed + FOLDS * repeat + fold)
                yield forest.fit(self.knobs.values[~unseen], self.target[~unseen]), unseen

    def _errors(self, forest: Any, unseen: NDArray[np.bool_]) -> NDArray[np.float64]:
        errors: NDArray[np.float64] = (self.target[unseen] - forest.predict(self.knobs.values[unseen])) ** 2
        return errors

    def _pairs(self, names: Sequence[str]) -> list[tuple[str, ...]]:
        """Two knobs each, of which neither decides on the other, that apply together somewhere."""
        return [
            pair
            for pair in combinations(names, 2)
            if not set(pair) & {*self.knobs.above(pair[0]), *self.knobs.above(pair[1])}
            and bool((self.knobs.strata(*pair) != ABSENT).any())
        ]

    def _effects(
        self, grown: Sequence[tuple[Any, NDArray[np.bool_]]], sets: Sequence[tuple[str, ...]]
    ) -> dict[tuple[str, ...], Effect]:
        """The total effect of single knobs, the interaction of pairs, the largest first."""
        import numpy as np

        if not sets:
            return {}
        chance = np.random.default_rng(self.seed)
        unseen_each = len(self.target) // FOLDS
        times = min(8, max(1, EXCHANGED // unseen_each))
        terms = [
            (place, sign / times, self.knobs.exchanged(exchanged, donors))
            for place, together in enumerate(sets)
            for donors in (_cycle(self.knobs.strata(*together), chance) for _ in range(times))
            for exchanged, sign in _terms(together)
        ]
        spread = float(self.target.var())
        found = np.zeros((len(grown), len(sets)))
        for at, (forest, unseen) in enumerate(grown):
            before = self._errors(forest, unseen)
            predicted = forest.predict(np.concatenate([values[unseen] for _, _, values in terms]))
            for (place, weight, _), each in zip(terms, predicted.reshape(len(terms), -1), strict=True):
                risen = (self.target[unseen] - each) ** 2 - before
                found[at, place] += weight * float(risen.mean()) / (2.0 * spread)
        effects = {
            together: _effect(found[:, place], trials=int((self.knobs.strata(*together) != ABSENT).sum()))
            for place, together in enumerate(sets)
        }
        return dict(sorted(effects.items(), key=lambda item: -item[1].mean))

    def _set(self, knob: str, place: int, belongs: NDArray[np.bool_]) -> NDArray[np.float64]:
        """The rows of a group, all with one value of a knob, and what it brings along in rows that have it."""
        import numpy as np

        having = np.flatnonzero(belongs & (self.knobs.codes[knob] == place))
        donors = np.arange(len(self.target))
        donors[belongs] = np.random.default_rng(self.seed).choice(having, int(belongs.sum()))
        return self.knobs.exchanged([knob], donors)[belongs]


def _rows(table: pa.Table, objective: str) -> pa.Table:
    """The complete, pruned networks that have the objective, of one network and data set."""
    import pyarrow.compute as pc

    rows = pareto.candidates(table, [objective])
    rows = rows.filter(pc.not_equal(rows[METHOD], arrow.scalar(DENSE)))
    if len(rows) == 0:
        raise WrongInput(f"none of the {len(table)} rows is a complete, pruned network with {objective}")
    for name in ("network", "data", "width"):
        among = sorted({str(value) for value in rows[name].to_pylist() if value is not None})
        if len(among) > 1:
            raise WrongInput(
                f"importance is of one network and data set, got {name} {' and '.join(among[:3])}: "
                f'choose one with --where "{name} == {among[0] if name == "width" else repr(among[0])}"'
            )
    return rows


def _terms(together: tuple[str, ...]) -> list[tuple[tuple[str, ...], int]]:
    """What is exchanged, and how it counts: T_i alone, or T_i + T_j − T_ij."""
    if len(together) == 1:
        return [(together, 1)]
    return [(together[:1], 1), (together[1:], 1), (together, -1)]


def _cycle(strata: NDArray[np.int64], chance: np.random.Generator) -> NDArray[np.int64]:
    """For each row another one of its stratum, all in one random cycle; itself where it is alone or has no stratum."""
    import numpy as np

    donors = np.arange(len(strata))
    for stratum in np.unique(strata[strata != ABSENT]):
        order = chance.permutation(np.flatnonzero(strata == stratum))
        donors[order] = np.roll(order, 1)
    return donors


def _effect(values: NDArray[np.float64], *, trials: int) -> Effect:
    """Mean, corrected standard error and interval of an effect that was seen in each fold of each repetition."""
    mean = float(values.mean())
    std = math.sqrt((1 / len(values) + 1 / (FOLDS - 1)) * float(values.var(ddof=1)))
    beyond = QUANTILES[len(values)] * std
    return Effect(mean=mean, std=std, low=mean - beyond, high=mean + beyond, trials=trials)
