"""`prunefront spec`: the JSON schema, the example, and ready specs as they are."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from methods import catalogue
from methods.core.knobs import Options, knobs
from prunefront import app
from search.check import describe
from search.spec import Spec, load, ready
from search.spec_example import spec_example
from search.spec_schema import spec_schema
from tests.search.spaces import methods_of_specs
from trial.yaml_file import read, value

SCHEMA = spec_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
SETTING = re.compile(r"^( *)# ([a-z_]+:(?: .*)?)$")
"""A line of the example that is a setting, commented out."""


def spec_of(**search: Any) -> dict[str, Any]:
    return {"network": "vgg16-bn", "data": "digits", "search": {"methods": "any", **search}}


def accepts(spec: dict[str, Any]) -> bool:
    return bool(VALIDATOR.is_valid(spec))


def ended(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["spec", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_the_schema_is_one_of_draft_2020_12() -> None:
    code, printed, _ = ended("--schema")
    assert code == 0
    assert json.loads(printed) == SCHEMA
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", ready())
def test_the_schema_accepts_every_ready_spec_as_written_and_as_frozen(name: str) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(read(ready()[name]))] == []
    frozen = load(name)[0].model_dump(mode="json")
    assert [error.message for error in VALIDATOR.iter_errors(frozen)] == []


def places(said: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every key of a nested mapping, as a path."""
    if not isinstance(said, dict):
        return []
    return [(*path, key) for key in said] + [
        place for key, each in said.items() for place in places(each, (*path, key))
    ]


@pytest.mark.parametrize("name", ready())
def test_the_schema_refuses_every_misspelt_key_of_every_ready_spec(name: str) -> None:
    spec = read(ready()[name])
    for place in places(spec):
        if len(place) > 1 and place[-2] == "profiles":
            continue  # a profile's name is the user's own
        misspelt = copy.deepcopy(spec)
        inside = misspelt
        for key in place[:-1]:
            inside = inside[key]
        inside[f"{place[-1]}x"] = inside.pop(place[-1])
        assert not accepts(misspelt), place


@settings(max_examples=40)
@given(said=methods_of_specs())
def test_the_schema_accepts_whatever_a_spec_may_say_of_methods(said: Any) -> None:
    spec = spec_of(methods=said)
    Spec.parse(spec, where="spec.yaml")
    assert accepts(spec), said


@pytest.mark.parametrize("method", catalogue())
def test_the_schema_has_every_knob_of_every_method_and_asks_for_what_is_needed(method: str) -> None:
    own = knobs(catalogue()[method])
    for knob in own:
        other = {each.name: "any" for each in own if each.required and each is not knob}
        assert accepts(spec_of(methods={method: {**other, knob.name: "any"}})), knob.name
        assert not accepts(spec_of(methods={method: {**other, knob.name: {"uniformly": [0, 1]}}})), knob.name
        if knob.required:
            assert not accepts(spec_of(methods={method: other})), knob.name
        if isinstance(knob.range, Options):
            for option in knob.range.names:
                assert accepts(spec_of(methods={method: {**other, knob.name: {option: "any"}}}))


@pytest.mark.parametrize(
    ("changed", "fits"),
    [
        ({}, True),
        ({"methods": {"filter-l1": {"ratio": 1.7}}}, False),
        ({"methods": {"filter-l1": {"ratio": {"uniform": [0.1, 0.9], "step": 0.1}}}}, True),
        ({"methods": {"filter-l1": {"ratio": {"uniform": [0.1, 0.9, 1]}}}}, False),
        ({"methods": ["filter-l1", "filter-l2"]}, False),
        ({"methods": {"slimming": {"ratio": 0.5, "penalty": {"lp": {"lambda": 1e-4}}}}}, False),
        ({"methods": {"slimming": {"ratio": 0.5, "penalty": {"lp": {"lambda": 1e-4, "p": 0.5}}}}}, True),
        ({"methods": {"magnitude-global": {"ratio": 0.5, "apply": "remove"}}}, False),
        ({"recipe": {"schedule": {"stepwise": {"rounds": 3}}, "recovery_epochs": [1, 2]}}, True),
        ({"recipe": {"shedule": "one-shot"}}, False),
        ({"objectives": ["val_accuracy", "latency_ms"]}, True),
        ({"objectives": ["val_accuracy", "val_loss_before"]}, False),
        ({"sampler": "tpee"}, False),
        ({"trials": 0}, False),
    ],
)
def test_the_schema_knows_ranges_and_names(changed: dict[str, Any], fits: bool) -> None:
    assert accepts(spec_of(**changed)) is fits


def test_a_spec_that_includes_another_and_a_profile_may_leave_out_anything() -> None:
    assert not accepts({"network": "seed-cnn"})
    assert accepts({"include": "demo"})
    assert accepts({"include": ["demo", "mine.yaml"], "search": {"methods": {"filter-l1": {"scope": "layer"}}}})
    assert not accepts({"include": "demo", "search": {"trails": 3}})
    assert accepts({**spec_of(), "recovery": "none", "profile": "small", "profiles": {"small": {"data": {"size": 48}}}})
    assert not accepts({**spec_of(), "profiles": {"small": {"data": {"sise": 48}}}})


def test_the_example_is_valid_as_it_stands_and_shows_every_section(tmp_path: Path) -> None:
    code, printed, _ = ended("--example")
    assert code == 0
    path = tmp_path / "example.yaml"
    path.write_text(printed)
    assert "example is valid" in describe(str(path), settings=[])
    assert "warning" not in describe(str(path), settings=["profile=small", "workers=1"])
    assert accepts(read(path))
    for name in [*Spec.model_fields, "include", "profiles"]:
        assert re.search(rf"^#? *{name}:", printed, re.MULTILINE), name
    for name in Spec.model_fields["search"].annotation.model_fields:  # type: ignore[union-attr]
        assert re.search(rf"^  (# )?{name}:", printed, re.MULTILINE), name


def test_what_the_example_comments_out_is_the_default(tmp_path: Path) -> None:
    path = tmp_path / "example.yaml"
    path.write_text(spec_example())
    before, _ = load(str(path))
    lines = path.read_text().splitlines()
    commented = [number for number, line in enumerate(lines) if SETTING.match(line)]
    assert len(commented) > 30
    path.write_text("\n".join(SETTING.sub(r"\1\2", line) for line in lines))
    assert read(path).keys() == Spec.model_fields.keys() | {"profiles"}
    assert load(str(path))[0].model_dump() == before.model_dump()


def test_a_ready_spec_is_printed_as_it_is() -> None:
    for name, path in ready().items():
        code, printed, _ = ended(name)
        assert (code, printed) == (0, path.read_text())
        assert printed.startswith("# ")
        assert value(printed, where=name) == read(path)
    code, printed, _ = ended()
    assert code == 0
    assert [line.split()[0] for line in printed.splitlines()] == list(ready())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demmo"], "'demmo' is not a ready spec: did you mean demo"),
        (["demo", "--schema"], "say one of NAME, --schema and --example"),
        (["--example", "--schema"], "say one of NAME, --schema and --example"),
    ],
)
def test_a_wrong_command_is_one_line(arguments: list[str], message: str) -> None:
    code, printed, said = ended(*arguments)
    assert (code, printed) == (2, "")
    assert message in said
    assert said.count("\n") == 1
