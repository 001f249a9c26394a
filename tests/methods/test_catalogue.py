"""Laws that every method of the catalogue keeps: a method added later is covered without a line here."""

import itertools
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import methods
from analysis.errors import WrongInput
from analysis.schema import RECIPE
from methods.core.cut import Cut, Past, count
from methods.core.knobs import knobs
from methods.core.mask import Mask
from methods.core.method import ChannelMethod, Method
from methods.core.removal import remove
from methods.core.units import output_layer, weighted_layers
from tests.methods.examples import NETWORKS, drawn, evidence, images, made, network
from tests.methods.laws import plain, removal_difference, state, units

CATALOGUE = methods.catalogue()
CHANNEL_METHODS = [owner for owner in CATALOGUE.values() if issubclass(owner, ChannelMethod)]

# Methods that a law does not bind, with the reason. Empty is the aim.
NOT_NESTED = {
    "channel-lasso": "entries come back on a LASSO's path, and a layer is chosen behind what was cut in front of it",
    "thinet": "a layer is chosen behind what was cut in front of it, which a larger ratio changes",
}
SHARPER = "larger logits make a sharper loss, whose gradient has another direction"
ABSORBED = "inputs grow with all layers in front, biases with one: they absorb less"
READ = "what a layer reads scales by another power of the constant than its bias or running statistics do"
NOT_SCALE_FREE = {
    **dict.fromkeys(("snip", "taylor"), SHARPER),
    **dict.fromkeys(("relevance", "combined", "mixed"), ABSORBED),
    **dict.fromkeys(("channel-lasso", "thinet"), READ),
}
RATIOS = (0.0, 0.25, 0.5, 0.75, 0.95)
FIXED = {"ratio": 0.5, "keep_min": 1, "round_to": 1, "images": 5, "samples": 40, "penalty": "l1", "lambda": 1e-4}
FIXED |= {"statistic": "abs-mean", "aggregate": "sample"}
"""Knobs whose ends the laws do not try: they have laws of their own, decide nothing about the cut, or cost time."""


def cases() -> Iterator[object]:
    """Every method at each setting of its knobs, on every network that it accepts."""
    for owner in CATALOGUE.values():
        for method in made(owner, **FIXED):
            own = [knob for knob in knobs(owner) if knob.name not in {*FIXED, "spare"}]
            settings = "-".join(f"{getattr(method, knob.attribute)}" for knob in own)
            for name in NETWORKS:
                if method.refusal(network(name)) is None:
                    # There only the linear layer reads what is cut, which gives a row an image.
                    given = replace(method, samples=4) if name == "inception" and hasattr(method, "samples") else method
                    yield pytest.param(given, name, id=f"{owner.name()}-{settings}-{name}")


NOTHING = {"units": 0, "asked": 0, "removed": 0, "channels": {}, "weights": {}, "replaced": {}, "floored": {}}

every_case = pytest.mark.parametrize(("method", "name"), list(cases()))
every_method = pytest.mark.parametrize("owner", CATALOGUE.values(), ids=CATALOGUE)


def cut(method: Method, given: nn.Module, *, ratio: float, seed: int = 0) -> Cut:
    return method.cut(given, evidence(seed=seed), ratio=ratio)


@every_case
def test_counts_are_exact_cuts_are_nested_and_ratio_0_changes_nothing(method: Method, name: str) -> None:
    if method.target is None:
        pytest.skip("the ratio is an outcome")
    given = network(name)
    cuts = [cut(method, given, ratio=ratio) for ratio in RATIOS]
    assert plain(cuts[0]) | {"units": 0} == NOTHING
    # Every layer has a multiple of 4 units, so ⌊r·n⌋ per layer and over all are one number for these three.
    for ratio, made_cut in zip(RATIOS[1:4], cuts[1:4], strict=True):
        assert made_cut.asked == count(ratio, made_cut.units)
        floored = sum(made_cut.floored.values())
        assert made_cut.asked - floored <= made_cut.size <= made_cut.asked
        # Where one ranking decides, others stand in for what the floor protects; here there are always enough.
        by_layer = isinstance(method, ChannelMethod) and method.ranking == "layer"
        assert made_cut.size == made_cut.asked or (floored and by_layer)
    if method.name() not in NOT_NESTED:
        for smaller, larger in itertools.pairwise(cuts):
            assert units(smaller) <= units(larger)


@every_case
def test_the_floor_is_kept_and_the_output_is_not_touched(method: Method, name: str) -> None:
    given = network(name)
    output = output_layer(given, images(1))
    sizes = {layer.name: layer.weight for layer in weighted_layers(given)}
    for keep_min in (1, 3):
        held = replace(method, keep_min=keep_min) if isinstance(method, ChannelMethod) else method
        chosen = cut(held, given, ratio=0.95)
        assert output not in chosen.channels
        for layer, gone in chosen.channels.items():
            assert 0 <= gone.min() <= gone.max() < len(sizes[layer])
            assert len(set(gone.tolist())) == len(gone) <= len(sizes[layer]) - keep_min
        for layer, gone in chosen.weights.items():
            assert len(set(gone.tolist())) == len(gone) < sizes[layer].numel()


@every_case
def test_a_floor_above_a_layers_width_leaves_it_whole(method: Method, name: str) -> None:
    if not isinstance(method, ChannelMethod):
        pytest.skip("single weights have no width")
    given = network(name)
    widths = {layer.name: len(layer.weight) for layer in weighted_layers(given)}
    held = cut(replace(method, keep_min=max(widths.values()) + 1), given, ratio=0.95)
    assert not held.channels
    assert held.asked == 0 or held.floored or held.weights


class OneChannel(nn.Sequential):
    """A layer that has no channel to spare between two that have."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 1, 3, padding=1), nn.BatchNorm2d(1)),
            *(nn.ReLU(), nn.Conv2d(1, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU()),
            *(nn.Conv2d(5, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        )


@every_method
def test_a_layer_of_one_channel_keeps_it(owner: type[Method]) -> None:
    given = drawn(OneChannel()).double().eval()
    for method in made(owner, **FIXED):
        chosen = cut(method, given, ratio=0.75)
        assert "3" not in chosen.channels
        assert all(len(gone) < given.get_parameter(f"{layer}.weight").numel() for layer, gone in chosen.weights.items())
        if isinstance(method, ChannelMethod) and method.ranking == "global":
            assert chosen.size == chosen.asked == count(0.75, chosen.units)


@pytest.mark.parametrize("owner", CHANNEL_METHODS, ids=lambda owner: owner.name())
def test_a_grouped_convolution_is_refused_in_one_line(owner: type[Method]) -> None:
    given = network("normed")
    given.add_module("4", nn.Conv2d(8, 12, 3, padding=1, groups=4))
    for method in made(owner, **FIXED):
        assert method.refusal(given) == (
            f"{owner.name()} cannot cut 4: a grouped convolution with 4 groups of 8 → 12 channels is neither plain "
            "nor depthwise"
        )
        assert method.refusal(nn.Sequential(nn.Flatten(), nn.Linear(192, 4))) is not None


@every_case
def test_spared_layers_are_left_alone_and_not_counted(method: Method, name: str) -> None:
    given = network(name)
    everything = cut(method, given, ratio=0.5)
    for layer in {**everything.channels, **everything.weights}:
        sparing = cut(replace(method, spare=layer), given, ratio=0.5)
        assert layer not in {**sparing.channels, **sparing.weights, **sparing.replaced}
        assert sparing.units < everything.units
        assert sparing.asked < everything.asked or method.target is None
    assert plain(cut(replace(method, spare="*"), given, ratio=0.5)) == NOTHING


@every_method
def test_a_layer_to_spare_that_does_not_exist_is_refused_in_one_line(owner: type[Method]) -> None:
    method = replace(made(owner, **FIXED)[0], spare="0 stem*")
    refusal = method.refusal(network("normed"))
    assert refusal == f"{owner.name()} is to spare 'stem*', and the network's layers are 0, 4, 9"
    assert replace(method, spare="0 [49]").refusal(network("normed")) is None


@every_case
def test_widths_are_multiples_of_round_to_and_an_untouched_layer_stays(method: Method, name: str) -> None:
    if not isinstance(method, ChannelMethod):
        pytest.skip("single weights have no width")
    given = network(name)
    sizes = {layer.name: len(layer.weight) for layer in weighted_layers(given)}
    cuts = [cut(replace(method, round_to=4), given, ratio=ratio) for ratio in RATIOS]
    assert plain(cuts[0]) | {"units": 0} == NOTHING
    for made_cut in cuts:
        for layer, gone in made_cut.channels.items():
            assert (sizes[layer] - len(gone)) % 4 == 0
            assert len(gone) < sizes[layer]
    if method.name() not in NOT_NESTED:
        for smaller, larger in itertools.pairwise(cuts):
            assert units(smaller) <= units(larger)


@every_case
def test_what_was_cut_before_goes_again_and_counts(method: Method, name: str) -> None:
    given, seen = network(name), evidence()
    first = method.cut(given, seen, ratio=0.25)
    past = Past(channels=first.channels, weights=first.weights)
    second = method.cut(given, replace(seen, past=past), ratio=0.5)
    assert units(first) <= units(second)
    if method.target is not None:
        assert second.asked == count(0.5, second.units)
        assert second.size == second.asked or second.floored


@every_case
def test_after_a_removal_a_ratio_is_one_of_the_dense_network_or_of_linear_weights_that_are_left(
    method: Method, name: str
) -> None:
    if not isinstance(method, ChannelMethod):
        pytest.skip("single weights are not removed")
    given, seen = network(name), evidence()
    first = method.cut(given, seen, ratio=0.25)
    thin, mask = remove(given, first, images(1), mask=Mask.of_weights(given, first))
    dense = {layer.name: layer.weight for layer in weighted_layers(given)}
    held = {entry.removesuffix(".weight"): (~kept).flatten().nonzero().flatten() for entry, kept in mask.keep.items()}
    past = Past(
        sizes={layer: len(dense[layer]) for layer in first.channels},
        lost={layer: len(gone) for layer, gone in first.channels.items()},
        weights=held,
    )
    second = method.cut(thin, replace(seen, past=past), ratio=0.5)
    ranked = method.cut(given, seen, ratio=0.5)
    left = {layer.name: layer.weight.numel() for layer in weighted_layers(thin) if layer.name in first.weights}
    fewer = [(dense[layer].numel(), now) for layer, now in left.items()]
    assert second.units == ranked.units - sum(whole - now for whole, now in fewer)
    assert second.asked == ranked.asked - sum(whole // 2 - now // 2 for whole, now in fewer)
    assert second.removed == sum(past.lost.values())
    channels = sum(len(gone) for gone in (*first.channels.values(), *second.channels.values()))
    floored = {**second.floored, **ranked.floored}
    assert channels == sum(map(len, ranked.channels.values())) or floored
    assert second.size + second.removed == second.asked or floored
    assert method.cut(thin, replace(seen, past=past), ratio=0.25).channels == {} or method.ranking == "layer"


@every_case
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)], ids=str)
def test_mask_and_removal_give_the_same_logits(method: Method, name: str, dtype: torch.dtype, tolerance: float) -> None:
    if not isinstance(method, ChannelMethod):
        pytest.skip("single weights are not removed")
    given, batch = network(name, dtype=dtype), images(dtype=dtype)
    chosen = method.cut(given, evidence(dtype=dtype), ratio=0.5)
    assert chosen.channels
    assert removal_difference(given, chosen, batch) < tolerance


@every_case
def test_a_cut_is_repeatable_and_leaves_everything_as_it_was(method: Method, name: str) -> None:
    given, seen = network(name).train(), evidence()
    next(iter(given.children())).eval()
    next(given.parameters()).requires_grad_(False)
    before, images_before = state(given), seen.images.clone()
    first = method.cut(given, seen, ratio=0.5)
    assert state(given) == before
    assert torch.equal(seen.images, images_before)
    assert plain(method.cut(given, seen, ratio=0.5)) == plain(first)
    assert plain(cut(method, network(name), ratio=0.5)) == plain(first), "modes or requires_grad decide the cut"


@every_case
def test_weights_times_a_constant_are_cut_alike(method: Method, name: str) -> None:
    if method.name() in NOT_SCALE_FREE:
        pytest.skip(NOT_SCALE_FREE[method.name()])
    given, scaled = network(name), network(name)
    with torch.no_grad():
        for parameter in scaled.parameters():
            # A power of two: no score is rounded.
            parameter.mul_(8)
    assert plain(cut(method, scaled, ratio=0.5)) == plain(cut(method, given, ratio=0.5))


@every_method
@pytest.mark.parametrize(("broken", "said"), [(torch.nan, "NaN"), (-torch.inf, "an infinite value")])
def test_weights_that_are_not_finite_are_refused_by_layer(owner: type[Method], broken: float, said: str) -> None:
    given = network("normed")
    with torch.no_grad():
        given.get_parameter("4.weight")[1, 2, 0, 0] = broken
    with pytest.raises(ValueError, match=f"^{owner.name()} cannot rank layer 4: its weights hold {said}$"):
        cut(made(owner, **FIXED)[0], given, ratio=0.5)


@every_method
def test_nan_elsewhere_is_refused_by_name_or_changes_nothing(owner: type[Method]) -> None:
    given = network("normed")
    with torch.no_grad():
        given.get_parameter("9.weight")[1] = torch.nan
    method = replace(made(owner, **FIXED)[0], spare="9")
    try:
        chosen = cut(method, given, ratio=0.5)
    except ValueError as error:
        assert re.match(f"{owner.name()}.*NaN", str(error)), error  # noqa: PT017
    else:
        assert plain(chosen) == plain(cut(method, network("normed"), ratio=0.5))


@every_method
@pytest.mark.parametrize("ratio", [-0.1, 1, 1.5, torch.nan])
def test_a_ratio_that_is_none_is_refused(owner: type[Method], ratio: float) -> None:
    with pytest.raises(ValueError, match=f"^{owner.name()} cuts a ratio from 0 to below 1, not "):
        cut(made(owner, **FIXED)[0], network("normed"), ratio=ratio)


@every_method
def test_a_method_tells_what_it_does_and_where_it_comes_from(owner: type[Method]) -> None:
    summary, formula, source = owner.about()
    assert summary.endswith(".")
    assert "\n\n" not in summary
    assert re.search(r"[=<>~]", formula), formula
    keys = re.findall(r"[A-Z]\w+ \d{4}", source)
    assert keys, f"{owner.name()} names no source"
    for key in keys:
        assert key in sources()


def test_every_source_that_is_named_stands_in_sources_md() -> None:
    for file in Path(methods.__file__).parent.rglob("*.py"):
        for key in re.findall(r"\[([A-Z]\w+ \d{4})", file.read_text(encoding="utf-8")):
            assert key in sources(), f"{file.name} cites {key}"


def sources() -> set[str]:
    lines = (Path(methods.__file__).parent / "sources.md").read_text(encoding="utf-8").splitlines()
    return {line.split("|")[1].strip() for line in lines if line.startswith("| ")}


@pytest.mark.parametrize("owner", CHANNEL_METHODS, ids=lambda owner: owner.name())
def test_batch_norm_that_is_needed_and_missing_is_refused_in_one_line(owner: type[Method]) -> None:
    for method in made(owner, **FIXED):
        refusal = method.refusal(network("plain"))
        if "batch norm" in owner.needs:
            assert refusal is not None
            assert owner.name() in refusal
            assert "no batch norm" in refusal
            assert "\n" not in refusal
        else:
            assert refusal is None
        assert method.refusal(network("normed")) is None


@every_method
def test_penalties_go_with_sparsity_training(owner: type[Method]) -> None:
    for method in made(owner):
        assert (method.sparsifier is not None) == ("sparsity training" in owner.needs)


def test_exemptions_are_of_methods_that_exist() -> None:
    assert {*NOT_NESTED, *NOT_SCALE_FREE} <= set(CATALOGUE)


def test_names_are_files_in_alphabetical_order() -> None:
    folder = Path(methods.__file__).parent
    files = sorted(file.stem for file in folder.glob("*.py") if file.stem != "__init__")
    assert list(CATALOGUE) == [file.replace("_", "-") for file in files]
    assert {"filter-l1", "magnitude-global", "random-channels", "slimming"} <= set(CATALOGUE)


def test_a_knob_that_the_schema_names_has_the_schemas_kind() -> None:
    kinds = methods.columns()
    for column in RECIPE:
        assert kinds.get(column.name, column.kind) == column.kind, column.name


def test_an_unknown_method_is_answered_with_the_nearest() -> None:
    with pytest.raises(WrongInput, match=r"'filter_l1' is not a method: did you mean filter-l1\?.*\(spec\.yaml\)"):
        methods.method("filter_l1", where="spec.yaml")


def test_a_file_without_a_method_is_its_authors_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty_file.py").write_text("", encoding="utf-8")
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    methods.catalogue.cache_clear()
    try:
        with pytest.raises(TypeError, match=r"methods/empty_file\.py must hold one method, found 0"):
            methods.catalogue()
    finally:
        methods.catalogue.cache_clear()
        sys.modules.pop("methods.empty_file", None)
        vars(methods).pop("empty_file", None)
