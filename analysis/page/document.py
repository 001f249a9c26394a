"""From the facts of studies to the text of a page: everything inlined, nothing of a user's ever read as HTML."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from analysis.errors import WorkFailed

__all__ = ["page"]

PARTS = Path(__file__).parent
SCRIPTS = ("report.js", "sections.js")
"""Ours, in the order in which they run."""


def page(facts: Mapping[str, Any], /, *, title: str) -> str:
    """The whole page. ``facts`` are its numbers and names, as JSON holds them (see `analysis.page.facts`).

    Names and messages of users reach the browser as JSON only, which ``report.js`` sets as text. The page's
    Content-Security-Policy forbids every request, and every script but ours and plotly's, which it knows by their
    hashes; WebGL's drawing needs ``unsafe-eval`` of it.
    """
    ours = "\n".join((PARTS / name).read_text(encoding="utf-8") for name in SCRIPTS)
    scripts = {"plotly": _plotly(), "script": ours}
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts.values())
    policy = (
        f"default-src 'none'; script-src {hashes} 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    inserted = {
        "policy": policy,
        "title": html.escape(title),
        "style": (PARTS / "report.css").read_text(encoding="utf-8"),
        "data": _inert(json.dumps(facts, allow_nan=False, separators=(",", ":"))),
        **scripts,
    }
    template = (PARTS / "report.html").read_text(encoding="utf-8")
    # One pass: what was inserted is not looked through again.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: inserted[found[1]], template)


def _inert(text: str) -> str:
    """JSON in which HTML finds neither a tag nor a comment: both begin with what is escaped here."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _plotly() -> str:
    """plotly.js, found without importing plotly, which takes longer than reading it."""
    found = find_spec("plotly")
    places = (found.submodule_search_locations if found else None) or []
    for place in places:
        path = Path(place) / "package_data" / "plotly.min.js"
        if path.is_file():
            # A line end of another kind would be another hash in the browser, which knows one kind only.
            script = path.read_text(encoding="utf-8").replace("\r\n", "\n").replace("\r", "\n")
            assert "</script" not in script.lower(), "it cannot be inlined"
            return script
    raise WorkFailed("plotly, which draws the report, is not installed here: `pip install plotly`, 6.0 or newer")
