"""What Tune asks of a search and tells it."""

import json
from typing import Any

import yaml

from search.order import Order
from search.proposals import Proposals
from search.spec import Spec
from search.stopping import Stopping

SPEC = """
network: seed-cnn
data: digits
search: {methods: {filter-l1: {ratio: [.2, .4]}}, sampler: grid}
"""


def proposals(written: list[dict[str, Any]], *, fails: OSError | None = None) -> Proposals:
    def finished(row: dict[str, Any]) -> None:
        if fails:
            raise fails
        written.append(row)

    return Proposals(
        Spec.parse(yaml.safe_load(SPEC), where="spec.yaml").sampler(),
        order=Order(),
        stopping=Stopping(["val_accuracy", "macs"], rungs=(), end=1, factor=2),
        parent_of=lambda _: None,
        budget=2,
        workers=1,
        lookahead=1,
        finished=finished,
        say=print,
        caution=print,
    )


def test_a_row_is_written_and_the_next_recipe_proposed() -> None:
    written: list[dict[str, Any]] = []
    asked = proposals(written)
    first = asked.suggest("a")
    assert asked.suggest("b") is None, "there is one worker"
    row = first["recipe"] | {"trial": "first", "state": "complete", "val_accuracy": 0.5, "macs": 1}
    asked.on_trial_complete("a", {"row": json.dumps(row)})
    assert written == [row]
    assert asked.suggest("b")["recipe"] != first["recipe"]


def test_a_row_that_cannot_be_written_ends_the_search_as_what_it_is() -> None:
    """Tune took the error for the trial's, told once more of its end, and a KeyError was all that a user saw."""
    full = OSError(28, "No space left on device")
    asked = proposals([], fails=full)
    recipe = asked.suggest("a")["recipe"]
    asked.on_trial_complete("a", {"row": json.dumps(recipe | {"trial": "first", "state": "complete"})})
    assert asked.broken is full
    assert asked.running == 0


def test_a_lost_worker_gives_its_place_in_the_budget_back() -> None:
    written: list[dict[str, Any]] = []
    asked = proposals(written)
    for number in range(4):
        assert isinstance(asked.suggest(str(number)), dict)
        asked.on_trial_complete(str(number), error=True)
        assert asked.lost_in_a_row == number + 1
    assert written == []


def test_recipes_that_were_taken_up_and_wait_are_unfinished_still() -> None:
    """A second stop, before their turn came, forgot them."""
    recipes = [{"method": "filter-l1", "ratio": ratio} for ratio in (0.2, 0.4)]
    asked = proposals([])
    asked.take_up(recipes)
    assert asked.unfinished == recipes
    assert asked.suggest("a")["recipe"] == recipes[0]
    assert asked.unfinished == recipes
    asked.on_trial_complete("a", {"row": json.dumps(recipes[0] | {"trial": "first", "state": "complete"})})
    assert asked.unfinished == recipes[1:]
