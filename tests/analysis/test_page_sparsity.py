"""Zeros among the weights: what the report says of them is what the rows say."""

import pytest

from analysis.page.facts import facts
from analysis.page.sparsity import zeros_pay
from tests.analysis import studies

DENSE = studies.DENSE_ROW | {"params": 1_000, "bytes": 4_000, "gzip_bytes": 3_600, "latency_ms": 2.0}


def network(trial, **said):
    return DENSE | {"trial": f"{trial:016x}", "method": "lamp", "sparsity": 0.5} | said


MASKED = [
    network(1, sparsity=0.5, gzip_bytes=2_160, latency_ms=2.02),
    network(2, sparsity=0.9, gzip_bytes=540, latency_ms=1.96),
]
THIN = network(3, method="fpgm", sparsity=0.75, params=250, bytes=1_000, gzip_bytes=900, latency_ms=0.6)


def test_zeros_pay_in_gzipped_bytes_and_not_in_time():
    """540 / 3600 = .15, 2160 / 3600 = .6; 4000 / 4000 = 1; 1.96 / 2 = .98, 2.02 / 2 = 1.01; .6 / 2 = .3."""
    assert zeros_pay([THIN, *MASKED, DENSE]) == (
        "2 networks keep the dense network's shapes, with zeros for the weights that were cut: gzipped, 0.15 to 0.60 "
        "of the dense network's bytes; unpacked, 1.00; latency_ms, 0.98 to 1.01: zeros are multiplied like any other "
        "number; with channels removed, 0.30"
    )


def test_what_was_not_timed_is_not_promised():
    rows = [row | {"latency_ms": None} for row in (DENSE, MASKED[0])]
    assert zeros_pay(rows).endswith(
        "gzipped, 0.60 of the dense network's bytes; unpacked, 1.00; no time is saved, zeros are multiplied like any "
        "other number (latency was not taken)"
    )
    in_torch = [row | {"torch_latency_ms": 3.0} for row in rows]
    assert "torch_latency_ms, 1.00: zeros" in zeros_pay(in_torch)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [DENSE],
        [DENSE, THIN],
        MASKED,
        [DENSE, MASKED[0] | {"state": "failed"}],
        [DENSE, MASKED[0] | {"quantisation": "static-int8"}],
        [DENSE, MASKED[0] | {"sparsity": 0.05}],
        [DENSE, MASKED[0] | {"gzip_bytes": None}],
        [DENSE, MASKED[0] | {"gzip_bytes": float("nan")}],
        [DENSE | {"gzip_bytes": None}, *MASKED],
    ],
    ids=lambda rows: f"{len(rows)} rows",
)
def test_nothing_is_said_where_there_is_nothing_to_say(rows):
    assert zeros_pay(rows) == ""


def test_the_page_has_the_sentence_among_what_it_says_of_a_study(tmp_path):
    study = studies.write(tmp_path / "study", [DENSE, *MASKED, THIN])
    (found,) = facts([study])["studies"]
    assert found["zeros"] == zeros_pay([DENSE, *MASKED, THIN])
