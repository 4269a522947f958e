"""The options of `recq-ingest` that decide the embedding space of a catalog; docs/models.md describes each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recq.space import DistanceName, Pooling, Precision, Preprocess, Preset, Resize

PresetOption = Annotated[
    Preset | None,
    typer.Option(
        show_default=False,
        help="Network, pooling, size and resize that go well together; each may still be said by itself. "
        "Example: --preset fast",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        show_default=False,
        help="The network of a new catalog, efficientnet_lite2 by default: a shipped one, keras:NAME, file:PATH of a "
        "Keras model, or pixels:32. Example: --model mobilenet_v2",
    ),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        show_default=False,
        help="The weights of a keras: network that cannot be downloaded here. Example: --model keras:ResNet50 "
        "--weights resnet50.h5",
    ),
]
LayerOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        show_default=False,
        help="The layer whose output is taken, the last feature map by default; 'penultimate' is the one before the "
        "classifier's last. Example: --model keras:VGG16 --layer fc2",
    ),
]
PoolingOption = Annotated[
    Pooling | None,
    typer.Option(
        show_default=False,
        help="How a feature map becomes one vector; none for a layer that gives a vector. Example: --pooling rmac",
    ),
]
SizeOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        show_default=False,
        help="Pixels a side of what the network sees, its own size by default. Example: --size 320",
    ),
]
ResizeOption = Annotated[
    Resize | None,
    typer.Option(
        show_default=False,
        help="How a picture becomes a square: pad with white, stretch, or crop the middle. Example: --resize stretch",
    ),
]
PreprocessOption = Annotated[
    Preprocess | None,
    typer.Option(
        show_default=False,
        help="The arithmetic before the first layer, the network's own by default; unit divides by 255. "
        "Example: --preprocess unit",
    ),
]
PrecisionOption = Annotated[
    Precision | None,
    typer.Option(
        show_default=False,
        help="The arithmetic of the network: int8 for the shipped ones, f32, or f16, which needs TensorFlow. "
        "Example: --precision f32",
    ),
]
DistanceOption = Annotated[
    DistanceName | None,
    typer.Option(
        show_default=False,
        help="How two vectors are compared, by their cosine unless said. Example: --distance euclid",
    ),
]
