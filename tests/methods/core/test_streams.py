import hashlib

from methods.core.streams import stream_seed


def test_a_stream_is_the_first_seven_bytes_of_its_names_digest() -> None:
    digest = hashlib.sha256(b"3/features.0/12").hexdigest()
    assert stream_seed(3, "features.0", "12") == int(digest[:14], 16)


def test_seeds_and_names_have_streams_of_their_own() -> None:
    streams = [stream_seed(seed, *names) for seed in (0, 1) for names in (("a",), ("b",), ("a", "1"), ("a", "2"))]
    assert len(set(streams)) == len(streams)
