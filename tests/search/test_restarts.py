from types import SimpleNamespace

import pytest
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune import TuneError

from analysis.errors import WorkFailed, WrongInput
from search.restarts import FRUITLESS, RayLost, losses_of_ray, until_done


class Search:
    """Finishes as many rows at each attempt as planned, and is lost after all but the last."""

    def __init__(self, *plan: int) -> None:
        self.plan = list(plan)
        self.rows = 0
        self.said: list[str] = []

    def attempt(self) -> None:
        self.rows += self.plan.pop(0)
        if self.plan:
            raise RayLost(f"lost at {self.rows}")

    def run(self) -> None:
        until_done(self.attempt, rows=lambda: self.rows, say=self.said.append)


def test_a_search_is_started_again_while_it_finishes_rows() -> None:
    search = Search(1, 2, 0, 1, 0, 3)
    search.run()
    assert search.rows == 7
    assert search.plan == []
    assert search.said == [f"lost at {rows}: starting again" for rows in (1, 3, 3, 4, 4)]


def test_a_search_that_finishes_nothing_ends_with_the_loss() -> None:
    search = Search(3, 0, 0, 5)
    with pytest.raises(RayLost, match="lost at 3"):
        search.run()
    assert search.plan == [5]
    assert FRUITLESS == 2


def test_what_is_no_loss_of_ray_ends_the_search_at_once() -> None:
    attempts = []

    def attempt() -> None:
        attempts.append(1)
        raise WorkFailed("3 workers died one after another")

    with pytest.raises(WorkFailed, match="3 workers"):
        until_done(attempt, rows=lambda: len(attempts), say=print)
    assert len(attempts) == 1


def test_what_is_wrong_only_after_a_loss_is_not_the_users_mistake() -> None:
    """The cluster's address: a head that is lost answers nobody."""
    attempts: list[BaseException] = [WrongInput("no Ray cluster answers"), RayLost("lost")]

    def attempt() -> None:
        raise attempts.pop()

    with pytest.raises(WorkFailed, match="lost; then no Ray cluster answers"):
        until_done(attempt, rows=lambda: 0, say=print)
    with pytest.raises(WrongInput, match="at first"):
        until_done(lambda: (_ for _ in ()).throw(WrongInput("at first")), rows=lambda: 0, say=print)


def test_a_worker_that_ray_killed_for_its_memory_is_a_loss_though_tune_calls_it_unexpected() -> None:
    """Tune's own code raises a bare RuntimeError there, which ended the search with a traceback."""
    task = SimpleNamespace(_tracked_actor=None)
    killed = OutOfMemoryError("Task was killed due to the node\nrunning low on memory.")
    with pytest.raises(RayLost) as raised, losses_of_ray("Ray Tune failed"):
        RayActorManager._actor_task_failed(SimpleNamespace(), task, killed)
    assert str(raised.value) == "Ray Tune failed: a worker was killed because its machine ran out of memory"


@pytest.mark.parametrize("error", [TuneError("a"), RayActorError(), OutOfMemoryError("c")])
def test_errors_of_ray_are_losses(error: Exception) -> None:
    with pytest.raises(RayLost, match=r"^it failed: "), losses_of_ray("it failed"):
        raise error


@pytest.mark.parametrize("error", [WorkFailed("a"), RuntimeError("b"), OSError(28, "full"), KeyboardInterrupt()])
def test_what_is_not_rays_is_raised_as_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, losses_of_ray("it failed"):
        raise error
    assert raised.value is error
