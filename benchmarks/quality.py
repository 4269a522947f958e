"""P@1 and P@5 by category over a folder of pictures, leave-one-out, through the daemon and the catalog.

    python benchmarks/quality.py [--pack FOLDER] [--model NAME]...

The category is the one the daemon gives (first folder below the root). Raw pixels (32x32, stretched) are the baseline:
they go through the same decoding, the same catalog and the same engine.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recq.images import Limits, open_picture, to_input
from recq.index.catalog import Catalog, Entry
from recq.index.connect import connect, own_folder
from recq.index.schema import Item
from recq.models import DEFAULT_MODEL
from recq.settings import Settings
from recq.space import EmbeddingSpace, InputSpec

PROGRAMS = Path(sys.executable).parent
DEFAULT_PACK = Path(__file__).parents[2] / "shared" / "data" / "clothing"
BAR = 70.0
"""P@5 in per cent that the default model has to reach on the default pack."""

PIXELS = EmbeddingSpace(
    model="pixels:32", weights="", layer="input", pooling="flatten", size=32, resize="stretch",
    preprocessing="centred", precision="f32", dim=32 * 32 * 3,
)  # fmt: skip


@dataclass(frozen=True)
class Precision:
    """Means over all items, in per cent."""

    items: int
    at_1: float
    at_5: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, default=DEFAULT_PACK)
    parser.add_argument("--model", action="append", help="default: mobilenet_v2 and efficientnet_lite2")
    arguments = parser.parse_args()
    models = arguments.model or ["mobilenet_v2", "efficientnet_lite2"]
    with tempfile.TemporaryDirectory(prefix="recq-quality-") as folder:
        for model in models:
            embed_with_daemon(arguments.pack, model, Path(folder))
        embed_pixels(models[0], Path(folder))
        print(f"{'embedding':42} {'items':>6} {'P@1 %':>7} {'P@5 %':>7}")
        for name in ["pixels", *models]:
            settings = Settings.load(data_dir=Path(folder), catalog=name)
            with connect(settings) as client:
                catalog = Catalog.open(client, name)
                found = precision(catalog)
                label = catalog.space.label.rsplit(" [", 1)[0]
                print(f"{label:42} {found.items:6} {found.at_1:7.1f} {found.at_5:7.1f}")
    if models[-1] == DEFAULT_MODEL and arguments.pack == DEFAULT_PACK and found.at_5 < BAR:
        raise SystemExit(f"the default model's P@5 is below {BAR:.0f} %")


def embed_with_daemon(pack: Path, model: str, data_dir: Path) -> None:
    """Fill the catalog named after the model, as a user would."""
    command = [
        str(PROGRAMS / "recq-ingest"), "run", str(pack), "--once",
        "--data-dir", str(data_dir), "--catalog", model, "--model", model,
    ]  # fmt: skip
    subprocess.run(command, check=True)


def embed_pixels(like: str, data_dir: Path) -> None:
    """The same items, their vectors the mean-free pixels of a 32x32 thumbnail."""
    settings = Settings.load(data_dir=data_dir)
    limits = Limits.from_settings(settings)
    spec = InputSpec(PIXELS.size, PIXELS.resize)
    with own_folder(settings) as folder:
        original = Catalog.open(folder.client, like)
        catalog = Catalog.create(folder.client, "pixels", PIXELS)
        items = original.search([], sys.maxsize)
        sources = original.sources()
        for start in range(0, len(items), 100):
            batch = items[start : start + 100]
            catalog.upsert([Entry(item, pixels(original, item, sources, limits, spec)) for item in batch])


def pixels(catalog: Catalog, item: Item, sources: object, limits: Limits, spec: InputSpec) -> np.ndarray:
    """The baseline's vector, float32 (3072,)."""
    path = catalog.absolute_path(item, sources)  # type: ignore[arg-type]
    assert path is not None
    flat = to_input(open_picture(path, limits).rgb, spec).astype(np.float32).ravel()
    return np.asarray(flat - flat.mean())


def precision(catalog: Catalog) -> Precision:
    """Each item asks for its five nearest; the item itself is never among them."""
    items = catalog.search([], sys.maxsize)
    right = np.array(
        [
            [hit.item.metadata["category"] == item.metadata["category"] for hit in catalog.nearest(item.id, 5)]
            for item in items
        ],
        dtype=float,
    )
    return Precision(len(items), 100 * right[:, 0].mean(), 100 * right.mean())


if __name__ == "__main__":
    main()
