"""Run a network with Keras: the way to a GPU, and what the OpenVINO runtime is tested against.

Needs the `[keras]` extra, or Keras with JAX or PyTorch. Reads the `.keras` archive beside the OpenVINO model, so both
have the same weights. The pooling is part of the model: a GPU returns 5 KB a picture, not a feature map of 400 KB.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recq.models.backend import compiles, gpus, use_whole_floats
from recq.models.keras_build import keras_package
from recq.models.pooling import CENTRE_ROOT, GEM_FLOOR, GEM_POWER, LENGTH_FLOOR, Floats, centre_weights
from recq.models.regions import regions
from recq.models.weights import Network

_BATCH_CPU = 8  # 4 to 32 take the same time a picture; what is dropped next waits for fewer
_BATCH_GPU = 64  # benchmarks/gpu.py measures 64 and 256


class KerasRuntime:
    """One batch at a time. `pooling` None gives the feature maps themselves.

    With `means` each vector is followed by the mean of its map.

    A network of precision f32 runs in plain float32, also on a GPU: TensorFloat-32, which keeps 10 of 23 bits, is
    turned off for the process. One of f16 runs in Keras' `mixed_float16`: weights in float32, arithmetic in float16.
    """

    name = "keras"
    concurrency = 1

    def __init__(self, network: Network, pooling: str | None, *, means: bool = False) -> None:
        keras = keras_package()
        found = gpus()
        self.device = f"GPU ({found[0]})" if found else "CPU"
        self.batch = _BATCH_GPU if found else _BATCH_CPU
        self._fill = bool(found) or compiles()
        use_whole_floats()
        model = keras.models.load_model(network.archive, compile=False)
        if network.precision == "f16":
            _halve(model)
        pictures = keras.Input((network.size, network.size, 3), dtype="uint8")
        answers = keras.ops.cast(model(keras.ops.cast(pictures, "float32"), training=False), "float32")
        if pooling is not None and network.side is not None:
            maps = answers
            answers = _pooled(keras.ops, maps, pooling, network.side)
            if means:
                answers = keras.ops.concatenate([answers, _pooled(keras.ops, maps, "mean", network.side)], axis=1)
        self._model = keras.Model(pictures, answers)
        self._model.jit_compile = compiles()
        # Prepared now, so that the first drop does not wait; TensorFlow for any size of a batch, once it has met two.
        for count in (1,) if compiles() else (1, 2):
            self.infer(np.zeros((count, network.size, network.size, 3), np.uint8))

    def infer(self, pixels: npt.NDArray[np.uint8]) -> Floats:
        """uint8 (n, size, size, 3) -> float32 (n, dimensions), or (n, side, side, channels) without pooling.

        With `means` (n, dimensions + channels).
        """
        count = len(pixels)
        if self._fill:
            pixels = filled_up(pixels, self.batch)
        answers: Floats = self._model.predict_on_batch(pixels)  # `predict` in a loop leaks
        return answers[:count]

    def close(self) -> None:
        """Give the network back."""
        del self._model


def filled_up(pixels: npt.NDArray[np.uint8], most: int) -> npt.NDArray[np.uint8]:
    """`pixels` (n, ...) with zeros behind it, to the next power of two or to `most`.

    A GPU's library looks for the fastest algorithm of each layer anew for each size of a batch, and JAX compiles anew:
    so there are few sizes.
    """
    count = len(pixels)
    size = max(count, min(most, 1 << (count - 1).bit_length()))
    if size == count:
        return pixels
    return np.concatenate([pixels, np.zeros((size - count, *pixels.shape[1:]), np.uint8)])


def _halve(model: Any) -> None:
    """Let every layer of `model`, and of models within it, calculate in float16; the weights stay as they are."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            _halve(layer)
        else:
            layer.dtype_policy = "mixed_float16"


def _pooled(ops: Any, maps: Any, pooling: str, side: int) -> Any:
    """float32 maps (n, side, side, channels) pooled as `pooling.pool` does it, by `keras.ops`."""
    if pooling == "gem":
        cubes = ops.power(ops.maximum(maps, GEM_FLOOR), GEM_POWER)
        return ops.power(ops.mean(cubes, axis=(1, 2)), 1 / GEM_POWER)
    if pooling == "centre":
        cubes = ops.power(ops.maximum(maps, GEM_FLOOR), GEM_POWER)
        weighted = cubes * centre_weights(side)[np.newaxis, :, :, np.newaxis]
        return ops.power(ops.sum(weighted, axis=(1, 2)), 1 / CENTRE_ROOT)
    if pooling == "mean":
        return ops.mean(maps, axis=(1, 2))
    if pooling == "max":
        return ops.max(maps, axis=(1, 2))
    if pooling == "rmac":
        maxima = [
            ops.max(maps[:, one.top : one.top + one.width, one.left : one.left + one.width], axis=(1, 2))
            for one in regions(side)
        ]
        return _lengths_one(ops, sum(_lengths_one(ops, each) for each in maxima))
    return ops.reshape(maps, (-1, side * side * maps.shape[-1]))


def _lengths_one(ops: Any, rows: Any) -> Any:
    lengths = ops.sqrt(ops.sum(ops.square(rows), axis=1, keepdims=True))  # `ops.norm` of a model fails in JAX
    return rows / ops.maximum(lengths, LENGTH_FLOOR)
