import random

import pytest

from search.rungs import Rungs, Standing
from search.waiting import Waiting
from tests.search.test_rungs import OBJECTIVES, literal_standing

WORD = {Standing.BEST: "goes on", Standing.UNBEATEN: "waits", Standing.BEHIND: "is stopped"}


def at(accuracy, macs):
    return {"val_accuracy": accuracy, "macs": macs}


def waiting(*, epochs=(1, 4, 16), factor=4):
    return Waiting(Rungs(OBJECTIVES, epochs, factor))


def test_the_first_waits_and_goes_on_where_there_is_nothing_else_to_do():
    judge = waiting()
    assert judge.report("a", 1, at(0.5, 10.0)) == "waits"
    assert judge.next(is_idle=False) is None
    assert judge.next(is_idle=True) == ("a", "goes on")
    assert judge.next(is_idle=True) is None
    assert len(judge) == 0


def test_whoever_waits_goes_on_once_there_is_room_and_is_stopped_once_it_is_beaten():
    judge = waiting()
    assert [judge.report(trial, 1, at(0.5 + i / 10, 10.0 + i)) for i, trial in enumerate("abc")] == ["waits"] * 3
    # Of four the best one goes on: the most accurate. It beats b, which costs more and does less.
    assert judge.report("d", 1, at(0.65, 10.5)) == "waits"
    assert judge.next(is_idle=False) == ("b", "is stopped")
    assert judge.next(is_idle=False) == ("c", "goes on")
    assert judge.next(is_idle=False) is None
    assert len(judge) == 2


def test_with_nothing_else_to_do_those_go_on_first_who_have_reached_least():
    judge = waiting()
    judge.report("far", 4, at(0.5, 10.0))
    judge.report("near", 1, at(0.5, 10.0))
    assert judge.next(is_idle=True) == ("near", "goes on")
    # It comes to the rung where the other waits, and beats it there.
    assert judge.report("near", 4, at(0.6, 10.0)) == "waits"
    assert judge.next(is_idle=True) == ("far", "is stopped")
    assert judge.next(is_idle=True) == ("near", "goes on")


def test_of_several_that_may_go_on_the_farther_one_does():
    judge = waiting(factor=2)
    judge.report("near", 1, at(0.5, 10.0))
    judge.report("far", 4, at(0.5, 10.0))
    for rung in (1, 4):
        assert judge.report(f"weak{rung}", rung, at(0.4, 10.0)) == "is stopped"
    assert judge.next(is_idle=False) == ("far", "goes on")
    assert judge.next(is_idle=False) == ("near", "goes on")


def test_the_end_and_what_cannot_be_compared_wait_for_nobody():
    judge = waiting()
    assert judge.report("a", 16, at(0.5, 10.0)) == "goes on"
    assert judge.report("b", 1, {"val_accuracy": 0.5}) == "goes on"
    assert len(judge) == 0


@pytest.mark.parametrize("seed", range(12))
def test_every_verdict_is_what_the_rules_say_of_all_that_was_reported_by_then(seed):
    chance, judge, seen, at_rung = random.Random(seed), waiting(), {1: {}, 4: {}}, {}
    settled = set()
    for number in range(60):
        trial, epoch = str(number), chance.choice([1, 4])
        seen[epoch][trial] = at(chance.randrange(12) / 12, float(chance.randrange(12)))
        verdict = judge.report(trial, epoch, seen[epoch][trial])
        assert verdict == WORD[literal_standing(trial, seen[epoch], 4)]
        if verdict == "waits":
            at_rung[trial] = epoch
        while (said := judge.next(is_idle=False)) is not None:
            trial, verdict = said
            assert verdict == WORD[literal_standing(trial, seen[at_rung[trial]], 4)] != "waits"
            assert trial not in settled
            settled.add(trial)
            del at_rung[trial]
        assert len(judge) == len(at_rung)
        assert all(literal_standing(trial, seen[epoch], 4) is Standing.UNBEATEN for trial, epoch in at_rung.items())
