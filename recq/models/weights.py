"""Where a network's files are: shipped in the package, or exported into the cache folder.

Both kinds have a manifest beside them, so describing a network reads one small JSON file and imports nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from recq.errors import ModelUnavailable
from recq.space import Pooling, Precision, Resize

BUNDLED = Path(__file__).parent / "bundled"


@dataclass(frozen=True)
class Network:
    """A network, cut at a layer before its end, for pictures of `size` pixels a side.

    It gives a map of (`side`, `side`, `channels`) from uint8 RGB, or `channels` numbers where `side` is None. `weights`
    is the SHA-256 over its weights (see `keras_build.weights_digest`), or of the file that holds those of 8 bits. `ir`
    is the OpenVINO model (.xml, the .bin beside it), `archive` the same network for Keras, in floats; raw pixels have
    neither. `pooling` and `resize` are the defaults. `precision` is the arithmetic that it is
    run in.
    """

    name: str
    weights: str
    layer: str
    size: int
    side: int | None
    channels: int
    preprocessing: str
    pooling: Pooling
    ir: Path | None
    archive: Path | None
    resize: Resize = "pad"
    precision: Precision = "f32"


@cache
def bundled_manifest() -> dict[str, Any]:
    """The networks that are shipped, by name, as tools/convert_models.py described them."""
    networks: dict[str, Any] = json.loads((BUNDLED / "manifest.json").read_text(encoding="utf-8"))["networks"]
    return networks


@cache
def classes_manifest() -> dict[str, Any]:
    """Where the names of ImageNet's classes come from, and the file that has them."""
    classes: dict[str, Any] = json.loads((BUNDLED / "manifest.json").read_text(encoding="utf-8"))["classes"]
    return classes


@cache
def int8_manifest() -> dict[str, Any]:
    """Those of the shipped networks that were quantised, by name, as tools/quantise_models.py described them."""
    networks: dict[str, Any] = json.loads((BUNDLED / "manifest-int8.json").read_text(encoding="utf-8"))["networks"]
    return networks


def bundled(name: str, size: int | None, *, int8: bool = False) -> Network:
    """A shipped network at `size`, or at its own; `int8` the one that was quantised.

    Raises ModelUnavailable for a size it cannot take, KeyError where it was not quantised.
    """
    entry = bundled_manifest()[name]
    size = entry["size"] if size is None else size
    step, stride = entry["multiple_of"], entry["stride"]
    if size < stride or size % step:
        wanted = f"a multiple of {step}" if step > 1 else f"at least {stride}"
        raise ModelUnavailable(f"{name} takes no pictures of {size} pixels a side: choose {wanted}")
    return Network(
        name=name,
        # Of 8 bits there is no other container than OpenVINO's file, so that its digest names the weights.
        weights=int8_manifest()[name]["files"][f"{name}-int8.bin"] if int8 else entry["weights"],
        layer=entry["layer"],
        size=size,
        side=-(-size // stride),
        channels=entry["channels"],
        preprocessing=entry["preprocessing"],
        pooling="centre",
        ir=BUNDLED / (f"{name}-int8.xml" if int8 else f"{name}.xml"),
        archive=BUNDLED / f"{name}.keras",
        precision="int8" if int8 else "f32",
    )


def exported(folder: Path) -> Network | None:
    """The network that was exported into `folder`, or None where this version can read none there."""
    try:
        entry = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        return Network(**entry, ir=folder / "model.xml", archive=folder / "model.keras")
    except (OSError, ValueError, TypeError):
        return None


def exports(cache_dir: Path) -> Iterator[Network]:
    """Every network in the cache folder."""
    for manifest in sorted(export_root(cache_dir).glob("*/manifest.json")):
        network = exported(manifest.parent)
        if network:
            yield network


def export_root(cache_dir: Path) -> Path:
    """The folder that holds one folder per exported network."""
    return cache_dir / "models"
