"""``prunefront report``: from studies' folders and the options as typed to the files that are written."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.errors import WrongInput
from analysis.report import ENDINGS, write_figures, write_page
from analysis.sizes import size_of

__all__ = ["write"]

PAGE = "report.html"


def write(studies: Sequence[Path], *, output: Path | None, figures: bool, size: str, as_json: bool) -> None:
    """Write the page, and each study's figures where they are asked for; print where they are.

    Raises WrongInput for what cannot be read, and where it is not clear where the page should lie.
    """
    drawn = size_of(size)
    if size != "screen" and not figures:
        raise WrongInput(f"--size {size} is of figures: say --figures too")
    if output is None:
        if len(studies) > 1:
            raise WrongInput(f"a report on {len(studies)} studies lies in none of them: say --output FILE")
        output = studies[0] / PAGE
    page = write_page(studies, output)
    paths = [str(path) for study in studies if figures for path in write_figures(study, size=drawn, endings=ENDINGS)]
    if as_json:
        sys.stdout.write(json.dumps({"report": str(page), "figures": paths}) + "\n")
    else:
        sys.stdout.write("\n".join([str(page), *paths]) + "\n")
