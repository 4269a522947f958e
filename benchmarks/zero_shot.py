"""Which way of making a vector, with the shipped networks and without any training, ranks pictures best?

    python benchmarks/zero_shot.py [--data FOLDER] [--cache FOLDER] [--only TEXT] [--no-times]

Prints mAP and P@5 of every setting below, and the time of its inputs beside the baseline's. One is *chosen* on a
half of the clothing photographs (A; near-duplicates never apart); what is no worse there than the baseline is shown on
the other half, on the products (by category and by sku) and on the furniture. Feature maps are kept in --cache, so that
one pooling more costs seconds, not minutes.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.leave_one_out import leave_one_out
from recq.images import Limits, open_picture, to_input
from recq.models.openvino_package import openvino
from recq.models.openvino_runtime import OpenVINORuntime
from recq.models.pooling import pool
from recq.models.weights import bundled
from recq.space import InputSpec

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]

LITE, MOBILE = "efficientnet_lite2", "mobilenet_v2"
STRIDE = 32
LIMITS = Limits(1 << 28, 1 << 28)
NEAR_DUPLICATE = 0.9
"""Cosine (of the baseline) above which two photographs must be in the same half."""

COLUMNS = (
    ("A", "clothing", "category"),
    ("B", "clothing", "category"),
    ("products", "luma_products", "category"),
    ("sku", "luma_products", "sku"),
    ("furniture", "furniture", "category"),
)


# -- what the network sees --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """A network and what it is shown: `pad` and `stretch` as the product does; `aspect`: the picture's own aspect at
    the area of size x size, sides multiples of 32; `frame`: padded to `inner` pixels, white around it up to `size`.
    `layer` names another output than the last feature map."""

    network: str
    resize: str
    size: int
    flip: bool = False
    inner: int = 0
    layer: str = ""

    def __str__(self) -> str:
        inner = f"({self.inner})" if self.inner else ""
        return (
            f"{self.network}-{self.resize}{inner}-{self.size}{'-flip' * self.flip}{'-' * bool(self.layer)}{self.layer}"
        )

    def input(self, rgb: Pixels) -> Pixels:
        """uint8 (h, w, 3) for the network."""
        seen = self._unflipped(rgb)
        return np.ascontiguousarray(seen[:, ::-1]) if self.flip else seen

    def _unflipped(self, rgb: Pixels) -> Pixels:
        if self.resize == "aspect":
            height, width = self.shape(rgb.shape[0], rgb.shape[1])
            im = Image.fromarray(np.ascontiguousarray(rgb))
            return np.array(im.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0))
        if self.resize == "frame":
            canvas = np.full((self.size, self.size, 3), 255, np.uint8)
            edge = (self.size - self.inner) // 2
            canvas[edge : edge + self.inner, edge : edge + self.inner] = to_input(rgb, InputSpec(self.inner))
            return canvas
        return to_input(rgb, InputSpec(self.size, "stretch" if self.resize == "stretch" else "pad"))

    def shape(self, height: int, width: int) -> tuple[int, int]:
        """The input's height and width for a picture of that size; no side is more than three times the other."""
        if self.resize != "aspect":
            return self.size, self.size
        aspect = min(max(width / height, 1 / 3), 3)
        cells = self.size / STRIDE
        return max(1, round(cells / aspect**0.5)) * STRIDE, max(1, round(cells * aspect**0.5)) * STRIDE


class Viewer:
    """Feature maps of one view, float32 (h, w, channels), each of its input's shape."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._network = bundled(view.network, None if view.resize == "aspect" else view.size)
        self._runtime = None if view.resize == "aspect" or view.layer else OpenVINORuntime(self._network, None)
        self._compiled: dict[tuple[int, ...], Any] = {}

    def maps(self, inputs: Sequence[Pixels]) -> Iterator[Floats]:
        """In the order of the inputs."""
        if self._runtime is not None:
            with ThreadPoolExecutor(self._runtime.concurrency) as threads:
                for answer in threads.map(self._runtime.infer, [seen[None] for seen in inputs]):
                    yield answer[0]
            return
        for seen in inputs:  # rectangles and other layers
            answer = self._any_shape(seen.shape).infer({0: seen[None]})[0]
            channels_last = answer[0] if not self._view.layer else np.moveaxis(answer[0], 0, -1)
            yield np.array(channels_last)

    def _any_shape(self, shape: tuple[int, ...]) -> Any:
        if shape not in self._compiled:
            ov = openvino()
            core = ov.Core()
            model = core.read_model(self._network.ir)
            model.reshape([1, *shape])
            if self._view.layer:
                (node,) = [op for op in model.get_ordered_ops() if op.get_friendly_name() == self._view.layer]
                model = ov.Model([node.output(0)], model.get_parameters(), self._view.layer)
            hints = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
            compiled = core.compile_model(model, "CPU", hints)
            self._compiled[shape] = compiled.create_infer_request()
        return self._compiled[shape]


# -- packs and cached maps --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pack:
    """A pack's pictures and labels."""

    folder: Path
    rows: tuple[dict[str, str], ...]

    @classmethod
    def read(cls, folder: Path) -> Pack:
        """By its labels.csv."""
        with (folder / "labels.csv").open(newline="", encoding="utf-8") as stream:
            return cls(folder, tuple(csv.DictReader(stream)))

    def pictures(self, start: int, stop: int) -> list[Pixels]:
        """Decoded."""
        return [open_picture(self.folder / row["file"], LIMITS).rgb for row in self.rows[start:stop]]


@dataclass(frozen=True)
class Maps:
    """The maps of a pack, float16 on disk, one after the other: `cells` (all cells, channels), `shapes` (n, 2)."""

    cells: npt.NDArray[np.float16]
    shapes: Rows

    def __iter__(self) -> Iterator[Floats]:
        ends = np.cumsum(self.shapes.prod(axis=1))
        for (height, width), end in zip(self.shapes, ends, strict=True):
            flat = np.asarray(self.cells[end - height * width : end], np.float32)
            yield flat.reshape(height, width, -1)


class Store:
    """Maps and vectors by pack and view; maps are made once and kept in `folder`."""

    def __init__(self, data: Path, folder: Path) -> None:
        self.packs = {name: Pack.read(data / name) for name in dict.fromkeys(pack for _, pack, _ in COLUMNS)}
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def maps(self, pack: str, view: View) -> Maps:
        """Made now if they are not in the cache."""
        cells, shapes = (self._folder / f"{pack}.{view}.{part}.npy" for part in ("cells", "shapes"))
        if not cells.exists():
            rows, viewer = self.packs[pack].rows, Viewer(view)
            found: list[Floats] = []
            for start in range(0, len(rows), 64):
                inputs = [view.input(rgb) for rgb in self.packs[pack].pictures(start, start + 64)]
                found += [each.astype(np.float16) for each in viewer.maps(inputs)]
                print(f"\r{pack} {view} {len(found)}/{len(rows)}", end="", file=sys.stderr, flush=True)
            print(file=sys.stderr)
            np.save(shapes, np.array([each.shape[:2] for each in found]))
            part = cells.with_suffix(".part.npy")
            np.save(part, np.concatenate([each.reshape(-1, each.shape[-1]) for each in found]))
            part.rename(cells)
        return Maps(np.load(cells, mmap_mode="r"), np.load(shapes))

    @cache  # noqa: B019 - one store for the whole run
    def vectors(self, pack: str, view: View, pooling: Pooling) -> Floats:
        """Pooled, each of length 1."""
        return unit(np.stack([pooling.of(each) for each in self.maps(pack, view)]))


# -- from maps to vectors ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pooling:
    """`kind`: mean, max, gem (the generalised mean with exponent `p`), rmac (the product's), regions (R-MAC's regions,
    gem in each), centre (gem, cells weighted by a Gaussian of `sigma` times the map's sides), crow (gem, cells weighted
    by what they hold altogether: Kalantidis, Mellina, Osindero 2016)."""

    kind: str = "gem"
    p: float = 3.0
    sigma: float = 0.0

    def __str__(self) -> str:
        exponent = f" p={self.p:g}" if self.kind in ("gem", "centre") else ""
        return f"{self.kind}{exponent}{f' s={self.sigma:g}' if self.sigma else ''}"

    def of(self, cells: Floats) -> Floats:
        """A map (h, w, channels) as a vector (channels,)."""
        flat = cells.reshape(-1, cells.shape[-1])
        match self.kind:
            case "mean":
                return np.asarray(flat.mean(axis=0))
            case "max":
                return np.asarray(flat.max(axis=0))
            case "rmac":
                return np.asarray(pool(cells[None], "rmac")[0])
            case "regions":
                squares = [each.reshape(-1, cells.shape[-1]) for each in _regions(cells)]
                return np.asarray(np.sum([unit(self._gem(each, None)) for each in squares], axis=0))
            case "centre":
                return self._gem(flat, gaussian(cells.shape[0], cells.shape[1], self.sigma).ravel())
            case "crow":
                return self._gem(flat, np.sqrt(flat.sum(axis=1)))
        return self._gem(flat, None)

    def _gem(self, flat: Floats, weights: Floats | None) -> Floats:
        powers = np.maximum(flat, 1e-6) ** self.p
        return np.asarray(np.average(powers, axis=0, weights=weights) ** (1 / self.p), np.float32)


def gaussian(height: int, width: int, sigma: float) -> Floats:
    """Weights (h, w), 1 in the middle."""
    rows, columns = (
        np.exp(-(((np.arange(cells) - (cells - 1) / 2) / (cells * sigma)) ** 2) / 2) for cells in (height, width)
    )
    return np.asarray(rows[:, None] * columns, np.float32)


def _regions(cells: Floats) -> Iterator[Floats]:
    """R-MAC's squares at three scales, also of a map that is no square (then as many along both sides)."""
    height, width = cells.shape[:2]
    for scale in (1, 2, 3):
        side = max(1, -(-2 * min(height, width) // (scale + 1)))
        for top in np.linspace(0, height - side, scale).round().astype(int):
            for left in np.linspace(0, width - side, scale).round().astype(int):
                yield cells[top : top + side, left : left + side]


def unit(rows: Floats) -> Floats:
    """Each row with length 1."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12))


@dataclass(frozen=True)
class Part:
    """One view, pooled, each number raised to `power`, scaled to length 1, then to `weight`."""

    view: View
    pooling: Pooling = Pooling()
    power: float = 1.0
    weight: float = 1.0


@dataclass(frozen=True)
class Setting:
    """Parts that are joined end to end, or added (views of the same network)."""

    parts: tuple[Part, ...]
    added: bool = False

    def vectors(self, store: Store, pack: str) -> Floats:
        """Float32 (n, dim), each of length 1."""
        made = [part.weight * unit(store.vectors(pack, part.view, part.pooling) ** part.power) for part in self.parts]
        return unit(np.sum(made, axis=0) if self.added else np.hstack(made))

    @property
    def views(self) -> tuple[View, ...]:
        """Each once."""
        return tuple(dict.fromkeys(part.view for part in self.parts))

    def __str__(self) -> str:
        texts = [
            f"{'' if part.weight == 1 else f'{part.weight:g} x '}{part.view}, {part.pooling}"
            f"{'' if part.power == 1 else f', power {part.power:g}'}"
            for part in self.parts
        ]
        return (" + " if self.added else " & ").join(texts)


BASELINE = Setting((Part(View(LITE, "pad", 320)),))
CHOSEN = Setting((Part(View(LITE, "pad", 320), Pooling("centre", 3, 0.25), 2),))
"""The pooling `centre` of the product, at 320 pixels: the preset `fine`."""


def settings() -> Iterator[Setting]:
    """Everything that was tried."""
    pad, gem = View(LITE, "pad", 320), Pooling()
    regions, centre = Pooling("regions"), Pooling("centre", 3, 0.25)
    yield BASELINE
    yield CHOSEN
    for kind in (Pooling("mean"), Pooling("max"), *(Pooling("gem", p) for p in (2, 4, 5, 8)), Pooling("rmac")):
        yield Setting((Part(pad, kind),))
    yield Setting((Part(pad, Pooling("mean")), Part(pad, Pooling("max"))))
    for kind in (
        gem,
        Pooling("gem", 2),
        Pooling("crow"),
        regions,
        *(Pooling("centre", 3, s) for s in (0.2, 0.25, 0.3, 0.35, 0.45)),
    ):
        for power in (0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3):
            if power >= 1 or kind == gem:
                yield Setting((Part(pad, kind, power),))
    for p in (2, 4):
        yield Setting((Part(pad, Pooling("centre", p, 0.25), 2),))
    for size in (260, 352, 384):
        for pooling, power in ((gem, 1), (centre, 2)):
            yield Setting((Part(View(LITE, "pad", size), pooling, power),))
    for inner, size in ((288, 320), (320, 384)):
        for pooling, power in ((gem, 1), (centre, 2)):
            yield Setting((Part(View(LITE, "frame", size, inner=inner), pooling, power),))
    for size in (256, 288, 320, 352, 384):
        for pooling, power in ((gem, 1), (regions, 1), (centre, 2)):
            yield Setting((Part(View(LITE, "aspect", size), pooling, power),))
    small, mirrored = View(LITE, "aspect", 256), View(LITE, "aspect", 256, flip=True)
    for pooling, power in ((gem, 1), (centre, 2)):
        yield Setting((Part(small, pooling, power), Part(mirrored, pooling, power)), added=True)
        for other in (View(LITE, "aspect", 320), pad):
            yield Setting((Part(small, pooling, power), Part(other, pooling, power)), added=True)
        for view in (View(MOBILE, "pad", 224), View(MOBILE, "aspect", 224)):
            yield Setting((Part(view, pooling, power),))
            for weight in (0.4, 0.6, 1):
                yield Setting((Part(pad, pooling, power), Part(view, pooling, power, weight)))
    for layer in ("Transpose_1870", "Transpose_1864"):  # the last block's output, and its widest layer
        yield Setting((Part(pad), Part(View(LITE, "pad", 320, layer=layer))))


# -- measuring --------------------------------------------------------------------------------------------------------


def halves(vectors: Floats) -> tuple[Rows, Rows]:
    """Photographs in two halves, by their vectors: what these take for near-duplicates is in one of them."""
    group = np.arange(len(vectors))

    def root(item: int) -> int:
        while group[item] != item:
            item = int(group[item])
        return item

    for one, other in np.argwhere(np.triu(vectors @ vectors.T, 1) > NEAR_DUPLICATE):
        group[root(int(one))] = root(int(other))
    roots = np.array([root(item) for item in range(len(vectors))])
    shuffled = np.random.default_rng(0).permutation(np.unique(roots))
    sizes = np.cumsum([(roots == each).sum() for each in shuffled])
    first = np.isin(roots, shuffled[: int(np.searchsorted(sizes, len(roots) / 2)) + 1])
    return np.flatnonzero(first), np.flatnonzero(~first)


def score(vectors: Floats, labels: Sequence[str]) -> tuple[float, float]:
    """mAP and P@5 in per cent, leave-one-out, as `recq evaluate` defines them."""
    average, five = leave_one_out(vectors, labels, [5])
    return average, five


def times(store: Store, views: Sequence[View], rounds: int = 4, pictures: int = 16) -> dict[View, float]:
    """Processor seconds a picture, the median; all views take turns at every picture, decoded and resized already."""
    rgb = store.packs["clothing"].pictures(0, pictures)
    inputs = {view: [view.input(each) for each in rgb] for view in views}
    viewers = {view: Viewer(view) for view in views}
    seconds: dict[View, list[float]] = {view: [] for view in views}
    for lap in range((rounds + 1) * pictures):
        for view in views:
            started = time.process_time()
            for _ in viewers[view].maps([inputs[view][lap % pictures]]):
                pass
            if lap >= pictures:  # the first compiles
                seconds[view].append(time.process_time() - started)
    return {view: statistics.median(each) for view, each in seconds.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "recq-zero-shot")
    parser.add_argument("--only", default="", help="settings whose name contains this")
    parser.add_argument("--no-times", action="store_true")
    arguments = parser.parse_args()
    store = Store(arguments.data, arguments.cache)
    halved = dict(zip("AB", halves(BASELINE.vectors(store, "clothing")), strict=True))
    tried = [each for each in dict.fromkeys(settings()) if each == BASELINE or arguments.only in str(each)]
    views = list(dict.fromkeys(view for setting in tried for view in setting.views))
    cost = {} if arguments.no_times else times(store, views)
    base = cost.get(BASELINE.views[0], 1.0)
    print(f"| setting | time | {' | '.join(name for name, _, _ in COLUMNS)} |")
    print(f"|---|---|{'---|' * len(COLUMNS)}")
    bar = 0.0
    for setting in tried:
        scores: list[tuple[float, float]] = []
        for name, pack, field in COLUMNS:
            if scores and scores[0][0] < bar:
                break
            vectors, labels = setting.vectors(store, pack), [row[field] for row in store.packs[pack].rows]
            if name in halved:
                vectors, labels = vectors[halved[name]], [labels[row] for row in halved[name]]
            scores.append(score(vectors, labels))
        bar = bar or scores[0][0]
        cells = ["{:.1f} / {:.1f}".format(*each) for each in scores] + [""] * (len(COLUMNS) - len(scores))
        ratio = f"{sum(cost[view] for view in setting.views) / base:.2f}" if cost else ""
        print(f"| {setting} | {ratio} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
