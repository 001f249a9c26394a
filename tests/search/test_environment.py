"""What a job does with the versions that it is handed."""

from importlib.metadata import version

import pytest

from analysis.errors import WrongInput
from search.environment import PINNED, check_here


@pytest.mark.parametrize("said", ["{", "[]", "3", "torch==2"])
def test_versions_that_submit_did_not_write_are_one_line(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PINNED, said)
    with pytest.raises(WrongInput, match="PRUNEFRONT_ENVIRONMENT is not the JSON that submit writes, got") as error:
        check_here()
    assert len(str(error.value).splitlines()) == 1


def test_the_same_releases_are_taken_and_another_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PINNED, f'{{"optuna": "{version("optuna")}"}}')
    check_here()
    monkeypatch.setenv(PINNED, '{"optuna": "0.1.0"}')
    with pytest.raises(WrongInput, match=f"optuna is {version('optuna')}, and is 0.1.0 where"):
        check_here()
