"""The options of `recq-ingest` about networks: all but --runtime decide the embedding space (docs/models.md)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from recq.settings import RuntimeChoice
from recq.space import DistanceName, Pooling, Precision, Preprocess, Preset, Resize

PresetOption = Annotated[
    Preset | None,
    typer.Option(
        show_default=False,
        help="Network, pooling, size and resize that go well together; each may still be given by itself. "
        "Example: --preset fast",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        show_default=False,
        help="The network of a new catalog, efficientnet_lite2 by default: a shipped one, keras:NAME, file:PATH of a "
        "Keras model, trained:NAME of one that was trained here, or pixels:32. Example: --model mobilenet_v2",
    ),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        show_default=False,
        help="The weights of a keras: network that cannot be downloaded here, or of a file: model that is described in "
        "JSON. Example: --model keras:ResNet50 "
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
        help="The arithmetic of the network: int8 for the shipped ones, f32, or f16, which needs Keras. "
        "Example: --precision f32",
    ),
]
DistanceOption = Annotated[
    DistanceName | None,
    typer.Option(
        show_default=False,
        help="How two vectors are compared, by their cosine by default. Example: --distance euclid",
    ),
]
RuntimeOption = Annotated[
    RuntimeChoice | None,
    typer.Option(
        show_default=False,
        help="What runs the network; auto (the default): Keras where it sees a GPU that can, else OpenVINO. "
        "Example: --runtime tensorflow",
    ),
]


@dataclass(frozen=True)
class Space:
    """The embedding space of a new catalog, or of a rebuild, and what runs its network."""

    preset: PresetOption = None
    model: ModelOption = None
    weights: WeightsOption = None
    layer: LayerOption = None
    pooling: PoolingOption = None
    size: SizeOption = None
    resize: ResizeOption = None
    preprocess: PreprocessOption = None
    precision: PrecisionOption = None
    distance: DistanceOption = None
    runtime: RuntimeOption = None

    def settings(self) -> dict[str, Any]:
        """As keywords of `Settings.load`."""
        return {each.name: getattr(self, each.name) for each in fields(self)}
