"""The options of `recq-ingest` that decide the embedding space of a catalog; docs/models.md describes each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recq.space import DistanceName, Pooling, Preset, Resize

PresetOption = Annotated[
    Preset | None,
    typer.Option(
        show_default=False,
        help="Network, pooling, size and resize that go well together; each may still be said by itself. "
        "Example: --preset fine",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        show_default=False,
        help="The network of a new catalog, efficientnet_lite2 by default. Example: --model mobilenet_v2",
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
PoolingOption = Annotated[
    Pooling | None,
    typer.Option(
        show_default=False,
        help="How the network's last feature map becomes one vector. Example: --pooling rmac",
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
DistanceOption = Annotated[
    DistanceName | None,
    typer.Option(
        show_default=False,
        help="How two vectors are compared, by their cosine unless said. Example: --distance euclid",
    ),
]
