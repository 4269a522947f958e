"""Read the tensors of a legacy PyTorch checkpoint (`torch.save` before 1.6) without PyTorch and without trusting it.

Such a file is five pickles (magic number, protocol, system information, the state dict with references to storages,
the storages' keys) followed by the raw storages. Unpickling runs code that the file names, so the unpickler here
knows four names and refuses every other one. Used at conversion time only; recq itself never reads a pickle.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

MAGIC = 0x1950A86A20F9469CFC6C  # torch/serialization.py: MAGIC_NUMBER
PROTOCOL = 1001  # torch/serialization.py: PROTOCOL_VERSION

_DTYPES: dict[str, npt.DTypeLike] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage, to be cut out once the storage has been read."""

    storage: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True)
class _StorageType:
    name: str


def _rebuild_tensor(storage: str, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(stride))


class _Unpickler(pickle.Unpickler):
    """Knows ordered dicts, two storage types and the tensor constructor; anything else is refused."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream)
        self.storages: dict[str, np.dtype[Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch" and name in _DTYPES:
            return _StorageType(name)
        raise pickle.UnpicklingError(f"the checkpoint names {module}.{name}, which no table of tensors needs: refused")

    def persistent_load(self, pid: Any) -> str:
        kind, storage_type, key, _location, _size, view = pid
        if kind != "storage" or view is not None:
            raise pickle.UnpicklingError(f"unexpected reference {kind!r} in the checkpoint")
        self.storages[key] = np.dtype(_DTYPES[storage_type.name])
        return str(key)


def read_tensors(data: bytes) -> dict[str, npt.NDArray[Any]]:
    """The named arrays of a legacy checkpoint's bytes. Raises UnpicklingError on anything unexpected."""
    stream = io.BytesIO(data)
    magic, protocol, _system = (_Unpickler(stream).load() for _ in range(3))
    if (magic, protocol) != (MAGIC, PROTOCOL):
        raise pickle.UnpicklingError("not a legacy PyTorch checkpoint")
    reader = _Unpickler(stream)
    table: dict[str, _Tensor] = reader.load()
    storages: dict[str, npt.NDArray[Any]] = {}
    for key in _Unpickler(stream).load():
        dtype = reader.storages[key]
        (count,) = struct.unpack("<q", stream.read(8))
        storages[key] = np.frombuffer(stream.read(count * dtype.itemsize), dtype, count)
    return {name: _cut(storages[tensor.storage], tensor) for name, tensor in table.items()}


def _cut(storage: npt.NDArray[Any], tensor: _Tensor) -> npt.NDArray[Any]:
    strides = tuple(step * storage.itemsize for step in tensor.stride)
    view = np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides, writeable=False)
    return np.ascontiguousarray(view).reshape(tensor.shape)
