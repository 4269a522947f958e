"""EfficientNet-Lite2 as a Keras model, filled from the PyTorch checkpoint. Used at conversion time only.

The architecture is EfficientNet-B0's with width 1.1 and depth 1.2, without squeeze-and-excitation, with ReLU6, and
with stem, head and the repeats of the first and last stage unscaled: TensorFlow's models/official/efficientnet/lite.

Batch normalisation is folded into the convolution before it, in float64, and the result is rounded to float16 once.
So the Keras artefact and the OpenVINO model, both of which store float16, hold the very same numbers: folding later,
inside the exporter, would round the two differently.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

WIDTH, DEPTH, EPSILON = 1.1, 1.2, 1e-3
STEM, HEAD = 32, 1280


class Stage(NamedTuple):
    """One row of EfficientNet-B0's table."""

    repeats: int
    kernel: int
    stride: int
    expand: int
    filters: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


class Block(NamedTuple):
    """One inverted residual block."""

    kernel: int
    stride: int
    expand: int
    filters: int


def blocks() -> Iterator[Block]:
    """Lite2's blocks, first to last."""
    for number, stage in enumerate(STAGES):
        scaled = 0 < number < len(STAGES) - 1
        for repeat in range(math.ceil(stage.repeats * DEPTH) if scaled else stage.repeats):
            stride = stage.stride if repeat == 0 else 1
            yield Block(stage.kernel, stride, stage.expand, round_filters(stage.filters * WIDTH))


def round_filters(filters: float) -> int:
    """To the nearest multiple of 8, never more than a tenth below (EfficientNet's `round_filters`)."""
    rounded = max(8, int(filters + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * filters else rounded


def build(tensors: Mapping[str, npt.NDArray[Any]]) -> Any:
    """The network without its classifier: RGB 0..255 (n, h, w, 3) -> ReLU6 features (n, ceil(h/32), ceil(w/32), 1280).

    Raises KeyError when the checkpoint lacks a tensor, ValueError when one has another shape or is left over.
    """
    import keras

    layers = keras.layers
    unread = {name for name in tensors if not name.endswith("num_batches_tracked") and not name.startswith("_fc.")}
    values: dict[str, list[Floats]] = {}

    def conv(x: Any, name: str, source: str, norm: str, filters: int | None, kernel: int, stride: int) -> Any:
        """A convolution (depthwise where `filters` is None) with its batch normalisation folded in."""
        unread.difference_update({f"{source}.weight"}, _norm_names(norm))
        values[name] = _fold(tensors, source, norm, depthwise=filters is None)
        if filters is None:
            return layers.DepthwiseConv2D(kernel, stride, padding="same", name=name)(x)
        return layers.Conv2D(filters, kernel, stride, padding="same", name=name)(x)

    inputs = keras.Input((None, None, 3), name="rgb")
    x = layers.Rescaling(1 / 128, -127 / 128, name="normalise")(inputs)  # (x - 127) / 128, exact in floats
    x = layers.ReLU(6.0, name="stem_relu")(conv(x, "stem", "_conv_stem", "_bn0", STEM, 3, 2))
    channels = STEM
    for number, block in enumerate(blocks()):
        name, source = f"block{number}", f"_blocks.{number}"
        y = x
        if block.expand != 1:
            wide = channels * block.expand
            y = conv(y, f"{name}_expand", f"{source}._expand_conv", f"{source}._bn0", wide, 1, 1)
            y = layers.ReLU(6.0, name=f"{name}_expand_relu")(y)
        y = conv(
            y, f"{name}_depthwise", f"{source}._depthwise_conv", f"{source}._bn1", None, block.kernel, block.stride
        )
        y = layers.ReLU(6.0, name=f"{name}_depthwise_relu")(y)
        y = conv(y, f"{name}_project", f"{source}._project_conv", f"{source}._bn2", block.filters, 1, 1)
        residual = block.stride == 1 and channels == block.filters
        x = layers.Add(name=f"{name}_add")([x, y]) if residual else y
        channels = block.filters
    x = layers.ReLU(6.0, name="head_relu")(conv(x, "head", "_conv_head", "_bn1", HEAD, 1, 1))
    model = keras.Model(inputs, x, name="efficientnet_lite2")
    if unread:
        raise ValueError(f"the checkpoint holds tensors that the network has no place for: {sorted(unread)[:5]}")
    for name, weights in values.items():
        model.get_layer(name).set_weights(weights)
    return model


def classifier(tensors: Mapping[str, npt.NDArray[Any]]) -> tuple[Floats, Floats]:
    """Kernel (1280, 1000) and bias (1000,) of the ImageNet classifier that sits on the mean-pooled features."""
    return np.ascontiguousarray(tensors["_fc.weight"].T), tensors["_fc.bias"]


def _norm_names(norm: str) -> set[str]:
    return {f"{norm}.{part}" for part in ("weight", "bias", "running_mean", "running_var")}


def _fold(tensors: Mapping[str, npt.NDArray[Any]], source: str, norm: str, *, depthwise: bool) -> list[Floats]:
    """Kernel in Keras' order and bias, each rounded to float16 values."""
    gamma, beta, mean, variance = (
        tensors[f"{norm}.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(variance + EPSILON)
    kernel = tensors[f"{source}.weight"].astype(np.float64) * scale[:, None, None, None]
    kernel = kernel.transpose(2, 3, 0, 1) if depthwise else kernel.transpose(2, 3, 1, 0)
    return [array.astype(np.float16).astype(np.float32) for array in (kernel, beta - mean * scale)]
