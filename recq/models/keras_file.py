"""Open a Keras model from a file and cut it at a layer: `--model file:PATH`, and the layers of the shipped networks.

A model is a file (.keras, .h5), or Keras' older pair: what `model.to_json()` gave (.json) and a file of weights.

Imports Keras with what it runs on, so it runs in the exporting process only. Python code inside a file is never run
(Keras' `safe_mode`): a model with a Lambda layer is refused.
"""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from recq.errors import ModelUnavailable
from recq.models.applications import NORMALISATION
from recq.models.keras_build import keras_package, one_line
from recq.models.keras_cut import Cut, cut, require_layer
from recq.models.options import PENULTIMATE
from recq.models.weights import bundled_manifest
from recq.space import Pooling, Preprocess

_HDF5 = b"\x89HDF"
_NORMALISE = "normalise"  # the layer of the shipped networks that does their arithmetic


def from_file(
    path: Path, size: int | None, layer: str | None, preprocess: Preprocess, *, weights_file: Path | None = None
) -> Cut:
    """The model in `path` (.keras or .h5; or .json, with its weights in `weights_file`).

    It is given RGB from 0 to 255 by default. The default layer is the last one of a model that ends in a map, and the
    last but one of any other. Raises ModelUnavailable for a file that cannot be opened, and for a model whose input is
    not one RGB picture.
    """
    keras = keras_package()
    model = _opened(keras, path) if weights_file is None else _opened_pair(keras, path, weights_file)
    size = _input_size(model, path.name, size)
    names = [each.name for each in model.layers]
    if layer is None and len(model.outputs) == 1 and len(model.outputs[0].shape) == 4:
        layer = names[-1]
    elif layer in (None, PENULTIMATE):
        if len(names) < 2:
            raise ModelUnavailable(f"{path.name} has one layer only: name it with --layer {names[0]}")
        layer = names[-2]
    require_layer(names, layer, path.name)
    how = NORMALISATION["none" if preprocess == "own" else preprocess]
    return cut(keras, model, layer, size, how, label=how.label, pooling="mean", name=path.stem)


def from_bundled(name: str, archive: Path, size: int, layer: str | None, preprocess: Preprocess) -> Cut:
    """A shipped network at another layer than its last one, or with other arithmetic than its own."""
    keras = keras_package()
    model = keras.models.load_model(archive)
    entry = bundled_manifest()[name]
    names = [each.name for each in model.layers if each.name not in (model.layers[0].name, _NORMALISE)]
    require_layer(names, layer or entry["layer"], name)
    layer = layer or entry["layer"]
    pooling: Pooling = "centre" if layer == entry["layer"] else "mean"
    if preprocess == "own":
        how, label = NORMALISATION["none"], entry["preprocessing"]
    else:
        how = NORMALISATION[preprocess]
        label = how.label
        model = keras.Model(model.get_layer(_NORMALISE).output, model.output)
    return cut(keras, model, layer, size, how, label=label, pooling=pooling, name=name)


def _opened(keras: Any, path: Path) -> Any:
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds of errors for a wrong file
        raise ModelUnavailable(_why_not(path, str(error))) from error
    return _with_inputs(model, path)


def _with_inputs(model: Any, path: Path) -> Any:
    if not getattr(model, "inputs", None):
        raise ModelUnavailable(f"{path.name} declares no input: give it an Input layer and save it again")
    return model


def _opened_pair(keras: Any, path: Path, weights: Path) -> Any:
    """The model that `path` describes in JSON, with what `weights` holds.

    Both go the way of whole files, with its checks: those of Keras 2 as the HDF5 file that it would have written, those
    of Keras 3 as the two members of an archive.
    """
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        modern = "module" in described
        described.pop("compile_config", None)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ModelUnavailable(
            f"{path} describes no Keras model: name what model.to_json() gave, with its weights beside it"
        ) from error
    try:
        with tempfile.TemporaryDirectory(prefix="recq-pair-") as folder:
            model = _paired(keras, described, weights, Path(folder), modern=modern)
    except Exception as error:  # Keras raises many kinds of errors for a wrong file
        raise ModelUnavailable(_why_not_pair(path, weights, str(error))) from error
    return _with_inputs(model, path)


def _paired(keras: Any, described: Any, weights: Path, folder: Path, *, modern: bool) -> Any:
    import h5py

    with h5py.File(weights, "r") as file:
        own = "layer_names" in file.attrs
        older = own or "model_weights" in file
        if not modern:
            if not older:
                raise ValueError("the weights are of a newer Keras than the description")
            with h5py.File(folder / "whole.h5", "w") as whole:
                whole.attrs["model_config"] = json.dumps(described)
                file.copy(file["/" if own else "model_weights"], whole, "model_weights")
    if not modern:
        return keras.models.load_model(folder / "whole.h5", compile=False, safe_mode=True)
    model = keras.saving.deserialize_keras_object(described, safe_mode=True)
    # Keras decides by a file's name how it is read, and this one may have been called anything.
    link = folder / ("weights.h5" if older else "model.weights.h5")
    link.symlink_to(weights.absolute())
    model.load_weights(link)
    return model


def _why_not_pair(path: Path, weights: Path, said: str) -> str:
    if (code := _has_code(path, said)) is not None:
        return code
    with weights.open("rb") as file:
        if not file.read(8).startswith(_HDF5):
            return f"{weights} holds no weights of Keras: name an .h5 file with --weights"
    return f"{path} and {weights.name} cannot be opened as one Keras model: {one_line(said)}"


def _why_not(path: Path, said: str) -> str:
    if (code := _has_code(path, said)) is not None:
        return code
    if not zipfile.is_zipfile(path) and not path.read_bytes()[:8].startswith(_HDF5):
        return f"{path} is no Keras model: name a .keras file, or an .h5 file of a whole model"
    return f"{path} cannot be opened as a whole Keras model: {one_line(said)}"


def _has_code(path: Path, said: str) -> str | None:
    """The message where the file needs Python code that is not run; None otherwise."""
    own_class = re.search(r"(?:Could not locate (?:class|function)|Unknown layer:) '([^']+)'", said)
    if "lambda" in said.lower():
        return (
            f"{path.name} has a Lambda layer, Python code inside the file that recq does not run: save the model with "
            "ordinary layers instead"
        )
    if own_class:
        return f"{path.name} has a custom class, {own_class[1]}, whose code recq does not have"
    return None


def _input_size(model: Any, name: str, size: int | None) -> int:
    """Pixels a side of what the model takes. Raises ModelUnavailable unless that is one square RGB picture."""
    shapes = [tuple(tensor.shape)[1:] for tensor in model.inputs]
    if len(shapes) != 1:
        raise ModelUnavailable(f"{name} takes {len(shapes)} inputs, recq gives it one picture")
    shape = shapes[0]
    if len(shape) != 3 or shape[-1] != 3:
        grey = len(shape) == 3 and shape[-1] == 1
        first = len(shape) == 3 and shape[0] == 3
        why = "grey pictures" if grey else "channels first" if first else "no pictures"
        raise ModelUnavailable(
            f"{name} takes arrays of {' x '.join(str(n or 'any') for n in shape)} ({why}): recq gives it pictures of "
            "height x width x 3"
        )
    height, width = shape[:2]
    if height != width:
        raise ModelUnavailable(f"{name} takes pictures of {height or 'any'} x {width or 'any'}, recq's are square")
    if height is None:
        if size is None:
            raise ModelUnavailable(f"{name} takes pictures of any size: say which with --size N")
        return size
    if size not in (None, height):
        raise ModelUnavailable(f"{name} takes pictures of {height} pixels a side, not of {size}: leave --size out")
    return int(height)
