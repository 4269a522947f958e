"""Build a network of `keras.applications` without its classifier, and turn any such network into files.

Imports TensorFlow (10 s, 700 MB): this module runs in the conversion script, in the tests, and in a process of its
own when a `keras:` network is opened for the first time (see `export.py`). Every network takes RGB from 0 to 255 as
(n, h, w, 3) and gives its last feature map as (n, h', w', channels); its normalisation is part of it.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recq.errors import ModelUnavailable
from recq.models.applications import NORMALISATION, Application, Normalisation
from recq.models.telemetry import openvino

INPUT, FEATURES = "rgb", "features"


def keras_package() -> Any:
    """Keras on TensorFlow. Raises ModelUnavailable without the extra, or when Keras already runs on something else."""
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    openvino()  # first, so that no later import of Keras or TensorFlow brings it in with its telemetry
    try:
        import keras
        import tensorflow  # noqa: F401 - Keras imports without it, and fails later
    except ImportError as error:
        raise ModelUnavailable(f"{error.name} is not installed: pip install 'recq[keras]'") from error
    if keras.config.backend() != "tensorflow":
        raise ModelUnavailable(f"Keras runs on {keras.config.backend()} here: set KERAS_BACKEND=tensorflow")
    return keras


def application(entry: Application, size: int, weights: Path | None) -> Any:
    """The network `entry` for pictures of `size` pixels a side, cut before its classifier.

    `weights` is a weights file, with or without the classifier's; None means ImageNet's, which Keras looks for in
    `~/.keras/models` and downloads otherwise. Raises ModelUnavailable when the weights cannot be had or do not fit.
    """
    keras = keras_package()
    if weights is not None and not weights.is_file():
        raise ModelUnavailable(f"weights file {weights} does not exist: name one with --weights FILE")
    with warnings.catch_warnings():
        # Keras only warns when a layer keeps its random weights.
        warnings.filterwarnings("error", message="Skipping nested container")
        return _downloaded(keras, entry, size) if weights is None else _from_file(keras, entry, size, weights)


def _downloaded(keras: Any, entry: Application, size: int) -> Any:
    try:
        return _headless(keras, entry, size, "imagenet")
    except Exception as error:  # Keras raises a bare Exception when a download fails
        raise ModelUnavailable(_missing_weights(entry, str(error))) from error


def _from_file(keras: Any, entry: Application, size: int, weights: Path) -> Any:
    try:
        return _headless(keras, entry, size, str(weights))
    except Exception:  # the file has the classifier's weights too, or is another network's: Keras says it in many ways
        network = _headless(keras, entry, size, None)
    try:
        whole = getattr(keras.applications, entry.name)(weights=str(weights))
        # The classifier comes last. Not `load_weights(by_name=True)`: that loads wrong features in silence.
        network.set_weights(whole.get_weights()[: len(network.weights)])
    except Exception as error:
        raise ModelUnavailable(f"{weights} does not hold weights of {entry.name}: {_one_line(error)}") from error
    return network


def _headless(keras: Any, entry: Application, size: int, weights: str | None) -> Any:
    inputs = keras.Input((size, size, 3), name=INPUT)
    normalised = normalise(keras, inputs, NORMALISATION[entry.normalisation])
    builder = getattr(keras.applications, entry.name)
    network = builder(include_top=False, weights=weights, input_tensor=normalised)
    return keras.Model(inputs, network.output, name=entry.name)


def normalise(keras: Any, pixels: Any, how: Normalisation) -> Any:
    """RGB 0..255 as the network was trained to see it: channels in its order, times `scale`, plus `offset`."""
    if how.bgr:
        pixels = keras.ops.take(pixels, [2, 1, 0], axis=-1)
    if (how.scale, how.offset) == ((1.0,) * 3, (0.0,) * 3):
        return pixels
    return keras.layers.Rescaling(list(how.scale), list(how.offset), name="normalise")(pixels)


def write_openvino(network: Any, path: Path, *, half: bool) -> None:
    """Write `network` as OpenVINO IR (`path` ends in .xml, the weights stand beside it in .bin).

    The model takes uint8 RGB (n, h, w, 3) and gives float32 features (n, h', w', channels). `half` stores the weights
    as float16; the arithmetic is decided when the model is compiled.
    """
    ov = openvino()
    network.export(str(path), format="openvino", verbose=False)
    model = ov.Core().read_model(path)
    steps = ov.preprocess.PrePostProcessor(model)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    model = steps.build()
    model.input(0).get_tensor().set_names({INPUT})
    model.output(0).get_tensor().set_names({FEATURES})
    model.set_friendly_name(network.name)
    weights = path.with_suffix(".bin")
    written = path.with_name(f"{path.stem}-final.xml")
    ov.save_model(model, written, compress_to_fp16=half)
    del model  # it may still map the first file
    written.replace(path)
    written.with_suffix(".bin").replace(weights)


def weights_digest(arrays: Iterable[npt.NDArray[Any]]) -> str:
    """SHA-256 over the weights in Keras' order, as little-endian float32, each after its shape.

    Unlike a file's hash it does not depend on the container, nor on the version of the exporter.
    """
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr(tuple(int(n) for n in array.shape)).encode())
        digest.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
    return digest.hexdigest()


def _missing_weights(entry: Application, message: str) -> str:
    """Keras names the address it tried; its last part is the file to place."""
    found = re.search(r"https?://\S+/([^\s/:]+)", message)
    if not found:
        return f"the ImageNet weights of {entry.name} cannot be had: {_one_line(message)}"
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")  # as Keras decides it
    return (
        f"the ImageNet weights of {entry.name} cannot be downloaded: place {found[1]} into {home / 'models'}, "
        "or name a weights file with --weights FILE"
    )


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:300]
