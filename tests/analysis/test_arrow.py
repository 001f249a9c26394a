import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import arrow

TYPES = {
    pa.string(): st.text(st.characters(exclude_categories=["Cs"])),
    pa.bool_(): st.booleans(),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float64(): st.floats(allow_nan=False),
}


@pytest.mark.parametrize("arrow_type", TYPES, ids=str)
@given(data=st.data())
def test_arrays_are_those_that_pyarrow_makes(arrow_type, data):
    values = data.draw(st.lists(st.one_of(st.none(), TYPES[arrow_type]), max_size=20))
    found = arrow.array(values, arrow_type)
    found.validate(full=True)
    assert found.equals(pa.array(values, arrow_type))


@pytest.mark.parametrize("value", ["slimming", "", "é", True, False, 3, -(2**63), 0.1, float("inf")])
def test_scalars_are_those_that_pyarrow_makes(value):
    assert arrow.scalar(value).equals(pa.scalar(value))


def test_indices_take_rows_in_their_order():
    rows = pa.table({"a": [10, 20, 30]})
    assert rows.take(arrow.indices(np.array([2, 0])))["a"].to_pylist() == [30, 10]
    assert len(rows.take(arrow.indices(np.array([], dtype=np.int64)))) == 0


def test_numbers_keep_their_order_over_chunks_and_null_becomes_nan():
    column = pa.chunked_array([pa.array([3, None]), pa.array([], pa.int64()), pa.array([1])])
    assert arrow.numbers(column).tolist() == pytest.approx([3.0, float("nan"), 1.0], nan_ok=True)
    assert arrow.numbers(column.slice(2)).tolist() == [1.0]
    assert arrow.numbers(column.slice(0, 0)).tolist() == []
