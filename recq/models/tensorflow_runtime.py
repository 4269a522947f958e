"""Run a network with Keras on TensorFlow: what the OpenVINO runtime is tested against, and the way to a GPU.

Needs the `[keras]` extra. Reads the `.keras` archive beside the OpenVINO model, so both have the same weights.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recq.models.keras_build import keras_package
from recq.models.pooling import Floats, pool
from recq.models.weights import Network


class TensorFlowRuntime:
    """One batch at a time. `pooling` None gives the feature maps themselves."""

    concurrency = 1

    def __init__(self, network: Network, pooling: str | None) -> None:
        keras = keras_package()
        import tensorflow as tf

        model = keras.models.load_model(network.archive)
        self._pooling = pooling
        # One traced function for every batch size; `predict` in a loop leaks, and XLA is slower on a processor.
        signature = tf.TensorSpec((None, network.size, network.size, 3), tf.uint8)
        self._maps = tf.function(
            lambda pixels: model(tf.cast(pixels, tf.float32), training=False), input_signature=[signature]
        )

    def infer(self, pixels: npt.NDArray[np.uint8]) -> Floats:
        """uint8 (n, size, size, 3) -> float32 (n, dimensions), or (n, side, side, channels) without pooling."""
        maps: Floats = self._maps(pixels).numpy()
        return maps if self._pooling is None else pool(maps, self._pooling)

    def close(self) -> None:
        """Give the network back."""
        del self._maps
