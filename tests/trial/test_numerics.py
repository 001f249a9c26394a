"""Precision reaches training, evaluation and the teacher, and nothing else; threads are those that were asked for."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from tests.trial.images import splits
from trial.experiment import Experiment
from trial.networks import Network, build
from trial.numerics import Numerics, autocast, computing
from trial.recipe import Recipe
from trial.recovery import Recovery, recalibrate
from trial.stages import Part, recover
from trial.training import Training, evaluate, train
from trial.workbench import Workbench

CPU = torch.device("cpu")
LAYOUTS = [torch.channels_last, torch.contiguous_format]


def network_in(layout=torch.channels_last):
    return build(Network(name="vgg16-bn", width=0.05), classes=3, seed=0).to(memory_format=layout)


def dtypes_seen(network):
    """The types that the network's convolutions give out, a set that fills as it runs."""
    seen = set()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _module, _given, made: seen.add(made.dtype))
    return seen


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_passes_run_in_the_precision_and_what_is_kept_is_float32(precision, layout):
    network, data, momentum = network_in(layout), splits(train=40), {}
    seen = dtypes_seen(network)
    expected = {getattr(torch, precision)}
    with computing(precision, threads=1):
        (epoch,) = train(network, data, Training(epochs=1, batch=20), seed=0, momentum=momentum)
        assert seen == expected
        seen.clear()
        loss, accuracy = evaluate(network, data.validation, data)
        assert seen == expected
        seen.clear()
        recalibrate(network, data, batches=1, batch=20, seed=0)
        assert seen == expected
    assert (epoch.val_loss, epoch.val_accuracy) == (loss, accuracy)
    kept = [*network.state_dict().values(), *momentum.values(), *(weight.grad for weight in network.parameters())]
    assert {tensor.dtype for tensor in kept} == {torch.float32, torch.int64}  # batch norm counts its batches


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_teacher_teaches_in_the_precision_too(layout):
    data, student, teacher = splits(train=40), network_in(layout), network_in(layout).eval()
    seen = dtypes_seen(teacher)
    recovery = Recovery(epochs=1, batch=20, distillation=0.5)
    with computing("bfloat16", threads=1):
        recover(
            student,
            data,
            recovery,
            part=Part(),
            dense=Training(epochs=1),
            dense_weights=1,
            seed=0,
            teacher=teacher,
        )
    assert seen == {torch.bfloat16}


def test_outside_of_the_block_everything_is_float32_and_threads_are_what_they_were():
    network = network_in().eval()
    seen = dtypes_seen(network)
    before = torch.get_num_threads()
    with computing("bfloat16", threads=before + 1):
        network(torch.zeros(1, 3, 32, 32))  # a method's scores, the check of a removal: they do not ask
        assert seen == {torch.float32}
        assert torch.get_num_threads() == before + 1
    with pytest.raises(KeyError), computing("bfloat16", threads=before + 1):
        raise KeyError
    assert torch.get_num_threads() == before
    with autocast(CPU):
        network(torch.zeros(1, 3, 32, 32))
    assert seen == {torch.float32}


def test_bfloat16_is_close_to_float32_and_gives_the_same_bits_twice():
    curves, data = [], splits(train=60)
    for precision in ("float32", "bfloat16", "bfloat16"):
        network = network_in()
        with computing(precision, threads=1):
            curves.append(train(network, data, Training(epochs=2, batch=20, rate=0.01, clip=1.0), seed=0))
    assert curves[1] == curves[2]
    assert curves[0] != curves[1]
    for one, other in zip(curves[0], curves[1], strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=0.02)


def test_a_single_image_and_no_epochs_work_in_bfloat16():
    network, data = network_in(), splits(train=41, validation=1)
    with computing("bfloat16", threads=1):
        assert train(network, data, Training(epochs=0), seed=0) == []
        assert len(train(network, data, Training(epochs=1, batch=20), seed=0)) == 1


@pytest.mark.parametrize("layout", ["channels-last", "contiguous"])
def test_a_trial_in_bfloat16_is_complete_and_its_row_says_so(tmp_path, layout):
    """The thin network is compared with the masked one within 1e-4, which bfloat16 would miss."""
    given = {
        "network": {"name": "vgg16-bn", "width": 0.05},
        "data": {"name": "digits", "images": 60, "validation": 20, "augment": ["shift", "rotation", "cutout"]},
        "dense": {"epochs": 1, "clip": 1.0},
        "recovery": {"epochs": 1, "distillation": 0.5, "recalibrate": 1},
        "numerics": {"precision": "bfloat16", "layout": layout},
    }
    experiment = Experiment.parse(given, where="spec.yaml")
    bench = Workbench(experiment, tmp_path, study_name="study", worker="test")
    trained, evaluated = set(), set()

    def note(module, given, made):  # noqa: ARG001
        if isinstance(module, nn.Conv2d):
            (trained if module.training else evaluated).add(made.dtype)

    noting = register_module_forward_hook(note)
    row = bench.run(Recipe.parse({"method": "filter-l1", "ratio": 0.3}, experiment, where="recipe"))
    noting.remove()
    assert trained == {torch.bfloat16}
    assert evaluated == {torch.bfloat16, torch.float32}
    assert (row["state"], row["error"], row["precision"]) == ("complete", None, "bfloat16")


def test_layouts_are_torchs() -> None:
    for layout, expected in (("channels-last", torch.channels_last), ("contiguous", torch.contiguous_format)):
        network = nn.Conv2d(4, 8, 3)
        Numerics(layout=layout).lay_out(network, torch.device("cpu"))
        assert network.weight.is_contiguous(memory_format=expected)


@pytest.mark.parametrize(
    ("channels", "stride", "kernel", "is_last"), [(4, 2, 1, 0), (64, 2, 1, 1), (4, 1, 1, 1), (4, 2, 3, 1)]
)
def test_what_cannot_be_trained_in_channels_last_lies_contiguous(
    channels: int, stride: int, kernel: int, is_last: bool
) -> None:
    network = nn.Sequential(nn.Conv2d(3, channels, 3), nn.Conv2d(channels, 8, kernel, stride=stride))
    Numerics().lay_out(network, CPU)
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last) == is_last


TRAINED = """
import torch
from tests.trial.images import splits
from trial.networks import Network, build
from trial.numerics import Numerics
from trial.training import Training, train
network = build(Network(name="resnet20", width=0.25), classes=3, seed=0)
Numerics().lay_out(network, torch.device("cpu"))
print(len(train(network, splits(train=60), Training(epochs=2, batch=30), seed=0)))
"""


def test_narrow_shortcuts_are_trained() -> None:
    """free(): invalid next size. In a process of its own, which the fault would end or hang."""
    ran = subprocess.run([sys.executable, "-c", TRAINED], capture_output=True, text=True, timeout=120, check=False)
    assert (ran.returncode, ran.stdout) == (0, "2\n"), ran.stderr
