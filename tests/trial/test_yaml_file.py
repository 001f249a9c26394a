import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import WrongInput
from trial.yaml_file import read, text


def written(tmp_path: Path, content: str) -> Path:
    file = tmp_path / "spec.yaml"
    file.write_text(content, encoding="utf-8")
    return file


def value(tmp_path: Path, scalar: str) -> Any:
    return read(written(tmp_path, f"key: {scalar}"))["key"]


@pytest.mark.parametrize(
    ("scalar", "number"),
    [
        ("1e-4", 1e-4), ("1E-4", 1e-4), ("1e5", 1e5), ("1e+5", 1e5), ("-2.5e-3", -2.5e-3), (".5", 0.5), ("-.5", -0.5),
        ("+.5", 0.5), ("1.", 1.0), ("1.e3", 1e3), ("0.0001", 1e-4), (".inf", math.inf), ("-.inf", -math.inf),
    ],
)  # fmt: skip
def test_numbers_with_point_or_exponent_are_floats(tmp_path: Path, scalar: str, number: float) -> None:
    assert value(tmp_path, scalar) == number
    assert type(value(tmp_path, scalar)) is float


@pytest.mark.parametrize(("scalar", "number"), [("3", 3), ("-3", -3), ("0", 0), ("128", 128)])
def test_whole_numbers_are_ints(tmp_path: Path, scalar: str, number: int) -> None:
    assert value(tmp_path, scalar) == number
    assert type(value(tmp_path, scalar)) is int


@pytest.mark.parametrize(
    "scalar", ["1.2.3", "v1", "1e-4x", "e5", ".", "1e", "1e-", "'1e-4'", '"2.13"', "1-2", "+", "08"]
)
def test_what_only_looks_like_a_number_is_text(tmp_path: Path, scalar: str) -> None:
    assert value(tmp_path, scalar) == scalar.strip("'\"")


def test_nan_is_read_as_nan(tmp_path: Path) -> None:
    assert math.isnan(value(tmp_path, ".nan"))


@pytest.mark.parametrize("content", ["a: 1\nb: 2\na: 3\n", "outer:\n  a: 1\n  a: 1\n", "{b: [{a: 1, a: 2}]}"])
def test_a_key_given_twice_is_refused(tmp_path: Path, content: str) -> None:
    file = written(tmp_path, content)
    with pytest.raises(WrongInput, match=r"spec\.yaml, line \d is not YAML: 'a' is given twice"):
        read(file)


@pytest.mark.parametrize(
    ("content", "shape"),
    [("- a\n- b\n", "list"), ("", "NoneType"), ("just text", "str"), ("3", "int"), ("1: a", "dict")],
)
def test_what_is_no_mapping_of_names_is_refused(tmp_path: Path, content: str, shape: str) -> None:
    with pytest.raises(WrongInput, match=f"must hold a mapping of settings, got {shape}"):
        read(written(tmp_path, content))


@pytest.mark.parametrize(
    "content", ["a: [1, 2\n", "a: b: c\n", "\tb: 1\n", "a: !!python/object:os.system x\n", "a: \x00"]
)
def test_what_is_no_yaml_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    with pytest.raises(WrongInput, match=r"spec\.yaml.* is not YAML") as refused:
        read(written(tmp_path, content))
    assert "\n" not in str(refused.value)


def test_a_missing_file_a_folder_and_bytes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match=r"cannot read .*absent\.yaml: No such file"):
        read(tmp_path / "absent.yaml")
    with pytest.raises(WrongInput, match=r"cannot read .*: Is a directory"):
        read(tmp_path)
    (tmp_path / "bytes.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(WrongInput, match="not UTF-8 text"):
        read(tmp_path / "bytes.yaml")


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)
NUMBERLIKE = st.text("0123456789.eE+-_:x", max_size=7)
SCALARS = st.one_of(TEXTS, NUMBERLIKE, st.booleans(), st.none(), st.integers(), st.floats(allow_nan=False))
SETTINGS = st.dictionaries(
    TEXTS | NUMBERLIKE,
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=5
    ),
    max_size=4,
)


@given(settings=SETTINGS)
def test_what_is_written_reads_back_equal_in_value_type_and_order(
    tmp_path_factory: pytest.TempPathFactory, settings: dict[str, Any]
) -> None:
    """Text such as '1e-4' was once written bare, and came back as a number."""
    back = read(written(tmp_path_factory.mktemp("round"), text(settings)))
    assert repr(back) == repr(settings)


def test_text_keeps_umlauts_and_greek_readable() -> None:
    assert text({"λ": "größer"}) == "λ: größer\n"
