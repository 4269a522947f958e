"""How well a region finds what is meant: products cut out of their pictures and pasted into cluttered photographs.

    python benchmarks/regions.py [--smoke | --short | --full]

The index holds the pictures of `luma_products`, which stand on white. Each of them that has another view of the same
product is cut out (all but the white that reaches the edges) and pasted, at 30 to 60 % of its height, into a
photograph of `clothing` that has other things in it. Asked are, leaving out the picture itself:

    clean        the picture as it is indexed
    box          the pasted product's box, with `recq.Part`
    rough box    each edge of the box off by up to `OFF` of its width or height, as a hand draws it
    whole        the photograph

A query counts where its first result has the same category, or the same product. The bars are those of the ratio of the
rough boxes to the clean pictures. Everything is drawn with fixed seeds, and nothing of recq was chosen with these
pictures.
"""

from __future__ import annotations

import csv
import io
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from PIL import Image
from scipy import ndimage

import recq
from benchmarks import pictures
from benchmarks.measure import PROGRAMS, Ratio, Report, Section, parser_of, progress, ran
from recq.search.many import FailedTarget

OFF = 0.1
PACK = "luma_products"
HEIGHT = (0.3, 0.6)
"""Of a pasted product, as a share of the photograph's height."""

BARS = {"category": 0.9, "sku": 0.75}
WHITE, NEAR = 255, 40
"""The background's colour, and by how much it may differ (summed over the channels)."""

SCENES = {"smoke": 1, "short": 3, "full": 10}
"""Photographs that each product is pasted into."""


@dataclass(frozen=True)
class Query:
    """A product, its photograph with other things in it, and where it is in that: left, upper, width, height."""

    file: str
    scene: bytes
    box: tuple[float, float, float, float]
    rough: tuple[float, float, float, float]


def main() -> None:
    """Measure and keep."""
    parser = parser_of(__doc__)
    parser.add_argument("--model", default="", metavar="NAME", help="the network, where it is not the default one")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write the first scenes into a folder")
    asked = parser.parse_args()
    Report(asked).section("regions", partial(measured, SCENES[asked.size], asked.model, asked.keep))


def measured(scenes: int, model: str, keep: Path | None) -> Section:
    """The share of queries whose first result is right, for each way to ask."""
    title = "Products in cluttered photographs: the first result is right, %"
    if not pictures.is_there(PACK):
        return Section(title, "%", not_run={"queries": f"the pack {PACK} is not on this machine"})
    root = pictures.pack(PACK)[0].parent
    rows = {Path(row["file"]).name: row for row in _rows(root.parent / "labels.csv")}
    queries = list(_queries(root, rows, scenes))
    for number, query in enumerate(queries[:8] if keep is not None else []):
        assert keep is not None
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"{number}.jpg").write_bytes(query.scene)
    with tempfile.TemporaryDirectory(prefix="recq-bench-") as folder:
        progress(f"    indexing {len(rows)} pictures")
        command = [str(PROGRAMS / "recq-ingest"), "run", str(root), "--once", "--data-dir", folder]
        ran([*command, *(["--model", model] if model else [])])
        with recq.open(data_dir=folder) as catalog, catalog.held():
            progress(f"    asking {len(queries)} queries in four ways")
            ways: dict[str, Sequence[recq.Part | bytes | Path]] = {
                "clean": [root / query.file for query in queries],
                "box": [recq.Part(query.scene, query.box) for query in queries],
                "rough box": [recq.Part(query.scene, query.rough) for query in queries],
                "whole": [query.scene for query in queries],
            }
            found = {way: list(_first(catalog, targets, queries)) for way, targets in ways.items()}
    sides = {
        f"{field}, {way}": [
            100.0 * (rows[query.file][field] == rows[first][field])
            for query, first in zip(queries, firsts, strict=True)
        ]
        for field in BARS
        for way, firsts in found.items()
    }
    ratios = [
        _ratio(
            f"{field}: {way} / clean",
            sides[f"{field}, {way}"],
            sides[f"{field}, clean"],
            bar if way == "rough box" else None,
        )
        for field, bar in BARS.items()
        for way in ("box", "rough box", "whole")
    ]
    figures = {name: float(np.mean(samples)) for name, samples in sides.items()}
    notes = [
        f"{len(queries)} products with another view, from {len(rows)} pictures; photographs of clothing around them"
    ]
    return Section(title, "%", {}, ratios, figures, notes, items=len(rows))


def _ratio(name: str, above: Sequence[float], below: Sequence[float], at_least: float | None) -> Ratio:
    """The ratio of two shares of the same queries, with the interval of 2,000 resamples of the queries."""
    over, under = np.asarray(above), np.asarray(below)
    picked = np.random.default_rng(0).integers(len(over), size=(2_000, len(over)))
    ratios = over[picked].mean(axis=1) / np.maximum(1e-9, under[picked].mean(axis=1))
    low, high = np.percentile(ratios, (2.5, 97.5))
    return Ratio(name, float(over.mean() / max(1e-9, under.mean())), float(low), float(high), at_least=at_least)


def _first(
    catalog: recq.ImageCatalog, targets: Sequence[recq.Part | bytes | Path], queries: Sequence[Query]
) -> Iterator[str]:
    """The name of the nearest picture that is not the query's own."""
    for answer, query in zip(catalog.iter_similar(targets, k=2, keep_duplicates=True), queries, strict=True):
        if isinstance(answer, FailedTarget):
            raise SystemExit(f"{query.file}: {answer.error}")
        yield next(result.name for result in answer if result.name != query.file)


def _rows(table: Path) -> Iterator[dict[str, str]]:
    with table.open(newline="") as file:
        yield from csv.DictReader(file)


# ---- the queries -----------------------------------------------------------------------------------------------------


def _queries(root: Path, rows: dict[str, dict[str, str]], scenes: int) -> Iterator[Query]:
    views = Counter(row["sku"] for row in rows.values())
    around = pictures.pack("clothing")
    for number, (file, row) in enumerate(sorted(rows.items())):
        if views[row["sku"]] < 2:
            continue
        product = _cut_out(root / file)
        for scene in range(scenes if product is not None else 0):
            assert product is not None
            numbers = np.random.default_rng([7, number, scene])
            yield _pasted(file, product, around[int(numbers.integers(len(around)))], numbers.uniform)


def _cut_out(path: Path) -> Image.Image | None:
    """The product with what surrounds it transparent, in its box; None where it fills its picture to the edges."""
    with Image.open(path) as image:
        picture = image.convert("RGB")
    pixels = np.asarray(picture, np.int16)
    parts, _ = ndimage.label(np.pad((WHITE - pixels).sum(axis=2) <= NEAR, 1, constant_values=True))
    kept = parts[1:-1, 1:-1] != parts[0, 0]
    share = float(kept.mean())
    if not 0.05 < share < 0.7:
        return None
    mask = Image.fromarray(kept)
    picture.putalpha(mask.convert("L"))
    return picture.crop(mask.getbbox())


def _pasted(file: str, product: Image.Image, around: Path, uniform: Callable[[float, float], float]) -> Query:
    with Image.open(around) as image:
        scene = image.convert("RGB")
    height = uniform(*HEIGHT) * scene.height
    scale = min(height / product.height, 0.9 * scene.width / product.width)
    small = product.resize((max(1, round(product.width * scale)), max(1, round(product.height * scale))))
    left = round(uniform(0, scene.width - small.width))
    upper = round(uniform(0, scene.height - small.height))
    scene.paste(small, (left, upper), small)
    stream = io.BytesIO()
    scene.save(stream, "JPEG", quality=92)
    width, height = small.size
    edges = [uniform(-OFF, OFF) for _ in range(4)]
    x, y = left + edges[0] * width, upper + edges[1] * height
    right, lower = left + width * (1 + edges[2]), upper + height * (1 + edges[3])
    return Query(file, stream.getvalue(), (left, upper, width, height), (x, y, right - x, lower - y))


if __name__ == "__main__":
    main()
