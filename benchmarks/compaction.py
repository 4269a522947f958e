"""What giving dead space back costs: sizes, duration, and what queries and writes wait for meanwhile.

    python benchmarks/compaction.py [--smoke | --short | --full] [--sizes N ...]

Every point is replaced three times by one of another id, as when files are deleted and others dropped. Then queries
and upserts run one after another, first alone and then during the compaction at the pace a daemon gives it. Edge only,
through the REST API that the catalog uses; vectors are random, payloads those of an indexed picture.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from qdrant_client import QdrantClient, models

from benchmarks.measure import Report, Section, parser_of
from recq.index.edge.folder import Folder
from recq.index.edge.routes import answer
from recq.index.edge.transport import EdgeTransport
from recq.index.edge.waste import bytes_of
from recq.index.fields import Fields
from recq.index.schema import FileFacts, Item

SIZES = {"smoke": (500,), "short": (20_000,), "full": (20_000, 100_000)}
DIM = 1280
BATCH = 32
_QUERIES_ALONE = 300


@dataclass(frozen=True)
class Latency:
    """Seconds of many calls."""

    p50: float
    p99: float
    longest: float

    @classmethod
    def of(cls, seconds: list[float]) -> Latency:
        """Of at least one call."""
        p50, p99, longest = np.quantile(seconds, [0.5, 0.99, 1.0])
        return cls(float(p50), float(p99), float(longest))

    def figures(self, what: str) -> dict[str, float]:
        """In milliseconds, by name."""
        return {f"{what}, {name}, ms": 1000 * seconds for name, seconds in vars(self).items()}


def client_of(folder: Folder) -> QdrantClient:
    """The client that the catalog has."""
    transport = EdgeTransport(partial(answer, folder))
    return QdrantClient(url="http://embedded", transport=transport, check_compatibility=False, cloud_inference=True)


def batches(round_: int, points: int) -> Iterator[list[models.PointStruct]]:
    """The points of one round."""
    numbers = np.random.default_rng(round_)
    for start in range(0, points, BATCH):
        vectors = numbers.standard_normal((BATCH, DIM), dtype=np.float32)
        yield [point(round_, number, vectors[number - start]) for number in range(start, min(start + BATCH, points))]


def ident(round_: int, number: int) -> str:
    """The id of a point."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{round_}/{number}"))


def point(round_: int, number: int, vector: np.ndarray) -> models.PointStruct:
    """One indexed picture."""
    facts = FileFacts(
        source="shop",
        path=f"shoes/{round_}/{number:06d}.jpg",
        size=number,
        mtime_ns=number,
        sha256=uuid.uuid5(uuid.NAMESPACE_URL, f"{round_}/{number}").hex * 2,
        format="JPEG",
        width=800,
        height=600,
        ingested_at="2025-01-01T00:00:00Z",
    )
    item = Item(facts, {"category": f"category {number % 20}", "title": f"a shoe of round {round_}, number {number}"})
    return models.PointStruct(id=ident(round_, number), vector={"image": vector.tolist()}, payload=item.to_payload())


def fill(client: QdrantClient, rounds: int, points: int) -> None:
    """A collection whose points were all replaced `rounds` times."""
    params = models.VectorParams(size=DIM, distance=models.Distance.COSINE)
    client.create_collection("c", vectors_config={"image": params})
    Fields(client, "c").create_own()
    for field in ("category", "title"):
        client.create_payload_index("c", field, models.PayloadSchemaType.KEYWORD, wait=True)
    for round_ in range(rounds + 1):
        for number, batch in enumerate(batches(round_, points)):
            if round_:
                old = range(number * BATCH, number * BATCH + len(batch))
                client.delete("c", [ident(round_ - 1, each) for each in old], wait=True)
            client.upsert("c", batch, wait=True)


def load(client: QdrantClient, rounds: int, points: int, going_on: Callable[[int], bool]) -> tuple[Latency, Latency]:
    """Queries and upserts of existing points in turn, a few a second: what each waits for."""
    numbers = np.random.default_rng(0)
    queries: list[float] = []
    upserts: list[float] = []
    while going_on(len(queries)):
        vector = numbers.standard_normal(DIM, dtype=np.float32)
        started = time.perf_counter()
        client.query_points("c", query=vector.tolist(), using="image", limit=10)
        queries.append(time.perf_counter() - started)
        which = int(numbers.integers(points))
        started = time.perf_counter()
        client.upsert("c", [point(rounds, which, vector)], wait=True)
        upserts.append(time.perf_counter() - started)
    return Latency.of(queries), Latency.of(upserts)


def anonymous() -> int:
    """RssAnon of this process in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")))


def rest_as_long(seconds: float) -> None:
    """The pace of a daemon: half of the time."""
    time.sleep(seconds)


def measure(points: int) -> Section:
    """One size, in a folder of its own."""
    with tempfile.TemporaryDirectory() as where:
        return _measured(points, Path(where))


def _measured(points: int, where: Path) -> Section:
    fresh = Folder(where / "fresh")
    fill(client_of(fresh), 0, points)
    fresh.flush()
    fresh_bytes = bytes_of(where / "fresh")
    fresh.close()
    shutil.rmtree(where / "fresh")
    folder = Folder(where / "used")
    client = client_of(folder)
    fill(client, 3, points)
    folder.flush()
    before, memory = bytes_of(where / "used"), anonymous()
    alone = load(client, 3, points, lambda done: done < _QUERIES_ALONE)
    durations: list[float] = []

    def compact() -> None:
        started = time.perf_counter()
        folder.compact("c", rest_as_long)
        durations.append(time.perf_counter() - started)

    thread = threading.Thread(target=compact)
    thread.start()
    meanwhile = load(client, 3, points, lambda _: thread.is_alive())
    thread.join()
    after = bytes_of(where / "used")
    count = client.count("c").count
    folder.close()
    figures = {
        "compaction, s": durations[0],
        "on disk, fresh, MB": fresh_bytes / 1e6,
        "on disk, all replaced 3 times, MB": before / 1e6,
        "on disk, afterwards, MB": after / 1e6,
        "anonymous memory before, MB": memory / 1e6,
        "anonymous memory afterwards, MB": anonymous() / 1e6,
    }
    for what, idle, busy in zip(("query", "upsert"), alone, meanwhile, strict=True):
        figures |= idle.figures(f"{what} alone") | busy.figures(f"{what} meanwhile")
    assert count == points, f"{count} of {points} points are left"
    return Section(f"{points:,} points of {DIM} numbers compacted", "s", figures=figures, items=points)


def main() -> None:
    """Measure and keep."""
    parser = parser_of(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", help="other numbers of points")
    asked = parser.parse_args()
    report = Report(asked)
    for points in asked.sizes or SIZES[asked.size]:
        report.section(f"{points:,}", partial(measure, points))


if __name__ == "__main__":
    main()
