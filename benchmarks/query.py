"""How long an answer of the library takes, beside the client's own call and the engine's own.

    python benchmarks/query.py [--smoke | --short | --full] [--no-server]

For each number of vectors (10,000; full: 100,000 and 300,000 as well, generated around real ones), each engine and each
filter (none; values that hold for 50, 10 and 1 % of the items), in turns, one question of each side after another:

    recq      `catalog.similar(ID, k=5, filters=[...])`, the folder held or the connection kept
    client    `QdrantClient.query_points` with the same id, filter, limit and whole payloads, on the same engine (of a
              server: `QdrantClient(url=URL)`, as anybody makes it)
    edge      Qdrant Edge's own `query` with the stored vector (embedded only): no client, no JSON

Then a thousand targets in one process, `similar_many` beside as many calls of the client, and beside the client's own
batches; and questions a second with 1, 8 and 32 clients, without a filter and with each: threads of one process, each
with a connection that is open before the clock runs, to the server, or to the daemon that has the embedded index.
Before all that, answers of the library and the client are compared. The bar is for medians and rates; the slowest of a
hundred answers stand beside them, where a busy machine decides more than either side.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException

import recq
from benchmarks import generated
from benchmarks.engines import daemon, server
from benchmarks.measure import Ratio, Report, Section, parser_of, percentile, progress, ratio
from recq.face.catalog import ImageCatalog
from recq.index.connect import connect, server_client
from recq.index.schema import VECTOR
from recq.settings import Settings

K = 5
TOGETHER = 32
"""Targets of one `query_batch_points`."""

BAR = 1.5
LAPS = 4
"""Questions of each of several clients, on average, that a rate is made of at least."""

FILTERS = {"no filter": None, "50 %": ("half", "h1"), "10 %": ("tenth", "t3"), "1 %": ("hundredth", "h7")}
"""Names, field and value; the values as `generated.item` writes them."""


@dataclass(frozen=True)
class Amount:
    """Sizes of the index, questions of each side, seconds of each load without a filter and with one, targets of a
    batch."""

    sizes: tuple[int, ...]
    questions: int
    seconds: float
    filtered: float
    targets: int
    clients: tuple[int, ...] = (1, 8, 32)


AMOUNTS = {
    "smoke": Amount((600,), 8, 0.1, 0.1, 20, (1, 4)),
    "short": Amount((10_000,), 200, 10.0, 2.5, 1000),
    "full": Amount((10_000, 100_000, 300_000), 500, 25.0, 10.0, 1000),
}


@dataclass(frozen=True)
class Asked:
    """An index to ask: the library's door, the client's, and ids of items."""

    catalog: ImageCatalog
    client: QdrantClient
    collection: str
    ids: Sequence[str]
    items: int

    def recq(self, item: str, chosen: tuple[str, str] | None) -> list[str]:
        """The ids that the library answers."""
        filters = [] if chosen is None else [f"{chosen[0]}={chosen[1]}"]
        return [result.id for result in self.catalog.similar(item, k=K, filters=filters).results]

    def plain(self, item: str, chosen: tuple[str, str] | None) -> list[str]:
        """The ids that the client answers."""
        found = self.client.query_points(
            self.collection, query=item, using=VECTOR, query_filter=_filter(chosen), limit=K, with_payload=True
        )
        return [str(point.id) for point in found.points]

    def batch(self, items: Sequence[str]) -> list[models.QueryResponse]:
        """The client's answers about several items, in one request."""
        asked = [models.QueryRequest(query=each, using=VECTOR, limit=K, with_payload=True) for each in items]
        return self.client.query_batch_points(self.collection, asked)


def main() -> None:
    """Measure and keep."""
    parser = parser_of(__doc__)
    parser.add_argument("--no-server", action="store_true", help="without a Qdrant server")
    parser.add_argument("--sizes", type=int, nargs="+", help="other numbers of vectors")
    asked = parser.parse_args()
    report, amount = Report(asked), AMOUNTS[asked.size]
    for count in asked.sizes or amount.sizes:
        with tempfile.TemporaryDirectory(prefix="recq-bench-") as folder:
            where = Path(folder)
            name = f"embedded, {count:,}"
            with opened_once(partial(_embedded, count, where)) as index:
                _one_by_one(report, name, index, amount)
            with opened_once(partial(_served, count, where)) as index:
                _at_the_same_time(report, name, index, f"a daemon's {name}", amount)
            if not asked.no_server:
                name = f"server, {count:,}"
                with opened_once(partial(_on_server, count, where)) as index:
                    _one_by_one(report, name, index, amount)
                    _at_the_same_time(report, name, index, name, amount)


@contextmanager
def opened_once(opening: Callable[[], Any]) -> Iterator[Callable[[], Asked | None]]:
    """Gives an index that is opened for the first section that is still to be measured, if any."""
    with ExitStack() as stack:
        kept: list[Asked | None] = []

        def index() -> Asked | None:
            if not kept:
                kept.append(stack.enter_context(opening()))
            return kept[0]

        yield index


def _one_by_one(report: Report, name: str, index: Callable[[], Asked | None], amount: Amount) -> None:
    for label, chosen in FILTERS.items():
        report.section(f"{name}, {label}", partial(_alone, index, name, label, chosen, amount))
    report.section(f"{name}, targets", partial(_many, index, name, amount))


# ---- the indexes -----------------------------------------------------------------------------------------------------


@contextmanager
def _embedded(count: int, where: Path) -> Iterator[Asked]:
    with (
        generated.folder(count, where) as settings,
        recq.open(settings=settings) as catalog,
        catalog.held(),
        catalog._session.client() as client,
    ):
        yield _asked(catalog, client)


@contextmanager
def _served(count: int, where: Path) -> Iterator[Asked]:
    """The embedded index of a running daemon, asked by others through its loopback server."""
    with generated.folder(count, where) as settings:
        empty = where / "empty"
        empty.mkdir()
        with (
            daemon([str(empty), "--catalog", settings.catalog], settings.data_dir),
            recq.open(settings=settings) as catalog,
            connect(settings) as client,
        ):
            yield _asked(catalog, client)


@contextmanager
def _on_server(count: int, where: Path) -> Iterator[Asked | None]:
    with server(where / f"server-{count}") as url:
        if url is None:
            yield None
            return
        settings = Settings(url=url, catalog="bench", data_dir=where)
        client = server_client(settings)
        progress(f"    filling a server with {count:,} items")
        generated.fill(client, "bench", count)
        _wait_until_indexed(client)
        client.close()
        with recq.open(settings=settings) as catalog, closing(QdrantClient(url=url)) as plain:
            yield _asked(catalog, plain)


def _asked(catalog: ImageCatalog, client: QdrantClient) -> Asked:
    collection = client.get_aliases().aliases[0].collection_name
    records, _ = client.scroll(collection, limit=1_000, with_payload=False)
    ids = [str(record.id) for record in records]
    made = Asked(catalog, client, collection, ids, client.count(collection).count)
    for chosen in FILTERS.values():  # the same answers, or the times say nothing
        mine, theirs = made.recq(ids[0], chosen), made.plain(ids[0], chosen)
        if len(set(mine) & set(theirs)) < K - 1:
            raise SystemExit(f"recq and the client answer {ids[0]} differently: {mine}, {theirs}")
    return made


def _wait_until_indexed(client: QdrantClient) -> None:
    """Until the server's optimizers rest for three seconds: HNSW is built, where there is to be any."""
    collection = client.get_aliases().aliases[0].collection_name
    quiet = 0
    while quiet < 4:
        green = client.get_collection(collection).status == models.CollectionStatus.GREEN
        quiet = quiet + 1 if green else 0
        time.sleep(1)


def _filter(chosen: tuple[str, str] | None) -> models.Filter | None:
    if chosen is None:
        return None
    return models.Filter(must=[models.FieldCondition(key=chosen[0], match=models.MatchValue(value=chosen[1]))])


# ---- one question after another --------------------------------------------------------------------------------------


def _alone(
    index: Callable[[], Asked | None], name: str, label: str, chosen: tuple[str, str] | None, amount: Amount
) -> Section:
    asked = index()
    title = f"{name} vectors, {label}: one question after another"
    if asked is None:
        return Section(title, "ms", not_run={"server": "no server binary"})
    sides: dict[str, Callable[[str], object]] = {
        "recq": lambda item: asked.recq(item, chosen),
        "client": lambda item: asked.plain(item, chosen),
    }
    edge = _edge_side(asked, chosen)
    if edge is not None:
        sides["edge"] = edge
    items = itertools.cycle(asked.ids)
    for ask in sides.values():
        for _ in range(5):
            ask(next(items))
    clock: dict[str, list[float]] = {side: [] for side in sides}
    processor: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(amount.questions):
        for side in list(sides)[:: -1 if number % 2 else 1]:
            item = next(items)
            began, used = time.perf_counter(), time.process_time()
            sides[side](item)
            clock[side].append(1000 * (time.perf_counter() - began))
            processor[side].append(1000 * (time.process_time() - used))
    ratios = [
        ratio("recq / client, p50", clock["recq"], clock["client"], at_most=BAR),
        ratio("recq / client, p99", clock["recq"], clock["client"], share=99),
        ratio("recq / client, processor of this process", processor["recq"], processor["client"]),
    ]
    if edge is not None:
        ratios.append(ratio("client / edge, p50", clock["client"], clock["edge"]))
    figures = {f"{side}, p99, ms": percentile(samples, 99) for side, samples in clock.items()}
    figures |= {f"{side}, processor, ms": percentile(samples, 50) for side, samples in processor.items()}
    notes = [f"{amount.questions} questions of each side, k = {K}, whole payloads"]
    return Section(title, "ms", clock, ratios, figures, notes, items=asked.items)


def _edge_side(asked: Asked, chosen: tuple[str, str] | None) -> Callable[[str], object] | None:
    """Edge's own call on the shard that the client asks; None on a server."""
    transport = getattr(getattr(asked.client._client, "http", None), "client", None)
    engine = _engine_of(transport)
    if engine is None:
        return None
    import uuid

    import qdrant_edge as edge

    shard = engine._folder.shard(asked.collection)
    filter_ = None
    if chosen is not None:
        filter_ = edge.Filter(must=[edge.FieldCondition(chosen[0], match=edge.MatchValue(chosen[1]))])

    def ask(item: str) -> object:
        with shard.reading() as opened:
            vector = opened.retrieve([uuid.UUID(item)], False, [VECTOR])[0].vector[VECTOR]
            request = edge.QueryRequest(
                limit=K, query=edge.Query.Nearest(vector, using=VECTOR), filter=filter_, with_payload=True
            )
            return [point.payload for point in opened.query(request)]

    return ask


def _engine_of(api: Any) -> Any:
    """The embedded engine behind a client's HTTP client, None where there is a network behind it."""
    transport = getattr(getattr(api, "_client", None), "_transport", None)
    handle = getattr(transport, "_handle", None)
    return getattr(handle, "__self__", None)


# ---- many at the same time -------------------------------------------------------------------------------------------


def _at_the_same_time(report: Report, name: str, index: Callable[[], Asked | None], shown: str, amount: Amount) -> None:
    for kind, chosen in FILTERS.items():
        section = f"{name}, clients" if chosen is None else f"{name}, clients, {kind}"
        seconds = amount.seconds if chosen is None else amount.filtered
        title = f"{shown} vectors, {kind}: questions a second by the number of clients"
        report.section(section, partial(_together, index, title, chosen, amount.clients, seconds))


def _together(
    index: Callable[[], Asked | None],
    title: str,
    chosen: tuple[str, str] | None,
    numbers: Sequence[int],
    seconds: float,
) -> Section:
    asked = index()
    if asked is None:
        return Section(title, "questions/s", not_run={"server": "no server binary"})
    sides: dict[str, list[float]] = {}
    figures: dict[str, float] = {}
    ratios: list[Ratio] = []
    rounds = 5
    for clients in numbers:
        both: dict[str, Callable[[str], object]] = {
            f"recq, {clients} clients": partial(asked.recq, chosen=chosen),
            f"client, {clients} clients": partial(asked.plain, chosen=chosen),
        }
        slowest: dict[str, list[float]] = {side: [] for side in both}
        for number in range(rounds):
            for side in list(both)[:: -1 if number % 2 else 1]:
                held = asked.catalog.held if side.startswith("recq") else nullcontext
                took, rate, failed = _load(asked.ids, both[side], held, clients, seconds / rounds)
                sides.setdefault(side, []).append(rate)
                slowest[side] += took
                if failed:
                    name = f"{side}, questions that failed and were asked again"
                    figures[name] = figures.get(name, 0) + failed
        for side, took in slowest.items():
            figures |= {f"{side}, p50, ms": percentile(took, 50), f"{side}, p99, ms": percentile(took, 99)}
        mine, theirs = both
        ratios.append(ratio(f"client / recq, {clients} clients", sides[theirs], sides[mine], at_most=BAR))
    notes = [f"{rounds} rounds of {seconds / rounds:g} s, longer until each client has had {LAPS} answers on average"]
    return Section(title, "questions/s", sides, ratios, figures, notes)


def _load(
    ids: Sequence[str],
    ask: Callable[[str], object],
    held: Callable[[], AbstractContextManager[object]],
    clients: int,
    seconds: float,
) -> tuple[list[float], float, int]:
    """The milliseconds of all questions that so many threads ended in so many seconds, their rate, and how many had to
    be asked again: a connection of httpx's pool may be closed by another thread while it is used.

    The clock runs when each has its connection, and has asked once through it, until `LAPS` questions of each have
    ended on average, however slow the index is: of fewer, a rate is what chance makes it. What has not ended with the
    clock is not counted.
    """
    ended: list[tuple[float, float]] = []
    failed: list[Exception] = []
    ready = threading.Barrier(clients + 1)
    over, enough = threading.Event(), threading.Event()

    def client(first: int) -> None:
        with held():
            ask(ids[first % len(ids)])
            ready.wait()
            for number in itertools.count(first, 7):
                asked_at = time.perf_counter()
                try:
                    ask(ids[number % len(ids)])
                except ResponseHandlingException as error:
                    failed.append(error)
                    ask(ids[number % len(ids)])
                now = time.perf_counter()
                ended.append((now, 1000 * (now - asked_at)))
                if len(ended) >= LAPS * clients:
                    enough.set()
                if over.is_set():
                    return

    def failing(done: Future[None]) -> None:
        if done.exception():
            ready.abort()
            enough.set()

    with ThreadPoolExecutor(clients) as threads:
        running = [threads.submit(client, number) for number in range(clients)]
        for each in running:
            each.add_done_callback(failing)
        ready.wait()
        began = time.perf_counter()
        time.sleep(seconds)
        enough.wait()
        end = time.perf_counter()
        over.set()
        for each in running:
            each.result()
    took = [ms for at, ms in ended if at <= end]
    return took, len(took) / (end - began), len(failed)


# ---- many targets ----------------------------------------------------------------------------------------------------


def _many(index: Callable[[], Asked | None], name: str, amount: Amount) -> Section:
    asked = index()
    title = f"{name} vectors: {amount.targets:,} targets in one process"
    if asked is None:
        return Section(title, "s", not_run={"server": "no server binary"})
    targets = [asked.ids[number % len(asked.ids)] for number in range(amount.targets)]
    one, batches = "query_points, one after another", f"query_batch_points, {TOGETHER} at a time"
    sides: dict[str, list[float]] = {"similar_many": [], one: [], batches: []}
    for number in range(5 if amount.targets >= 100 else 1):
        for side in list(sides)[:: -1 if number % 2 else 1]:
            began = time.perf_counter()
            if side == "similar_many":
                answered = len(list(asked.catalog.iter_similar(targets, k=K)))
            elif side == one:
                answered = len([asked.plain(target, None) for target in targets])
            else:
                starts = range(0, len(targets), TOGETHER)
                answered = sum(len(asked.batch(targets[start : start + TOGETHER])) for start in starts)
            sides[side].append(time.perf_counter() - began)
            if answered != len(targets):
                raise SystemExit(f"{side}: {answered} answers to {len(targets)} targets")
    mine = sides["similar_many"]
    ratios = [
        ratio("similar_many / query_points", mine, sides[one], at_most=BAR),
        ratio("similar_many / query_batch_points", mine, sides[batches]),
    ]
    return Section(title, "s", sides, ratios, items=asked.items)


if __name__ == "__main__":
    main()
