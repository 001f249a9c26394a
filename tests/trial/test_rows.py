from pathlib import Path

import pytest

from analysis.errors import WrongInput
from trial.rows import read, read_all


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"trial": ', "is not JSON"),
        ("[]", "must hold one JSON object, got list"),
        ('{"state": "complete", "method": "slimming"}', "says no started"),
    ],
)
def test_a_damaged_row_is_named_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "0123456789abcdef.json").write_text(text)
    for reading in (lambda: read_all(tmp_path), lambda: read(tmp_path, "0123456789abcdef")):
        with pytest.raises(WrongInput, match=message):
            reading()
