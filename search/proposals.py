"""What Tune asks for recipes and tells results: the sampler behind Ray Tune's own interface."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from ray.tune.search import Searcher

from search.order import Order, Proposal
from search.sampler import Sampler
from search.space import Flat
from search.stopping import Stopping
from trial.rows import Row

__all__ = ["Proposals"]


class Proposals(Searcher):
    """Hands the sampler's proposals to Tune, and each trial's row to the sampler and to whoever listens.

    Tune calls ``suggest`` whenever it could start a trial and ``on_trial_complete`` once for each that it started.

    Args:
        sampler: Asked for recipes, and told what became of them.
        order: Of those that wait to begin; with the parents that are there already.
        stopping: What becomes of trials at their rungs.
        parent_of: Names the network that a recipe shares with others, see `Recipe.parent`.
        budget: How many recipes to run.
        workers: How many at once; may be changed while a search runs.
        lookahead: How many may wait.
        finished: Called with every row, a stopped trial's before it is told to the sampler: it has to be written.
        say: Told what happened to trials, a line at a time.
        caution: Told what holds for a machine, by each of its workers.
    """

    def __init__(
        self,
        sampler: Sampler,
        *,
        order: Order,
        stopping: Stopping,
        parent_of: Callable[[Flat], str | None],
        budget: int,
        workers: int,
        lookahead: int,
        finished: Callable[[Row], None],
        say: Callable[[str], None],
        caution: Callable[[str], None],
    ) -> None:
        super().__init__()
        self.under_way: dict[str, dict[str, Any]] = {}
        """Recipe and start of each trial that runs, by Tune's name for it."""
        self.broken: OSError | None = None
        """What could not be written, by a worker or here: whoever runs the search raises it."""
        self.lost_in_a_row = 0
        self.workers = workers
        self.is_over = False
        self.is_halted = False
        """Nothing more is to begin."""
        self._sampler = sampler
        self._order = order
        self._stopping = stopping
        self._parent_of = parent_of
        self._left = budget
        self._lookahead = lookahead
        self._finished = finished
        self._say = say
        self._caution = caution
        self._running: dict[str, Proposal] = {}
        self._taken_up: dict[int, Flat] = {}
        """Recipes that an earlier search had begun, by number, until they begin again."""
        self._at_rungs: dict[str, tuple[Proposal, Row]] = {}
        """Those that wait at a rung, by trial, with the row that each has if it is stopped there."""

    @property
    def running(self) -> int:
        """How many trials are under way."""
        return len(self._running)

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:  # noqa: ARG002
        """Accept that Tune knows no metric: objectives are the sampler's."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """Propose a recipe, or nothing for now, or say that the search is over."""
        if self.is_halted or len(self._running) >= self.workers:
            return None
        proposal = self._from_rungs(is_idle=False) or self._next() or self._from_rungs(is_idle=True)
        if proposal is None:
            # Not over yet where trials run: one whose worker dies gives its place in the budget back.
            self.is_over = not self._running
            return Searcher.FINISHED if self.is_over else None
        self._running[trial_id] = proposal
        self._taken_up.pop(proposal.number, None)
        self.under_way[trial_id] = {"recipe": proposal.recipe, "since": time.time()}
        return {"recipe": proposal.recipe, "past": proposal.past}

    @property
    def unfinished(self) -> list[Flat]:
        """The recipes that were begun and have no row."""
        begun = (*self._running.values(), *(each for each, _ in self._at_rungs.values()))
        return [*(proposal.recipe for proposal in begun), *self._taken_up.values()]

    def take_up(self, recipes: Iterable[Flat]) -> None:
        """Have recipes run that an earlier search had begun; those that have a row are passed over."""
        for recipe in recipes:
            taken = self._sampler.take_up(recipe) if self._left else None
            if taken is not None:
                number, known = taken
                self._left -= 1
                self._taken_up[number] = known
                self._order.add(Proposal(number, known, self._parent_of(known)))

    def goes_on(self, trial_id: str, row: Row, rung: int) -> bool:
        """Whether a trial goes on past a rung now; if not, it ends for Tune, and may be suggested again later."""
        verdict = self._stopping.reached(row, rung)
        if verdict == "waits":
            self._at_rungs[row["trial"]] = replace(self._running[trial_id], past=rung), row
        return verdict == "goes on"

    def _from_rungs(self, *, is_idle: bool) -> Proposal | None:
        """One that waited at a rung and goes on; those that are stopped instead are settled on the way."""
        while (settled := self._stopping.next(is_idle=is_idle)) is not None:
            trial, verdict = settled
            proposal, row = self._at_rungs.pop(trial)
            if verdict == "goes on":
                return proposal
            self._settle(proposal, row)
        return None

    def _settle(self, proposal: Proposal, row: Row) -> None:
        try:
            self._finished(row)
        except OSError as error:
            # Tune, which calls us, takes what is raised for the trial's own failure and calls once more.
            self.broken = error
            return
        self._sampler.tell(proposal.number, row)

    def _next(self) -> Proposal | None:
        """The next proposal, asked for only where none of those that wait can be run."""
        while (proposal := self._order.take()) is None and self._left and len(self._order) < self._lookahead:
            asked = self._sampler.ask()
            if asked is None:
                return None
            number, recipe = asked
            self._left -= 1
            self._order.add(Proposal(number, recipe, self._parent_of(recipe)))
        return proposal

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the sampler what became of a trial: its row, or that its worker was lost."""
        proposal = self._running.pop(trial_id)
        self._order.ended(proposal)
        del self.under_way[trial_id]
        for notice in (result or {}).get("notices", ()):
            self._say(notice)
        for caution in (result or {}).get("cautions", ()):
            self._caution(caution)
        if result is not None and "broken" in result:
            self.broken = OSError(*result["broken"])
        if error or result is None or "row" not in result:
            self._left += 1
            self.lost_in_a_row += 1
            self._sampler.tell(proposal.number, None)
            return
        row: Row = json.loads(result["row"], object_pairs_hook=_sharing_names)
        self.lost_in_a_row = 0
        if row["trial"] not in self._at_rungs:
            self._settle(proposal, row)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Let go of those that waited for the network that this trial has made."""
        parent = self._running[trial_id].parent
        if "parent" in result and parent is not None:
            self._order.made(parent)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles what it is given, to restore a search that we go on with from the rows."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing is kept: the rows are what a search goes on from."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing was kept."""


def _sharing_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A row whose columns' names are those of all other rows: half of the memory of ten thousand."""
    return {sys.intern(name): value for name, value in pairs}
