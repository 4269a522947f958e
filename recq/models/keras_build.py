"""Build a network of `keras.applications` up to one of its layers, and turn any such network into files.

Imports Keras with what it runs on (TensorFlow: 10 s, 700 MB): this module runs in the conversion script, in the tests,
and in a process of its own when a `keras:` network is opened for the first time (see `export.py`).
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recq.errors import ModelUnavailable
from recq.models.applications import NORMALISATION, Application
from recq.models.backend import backend_name, keras_home, not_installed
from recq.models.keras_cut import INPUT, Cut, cut, require_layer
from recq.models.openvino_package import openvino
from recq.models.options import PENULTIMATE
from recq.space import Preprocess

FEATURES = "features"


def keras_package() -> Any:
    """Keras, on what it is set up to run on. Raises ModelUnavailable without the extra."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # of a GPU's memory JAX would take three quarters
    openvino()  # first, so that no later import of Keras or TensorFlow brings it in with its telemetry
    try:
        importlib.import_module(backend_name())  # Keras imports without TensorFlow, and fails later
        return importlib.import_module("keras")
    except ImportError as error:
        raise ModelUnavailable(not_installed(error.name)) from error


@contextmanager
def silenced() -> Iterator[None]:
    """Nothing is written to standard error: TensorFlow's libraries greet there, past every setting, when imported."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def application(
    entry: Application, size: int, weights: Path | None, layer: str | None = None, preprocess: Preprocess = "own"
) -> Cut:
    """The network `entry` for pictures of `size` pixels a side, cut at `layer`: its last feature map where None.

    `weights` is a weights file, with or without the classifier's; None means ImageNet's, which Keras looks for in
    `~/.keras/models` and downloads otherwise. Raises ModelUnavailable when the weights are not available or do not fit,
    and for an unknown layer.
    """
    keras = keras_package()
    if weights is not None and not weights.is_file():
        raise ModelUnavailable(f"weights file {weights} does not exist: name one with --weights FILE")
    behind_the_head = False
    if layer is not None:
        layer, behind_the_head = _place(keras, entry, size, layer)
    with warnings.catch_warnings():
        # Keras only warns when a layer keeps its random weights.
        warnings.filterwarnings("error", message="Skipping nested container")
        network = _loaded(keras, entry, size, weights, whole=behind_the_head)
    own = None if behind_the_head else network.layers[-1].name
    how = NORMALISATION[entry.normalisation if preprocess == "own" else preprocess]
    return cut(
        keras,
        network,
        layer or str(own),
        size,
        how,
        label=how.label,
        pooling="gem" if entry.rectified and layer in (None, own) else "mean",
        name=entry.name,
    )


def _place(keras: Any, entry: Application, size: int, layer: str) -> tuple[str, bool]:
    """The layer's name, and whether it stands in the classifier's part, which only the whole network has.

    Neither weights nor memory are spent on it: in a stateless scope the layers' variables are never made.
    """
    with keras.StatelessScope(initialize_variables=False):
        if layer != PENULTIMATE and layer in [
            each.name for each in _built(keras, entry, size, None, whole=False).layers
        ]:
            return layer, False
        whole = [each.name for each in _built(keras, entry, entry.size, None, whole=True).layers]
    if layer == PENULTIMATE:
        layer = whole[-2]
    require_layer(whole, layer, f"keras:{entry.name}")
    if size != entry.size:
        raise ModelUnavailable(
            f"layer {layer} of {entry.name} belongs to its classifier, which takes pictures of {entry.size} pixels a "
            f"side only, not of {size}: leave --size out, or --layer"
        )
    return layer, True


def _loaded(keras: Any, entry: Application, size: int, weights: Path | None, *, whole: bool) -> Any:
    if weights is None:
        try:
            return _built(keras, entry, size, "imagenet", whole=whole)
        except ModelUnavailable:
            raise
        except Exception as error:  # Keras raises a bare Exception when a download fails
            raise ModelUnavailable(_missing_weights(entry, str(error))) from error
    try:
        return _built(keras, entry, size, str(weights), whole=whole)
    except ModelUnavailable:
        raise
    except Exception as error:  # classifier's weights too, or another network's: Keras raises many kinds
        if whole:
            raise _unfit(entry, weights, error, " with its classifier") from error
        network = _built(keras, entry, size, None, whole=False)
    try:
        complete = _built(keras, entry, entry.size, str(weights), whole=True)
        # The classifier comes last. Not `load_weights(by_name=True)`: that loads wrong features silently.
        network.set_weights(complete.get_weights()[: len(network.weights)])
    except Exception as error:
        raise _unfit(entry, weights, error) from error
    return network


def _unfit(entry: Application, weights: Path, error: Exception, what: str = "") -> ModelUnavailable:
    return ModelUnavailable(f"{weights} does not hold weights of {entry.name}{what}: {one_line(error)}")


def _built(keras: Any, entry: Application, size: int, weights: str | None, *, whole: bool) -> Any:
    """Without its arithmetic, and without its classifier unless `whole`.

    Some layers have no name of their own: Keras numbers them anew for each network, so that their names mean the same
    each time.
    """
    keras.backend.clear_session(free_memory=False)
    shape = None if whole else (size, size, 3)
    try:
        return getattr(keras.applications, entry.name)(include_top=whole, weights=weights, input_shape=shape)
    except ValueError as error:
        if "Input size must be at least" not in str(error):
            raise
        raise ModelUnavailable(f"keras:{entry.name} does not take pictures that small: {one_line(error)}") from error


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
        return f"the ImageNet weights of {entry.name} are not available: {one_line(message)}"
    return (
        f"the ImageNet weights of {entry.name} cannot be downloaded: place {found[1]} into {keras_home() / 'models'}, "
        "or name a weights file with --weights FILE"
    )


def one_line(error: object) -> str:
    """A library's message as one line, for the end of recq's message."""
    return " ".join(str(error).split())[:300]
