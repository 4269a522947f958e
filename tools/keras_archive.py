"""Write a Keras model as a `.keras` archive that is the same, byte for byte, each time.

Keras itself puts the date, the times of the files and the addresses of Python objects into it. `half` stores the
weights as float16; Keras loads them into float32 variables, so the arithmetic stays as it was.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip archive can hold
_PACK = 1024  # numbers; a smaller array is stored as it is, for a chunk's header is larger than the gain


def write(model: Any, path: Path, *, half: bool) -> None:
    """Save `model` at `path`, which ends in `.keras`."""
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        metadata = json.loads(archive.read("metadata.json"))
        config = json.loads(archive.read("config.json"))
        weights = archive.read("model.weights.h5")
    metadata["date_saved"] = "1980-01-01@00:00:00"
    members = {
        "metadata.json": json.dumps(metadata).encode(),
        "config.json": json.dumps(_without_addresses(config)).encode(),
        "model.weights.h5": _rewritten(weights, np.float16 if half else np.float32),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # stored: deflate differs between zlib versions
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data)


def _without_addresses(node: Any) -> Any:
    """`node` without `shared_object_id`, which is the `id()` of a dtype policy."""
    if isinstance(node, dict):
        return {key: _without_addresses(value) for key, value in node.items() if key != "shared_object_id"}
    if isinstance(node, list):
        return [_without_addresses(value) for value in node]
    return node


def _rewritten(data: bytes, dtype: type[np.floating[Any]]) -> bytes:
    """The HDF5 file with every dataset as `dtype`, in the oldest format: the newer ones date every group."""
    target = io.BytesIO()
    with h5py.File(io.BytesIO(data)) as source, h5py.File(target, "w", libver="earliest") as result:

        def copy(name: str, node: h5py.Group | h5py.Dataset) -> None:
            if isinstance(node, h5py.Dataset):
                packed = {"shuffle": True, "compression": "gzip", "compression_opts": 9} if node.size >= _PACK else {}
                copied = result.create_dataset(name, data=node[()].astype(dtype), **packed)
            else:
                copied = result.require_group(name)
            for key, value in node.attrs.items():
                copied.attrs[key] = value

        source.visititems(copy)
    return target.getvalue()
