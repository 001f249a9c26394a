import math

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import WrongInput
from analysis.expression import where

TABLE = pa.table(
    {
        "trial": ["a", "b", "c", "d"],
        "method": ["slimming", "filter-l1", "slimming", "dense"],
        "lambda": [1e-4, None, 1e-3, None],
        "ratio": [0.5, 0.7, 0.9, None],
        "macs": [100, 50, 20, 300],
        "val_loss": [0.2, math.nan, 0.4, 0.1],
        "bias": [True, None, False, None],
    }
)


@pytest.mark.parametrize(
    ("expression", "kept"),
    [
        ("lambda == 1e-4 and method == 'slimming'", "a"),
        ("lambda_ == 1e-4", "a"),
        ("method == 'lambda'", ""),
        ("method == 'slimming'", "ac"),
        ("0.5 < ratio <= 0.9", "bc"),
        ("0.9 >= ratio > 0.5", "bc"),
        ("macs < ratio or macs > 99", "ad"),
        ("not ratio > 0.6", "ad"),
        ("ratio is None", "d"),
        ("ratio is not None", "abc"),
        ("lambda != 1e-4", "bcd"),
        ("method in ['dense', 'filter-l1']", "bd"),
        ("macs not in (100, 50.0)", "cd"),
        ("macs in {20}", "c"),
        ("macs > -1", "abcd"),
        ("bias", "a"),
        ("not bias", "bcd"),
        ("bias == False", "c"),
        ("val_loss < 1", "acd"),
        ("val_loss != 0.2", "bcd"),
        ("macs < 99999999999999999999999", "abcd"),
        ("  macs == 20  ", "c"),
        ("(macs == 20\n or macs == 50)", "bc"),
        ('method == "slimming" and not (lambda >= 1e-3)', "a"),
    ],
)
def test_keeps_the_rows_for_which_it_holds(expression, kept):
    assert "".join(where(TABLE, expression)["trial"].to_pylist()) == kept


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("rato > 0.5", "rato is not a column.*did you mean ratio"),
        ("(macs\n< rato)", "did you mean ratio"),
        ("method == slimming", "a text needs quotes: 'slimming'"),
        ("ratio >", "cannot be read"),
        ("ratio = 0.5", "cannot be read"),
        ("ratio > 0.5)", "cannot be read"),
        ("'ratio", "cannot be read"),
        ("", "cannot be read"),
        ("method > 1", "is a number, where method is a text"),
        ("ratio == '0.5'", "is a text, where ratio is a number"),
        ("bias > True", "no order"),
        ("bias == 1", "is a number, where bias is a truth"),
        ("ratio == None", "is None"),
        ("ratio is 0.5", "write =="),
        ("ratio", "to be compared"),
        ("0.5", "not a comparison"),
        ("ratio in 0.5", "not a list"),
        ("ratio in []", "not a list"),
        ("ratio + 1 > 1", "neither a column"),
        ("lambda x: x", "cannot be read"),
        ("__import__('os').system('true')", "not a comparison"),
        ("ratio.real > 1", "neither a column"),
        ("ratio == 1j", "neither a column"),
        ("-True == bias", "neither a column"),
        ("(" * 300 + "ratio" + ")" * 300, "cannot be read"),
        ("not " * 999 + "bias", "cannot be read"),
        ("ratio > 0.5 " * 500, "longer than"),
        ("ratio > \0", "cannot be read"),
    ],
)
def test_says_what_is_wrong_in_one_line(expression, said):
    with pytest.raises(WrongInput, match=said) as caught:
        where(TABLE, expression)
    assert "\n" not in str(caught.value)


@given(st.text(alphabet="ratiomcs lambda()[]'\"0.5<>=!,-+*:\\\n\t#{}é", max_size=30))
def test_never_fails_in_another_way(expression):
    said = ""
    try:
        where(TABLE, expression)
    except WrongInput as error:
        said = str(error)
    assert "\n" not in said


@given(st.lists(st.one_of(st.none(), st.floats(-2, 2)), min_size=1), st.floats(-2, 2))
def test_agrees_with_python_row_by_row(values, bound):
    table = pa.table({"p": pa.array(values, pa.float64())})
    python = [value for value in values if value is not None and -1 <= value < bound]
    assert where(table, f"-1 <= p < {bound!r}")["p"].to_pylist() == python
    assert where(table, f"p != {bound!r}")["p"].to_pylist() == [value for value in values if value != bound]
