"""A shipped network as an ONNX file, averaged over its feature map: `python benchmarks/_onnx_export.py NAME FILE`.

Run by `benchmarks/ingest.py` with onnx and tf2onnx from a folder of their own: nothing of recq needs them.
"""

from __future__ import annotations

import sys

import keras
import numpy as np

from recq.models.weights import BUNDLED

if __name__ == "__main__":
    network = keras.models.load_model(BUNDLED / f"{sys.argv[1]}.keras")
    model = keras.Sequential([network, keras.layers.GlobalAveragePooling2D()])
    model(np.zeros((1, 224, 224, 3), np.float32))  # Keras exports only what was called
    model.export(sys.argv[2], format="onnx", verbose=False)
