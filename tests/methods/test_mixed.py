from typing import get_args

import pytest

from analysis.errors import WrongInput
from methods.core.knobs import parse
from methods.core.relevances import Aggregate
from methods.core.statistics import Statistic
from methods.mixed import Mixed
from methods.parameter import Parameter
from methods.relevance import Relevance
from tests.methods.core.test_rankings import DELTAS, walk
from tests.methods.examples import NETWORKS, evidence, network
from tests.methods.laws import plain
from tests.methods.test_combined import going


@pytest.mark.parametrize("delta", DELTAS)
@pytest.mark.parametrize("name", ["flat", "concatenated"])
def test_the_list_is_the_walk_over_both_orders(name: str, delta: float) -> None:
    parameter, relevance = going(Parameter(ratio=0.5), name), going(Relevance(ratio=0.5), name)
    numbered = [parameter.index(channel) for channel in relevance]
    expected = walk(list(range(len(parameter))), numbered, tenths=round(10 * delta))
    made = going(Mixed(ratio=0.5, delta=delta), name)
    assert made == [parameter[number] for number in expected]
    assert sorted(made) == sorted(parameter)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("statistic", get_args(Statistic))
def test_0_cuts_as_parameter_and_1_as_relevance(name: str, statistic: Statistic) -> None:
    ends = {0.0: Parameter(ratio=0.5, statistic=statistic), 1.0: Relevance(ratio=0.5, statistic=statistic)}
    for delta, alone in ends.items():
        method = Mixed(ratio=0.5, delta=delta, statistic=statistic)
        given = network(name)
        assert plain(method.cut(given, evidence(), ratio=0.5)) == plain(alone.cut(given, evidence(), ratio=0.5))


def test_the_aggregate_is_relevances() -> None:
    for aggregate in get_args(Aggregate):
        of_relevance = going(Relevance(ratio=0.5, aggregate=aggregate), "normed")
        assert going(Mixed(ratio=0.5, delta=1.0, aggregate=aggregate), "normed") == of_relevance


def test_two_shares_whose_lists_begin_alike_give_one_cut() -> None:
    # Both take p₀ first: of one channel .1 and .4 make the same cut, of more they do not.
    few, more = ({delta: going(Mixed(ratio=0.5, delta=delta), "normed")[:k] for delta in (0.1, 0.4)} for k in (1, 8))
    assert few[0.1] == few[0.4]
    assert set(more[0.1]) != set(more[0.4])
    cuts = [
        [plain(Mixed(ratio=ratio, delta=delta).cut(network("normed"), evidence(), ratio=ratio)) for delta in (0.1, 0.4)]
        for ratio in (0.05, 0.4)
    ]
    assert cuts[0][0] == cuts[0][1]
    assert cuts[1][0] != cuts[1][1]


def test_a_share_lies_between_0_and_1() -> None:
    for delta in (-0.1, 1.1, "all"):
        with pytest.raises(WrongInput, match=r"delta .*\[0, 1\]"):
            parse(Mixed, {"ratio": 0.5, "delta": delta}, what="mixed", where="spec.yaml")
    with pytest.raises(WrongInput, match="mixed needs delta"):
        parse(Mixed, {"ratio": 0.5}, what="mixed", where="spec.yaml")
