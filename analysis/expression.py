"""The small language of ``--where``: comparisons of columns with values, joined by and, or, not.

``ratio >= 0.5 and method in ['slimming', 'filter-l1']``, ``lambda == 1e-4``, ``0.2 < sparsity <= 0.9``,
``penalty is not None``. Python's own parser reads it and nothing else of Python is accepted or run.
"""

from __future__ import annotations

import ast
import io
import tokenize
from functools import reduce
from typing import TYPE_CHECKING, Any

from analysis import arrow
from analysis.errors import WrongInput, nearest

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["names", "where"]

ACCEPTED = "accepted: comparisons of columns with numbers and quoted texts, in [...], is None, joined by and, or, not"
LONGEST = 4_000
"""Characters of an expression; more is a mistake of the shell, and deep nesting would exhaust the stack."""

_COMPARE = {
    ast.Eq: "equal",
    ast.NotEq: "not_equal",
    ast.Lt: "less",
    ast.LtE: "less_equal",
    ast.Gt: "greater",
    ast.GtE: "greater_equal",
}


def where(table: pa.Table, expression: str) -> pa.Table:
    """The rows of ``table`` for which ``expression`` holds.

    A missing value compares as None does in Python: it equals nothing, is neither smaller nor larger than
    anything, and differs from everything; so ``p != 2`` and ``not p == 2`` keep the rows that have no p.
    NaN, too, is neither equal to, smaller nor larger than anything. ``lambda`` is a column like any other.

    Raises WrongInput, quoting the part that is wrong, for bad syntax, an unknown column (with the nearest
    name), a value of the wrong kind, and whatever is not in the language.
    """
    if len(expression) > LONGEST:
        raise _wrong(expression, f"is longer than {LONGEST} characters")
    try:
        tree = ast.parse(_without_keyword(expression).strip(), mode="eval")
        mask = _Evaluation(table, expression).claim(tree.body)
    except SyntaxError as error:
        raise _wrong(expression, f"cannot be read ({error.msg})") from error
    except (RecursionError, MemoryError, ValueError) as error:
        if isinstance(error, WrongInput):
            raise
        raise _wrong(expression, "cannot be read (nested too deeply, or not text)") from error
    return table.filter(mask)


def names(expression: str) -> list[str]:
    """The columns that an expression names, each once; what cannot be read has none: ``where`` says why.

    >>> names("ratio >= .5 and method == 'lamp' or lambda is None")
    ['ratio', 'method', 'lambda']
    """
    try:
        tree = ast.parse(_without_keyword(expression[:LONGEST]).strip(), mode="eval")
        found = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    except (SyntaxError, RecursionError, MemoryError, ValueError):
        return []
    return list(dict.fromkeys("lambda" if name == "lambda_" else name for name in found))


def _shown(expression: str) -> str:
    line = " ".join(expression.split())
    return line if len(line) <= 80 else f"{line[:77]}..."


def _wrong(expression: str, what: str) -> WrongInput:
    return WrongInput(f'--where "{_shown(expression)}" {what}; {ACCEPTED}')


def _without_keyword(expression: str) -> str:
    """``expression`` with the keyword ``lambda`` written ``lambda_``; texts stay as they are.

    >>> _without_keyword("lambda == 1e-4 and method == 'lambda'")
    "lambda_ == 1e-4 and method == 'lambda'"
    """
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(expression).readline))
    except (tokenize.TokenError, IndentationError) as error:
        raise SyntaxError(str(error.args[0])) from error
    lines = expression.splitlines(keepends=True)
    for token in reversed(tokens):  # from the end, so that earlier positions stay right
        if token.type == tokenize.NAME and token.string == "lambda":
            row, column = token.end
            lines[row - 1] = f"{lines[row - 1][:column]}_{lines[row - 1][column:]}"
    return "".join(lines)


class _Evaluation:
    """One expression over one table: ``claim`` answers with one True or False per row, never null."""

    def __init__(self, table: pa.Table, expression: str) -> None:
        self.table = table
        self.expression = expression

    def claim(self, node: ast.expr) -> Any:
        import pyarrow.compute as pc

        match node:
            case ast.BoolOp(op=op, values=values):
                join = pc.and_ if isinstance(op, ast.And) else pc.or_
                return reduce(join, map(self.claim, values))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return pc.invert(self.claim(operand))
            case ast.Compare(left=left, ops=ops, comparators=rights):
                pairs = zip([left, *rights], ops, rights, strict=False)
                return reduce(pc.and_, [self._comparison(a, op, b) for a, op, b in pairs])
            case ast.Name():
                values, kind = self._column(node)
                if kind == "truth":
                    return pc.fill_null(values, arrow.scalar(False))
                raise self._wrong(node, f"is a column of {kind}s, to be compared with something")
        raise self._wrong(node, "is not a comparison")

    def _comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Any:
        import pyarrow.compute as pc

        match op:
            case ast.Is() | ast.IsNot():
                if not (isinstance(right, ast.Constant) and right.value is None and isinstance(left, ast.Name)):
                    raise self._wrong(left, "is compared by `is`, which is for `COLUMN is None`: write ==")
                missing = pc.is_null(self._column(left)[0])
                return missing if isinstance(op, ast.Is) else pc.invert(missing)
            case ast.In() | ast.NotIn():
                if not isinstance(right, ast.List | ast.Tuple | ast.Set) or not right.elts:
                    raise self._wrong(right, "is not a list: write COLUMN in ['a', 'b']")
                found = reduce(pc.or_, [self._comparison(left, ast.Eq(), value) for value in right.elts])
                return found if isinstance(op, ast.In) else pc.invert(found)
        (a, kind_a), (b, kind_b) = self._operand(left), self._operand(right)
        if kind_a != kind_b:
            raise self._wrong(right, f"is a {kind_b}, where {ast.unparse(left)} is a {kind_a}")
        if kind_a == "truth" and not isinstance(op, ast.Eq | ast.NotEq):
            raise self._wrong(left, "is true or false, which has no order: write == or !=")
        return pc.fill_null(pc.call_function(_COMPARE[type(op)], [a, b]), arrow.scalar(isinstance(op, ast.NotEq)))

    def _operand(self, node: ast.expr) -> tuple[Any, str]:
        """A column's or a constant's values and their kind: number, text or truth."""
        match node:
            case ast.Name():
                return self._column(node)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as size)) if size is not True:
                return arrow.scalar(-float(size)), "number"
            case ast.Constant(value=bool() as truth):
                return arrow.scalar(truth), "truth"
            case ast.Constant(value=int() as number):
                # Columns hold 64 bits; a larger number still compares, as a float.
                return arrow.scalar(number if number < 2**63 else float(min(number, 10**308))), "number"
            case ast.Constant(value=float() as number):
                return arrow.scalar(number), "number"
            case ast.Constant(value=str() as text):
                return arrow.scalar(text), "text"
            case ast.Constant(value=None):
                raise self._wrong(node, "is compared with `is None` or `is not None`")
        raise self._wrong(node, "is neither a column, nor a number, nor a quoted text")

    def _column(self, node: ast.Name) -> tuple[Any, str]:
        import pyarrow.types as types

        name = "lambda" if node.id == "lambda_" else node.id
        if name not in self.table.column_names:
            raise WrongInput(
                f'--where "{_shown(self.expression)}": {name} is not a column (a text needs quotes: {name!r}); '
                f"{nearest(name, self.table.column_names)}"
            )
        values = self.table[name]
        if types.is_boolean(values.type):
            return values, "truth"
        is_number = types.is_integer(values.type) or types.is_floating(values.type)
        return values, "number" if is_number else "text"

    def _wrong(self, node: ast.expr, what: str) -> WrongInput:
        return _wrong(self.expression, f"cannot be used: {ast.unparse(node)[:60]!r} {what}")
