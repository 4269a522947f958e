"""Whether there is a GPU that TensorFlow can use, found without importing TensorFlow where no driver is installed."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_DEVICES = ("nvidia[0-9]*", "kfd", "dxg")
"""Files in /dev that a driver makes: NVIDIA's, AMD's ROCm, and Windows' for Linux inside it."""


def may_have_gpu(devices: Path = Path("/dev")) -> bool:
    """Whether TensorFlow could see a GPU: a driver is there, nothing hides it, and TensorFlow is installed."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    if not any(True for pattern in _DEVICES for _ in devices.glob(pattern)):
        return False
    return find_spec("tensorflow") is not None and find_spec("keras") is not None


def sees_gpu() -> bool:
    """Whether TensorFlow sees a GPU. Imports TensorFlow (8 to 15 s) only where there may be one."""
    if not may_have_gpu():
        return False
    from recq.models.keras_build import keras_package

    try:
        keras_package()
        import tensorflow as tf

        return bool(gpus(tf))
    except Exception:  # a TensorFlow that fails here, in whatever way, is no reason to fail: OpenVINO is there
        return False


def gpus(tf: Any) -> list[str]:
    """The names of the GPUs that TensorFlow sees. It takes their memory as it needs it, not all of it at once."""
    found = tf.config.list_physical_devices("GPU")
    for each in found:
        try:
            tf.config.experimental.set_memory_growth(each, True)
        except RuntimeError:  # another network of this process already uses it and has set this
            break
    return [tf.config.experimental.get_device_details(each).get("device_name", each.name) for each in found]
