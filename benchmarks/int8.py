"""What 8-bit arithmetic buys: quality and cost of each point that the shipped networks can be run at.

    python benchmarks/int8.py [--data FOLDER] [--cache FOLDER] [--only TEXT] [--no-times] > int8.json

Through the product's own embedders; JSON on standard output, a table on standard error. P@1, P@5 and mAP in per cent,
leave-one-out, of pictures that nothing was tuned on: half B of the clothing photographs (the pooling `centre` was
chosen on the other, benchmarks/zero_shot.py), the products by category and by sku, the furniture. What is reduced is
projected on the first right singular vectors, neither centred nor whitened, of the pictures that the quantisation was
calibrated on (samples/ and what is made of them). Each point is compared with yesterday's default: what it has less or
more, with the interval of a paired bootstrap over the queries (also on all of clothing, which has twice as many). Cost
is processor time of inference, the median of each picture's in those of yesterday's default, all taking turns at every
picture. Last the Pareto front of cost and mean mAP. Vectors are kept in --cache.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.leave_one_out import Scores, differences, each_query
from benchmarks.zero_shot import COLUMNS, Pack, halves, unit
from recq.images import to_input
from recq.models import Embedder, ModelOptions, describe_space, open_embedder
from recq.settings import Settings
from recq.space import EmbeddingSpace, Pooling, Precision

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

LITE, MOBILE = "efficientnet_lite2", "mobilenet_v2"
CALIBRATION = "calibration"
UNSEEN, EVERYTHING = "B", "all of clothing"


@dataclass(frozen=True)
class View:
    """A network as the product runs it, and whether it sees the mirror image."""

    model: str
    precision: Precision
    size: int
    pooling: Pooling = "centre"
    mirrored: bool = False

    def __str__(self) -> str:
        return f"{self.model} {self.precision} {self.size} {self.pooling}{' mirrored' * self.mirrored}"

    @property
    def space(self) -> EmbeddingSpace:
        """Padded, as by default."""
        options = ModelOptions(self.model, precision=self.precision, size=self.size, pooling=self.pooling)
        return describe_space(options, Settings.load())

    def input(self, rgb: Pixels) -> Pixels:
        """uint8 (size, size, 3)."""
        seen = to_input(rgb, self.space.input)
        return np.ascontiguousarray(seen[:, ::-1]) if self.mirrored else seen


@dataclass(frozen=True)
class Point:
    """One view; or several, whose unit vectors (times their weights) are joined end to end or added."""

    views: tuple[View, ...]
    weights: tuple[float, ...] = ()
    added: bool = False
    reduced: int = 0

    def __str__(self) -> str:
        weights = self.weights or (1.0,) * len(self.views)
        parts = [
            str(view) if weight == 1 else f"{weight:g} x {view}"
            for view, weight in zip(self.views, weights, strict=True)
        ]
        return (" + " if self.added else " & ").join(parts) + (f", to {self.reduced}" if self.reduced else "")

    @property
    def numbers(self) -> int:
        """Of a vector."""
        dims = [view.space.dim for view in self.views]
        return self.reduced or (dims[0] if self.added else sum(dims))

    def whole(self, store: Store, pack: str) -> Floats:
        """Float32 (n, numbers before they are reduced), each of length 1."""
        weights = self.weights or (1.0,) * len(self.views)
        made = [weight * store.vectors(pack, view) for view, weight in zip(self.views, weights, strict=True)]
        return unit(np.sum(made, axis=0) if self.added else np.hstack(made))

    def vectors(self, store: Store, pack: str) -> Floats:
        """Float32 (n, numbers), each of length 1."""
        whole = self.whole(store, pack)
        return unit(whole @ _directions(self, store)[: self.reduced].T) if self.reduced else whole


@cache
def _directions(point: Point, store: Store) -> Floats:
    """The right singular vectors of the calibration pictures, a row each, the strongest first."""
    _, _, directions = np.linalg.svd(replace(point, reduced=0).whole(store, CALIBRATION), full_matrices=False)
    found: Floats = directions
    return found


YESTERDAY = Point((View(LITE, "f32", 260, "gem"),))
"""The default before int8."""

HALVING = View(LITE, "f32", 320, "gem")
"""What tells near-duplicates in benchmarks/zero_shot.py, so that B is the same half here."""


def points() -> Iterator[Point]:
    """Everything that was tried."""
    yield YESTERDAY
    for size in (260, 320):
        yield Point((View(LITE, "f32", size),))
    for size in (260, 320, 352, 384):
        yield Point((View(LITE, "int8", size),))
    for precision in ("f32", "int8"):
        yield Point((View(MOBILE, precision, 224),))
    small = View(MOBILE, "int8", 224)
    for size in (260, 320):
        lite = View(LITE, "int8", size)
        for weight in (0.6, 1.0):
            yield Point((lite, small), (1.0, weight))
        for reduced in (128, 256, 320):
            yield Point((lite, small), (1.0, 0.6), reduced=reduced)
        yield Point((lite, View(LITE, "int8", size, mirrored=True)), added=True)
    yield Point((small, View(MOBILE, "int8", 224, mirrored=True)), added=True)
    for reduced in (128, 256, 320):
        yield Point((View(LITE, "int8", 320),), reduced=reduced)


class Store:
    """Vectors by pack and view, made once and kept in `folder`."""

    def __init__(self, data: Path, folder: Path) -> None:
        self.packs = {name: Pack.read(data / name) for name in dict.fromkeys(pack for _, pack, _ in COLUMNS)}
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @cache  # noqa: B019 - one store for the whole run
    def vectors(self, pack: str, view: View) -> Floats:
        """Float32 (n, dim), each of length 1; made now if they are not in the cache."""
        kept = self._folder / f"{pack}-{view.space.fingerprint}{'-mirrored' * view.mirrored}.npy"
        if not kept.exists():
            with open_embedder(view.space, Settings.load()) as embedder:
                waiting: list[Future[Floats]] = []
                for rgb in self._pictures(pack):
                    waiting.append(embedder.submit(view.input(rgb)))
                    print(f"\r{pack} {view} {len(waiting)}", end="", file=sys.stderr, flush=True)
                print(file=sys.stderr)
                np.save(kept, np.stack([each.result() for each in waiting]))
        found: Floats = np.load(kept)
        return found

    def _pictures(self, pack: str) -> Iterator[Pixels]:
        if pack == CALIBRATION:
            yield from (np.asarray(each) for each in _calibration())
            return
        for start in range(len(self.packs[pack].rows)):
            yield from self.packs[pack].pictures(start, start + 1)


def _calibration() -> Sequence[Any]:
    """Pillow's images."""
    sys.path.append(str(Path(__file__).resolve().parent.parent / "tools"))
    import calibration

    return calibration.pictures()


MEASURES = ("map", "p@1", "p@5")


def scores_of(point: Point, store: Store) -> dict[str, Scores]:
    """Of each query, by column: mAP, P@1 and P@5 in per cent, leave-one-out."""
    found = {}
    for name, pack, field in (*COLUMNS[1:], (EVERYTHING, "clothing", "category")):
        vectors, labels = point.vectors(store, pack), [row[field] for row in store.packs[pack].rows]
        if name == UNSEEN:
            _, half = halves(store.vectors("clothing", HALVING))
            vectors, labels = vectors[half], [labels[row] for row in half]
        found[name] = each_query(vectors, labels, [1, 5])
    return found


def front(costs_and_gains: Sequence[tuple[float, float]]) -> list[int]:
    """Where no other costs as little and gains as much, or costs and gains the same; ascending."""
    return [
        row
        for row, (cost, gain) in enumerate(costs_and_gains)
        if all((c, g) == (cost, gain) or c > cost or g < gain for c, g in costs_and_gains)
    ]


def times(store: Store, views: Sequence[View], rounds: int = 5, pictures: int = 16) -> dict[View, float]:
    """Processor seconds a picture, the median; all views take turns at every picture, resized already."""
    rgb = store.packs["clothing"].pictures(0, pictures)
    seconds: dict[View, list[float]] = {view: [] for view in views}
    with ExitStack() as stack:
        embedders: dict[View, Embedder] = {
            view: stack.enter_context(open_embedder(view.space, Settings.load())) for view in views
        }
        inputs = {view: [view.input(each) for each in rgb] for view in views}
        for lap in range((rounds + 1) * pictures):
            for view in views:
                started = time.process_time()
                embedders[view].submit(inputs[view][lap % pictures]).result()
                if lap >= pictures:  # the first warms up
                    seconds[view].append(time.process_time() - started)
    return {view: statistics.median(each) for view, each in seconds.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "recq-int8")
    parser.add_argument("--only", default="", help="points whose name contains this")
    parser.add_argument("--no-times", action="store_true")
    arguments = parser.parse_args()
    store = Store(arguments.data, arguments.cache)
    tried = [each for each in points() if each == YESTERDAY or arguments.only in str(each)]
    cost: dict[View, float] = {}
    if not arguments.no_times:
        cost = times(store, list(dict.fromkeys(view for point in tried for view in point.views)))
    before = scores_of(YESTERDAY, store)
    print(f"| point | time | numbers | {' | '.join(before)} |", file=sys.stderr)
    print(f"|---|---|---|{'---|' * len(before)}", file=sys.stderr)
    answers, places = [], []
    for point in tried:
        scores = scores_of(point, store)
        ratio = sum(cost[view] for view in point.views) / cost[YESTERDAY.views[0]] if cost else None
        means = {name: dict(zip(MEASURES, each.mean(axis=0).tolist(), strict=True)) for name, each in scores.items()}
        cells = [f"{each['p@1']:.1f} / {each['p@5']:.1f} / {each['map']:.1f}" for each in means.values()]
        time_cell = "" if ratio is None else f"{ratio:.2f}"
        print(f"| {point} | {time_cell} | {point.numbers:,} | {' | '.join(cells)} |", file=sys.stderr, flush=True)
        less = {
            name: dict(zip(MEASURES, map(asdict, differences(each, before[name])), strict=True))
            for name, each in scores.items()
        }
        mean = statistics.fmean(means[name]["map"] for name, _, _ in COLUMNS[1:])
        answer = {"point": str(point), "time": ratio, "numbers": point.numbers, "mean_map": mean}
        answers.append({**answer, "scores": means, "less_yesterday": less})
        places.append((ratio or 0.0, mean))
    if cost:
        print("no other has as much mean mAP over B, products, sku and furniture in as little time:", file=sys.stderr)
        for row in front(places):
            print(f"  {tried[row]}: {places[row][1]:.1f} in {places[row][0]:.2f}", file=sys.stderr)
    seconds = {str(view): each for view, each in cost.items()}
    print(json.dumps({"points": answers, "seconds": seconds, "load": os.getloadavg()}, indent=2))


if __name__ == "__main__":
    main()
