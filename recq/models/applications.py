"""The networks of `keras.applications`: name, input size and normalisation, known without importing Keras.

A test compares the table with Keras itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recq.space import Preprocess

Kind = Literal["unit", "caffe", "tf", "torch", "none"]
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Normalisation:
    """`channel * scale + offset`, channels in the network's order (BGR where `bgr`)."""

    bgr: bool
    scale: Triple
    offset: Triple
    label: str


_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# Keras' imagenet_utils.preprocess_input, and `unit`; "none": the network's own layers do it.
NORMALISATION: dict[Kind, Normalisation] = {
    "caffe": Normalisation(True, (1.0, 1.0, 1.0), (-103.939, -116.779, -123.68), "bgr-(103.939,116.779,123.68)"),
    "tf": Normalisation(False, (1 / 127.5,) * 3, (-1.0, -1.0, -1.0), "rgb/127.5-1"),
    "torch": Normalisation(
        False,
        (1 / (255 * _DEVIATION[0]), 1 / (255 * _DEVIATION[1]), 1 / (255 * _DEVIATION[2])),
        (-_MEAN[0] / _DEVIATION[0], -_MEAN[1] / _DEVIATION[1], -_MEAN[2] / _DEVIATION[2]),
        "(rgb/255-(0.485,0.456,0.406))/(0.229,0.224,0.225)",
    ),
    "unit": Normalisation(False, (1 / 255,) * 3, (0.0, 0.0, 0.0), "rgb/255"),
    "none": Normalisation(False, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), "rgb"),
}


def preprocess_of(label: str) -> Preprocess:
    """The option that gives the arithmetic a space calls `label`; a network's own where no other does."""
    return next((kind for kind, how in NORMALISATION.items() if how.label == label), "own")


@dataclass(frozen=True)
class Application:
    """A constructor of `keras.applications`.

    `size`: the input its ImageNet weights were trained at, pixels a side. `rectified`: its last feature map is never
    negative, which generalised-mean pooling needs; the others are mean-pooled by default.
    """

    name: str
    size: int
    normalisation: Kind
    module: str
    rectified: bool = True


_TABLE: tuple[tuple[str, Kind, bool, dict[str, int]], ...] = (
    ("vgg16", "caffe", True, {"VGG16": 224}),
    ("vgg19", "caffe", True, {"VGG19": 224}),
    ("resnet", "caffe", True, {"ResNet50": 224, "ResNet101": 224, "ResNet152": 224}),
    ("resnet_v2", "tf", True, {"ResNet50V2": 224, "ResNet101V2": 224, "ResNet152V2": 224}),
    ("inception_v3", "tf", True, {"InceptionV3": 299}),
    ("inception_resnet_v2", "tf", True, {"InceptionResNetV2": 299}),
    ("xception", "tf", True, {"Xception": 299}),
    ("mobilenet", "tf", True, {"MobileNet": 224}),
    ("mobilenet_v2", "tf", True, {"MobileNetV2": 224}),
    ("mobilenet_v3", "none", False, {"MobileNetV3Small": 224, "MobileNetV3Large": 224}),
    ("nasnet", "tf", True, {"NASNetMobile": 224, "NASNetLarge": 331}),
    ("densenet", "torch", True, {"DenseNet121": 224, "DenseNet169": 224, "DenseNet201": 224}),
    (
        "efficientnet",
        "none",
        False,
        {f"EfficientNetB{n}": size for n, size in enumerate((224, 240, 260, 300, 380, 456, 528, 600))},
    ),
    (
        "efficientnet_v2",
        "none",
        False,
        {f"EfficientNetV2B{n}": size for n, size in enumerate((224, 240, 260, 300))}
        | {"EfficientNetV2S": 384, "EfficientNetV2M": 480, "EfficientNetV2L": 480},
    ),
    ("convnext", "none", False, {f"ConvNeXt{n}": 224 for n in ("Tiny", "Small", "Base", "Large", "XLarge")}),
)

APPLICATIONS: dict[str, Application] = {
    name: Application(name, size, normalisation, module, rectified)
    for module, normalisation, rectified, sizes in _TABLE
    for name, size in sizes.items()
}
