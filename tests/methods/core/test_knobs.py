import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest

import methods
from analysis.errors import WrongInput
from methods.core.knobs import Choice, Log, Options, Uniform, Value, Whole, flat, knobs, parse
from methods.core.penalties import L1, Lp
from tests.methods.examples import settings

CATALOGUE = methods.catalogue().values()
EVERY_SETTING = [
    pytest.param(owner, given, id=f"{owner.name()}-{'-'.join(map(str, given.values()))}")
    for owner in CATALOGUE
    for given in settings(owner)
]


DEFAULT_PENALTY = L1(lambda_=1e-4)


@dataclass(frozen=True)
class Example:
    share: Annotated[float, Uniform(0.0, 0.5)]
    lambda_: Annotated[float, Log(1e-5, 1e-2)] = 1e-3
    rounds: Annotated[int, Whole(1, 9)] = 2
    scope: Literal["layer", "global"] = "layer"
    nested: bool = True
    penalty: L1 | Lp = DEFAULT_PENALTY


@pytest.mark.parametrize(
    ("accepted", "inside", "outside"),
    [
        (Uniform(0.0, 0.95), [0, 0.0, 0.5, 0.95], [-1e-9, math.nextafter(0.95, 1), 1.7, math.inf, -math.inf]),
        (Uniform(0.0, 1.0, exclusive=True), [5e-324, 0.5, math.nextafter(1, 0)], [0, 0.0, 1, 1.0, -0.0, 2]),
        (Log(1e-5, 1e-2), [1e-5, 1e-4, 1e-2], [0, 9.9e-6, 0.011, -1e-4, math.inf]),
        (Whole(1, 9), [1, 9, 4.0], [0, 10, 1.5, math.inf]),
    ],
    ids=str,
)
def test_range_accepts_to_its_ends_and_nothing_beyond(
    accepted: Uniform | Log | Whole, inside: list[float], outside: list[float]
) -> None:
    for value in inside:
        assert accepted.accept(value) == value
    for value in outside:
        with pytest.raises(ValueError, match="must") as refused:
            accepted.accept(value)
        assert str(accepted) in str(refused.value)
        assert repr(value) in str(refused.value)


@pytest.mark.parametrize("accepted", [Uniform(0.0, 1.0), Log(1e-5, 1.0), Whole(0, 1)], ids=str)
@pytest.mark.parametrize(
    "value", [True, False, math.nan, "0.5", None, [0.5], 10**400], ids=lambda value: str(value)[:9]
)
def test_what_is_no_number_is_refused(accepted: Uniform | Log | Whole, value: object) -> None:
    with pytest.raises(ValueError, match="must"):
        accepted.accept(value)


def test_whole_returns_an_int_and_a_range_a_float() -> None:
    assert type(Whole(1, 9).accept(4.0)) is int
    assert type(Uniform(0, 9).accept(4)) is float
    assert type(Log(1, 9).accept(4)) is float


def test_a_bool_is_no_choice_among_numbers_nor_a_number_among_bools() -> None:
    assert Choice((0, 1)).accept(1) == 1
    with pytest.raises(ValueError, match="accepted: 0, 1"):
        Choice((0, 1)).accept(True)
    with pytest.raises(ValueError, match="accepted: False, True"):
        Choice((False, True)).accept(1)


def test_choice_and_option_name_the_near_miss() -> None:
    with pytest.raises(ValueError, match=r"got 'globl': did you mean global\? Accepted: layer, global"):
        Choice(("layer", "global")).accept("globl")
    with pytest.raises(ValueError, match=r"got 'LP': accepted: l1, lp"):
        Options((L1, Lp)).type("LP")


def test_kinds_and_defaults_are_read_off_the_types() -> None:
    read = {knob.name: (knob.kind, knob.required) for knob in knobs(Example)}
    assert read == {
        "share": ("float", True),
        "lambda": ("float", False),
        "rounds": ("int", False),
        "scope": ("string", False),
        "nested": ("bool", False),
        "penalty": ("string", False),
    }


def test_a_field_without_a_range_is_its_authors_mistake() -> None:
    @dataclass
    class Bare:
        share: float

    with pytest.raises(TypeError, match=r"Bare\.share: .* says no range"):
        knobs(Bare)


@pytest.mark.parametrize(("owner", "given"), EVERY_SETTING)
def test_flat_undoes_parse(owner: type[Any], given: dict[str, Value]) -> None:
    made = parse(owner, given, what="method", where="spec.yaml")
    assert flat(made) == given
    assert list(flat(made)) == [*dict.fromkeys(flat(made))]
    assert parse(owner, flat(made), what="method", where="spec.yaml") == made


@pytest.mark.parametrize("owner", CATALOGUE, ids=lambda owner: owner.name())
def test_leaving_a_knob_out_takes_its_default_or_names_it(owner: type[Any]) -> None:
    for given in settings(owner):
        for name in given:
            without = {knob: value for knob, value in given.items() if knob != name}
            own = {knob.name: knob for knob in knobs(owner)}
            if name in own and not own[name].required:
                assert flat(parse(owner, without, what="m", where="spec.yaml"))[name] == own[name].default
            else:
                with pytest.raises(WrongInput, match=rf"needs {name}: .* \(spec\.yaml\.{name}\)"):
                    parse(owner, without, what="m", where="spec.yaml")


def _refusal(**given: object) -> str:
    with pytest.raises(WrongInput) as refused:
        parse(Example, given, what="example", where="spec.yaml: m")
    return str(refused.value)


def test_mistakes_say_what_where_and_what_is_accepted() -> None:
    assert _refusal(shar=0.1) == (
        "example has no knob 'shar': did you mean share? "
        "Accepted: share, lambda, rounds, scope, nested, penalty, p (spec.yaml: m.shar)"
    )
    assert _refusal() == "example needs share: [0, 0.5] (spec.yaml: m.share)"
    assert _refusal(share=0.7) == "share must lie in [0, 0.5], got 0.7 (spec.yaml: m.share)"
    assert (
        _refusal(share=0.1, penalty="lp", p=0.5) == "penalty lp needs lambda: [1e-05, 0.01] (log) (spec.yaml: m.lambda)"
    )
    assert _refusal(share=0.1, lambda_=1e-3).startswith("example has no knob 'lambda_': did you mean lambda?")


def test_an_options_knob_is_refused_where_another_option_is_chosen() -> None:
    message = _refusal(**{"share": 0.1, "penalty": "l1", "lambda": 1e-4, "p": 0.5})
    assert message.startswith("example has no knob 'p' here: ")
    assert message.endswith("(spec.yaml: m.p)")


def test_same_name_means_the_same_kind_everywhere() -> None:
    kinds = methods.columns()
    owners: list[type[Any]] = list(CATALOGUE)
    while owners:
        owner = owners.pop()
        for knob in knobs(owner):
            assert knob.kind == kinds[knob.name], f"{owner.__name__}.{knob.name}"
            owners.extend(knob.range.types if isinstance(knob.range, Options) else ())
