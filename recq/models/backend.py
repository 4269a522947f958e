"""What Keras calculates with: TensorFlow, JAX or PyTorch, as it is set up; and the little that recq sets in each.

Everything else that recq does with Keras is the same on all three. `backend_name` imports none of them; the other
functions are for after `keras_package` has.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from recq.errors import ModelUnavailable

_DEFAULT = "tensorflow"
_EXTRA = "pip install 'recq[keras]'"


def backend_name() -> str:
    """`tensorflow`, `jax` or `torch`: what Keras runs on, or would; decided as Keras does it, without importing it."""
    if "keras" in sys.modules:
        return str(sys.modules["keras"].config.backend())
    if chosen := os.environ.get("KERAS_BACKEND"):
        return chosen
    try:
        return str(json.loads((keras_home() / "keras.json").read_text(encoding="utf-8")).get("backend", _DEFAULT))
    except (OSError, ValueError, AttributeError):
        return _DEFAULT


def keras_home() -> Path:
    """Keras' folder of its settings and of what it downloads."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")


def require_keras() -> None:
    """Raise ModelUnavailable where Keras, or what it runs on, is not installed; imports neither."""
    for package in ("keras", backend_name()):
        if find_spec(package) is None:
            raise ModelUnavailable(not_installed(package))


def require_tensorflow() -> None:
    """Raise ModelUnavailable without TensorFlow, which exports networks for OpenVINO whatever Keras runs on."""
    if find_spec("tensorflow") is None:
        raise ModelUnavailable(not_installed("tensorflow"))


def not_installed(package: str | None) -> str:
    """What to do about it."""
    if package in ("jax", "torch"):
        return f"{package}, which Keras is set to run on, is not installed: install it, or set KERAS_BACKEND=tensorflow"
    return f"{package} is not installed: {_EXTRA}"


def compiles() -> bool:
    """Whether models are compiled, anew for each size of a batch: JAX has no other way.

    TensorFlow traces a model for all sizes at once: XLA is slower on a processor, and has no deterministic form of all
    operations. PyTorch runs it as it is.
    """
    return backend_name() == "jax"


def gpus() -> list[str]:
    """The names of the GPUs that Keras can use. Their memory is taken as it is needed, not all of it at once."""
    name = backend_name()
    if name == "jax":
        import jax

        try:
            return [each.device_kind for each in jax.devices("gpu")]
        except RuntimeError:  # there is none
            return []
    if name == "torch":
        import torch

        return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU")
    for each in found:
        try:
            tf.config.experimental.set_memory_growth(each, True)
        except RuntimeError:  # another network of this process already uses it and has set this
            break
    return [tf.config.experimental.get_device_details(each).get("device_name", each.name) for each in found]


def use_whole_floats() -> None:
    """Float32 means all of its 23 bits, on a GPU too, for the whole process: TensorFloat-32 keeps 10."""
    name = backend_name()
    if name == "jax":
        importlib.import_module("jax").config.update("jax_default_matmul_precision", "highest")
    elif name == "torch":
        import torch

        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    else:
        importlib.import_module("tensorflow").config.experimental.enable_tensor_float_32_execution(False)


def make_deterministic() -> None:
    """The same calls give the same bits on one machine, for the whole process.

    On a processor JAX and PyTorch do so by themselves. On a GPU JAX would have to be told before it is imported
    (`XLA_FLAGS`), and PyTorch has operations that have no such form.
    """
    if backend_name() == "tensorflow":
        importlib.import_module("tensorflow").config.experimental.enable_op_determinism()
