"""Parquet files as the Hugging Face hub lays them out, and a cache folder that no other test sees."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def encoded(pixels, kind="PNG"):
    """An array (H, W, 3) or (H, W) as the bytes of an image file."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format=kind)
    return out.getvalue()


def random_images(count, *, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def write(tmp_path):
    """Write a Parquet file of images (arrays or bytes) and labels, return its path."""

    def written(name, images, labels, *, names=("cat", "dog"), image="img", label="label"):
        rows = [{"bytes": i if isinstance(i, bytes | None) else encoded(i), "path": None} for i in images]
        struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        table = pa.table({image: pa.array(rows, struct), label: pa.array(labels, pa.int64())})
        if names:
            features = {label: {"names": list(names), "_type": "ClassLabel"}}
            described = json.dumps({"info": {"features": features}})
            table = table.replace_schema_metadata({"huggingface": described})
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        pq.write_table(table, folder / name)
        return folder / name

    return written
