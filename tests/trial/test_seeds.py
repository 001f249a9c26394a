"""Streams from one seed."""

import torch

from trial.seeds import derived, generator


def test_seeds_and_paths_do_not_run_into_one_another():
    paths = [(seed, *path) for seed in range(4) for path in ((), ("a",), ("a", 0), ("a", 1), ("a", "1"), ("b", 0))]
    assert len({derived(*path) for path in paths}) == len(paths)


def test_a_derived_seed_never_changes():
    """Stored stages were trained from it."""
    assert derived(0, "shuffle", 1) == 4918843990233923725


def test_a_generator_starts_its_stream_anew():
    first, again = (torch.rand(3, generator=generator(1, "a")) for _ in range(2))
    assert torch.equal(first, again)
