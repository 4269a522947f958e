"""Run a network with Keras on TensorFlow: the way to a GPU, and what the OpenVINO runtime is tested against.

Needs the `[keras]` extra. Reads the `.keras` archive beside the OpenVINO model, so both have the same weights. The
pooling is part of the traced function: a GPU returns 5 KB a picture, not a feature map of 400 KB.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recq.models.gpu import gpus
from recq.models.keras_build import keras_package
from recq.models.pooling import CENTRE_ROOT, GEM_FLOOR, GEM_POWER, LENGTH_FLOOR, Floats, centre_weights
from recq.models.regions import regions
from recq.models.weights import Network

_BATCH_CPU = 8  # 4 to 32 take the same time a picture; what is dropped next waits for fewer
_BATCH_GPU = 64  # benchmarks/gpu.py measures 64 and 256


class TensorFlowRuntime:
    """One batch at a time. `pooling` None gives the feature maps themselves.

    With `means` each vector is followed by the mean of its map.

    A network of precision f32 runs in plain float32, also on a GPU: TensorFloat-32, which keeps 10 of 23 bits, is
    turned off for the process. One of f16 runs in Keras' `mixed_float16`: weights in float32, arithmetic in float16.
    """

    name = "tensorflow"
    concurrency = 1

    def __init__(self, network: Network, pooling: str | None, *, means: bool = False) -> None:
        keras = keras_package()
        import tensorflow as tf

        found = gpus(tf)
        self.device = f"GPU ({found[0]})" if found else "CPU"
        self.batch = _BATCH_GPU if found else _BATCH_CPU
        self._fill = bool(found)
        tf.config.experimental.enable_tensor_float_32_execution(False)
        model = keras.models.load_model(network.archive, compile=False)
        if network.precision == "f16":
            _halve(model)
        pool = None if pooling is None or network.side is None else pooling

        def vectors(pixels: Any) -> Any:
            maps = tf.cast(model(tf.cast(pixels, tf.float32), training=False), tf.float32)
            if pool is None:
                return maps
            pooled = _pooled(tf, maps, pool, network.side)
            return tf.concat([pooled, _pooled(tf, maps, "mean", network.side)], axis=1) if means else pooled

        # One traced function for every batch size; `predict` in a loop leaks, and XLA is slower on a processor.
        signature = tf.TensorSpec((None, network.size, network.size, 3), tf.uint8)
        self._vectors = tf.function(vectors, input_signature=[signature])
        self.infer(np.zeros((1, network.size, network.size, 3), np.uint8))  # traced now: the first drop does not wait

    def infer(self, pixels: npt.NDArray[np.uint8]) -> Floats:
        """uint8 (n, size, size, 3) -> float32 (n, dimensions), or (n, side, side, channels) without pooling.

        With `means` (n, dimensions + channels).
        """
        count = len(pixels)
        if self._fill:
            pixels = filled_up(pixels, self.batch)
        answers: Floats = self._vectors(pixels).numpy()
        return answers[:count]

    def close(self) -> None:
        """Give the network back."""
        del self._vectors


def filled_up(pixels: npt.NDArray[np.uint8], most: int) -> npt.NDArray[np.uint8]:
    """`pixels` (n, ...) with zeros behind it, to the next power of two or to `most`.

    A GPU's library looks for the fastest algorithm of each layer anew for each size of a batch: so there are few sizes.
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


def _pooled(tf: Any, maps: Any, pooling: str, side: int | None) -> Any:
    """float32 maps (n, side, side, channels) pooled as `pooling.pool` does it."""
    assert side is not None
    if pooling == "gem":
        cubes = tf.pow(tf.maximum(maps, GEM_FLOOR), GEM_POWER)
        return tf.pow(tf.reduce_mean(cubes, axis=(1, 2)), 1 / GEM_POWER)
    if pooling == "centre":
        cubes = tf.pow(tf.maximum(maps, GEM_FLOOR), GEM_POWER)
        weighted = cubes * tf.constant(centre_weights(side)[np.newaxis, :, :, np.newaxis])
        return tf.pow(tf.reduce_sum(weighted, axis=(1, 2)), 1 / CENTRE_ROOT)
    if pooling == "mean":
        return tf.reduce_mean(maps, axis=(1, 2))
    if pooling == "max":
        return tf.reduce_max(maps, axis=(1, 2))
    if pooling == "rmac":
        maxima = [
            tf.reduce_max(maps[:, one.top : one.top + one.width, one.left : one.left + one.width], axis=(1, 2))
            for one in regions(side)
        ]
        return _lengths_one(tf, tf.add_n([_lengths_one(tf, each) for each in maxima]))
    return tf.reshape(maps, (tf.shape(maps)[0], -1))


def _lengths_one(tf: Any, rows: Any) -> Any:
    return rows / tf.maximum(tf.norm(rows, axis=1, keepdims=True), LENGTH_FLOOR)
