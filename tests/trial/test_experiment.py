import pytest

from analysis.errors import WrongInput
from trial.experiment import Experiment

GIVEN = {"network": "seed-cnn", "data": "digits"}


def test_what_a_section_leaves_out_is_its_own_default() -> None:
    """`recovery: {epochs: 3}` silently took the rate of dense training, five times as high."""
    whole = Experiment.parse(GIVEN, where="spec.yaml")
    part = Experiment.parse({**GIVEN, "recovery": {"epochs": 3}, "sparsity": {"batch": 32}}, where="spec.yaml")
    assert part.recovery == whole.recovery.model_copy(update={"epochs": 3})
    assert part.sparsity == whole.sparsity.model_copy(update={"batch": 32})
    assert part.recovery.rate != whole.dense.rate


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"dense": {"rate": float("inf")}}, "rate: input should be a finite number, got inf (spec.yaml: dense.rate)"),
        ({"dense": {"epohs": 3}}, "'epohs' is not a setting: did you mean epochs"),
        ({"seed": -1}, "seed: input should be greater than or equal to 0, got -1 (spec.yaml: seed)"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(setting: dict[str, object], message: str) -> None:
    with pytest.raises(WrongInput) as refused:
        Experiment.parse({**GIVEN, **setting}, where="spec.yaml")
    assert message in str(refused.value)
    assert str(refused.value).count("got") <= 1
