"""Whether there is a GPU that Keras can use, found without importing it where no driver is installed."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from recq.models.backend import backend_name, gpus

_DEVICES = ("nvidia[0-9]*", "kfd", "dxg")
"""Files in /dev that a driver makes: NVIDIA's, AMD's ROCm, and Windows' for Linux inside it."""


def may_have_gpu(devices: Path = Path("/dev")) -> bool:
    """Whether Keras could use a GPU: a driver is there, nothing hides it, and what Keras runs on is installed."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    if not any(True for pattern in _DEVICES for _ in devices.glob(pattern)):
        return False
    return find_spec(backend_name()) is not None and find_spec("keras") is not None


def sees_gpu() -> bool:
    """Whether Keras can use a GPU. Imports it, with what it runs on (8 to 15 s), only where there may be one."""
    if not may_have_gpu():
        return False
    from recq.models.keras_build import keras_package

    try:
        keras_package()
        return bool(gpus())
    except Exception:  # one that fails here, in whatever way, is no reason to fail: OpenVINO is there
        return False
