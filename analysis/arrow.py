"""Between Python or numpy and Arrow without pandas, which ``pa.array``, ``pa.scalar`` and ``to_numpy`` import.

They do so to recognise its types; that import takes longer than finding the front of a million rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["array", "indices", "numbers", "scalar"]


def array(values: Sequence[Any], arrow_type: pa.DataType) -> pa.Array:
    """``values`` (str, bool, int or float as ``arrow_type`` says, or None) as an Arrow array; None becomes null.

    The values must fit: nothing is checked here.
    """
    import numpy as np
    import pyarrow as pa

    is_known = np.array([value is not None for value in values], dtype=bool)
    buffers = [pa.py_buffer(np.packbits(is_known, bitorder="little"))]
    if arrow_type == pa.string():
        texts = [b"" if value is None else value.encode("utf-8", "replace") for value in values]
        ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
        buffers += [pa.py_buffer(ends), pa.py_buffer(b"".join(texts))]
    elif arrow_type == pa.bool_():
        is_true = np.array([value is True for value in values], dtype=bool)
        buffers.append(pa.py_buffer(np.packbits(is_true, bitorder="little")))
    else:
        numbers = [0 if value is None else value for value in values]
        kind = "f" if pa.types.is_floating(arrow_type) else "i"  # to_pandas_dtype imports pandas too, before pyarrow 26
        buffers.append(pa.py_buffer(np.array(numbers, dtype=f"{kind}{arrow_type.bit_width // 8}")))
    return pa.Array.from_buffers(arrow_type, len(values), buffers)


def scalar(value: str | bool | int | float) -> pa.Scalar:
    """One value as an Arrow scalar of the type that a column of such values has."""
    import pyarrow as pa

    types = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
    return array([value], types[type(value)])[0]


def indices(places: NDArray[np.int64]) -> pa.Array:
    """Positions as Arrow wants them in ``take``."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.int64(), len(places), [None, pa.py_buffer(places)])


def numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """A column of numbers as floats; null becomes NaN."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    values = pc.fill_null(column.cast(pa.float64()), scalar(float("nan"))).combine_chunks()
    return np.asarray(np.from_dlpack(values)) if len(values) else np.empty(0)
