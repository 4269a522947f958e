"""How large a catalog is on a Qdrant server, and how quick and right, as it grows: with whole vectors and with int8.

    python benchmarks/server_size.py [--smoke | --short | --full]

Real pictures of all packs are embedded by the product once (kept in build/bench-data), and multiplied to N vectors by
the generator of benchmarks/filters.py, which makes mixtures of real ones whose distances to their neighbours are those
of real ones. recq itself writes them as items with nine fields; the server builds its graph; it is stopped, started and
asked; memory is measured before (what it loads) and after (what the questions have touched besides). Then
`recq-ingest quantise` is done and all of it is measured once more. Processor time of the server is what counts on a
busy machine; seconds are there besides. The last section fits each processor time over N (the slope of log cost over
log N: 1 is linear), and bytes by a straight line, since a server takes some before its first vector. docs/scale.md is
made of the result (tools/make_scale_page.py).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from qdrant_client import QdrantClient, models

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import generated, pictures
from benchmarks.filters import FIELDS, Generator, metadata, real_vectors
from benchmarks.measure import ROOT, Ratio, Report, Section, exponent, median, parser_of, percentile, progress
from recq.evaluate.index_recall import recall
from recq.index.catalog import Catalog
from recq.index.connect import connect
from recq.index.parameters import Parameters
from recq.index.points import ItemVector
from recq.index.quantisation import Kind, Quantised
from recq.index.schema import FileFacts, Item
from recq.operate.quantise import quantise_catalog
from recq.settings import Settings
from recq.space import EmbeddingSpace
from tests.qdrant_server import QdrantServer

SIZES = {"smoke": (600, 1_200), "short": (10_000, 20_000), "full": (10_000, 25_000, 50_000, 100_000)}
QUERIES = {"smoke": 20, "short": 100, "full": 200}
K = 10
NAME = "size"
WHOLE, INT8 = "whole", "int8"

PER_VECTOR = {
    "bytes a vector: own memory, started": "RssAnon, started",
    "bytes a vector: mapped files in memory, started": "RssFile, started",
    "bytes a vector: own memory": "RssAnon",
    "bytes a vector: mapped files in memory": "RssFile",
    "bytes a vector: disk": "disk",
}
BUILD, CPU, RIGHT = "graph: processor ms a vector", "query: server's processor, ms", f"recall@{K}"

_CHUNK, _PAGE = 5_000, 200
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure and keep."""
    asked = parser_of(__doc__).parse_args()
    report = Report(asked)
    generator, space = _source(asked)
    for count in SIZES[asked.size]:
        report.section(f"{count:,} vectors", partial(measured, count, generator, space, QUERIES[asked.size]))
    report.section("growth", partial(growth, report.sections()))


def _source(asked: argparse.Namespace) -> tuple[Generator, EmbeddingSpace]:
    """What vectors are made of."""
    if asked.size == "smoke":
        return Generator(generated.real_vectors(generated.FEW)), generated.space()
    work = pictures.DATA / "real-packs"
    work.mkdir(parents=True, exist_ok=True)
    real, space = real_vectors(ROOT.parent / "shared" / "data", work)
    progress(f"    {len(real):,} real vectors")
    return Generator(real), space


def measured(count: int, generator: Generator, space: EmbeddingSpace, queries: int) -> Section:
    """One catalog of so many vectors, whole and quantised."""
    asking, _ = generator.draw(queries, seed=10**9)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as work, QdrantServer(Path(work) / "server") as server:
        empty = _memory(server)
        settings = Settings(url=server.url, catalog=NAME, request_timeout=300)
        with connect(settings) as client:
            figures |= _filled(client, server, generator, space, count)
        truth: list[list[float]] = []
        for way in (WHOLE, INT8):
            if way == INT8:
                began, cpu = time.perf_counter(), _cpu(server)
                wanted = Quantised.of_kind(Kind.INT8)
                done = quantise_catalog(settings, wanted, queries=queries, bar=0.0, most=min(count, 20_000))
                figures[f"{INT8}: switched on, processor ms a vector"] = 1000 * (_cpu(server) - cpu) / count
                figures[f"{INT8}: switched on, s"] = time.perf_counter() - began
                figures[f"{INT8}: {RIGHT} that it measured before"] = done.recalled.recall
            server.restart()
            with connect(settings) as client:
                catalog = Catalog.open(client, NAME)
                if not truth:
                    truth = [_scores(catalog, vector, exact=True) for vector in asking]
                    server.restart()  # what the exact search has read is not in memory any more
            with connect(settings) as client:
                started = _memory(server)
                figures |= {f"{way}: {name}": each for name, each in _asked(client, server, asking, truth).items()}
            now = {f"{kind}, started": started[kind] for kind in started} | _memory(server)
            now["disk"] = _disk(Path(work) / "server" / "storage")
            for name, kind in PER_VECTOR.items():
                figures[f"{way}: {name}"] = (now[kind] - empty.get(kind.partition(",")[0], 0.0)) / count
    notes = [
        f"{len(asking)} vectors that are not in it ask for their {K} nearest, through recq; memory is that of a server "
        "that was started anew, before (started) and after they have asked, less what an empty one takes"
    ]
    title = f"A catalog of {count:,} vectors of {space.dim:,} numbers"
    return Section(title, "", figures=figures, notes=notes, items=count)


def _filled(
    client: QdrantClient, server: QdrantServer, generator: Generator, space: EmbeddingSpace, count: int
) -> dict[str, float]:
    """Write without a graph, then let the server build it: what each of them took."""
    catalog = Catalog.create(client, NAME, space)
    catalog.fields.declare(FIELDS)
    _index_from(client, catalog, 0)
    began, cpu = time.perf_counter(), _cpu(server)
    for done in range(0, count, _CHUNK):
        vectors, clusters = generator.draw(min(_CHUNK, count - done), seed=done)
        described = metadata(len(vectors), clusters, done)
        items = [
            ItemVector(Item(_facts(done + n), each), vector)
            for n, (each, vector) in enumerate(zip(described, vectors, strict=True))
        ]
        for start in range(0, len(items), _PAGE):
            catalog.writes.upsert(items[start : start + _PAGE])
        progress(f"    written {done + len(vectors):,}")
    took = {
        "writes: s": time.perf_counter() - began,
        "writes: server's processor, ms a vector": 1000 * (_cpu(server) - cpu) / count,
    }
    began, cpu = time.perf_counter(), _cpu(server)
    _index_from(client, catalog, 1_000)  # KB: the smallest form has a graph, too
    while True:
        time.sleep(0.5)
        info = client.get_collection(catalog.collection)
        if info.status == models.CollectionStatus.GREEN and (info.indexed_vectors_count or 0) >= 0.9 * count:
            break
    took[BUILD] = 1000 * (_cpu(server) - cpu) / count
    took["graph: s"] = time.perf_counter() - began
    return took


def _index_from(client: QdrantClient, catalog: Catalog, kilobytes: int) -> None:
    threshold = models.OptimizersConfigDiff(indexing_threshold=kilobytes)
    client.update_collection(catalog.collection, optimizers_config=threshold)


def _asked(
    client: QdrantClient, server: QdrantServer, asking: np.ndarray, truth: Sequence[Sequence[float]]
) -> dict[str, float]:
    """Recall and cost of questions; those that warm it up are the same."""
    catalog = Catalog.open(client, NAME)
    for vector in asking:
        _scores(catalog, vector)
    took, right = [], []
    cpu = _cpu(server)
    for vector, exact in zip(asking, truth, strict=True):
        began = time.perf_counter()
        found = _scores(catalog, vector)
        took.append(1000 * (time.perf_counter() - began))
        right.append(recall(found, exact, higher_is_better=True))
    return {
        RIGHT: float(np.mean(right)),
        "query: median, ms": median(took),
        "query: 95 %, ms": percentile(took, 95),
        CPU: 1000 * (_cpu(server) - cpu) / len(asking),
    }


def _scores(catalog: Catalog, vector: np.ndarray, *, exact: bool = False) -> list[float]:
    finder = catalog.finder.exact() if exact else catalog.finder
    return [hit.score for hit in finder.rank(vector, Parameters(k=K, keep_duplicates=True)).hits]


def growth(sections: Sequence[Mapping[str, Any]]) -> Section:
    """The exponent of each processor time over the number of vectors, and a straight line through each kind of bytes.

    Seconds are left out: on a busy machine they tell more of what else it does.
    """
    more: dict[str, float] = {}
    series: dict[str, dict[int, float]] = defaultdict(dict)
    for section in sections:
        for name, figure in section["figures"].items():
            if section.get("items") and figure:
                series[name][section["items"]] = figure
    ratios = []
    for name, points in series.items():
        sizes = sorted(points)
        costs = [points[size] * (size if "a vector" in name else 1) for size in sizes]
        if len(sizes) < 2 or min(costs) <= 0:
            continue
        if "processor" in name:
            whole = name.replace(" a vector", ", all vectors")
            ratios.append(Ratio(f"{whole} ({sizes[0]:,} to {sizes[-1]:,})", *exponent(sizes, costs)))
        elif "bytes" in name:
            slope, fixed = np.polyfit(sizes, costs, 1)
            more[f"{name}, each further one"] = float(slope)
            more[name.replace("bytes a vector", "bytes that do not grow")] = float(fixed)
    return Section("How costs grow with the number of vectors", "exponent", ratios=ratios, figures=more)


def _facts(number: int) -> FileFacts:
    return FileFacts(
        "shop",
        f"{number // 150:05d}/{number:07d}.jpg",
        100_000,
        1,
        sha256=f"{number:064x}",
        format="JPEG",
        width=400,
        height=533,
        ingested_at="2026-01-01T00:00:00+00:00",
    )


def _memory(server: QdrantServer) -> dict[str, float]:
    """RssAnon and RssFile of the server, bytes."""
    lines = (Path("/proc") / str(server.pid) / "status").read_text("utf-8").splitlines()
    said = dict(line.split(":", 1) for line in lines if line.startswith("Rss"))
    return {name: 1024.0 * int(value.split()[0]) for name, value in said.items()}


def _cpu(server: QdrantServer) -> float:
    """Processor seconds of the server since its start."""
    fields = (Path("/proc") / str(server.pid) / "stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _disk(folder: Path) -> float:
    """Bytes on disk, as the file system counts them."""
    return float(sum(512 * path.stat().st_blocks for path in folder.rglob("*") if path.is_file()))


if __name__ == "__main__":
    main()
