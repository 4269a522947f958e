"""Cut a Keras network at one of its layers and connect its input: the common part of every exported network.

Every cut network takes RGB from 0 to 255 as (n, size, size, 3); the arithmetic its first layer wants is part of it.
Imports no Keras itself: the modules that build networks hand the package over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from recq.errors import ModelUnavailable
from recq.models.applications import Normalisation
from recq.space import Pooling
from recq.spelling import nearest, one_of

INPUT = "rgb"


@dataclass(frozen=True)
class Cut:
    """A Keras network that ends at `layer`; `pooling` is its own, `preprocessing` its arithmetic as a space names it.

    It gives a map of (`side`, `side`, `channels`), or `channels` numbers where `side` is None.
    """

    network: Any
    layer: str
    preprocessing: str
    pooling: Pooling
    side: int | None
    channels: int


def cut(
    keras: Any, model: Any, layer: str, size: int, how: Normalisation, *, label: str, pooling: Pooling, name: str
) -> Cut:
    """`model` from pictures of `size` pixels a side, through `how`, to the output of `layer`.

    `pooling` is its own where the layer gives a map. Raises ModelUnavailable for an output that is neither a square map
    nor a vector.
    """
    core = keras.Model(model.inputs[0], output_of(model, layer))
    pictures = keras.Input((size, size, 3), name=INPUT)
    features = core(normalise(keras, pictures, how), training=False)  # no random flips, whatever a layer's default is
    if features.dtype != "float32":  # a network that was trained in half precision
        features = keras.layers.Activation("linear", dtype="float32", name="single_precision")(features)
    shape = tuple(features.shape)[1:]
    square_map = len(shape) == 3 and shape[0] == shape[1]
    if None in shape or not (square_map or len(shape) == 1):
        raise ModelUnavailable(
            f"layer {layer} gives arrays of {' x '.join(map(str, shape)) or 'one number'}: only a square map or a "
            "vector can be used, choose another --layer"
        )
    network = keras.Model(pictures, features, name=name)
    return Cut(network, layer, label, pooling if square_map else "none", shape[0] if square_map else None, shape[-1])


def output_of(model: Any, layer: str) -> Any:
    """The tensor that `layer` gives within `model`. Raises ModelUnavailable where it gives several.

    Not `layer.output` alone: of a network inside a network that is a tensor of the inner one.
    """
    found = model.get_layer(layer)
    graph = getattr(model, "_functional", None) or model  # a Sequential keeps its graph there
    nodes = [node for depth in graph._nodes_by_depth.values() for node in depth if node.operation is found]
    outputs = [tensor for node in nodes for tensor in node.output_tensors]
    if len(outputs) != 1:
        raise ModelUnavailable(f"layer {layer} gives {len(outputs)} outputs: choose another --layer")
    return outputs[0]


def require_layer(names: Sequence[str], wanted: str, whose: str) -> None:
    """Raise ModelUnavailable, naming the nearest, unless `wanted` is among the layers' `names`."""
    if wanted in names:
        return
    near = nearest(wanted, reversed(names), 3, alike=0.6)  # later layers first
    hint = f"did you mean {one_of(near)}?" if near else f"its last ones are {', '.join(names[-4:])}"
    raise ModelUnavailable(f"{whose} has no layer {wanted!r}: {hint}")


def normalise(keras: Any, pixels: Any, how: Normalisation) -> Any:
    """RGB 0..255 as the network was trained to see it: channels in its order, times `scale`, plus `offset`."""
    if how.bgr:
        pixels = keras.ops.take(pixels, [2, 1, 0], axis=-1)
    if (how.scale, how.offset) == ((1.0,) * 3, (0.0,) * 3):
        return pixels
    return keras.layers.Rescaling(list(how.scale), list(how.offset), name="normalise")(pixels)
