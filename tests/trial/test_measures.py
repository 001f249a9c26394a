"""Measures by hand on networks small enough to count."""

import gzip
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import nn

from analysis.schema import MEASURES, Column, Taken
from tests.trial.images import splits
from trial import measures
from trial.data import ImageSet
from trial.measures import TAKERS, macs, measure, stored_bytes, weights_total
from trial.training import evaluate


def small():
    """Convolution 3→4 (3×3, bias), batch norm, linear 4·16·16 → 3: 108 + 3072 weights."""
    torch.manual_seed(0)
    layers = (
        nn.Conv2d(3, 4, 3, padding=1, stride=2),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(1024, 3),
    )
    return nn.Sequential(*layers)


def test_counts_are_those_by_hand():
    network = small()
    assert weights_total(network) == 108 + 3072
    assert macs(network) == 108 * 16 * 16 + 3072
    found = measure(network, splits(), dense_weights=weights_total(network))
    assert found["params"] == 108 + 4 + 8 + 3072 + 3
    assert found["macs"] == macs(network)
    # Running mean and variance are stored, too.
    assert found["bytes"] == 4 * (found["params"] + 8)
    assert found["sparsity"] == 0


def test_what_the_schema_has_taken_at_the_end_is_taken_and_nothing_else():
    found = measure(small(), splits(), dense_weights=10)
    promised = {column.name: column.kind for column in MEASURES if column.taken == "at the end"}
    assert list(found) == list(promised)
    assert set(TAKERS) == set(promised)
    assert all(isinstance(value, int if promised[name] == "int" else float) for name, value in found.items())
    assert {column.taken for column in MEASURES} <= set(get_args(Taken)) - {""}


def test_a_measure_is_one_line_here_and_one_in_the_schema(monkeypatch):
    column = Column("layers", "int", "measure", "layers", "", "lower", "at the end")
    monkeypatch.setattr(measures, "MEASURES", (*MEASURES, column))
    with pytest.raises(KeyError, match="layers"):
        measure(small(), splits(), dense_weights=1)
    monkeypatch.setitem(TAKERS, "layers", lambda finished: len(finished.network))
    assert measure(small(), splits(), dense_weights=1)["layers"] == 5


def test_macs_and_memory_are_those_of_the_images_at_hand():
    data = splits()
    cropped = ImageSet(data.train.images[:, :, :16, :16], data.train.labels)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    of_16 = replace(data, train=cropped, validation=cropped)
    large, found = (measure(network, each, dense_weights=1) for each in (data, of_16))
    assert (large["macs"], found["macs"]) == (108 * 16 * 16, 108 * 8 * 8)
    # Image, maps and means beside 112 parameters.
    assert found["peak_memory"] == 4 * (112 + 3 * 16 * 16 + 4 * 8 * 8 + 4)


def test_sparsity_counts_zeros_and_what_was_removed():
    network = small()
    with torch.no_grad():
        network[0].weight[1] = 0
        network[0].bias.zero_()
    assert measure(network, splits(), dense_weights=6360)["sparsity"] == 1 - (81 + 3072) / 6360


def test_stored_bytes_are_the_tensors_in_float32():
    network = small()
    tensors = torch.frombuffer(bytearray(stored_bytes(network)), dtype=torch.float32)
    state = network.state_dict()
    expected = torch.cat([state[name].flatten() for name in state if "num_batches" not in name])
    assert torch.equal(tensors, expected)
    assert stored_bytes(network.double()) == stored_bytes(network.float())


def test_gzip_bytes_can_be_made_again_and_fall_with_zeros():
    network = small()
    first = measure(network, splits(), dense_weights=1)["gzip_bytes"]
    assert first == len(gzip.compress(stored_bytes(network), compresslevel=6, mtime=0))
    with torch.no_grad():
        network[4].weight[:, ::2] = 0
    assert measure(network, splits(), dense_weights=1)["gzip_bytes"] < 0.7 * first


def test_train_accuracy_is_of_all_images_where_there_are_few():
    network, data = small(), splits(train=100)
    found = measure(network, data, dense_weights=1)
    assert found["train_accuracy"] == evaluate(network, data.train, data)[1]


def test_the_sample_is_900_images_and_the_same_each_time():
    network, data = small(), splits(train=1000)
    first, again = (measure(network, data, dense_weights=1)["train_accuracy"] for _ in range(2))
    assert first == again
    assert first * 900 == pytest.approx(round(first * 900))


def test_measuring_leaves_weights_and_modes_as_they_were():
    network = small().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    measure(network, splits(), dense_weights=1)
    assert network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_a_network_without_weights_has_none():
    assert weights_total(nn.Sequential(nn.ReLU())) == 0
