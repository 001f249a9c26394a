"""What this machine or cluster has, what is missing, and what to do: ``prunefront doctor``."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Sequence

from analysis.errors import WorkFailed, WrongInput
from search.finding import Finding

__all__ = ["examine", "text"]

WIDTH = 80
"""Columns of the text; what is longer goes on in the next line."""


def examine(*, address: str | None, study: str | None, as_json: bool) -> None:
    """Look at this machine, and at a cluster and a study's storage where they are named; print what was found.

    Raises WorkFailed where something is wrong; what, and what to do about it, has been printed.
    """
    found = list(_findings(address=address, study=study))
    problems = sum(each.is_problem for each in found)
    if as_json:
        listed = [
            {"what": each.what, "said": each.said, "problem": each.is_problem, "cure": each.cure} for each in found
        ]
        print(json.dumps({"problems": problems, "findings": listed}, ensure_ascii=False))  # noqa: T201
    else:
        print(text(found))  # noqa: T201
    if problems:
        raise WorkFailed(f"{problems} {'problem' if problems == 1 else 'problems'} found")


def _findings(*, address: str | None, study: str | None) -> Iterable[Finding]:
    from search import machine, storage_check

    yield from machine.findings()
    if study is not None:
        yield from storage_check.findings(study)
    if address is not None:
        from search import cluster_check

        try:
            yield from cluster_check.findings(address, study=study)
        except WrongInput as error:
            said, _, cure = str(error).removesuffix(" (--address)").partition(": ")
            yield Finding("cluster", said, cure=cure or "see docs/cluster.md")


def text(found: Sequence[Finding]) -> str:
    """The findings as aligned text: problems marked ``!``, with what to do below them.

    >>> print(text([Finding("cores", "2"), Finding("memory", "1 GB free", cure="end other programs")]))
      cores   2
    ! memory  1 GB free
              → end other programs
    """
    margin = max(len(each.what) for each in found) + 2
    lines = []
    for each in found:
        start = f"{'!' if each.is_problem else ' '} {each.what:<{margin}}"
        lines += _wrapped(each.said, first=start, then=" " * len(start))
        if each.is_problem:
            lines += _wrapped(each.cure, first=f"{' ' * len(start)}→ ", then=" " * (len(start) + 2))
    return "\n".join(lines)


def _wrapped(said: str, *, first: str, then: str) -> list[str]:
    return textwrap.wrap(
        said, WIDTH, initial_indent=first, subsequent_indent=then, break_on_hyphens=False, break_long_words=False
    ) or [first.rstrip()]
