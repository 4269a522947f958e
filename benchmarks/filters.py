"""How much of the exact answer a server's index gives under each shape of filter, and what that costs.

    python benchmarks/filters.py [--smoke | --short | --full] [--count N] [--queries N] [--work FOLDER] [--way NAME ...]

A real server is filled through the catalog's own writes (gRPC) with vectors that are generated around real ones
(`Generator`), its graph is built, and every shape of filter is asked with the same queries in several ways: with the
server's own defaults, with each parameter that could help, and as recq decides it. The truth is the same request with
`exact`. Ways are interleaved query by query; latencies are wall clock on this machine, so compare them with each other.
The bar is for recq's own way, and for every shape. Of vectors the neighbours' distances are printed beside those of the
real ones, at the same number of items.

The first run embeds the packs once and builds the graph (minutes; an hour and 6 GB of disk for --count 300000); a
second run with the same --work takes both as they are.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from qdrant_client import QdrantClient, models
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import recq
from benchmarks.measure import Ratio, Report, Section, parser_of
from recq.index.catalog import Catalog
from recq.index.connect import server_client
from recq.index.filters import without_own
from recq.index.ordering import Scope, nearest_requests
from recq.index.parameters import Parameters
from recq.index.pending_fields import record
from recq.index.points import ItemVector, Points
from recq.index.schema import FieldType, FileFacts, Item
from recq.index.writes import Writes
from recq.settings import Settings
from recq.space import EmbeddingSpace
from tests.qdrant_server import QdrantServer

ROOT = Path(__file__).resolve().parent.parent
PACKS = ("clothing", "furniture/images", "luma_products", "movie_posters")
K = 10
CLUSTERS = 20
BATCH = 200
CHUNK = 5_000
_COUNTED = 5  # queries whose matches are counted: most shapes have the same for all
RECALL = 0.99
AMOUNTS = {"smoke": (600, 5), "short": (60_000, 100), "full": (300_000, 100)}
"""Items, and queries of each shape."""

NAME = "filters"

Vectors = np.ndarray
"""float32 (n, dim), of length 1."""


class Generator:
    """Vectors around real ones: each is a mixture of a real vector and some of its neighbours, and noise.

    The weights are Dirichlet(`_PEAKED`) over the vector itself and its `_AROUND` nearest neighbours, so that most lie
    near one real vector and some between several. Averaging takes variance away; what is missing to the length of a
    real vector is given back as noise of the shape that the mixed vectors have around their mean, which stays in the
    subspace that pictures fill. `_PEAKED` and `_NOISE` were chosen so that the distances to the nearest, fifth and
    tenth neighbour of as many generated vectors as there are real ones resemble those of the real ones (`profile`).
    """

    _AROUND = 24
    _PEAKED = 0.1
    _NOISE = 1.6

    def __init__(self, real: Vectors) -> None:
        self._real = real
        scores = real @ real.T
        self._near = np.argsort(-scores, axis=1)[:, : self._AROUND + 1]  # itself first
        self._clusters = _clusters(real, CLUSTERS)

    def draw(self, count: int, seed: int) -> tuple[Vectors, np.ndarray]:
        """So many vectors, and the cluster of the real vector that each lies around, int (count,)."""
        random = np.random.default_rng([seed, 5])
        anchors = random.integers(len(self._real), size=count)
        weights = random.dirichlet([self._PEAKED] * (self._AROUND + 1), size=count).astype(np.float32)
        near = self._real[self._near[anchors]]
        mixed = np.einsum("nk,nkd->nd", weights, near)
        loose = random.normal(size=weights.shape).astype(np.float32) / np.sqrt(weights.shape[1])
        noise = np.einsum("nk,nkd->nd", loose, near - near.mean(axis=1, keepdims=True))
        lacking = np.sqrt(np.maximum(0.0, 1.0 - np.einsum("nd,nd->n", mixed, mixed)))
        spread = np.linalg.norm(noise, axis=1)
        drawn = mixed + noise * (self._NOISE * lacking / np.maximum(spread, 1e-9))[:, None]
        if (self._real >= 0).all():
            np.maximum(drawn, 0.0, out=drawn)
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        return drawn.astype(np.float32), self._clusters[anchors]


def _clusters(vectors: Vectors, count: int) -> np.ndarray:
    """Lloyd's k-means on the sphere: the cluster of each vector, the largest first."""
    random = np.random.default_rng(0)
    centres = vectors[random.choice(len(vectors), count, replace=False)]
    for _ in range(25):
        own = np.argmax(vectors @ centres.T, axis=1)
        for each in range(count):
            members = vectors[own == each]
            if len(members):
                centres[each] = members.mean(axis=0)
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    place = np.empty(count, np.int64)
    place[np.argsort(-np.bincount(own, minlength=count))] = np.arange(count)
    found: np.ndarray = place[own]
    return found


def profile(vectors: Vectors) -> dict[str, list[float]]:
    """Cosines to the 1st, 5th and 10th nearest and of all pairs: their 5th, 50th and 95th percentiles."""
    scores = vectors @ vectors.T
    pairs = scores[np.triu_indices(len(vectors), 1)]
    np.fill_diagonal(scores, -1.0)
    ranked = -np.sort(-scores, axis=1)
    told = {f"nearest {k}": ranked[:, k - 1] for k in (1, 5, 10)} | {"any pair": pairs}
    return {
        name: [round(float(each), 3) for each in np.quantile(found, [0.05, 0.5, 0.95])] for name, found in told.items()
    }


def real_vectors(data: Path, work: Path) -> tuple[Vectors, EmbeddingSpace]:
    """The packs' vectors in the product's default space, embedded once and kept in the work folder."""
    import subprocess

    kept = work / "real.npz"
    if not kept.exists():
        folder = work / "real"
        sources = [str(data / pack) for pack in PACKS if (data / pack).is_dir()] or [str(ROOT / "samples")]
        ingest = [
            str(Path(sys.executable).parent / "recq-ingest"),
            "run",
            *sources,
            "--once",
            "--data-dir",
            str(folder),
        ]
        subprocess.run(ingest, check=True, stderr=subprocess.DEVNULL)
        with recq.open(data_dir=folder) as catalog:
            _, vectors = catalog.vectors()
            np.savez(kept, vectors=vectors, space=json.dumps(catalog.space.to_json()))
    stored = np.load(kept)
    space = EmbeddingSpace.from_json(json.loads(str(stored["space"])))
    vectors = stored["vectors"]
    _, first = np.unique(vectors.round(5), axis=0, return_index=True)  # the same picture twice
    return vectors[np.sort(first)], space


SHARES = {"half": 0.5, "fifth": 0.2, "twentieth": 0.05, "hundredth": 0.01, "thousandth": 0.001}
COLOURS = [f"colour{n}" for n in range(10)]
BRANDS = [f"brand{n}" for n in range(5)]


def metadata(count: int, clusters: np.ndarray, seed: int) -> Iterator[dict[str, Any]]:
    """Fields that have nothing to do with the vectors, but `kind`, which is the cluster a vector belongs to."""
    random = np.random.default_rng(seed)
    shares = [*SHARES.values()]
    rest = 1.0 - sum(shares)
    names = [*SHARES, *(f"other{n}" for n in range(50))]
    categories = random.choice(names, size=count, p=[*shares, *[rest / 50] * 50])
    colours, brands = random.choice(COLOURS, size=count), random.choice(BRANDS, size=count)
    prices = random.uniform(0, 1000, size=count).round(2)
    stock = random.integers(0, 10_000, size=count)
    late = random.random(count)
    words = random.choice(
        ["plain", "striped", "woven", "knitted", "quilted"], size=count, p=[0.6, 0.2, 0.1, 0.05, 0.05]
    )
    for n in range(count):
        yield {
            "category": str(categories[n]),
            "colour": str(colours[n]),
            "brand": str(brands[n]),
            "price": float(prices[n]),
            "stock": int(stock[n]),
            "title": f"{words[n]} thing",
            "kind": f"kind{clusters[n]}",
            "late": "common" if late[n] < 0.2 else "seldom" if late[n] < 0.25 else "none",
            "late_price": float(round(1000 * late[n], 2)),
        }


FIELDS = {
    **dict.fromkeys(("category", "colour", "brand", "title", "kind"), FieldType.STRING),
    "price": FieldType.FLOAT,
    "stock": FieldType.INTEGER,
}
LATE = {"late": FieldType.STRING, "late_price": FieldType.FLOAT}

SHAPES: Mapping[str, Sequence[str]] = {
    "no filter": [],
    **{f"one value, {100 * share:g} %": [f"category={name}"] for name, share in SHARES.items()},
    "one of two values, 20 %": ["colour=colour1,colour2"],
    "AND of two, 10 %": ["category=half", "brand=brand1"],
    "AND of two, 4 %": ["category=fifth", "brand=brand1"],
    "AND of two, 2 %": ["category=fifth", "colour=colour1"],
    "AND of two, 0.5 %": ["category=twentieth", "colour=colour1"],
    "AND of three, 1 %": ["category=half", "brand=brand1", "colour=colour1"],
    "AND of three, 5 %": ["category=half", "brand=brand1", "price<=500"],
    "range, 1 %": ["price=500..510"],
    "range, 5 %": ["price=100..150"],
    "range, 20 %": ["price<=200"],
    "range, 70 %": ["stock>=3000"],
    "range of integers, 5 %": ["stock<500"],
    "not, 50 %": ["category!=half"],
    "not, 80 %": ["brand!=brand1"],
    "not two, 8 %": ["category!=half", "price<=160"],
    "word, 10 %": ["title~woven"],
    "not the word, 40 %": ["title!~plain"],
    "late field, 20 %": ["late=common"],
    "late field, 5 %": ["late=seldom"],
    "late range, 5 %": ["late_price=400..450"],
    "kind of the query": ["kind=OWN"],
    "kind far from the query": ["kind=FAR"],
    "five kinds far from the query": ["kind=FAR,FAR,FAR,FAR,FAR"],
    "ten kinds far from the query": ["kind=FAR,FAR,FAR,FAR,FAR,FAR,FAR,FAR,FAR,FAR"],
    "kind far, AND, half of it": ["kind=FAR", "price<=500"],
}
"""Filters by what they are. OWN is the kind of the query, each FAR the next of those that it is least like."""


@dataclass(frozen=True)
class Query:
    """What is asked with: a vector that is not in the index, and the kinds from nearest to farthest."""

    vector: np.ndarray
    kinds: Sequence[int]

    def filters(self, shape: str) -> list[str]:
        """The filters of a shape for this query."""
        far = iter(self.kinds[::-1])
        made = []
        for each in SHAPES[shape]:
            field, sign, value = each.partition("=")
            parts = [
                f"kind{self.kinds[0]}" if part == "OWN" else f"kind{next(far)}" if part == "FAR" else part
                for part in value.split(",")
            ]
            made.append(field + sign + ",".join(parts))
        return made


WAYS: Mapping[str, models.SearchParams | None] = {
    "today": None,
    "ef 200": models.SearchParams(hnsw_ef=200),
    "ef 400": models.SearchParams(hnsw_ef=400),
    "acorn": models.SearchParams(acorn=models.AcornSearchParams(enable=True, max_selectivity=1.0)),
    "acorn, ef 200": models.SearchParams(hnsw_ef=200, acorn=models.AcornSearchParams(enable=True, max_selectivity=1.0)),
    "acorn, ef 400": models.SearchParams(hnsw_ef=400, acorn=models.AcornSearchParams(enable=True, max_selectivity=1.0)),
    "exact": models.SearchParams(exact=True),
}
DECIDED = "recq"
"""As the product decides it; what it counts for that, and searches again, is in its time."""

WITH_OWN = "today, with own"
"""With recq's own conditions, which searches leave out: what they would cost."""


def fill(
    client: QdrantClient,
    fast: QdrantClient,
    generator: Generator,
    space: EmbeddingSpace,
    count: int,
    report: Callable[[str], None],
) -> None:
    """Write the items, but for what `late` fields have as index, and wait for the graph; then make those indexes."""
    catalog = Catalog.create(client, NAME, space)
    writes = Writes(fast, catalog._collection, space, catalog.fields)
    catalog.fields.declare(FIELDS)
    if not LATE.keys() & catalog.fields.types().keys():
        client.update_collection(catalog._collection, metadata=record(LATE))
    done = client.count(catalog._collection).count // CHUNK * CHUNK  # a run that was interrupted
    started = time.perf_counter()
    while done < count:
        vectors, clusters = generator.draw(min(CHUNK, count - done), seed=done)
        described = metadata(len(vectors), clusters, done)
        items = [
            Item(
                FileFacts(
                    "shop", f"{(done + n) // 150:05d}/{done + n:07d}.jpg", 100_000, 1, sha256=f"{done + n:064x}",
                    format="JPEG", width=400, height=533, ingested_at="2026-01-01T00:00:00+00:00",
                ),
                each,
            )
            for n, each in enumerate(described)
        ]  # fmt: skip
        for start in range(0, len(items), BATCH):
            writes.upsert(
                [
                    ItemVector(item, vector)
                    for item, vector in zip(items[start : start + BATCH], vectors[start : start + BATCH], strict=True)
                ]
            )
        done += len(vectors)
        report(f"written {done:,} in {time.perf_counter() - started:.0f} s")
    wait_for_graph(client, catalog._collection, report)
    for waiting in catalog.fields.make_all():
        report(f"late indexes, {waiting.left} left")


def wait_for_graph(client: QdrantClient, collection: str, report: Callable[[str], None]) -> None:
    """Until the collection is green, and has been for ten seconds."""
    started, green = time.perf_counter(), 0
    while green < 10:
        info = client.get_collection(collection)
        green = green + 1 if info.status == models.CollectionStatus.GREEN else 0
        if int(time.perf_counter() - started) % 15 == 0:
            report(
                f"{info.status}: {info.indexed_vectors_count:,} of {info.points_count:,} vectors in graphs, "
                f"{info.segments_count} segments"
            )
        time.sleep(1)


def main() -> None:
    """Measure and keep."""
    parser = parser_of(__doc__)
    parser.add_argument("--count", type=int, help="items")
    parser.add_argument("--queries", type=int)
    parser.add_argument("--work", type=Path, help="keeps the packs' vectors and the server's storage for another run")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("RECQ_TEST_DATA") or ROOT.parent / "shared" / "data")
    )
    parser.add_argument("--url", help="a server that runs, in place of one of its own")
    parser.add_argument("--way", action="append", choices=[*WAYS, WITH_OWN, DECIDED], help="beside recq's own; all")
    parser.add_argument("--shape", action="append", choices=list(SHAPES), help="only these; may be given several times")
    parser.add_argument("--fill-only", action="store_true", help="write the items and build the graph, no more")
    asked_for = parser.parse_args()
    count, queries = AMOUNTS[asked_for.size]
    asked_for.count, asked_for.queries = asked_for.count or count, asked_for.queries or queries
    report = Report(asked_for, places=("--work", "--data"))
    with workplace(asked_for.work) as work, threadpool_limits(1):
        report.section(f"{asked_for.count:,}", partial(measure_all, asked_for, work))


@contextmanager
def workplace(work: Path | None) -> Iterator[Path]:
    """The folder, or a temporary one."""
    if work is not None:
        work.mkdir(parents=True, exist_ok=True)
        yield work
        return
    with tempfile.TemporaryDirectory(prefix="recq-filters-") as folder:
        yield Path(folder)


def told(line: str) -> None:
    """On standard error, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def measure_all(arguments: argparse.Namespace, work: Path) -> Section:
    """Fill the server where it is empty, then ask."""
    real, space = real_vectors(arguments.data, work)
    generator = Generator(real)
    sample, _ = generator.draw(len(real), seed=1)
    for name, vectors in {"real": real, "generated": sample}.items():
        told(f"cosines of {len(real):,} {name} vectors (5, 50, 95 %): {profile(vectors)}")
    filled = work / "filled"
    with served(arguments.url, work) as (rest, fast):
        if not filled.exists() or int(filled.read_text()) != arguments.count:
            fill(rest, fast, generator, space, arguments.count, told)
            filled.write_text(str(arguments.count))
        catalog = Catalog.open(rest, NAME)
        wait_for_graph(rest, catalog._collection, told)
        if arguments.fill_only:
            raise SystemExit
        return asked(rest, catalog, real, arguments)


@contextmanager
def served(url: str | None, work: Path) -> Iterator[tuple[QdrantClient, QdrantClient]]:
    """A client that asks as the product does, and one that writes faster (gRPC), of that server or of an own one."""
    server = None if url is not None else QdrantServer(work / "server")
    if server is not None:
        server.start()
    try:
        rest: QdrantClient = server_client(Settings.load(url=url or getattr(server, "url", None), catalog=NAME))
        options: dict[str, Any] = {"check_compatibility": False, "cloud_inference": True, "timeout": 300}
        fast = rest
        if server is not None:
            fast = QdrantClient(url=server.url, grpc_port=server.grpc_port, prefer_grpc=True, **options)
        yield rest, fast
    finally:
        if server is not None:
            server.stop()


def queries_of(real: Vectors, count: int) -> list[Query]:
    """Vectors of another seed than those in the index, and than those that `TRUSTED` was chosen with (2), and how near
    they are to each kind."""
    vectors, _ = Generator(real).draw(count, seed=3)
    clusters = _clusters(real, CLUSTERS)
    centres = np.stack([real[clusters == n].mean(axis=0) for n in range(CLUSTERS)])
    nearest = np.argsort(-(vectors @ centres.T), axis=1)
    return [Query(vector, kinds.tolist()) for vector, kinds in zip(vectors, nearest, strict=True)]


def asked(client: QdrantClient, catalog: Catalog, real: Vectors, arguments: argparse.Namespace) -> Section:
    """Every shape in every way."""
    info = client.get_collection(catalog._collection)
    points = Points(client, catalog._collection)
    queries = queries_of(real, arguments.queries)
    ways: dict[str, models.SearchParams | None] = {**WAYS, WITH_OWN: None, DECIDED: None}
    wanted = {*(arguments.way or ways), "exact", DECIDED}
    ways = {name: way for name, way in ways.items() if name in wanted}
    sides: dict[str, list[float]] = {}
    figures: dict[str, float] = {}
    ratios: list[Ratio] = []
    for shape in arguments.shape or SHAPES:
        recalls: dict[str, list[float]] = {name: [] for name in ways}
        ms: dict[str, list[float]] = {name: [] for name in ways}
        counts: list[int] = []
        for query in queries:
            parameters = Parameters(k=K, filters=query.filters(shape))
            compiled = catalog.items.compiled(parameters.conditions)
            counts.append(points.count(compiled) if len(counts) < _COUNTED else counts[-1])
            bare = without_own(compiled)
            answers = {}
            for name, way in ways.items():
                start = time.perf_counter()
                asked_for = compiled if name == WITH_OWN else bare
                if name == DECIDED:
                    hits = catalog.finder.rank(query.vector, parameters).hits
                    answers[name] = [hit.item.id for hit in hits]
                else:
                    scope = Scope.first(asked_for, parameters)
                    (near,) = points.nearest(nearest_requests(catalog.space, [query.vector], scope, way))
                    answers[name] = [str(point.id) for point in near[:K]]
                ms[name].append(1000 * (time.perf_counter() - start))
            truth = set(answers["exact"])
            for name, found in answers.items():
                recalls[name].append(len(truth & set(found)) / len(truth) if truth else 1.0)
        sides |= {f"{shape}: {name}": each for name, each in ms.items()}
        figures[f"{shape}: matches"] = float(np.mean(counts))
        figures |= {
            f"{shape}: the worst recall of {name}": min(each) for name, each in recalls.items() if name != "exact"
        }
        for name, each in recalls.items():
            if name != "exact":
                low, high = _mean_interval(each)
                bar = RECALL if name == DECIDED else None
                ratios.append(Ratio(f"{shape}: recall@{K}, {name}", float(np.mean(each)), low, high, at_least=bar))
        told(f"{shape}: " + ", ".join(f"{name} {np.mean(each):.3f}" for name, each in recalls.items()))
    notes = [
        f"{arguments.queries} queries of each shape; {info.indexed_vectors_count:,} of {info.points_count:,} vectors "
        f"are in the graphs of {info.segments_count} segments; Qdrant {client.info().version}, full_scan_threshold "
        f"{info.config.hnsw_config.full_scan_threshold:,} KB"
    ]
    title = f"{info.points_count:,} vectors on a server: how much of the exact answer each way gives, and its time"
    return Section(title, "ms", sides, ratios, figures, notes)


def _mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % bootstrap interval of a mean."""
    drawn = np.random.default_rng(0).choice(np.asarray(values), (2_000, len(values))).mean(axis=1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)


if __name__ == "__main__":
    main()
