import os
import stat
from pathlib import Path

import pytest

from search import token


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (token.MODE, token.VALUE, token.FILE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def users_own(tmp_path: Path, text: str = "the user's") -> Path:
    file = tmp_path / "home" / ".ray" / "auth_token"
    file.parent.mkdir(parents=True)
    file.write_text(f"{text}\n")
    return file


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_new_token_is_its_owners_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        token.make(tmp_path / "new" / "token")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new" / "token").stat().st_mode) == 0o600
    assert not token.is_open(tmp_path / "new" / "token")


def test_two_new_tokens_differ_and_none_is_replaced(tmp_path: Path) -> None:
    token.make(tmp_path / "one")
    token.make(tmp_path / "two")
    first = (tmp_path / "one").read_text()
    assert len(bytes.fromhex(first)) == 32
    assert first != (tmp_path / "two").read_text()
    with pytest.raises(FileExistsError):
        token.make(tmp_path / "one")
    assert (tmp_path / "one").read_text() == first


@pytest.mark.parametrize(
    ("mode", "is_open"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True), (0o620, True)]
)
def test_a_file_is_open_where_anyone_else_may_touch_it(tmp_path: Path, mode: int, is_open: bool) -> None:
    (tmp_path / "token").touch()
    (tmp_path / "token").chmod(mode)
    assert token.is_open(tmp_path / "token") == is_open


def test_the_environments_token_goes_before_its_file_and_that_before_the_homes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert token.held() == ""
    users_own(tmp_path)
    assert token.held() == "the user's"
    (tmp_path / "other").write_text("the file's")
    monkeypatch.setenv(token.FILE, str(tmp_path / "other"))
    assert token.held() == "the file's"
    monkeypatch.setenv(token.VALUE, "the variable's")
    assert token.held() == "the variable's"


def test_a_ray_of_our_own_gets_a_token_of_its_own_and_the_environment_is_as_before(tmp_path: Path) -> None:
    users_own(tmp_path)
    import ray  # noqa: F401  # which sets variables of its own

    before = dict(os.environ)
    with token.used(own=tmp_path):
        assert os.environ[token.MODE] == "token"
        assert token.path() == tmp_path / "token"
        assert token.held() not in {"", "the user's"}
    assert dict(os.environ) == before


def test_a_cluster_is_shown_the_users_token_and_nothing_where_there_is_none(tmp_path: Path) -> None:
    with token.used(own=None):
        assert token.MODE not in os.environ
    users_own(tmp_path)
    with token.used(own=None):
        assert os.environ[token.MODE] == "token"
        assert token.held() == "the user's"
    assert token.MODE not in os.environ


def test_a_user_who_switched_tokens_off_is_obeyed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(token.MODE, "disabled")
    with token.used(own=tmp_path):
        assert os.environ[token.MODE] == "disabled"
