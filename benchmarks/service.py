"""What a question costs over HTTP, beside the library's own call, and what questions cost a daemon that is at work.

    python benchmarks/service.py [--smoke | --short | --full] [--no-server]

`recq serve` is a process of its own that asks the index of a daemon, or of a server; this process asks it over one
connection that is kept, and asks the same index by the library, in turns.

by id      `GET similar?target=NAME` / `catalog.similar(NAME)`, 10,000 items (full: 100,000, too)
picture    `POST similar/picture` of a photograph that is not indexed, beside its parts in this process: decoding to the
           network's input, one inference, one question about a vector; the bar is 30 ms more than their sum
ingest     pictures a second of a daemon's backlog, with and without 20 questions a second that `CLIENTS` ask beside it
"""

from __future__ import annotations

import http.client
import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

import recq
from benchmarks import generated, pictures
from benchmarks.engines import daemon, server
from benchmarks.measure import (
    PROGRAMS,
    Ratio,
    Report,
    Section,
    environment,
    interval,
    median,
    parser_of,
    percentile,
    progress,
    ratio,
)
from recq.face.catalog import ImageCatalog
from recq.images import Limits, to_input
from recq.images.decode import decode
from recq.index.connect import server_client
from recq.models import open_embedder
from recq.settings import Settings

Asked = TypeVar("Asked")

K = 5
BY_ID, MORE_MS, INGEST = 1.5, 30.0, 0.75
RATE = 20.0
"""Questions a second beside a backlog, of all clients together."""
CLIENTS = 8


@dataclass(frozen=True)
class Amount:
    """Sizes of the index, questions of each side, pictures of the backlog, rounds of it."""

    sizes: tuple[int, ...]
    questions: int
    backlog: int
    rounds: int


AMOUNTS = {
    "smoke": Amount((600,), 8, 40, 1),
    "short": Amount((10_000,), 200, 1_000, 3),
    "full": Amount((10_000, 100_000), 500, 5_000, 3),
}


def main() -> None:
    """Measure and keep."""
    parser = parser_of(__doc__)
    parser.add_argument("--no-server", action="store_true", help="without a Qdrant server")
    parser.add_argument("--sizes", type=int, nargs="+", help="other numbers of vectors")
    asked = parser.parse_args()
    report, amount = Report(asked), AMOUNTS[asked.size]
    for count in asked.sizes or amount.sizes:
        report.section(f"daemon, {count:,}, by id", partial(by_id, "daemon", count, amount))
        if not asked.no_server:
            report.section(f"server, {count:,}, by id", partial(by_id, "server", count, amount))
    report.section("picture", partial(picture, amount))
    report.section("ingest", partial(ingest, amount))


# ---- questions -------------------------------------------------------------------------------------------------------


def by_id(engine: str, count: int, amount: Amount) -> Section:
    """The same question about an item over HTTP and by the library."""
    title = f"{engine}, {count:,} items: similar by item over HTTP, and by the library"
    with tempfile.TemporaryDirectory(prefix="recq-bench-") as folder, _index(engine, count, Path(folder)) as settings:
        if settings is None:
            return Section(title, "ms", not_run={"server": "no server binary"})
        with recq.open(settings=settings) as catalog, catalog.held(), serving(settings) as service:
            names = [each.name for each in catalog.search(k=200).results]
            sides: dict[str, Callable[[str], object]] = {
                "HTTP": lambda name: service.similar(name),
                "library": lambda name: _named(catalog, name),
            }
            if service.similar(names[0]) != _named(catalog, names[0]):
                raise SystemExit(f"the service and the library answer {names[0]} differently")
            took = _in_turns(sides, names, amount.questions)
    figures = {f"{side}, p99, ms": percentile(samples, 99) for side, samples in took.items()}
    ratios = [
        ratio("HTTP / library, p50", took["HTTP"], took["library"], at_most=BY_ID),
        ratio("HTTP / library, p99", took["HTTP"], took["library"], share=99),
    ]
    notes = [f"{amount.questions} questions of each side, k = {K}, one after another"]
    return Section(title, "ms", took, ratios, figures, notes, items=count)


def picture(amount: Amount) -> Section:
    """A picture that is sent, beside the parts of its road."""
    with tempfile.TemporaryDirectory(prefix="recq-bench-") as folder, ExitStack() as stack:
        settings = stack.enter_context(_index("daemon", amount.sizes[0], Path(folder)))
        assert settings is not None, "a daemon is always there"
        catalog = stack.enter_context(recq.open(settings=settings))
        stack.enter_context(catalog.held())
        service = stack.enter_context(serving(settings))
        space = catalog.space
        embedder = stack.enter_context(open_embedder(space, Settings.load()))
        limits = Limits.from_settings(settings)
        photographs = [path.read_bytes() for path in pictures.pack("clothing")[:: max(1, 1_192 // amount.questions)]]
        pixels: list[np.ndarray] = []
        vectors: list[np.ndarray] = []

        def decoded(content: bytes) -> None:
            pixels.append(to_input(decode(content, limits, reduce_to=space.input.size).rgb, space.input))

        def inferred(_: bytes) -> None:
            vectors.append(embedder.submit(pixels[-1]).result())

        sides: dict[str, Callable[[bytes], object]] = {
            "decoding": decoded,
            "one inference": inferred,
            "one question": lambda _: catalog.similar(vectors[-1], k=K),
            "HTTP": service.similar_to,
        }
        took = _in_turns(sides, photographs, amount.questions, backwards=False)
    road = [sum(each) for each in zip(*(took[name] for name in sides if name != "HTTP"), strict=True)]
    more = [whole - parts for whole, parts in zip(took["HTTP"], road, strict=True)]
    ratios = [
        Ratio("ms more than the parts together, p50", median(more), *interval(more), at_most=MORE_MS),
        ratio("HTTP / the parts together, p50", took["HTTP"], road),
    ]
    figures = {"HTTP, p99, ms": percentile(took["HTTP"], 99), "the parts together, p50, ms": median(road)}
    title = "A photograph that is sent: the service, and the parts of its road"
    return Section(title, "ms", took, ratios, figures, [f"{amount.questions} photographs, one after another"])


def _in_turns(
    sides: dict[str, Callable[[Asked], object]], targets: Sequence[Asked], count: int, *, backwards: bool = True
) -> dict[str, list[float]]:
    """Milliseconds of so many questions of each side, one of each after another; the first five warm up."""
    took: dict[str, list[float]] = {side: [] for side in sides}
    given = itertools.cycle(targets)
    for number in range(count + 5):
        target = next(given)
        for side in list(sides)[:: -1 if backwards and number % 2 else 1]:
            began = time.perf_counter()
            sides[side](target)
            if number >= 5:
                took[side].append(1000 * (time.perf_counter() - began))
    return took


def _named(catalog: ImageCatalog, name: str) -> list[str]:
    return [each.name for each in catalog.similar(name, k=K).results]


# ---- beside a backlog ------------------------------------------------------------------------------------------------


def ingest(amount: Amount) -> Section:
    """A daemon's backlog with and without questions."""
    waiting = pictures.some_of("clothing", amount.backlog)
    sides: dict[str, list[float]] = {"alone": [], "with questions": []}
    asked: list[float] = []
    rates: list[float] = []
    for number in range(amount.rounds):
        for side in list(sides)[:: -1 if number % 2 else 1]:
            with tempfile.TemporaryDirectory(prefix="recq-bench-") as folder:
                rate, took = _worked_off(waiting, amount.backlog, Path(folder), questions=side != "alone")
            sides[side].append(rate)
            if side != "alone":
                asked += took
                rates.append(len(took) * rate / amount.backlog)
            progress(f"    round {number + 1} of {amount.rounds}: {side}: {rate:.1f} images/s")
    ratios = [ratio("with questions / alone", sides["with questions"], sides["alone"], at_least=INGEST)]
    figures = {"questions": float(len(asked)), "questions a second": median(rates)}
    if asked:
        figures |= {"question, p50, ms": percentile(asked, 50), "question, p99, ms": percentile(asked, 99)}
    title = f"A backlog of {amount.backlog:,} pictures, with and without {RATE:g} questions a second over HTTP"
    return Section(title, "images/s", sides, ratios, figures, [f"{amount.rounds} rounds, in turns"])


def _worked_off(waiting: Path, count: int, where: Path, *, questions: bool) -> tuple[float, list[float]]:
    """Images a second from the first indexed picture to the last, and the milliseconds of the questions."""
    first = where / "first"
    first.mkdir()
    for number in range(8):
        (first / f"{number}.jpg").write_bytes(pictures.another(20_000 + number))
    data = where / "data"
    settings = Settings(data_dir=data, lock_wait=60)
    with ExitStack() as stack:
        with daemon([str(first)], data) as running:
            running.wait_until(lambda _: running.settled() >= 8)
        service = None
        if questions:
            service = stack.enter_context(serving(settings))
        running = stack.enter_context(daemon([str(first), str(waiting)], data))
        took: list[float] = []
        if service is not None:
            stack.enter_context(_asking(service.address, took))
        began, before = time.perf_counter(), running.settled()
        running.wait_until(lambda _: running.settled() >= count)
        return (count - before) / (time.perf_counter() - began), took


@contextmanager
def _asking(address: str, took: list[float]) -> Iterator[None]:
    """Ask `RATE` questions a second for the length of the block: each is due at its time, and the next client that is
    free asks it. What each took is counted from when it was due, in ms."""
    done = threading.Event()
    numbers = itertools.count()
    began = time.perf_counter()

    def ask() -> None:
        connection = http.client.HTTPConnection(address, timeout=120)
        service = Service(connection, address)
        while not done.is_set():
            number = next(numbers)
            due = began + number / RATE
            if done.wait(max(0.0, due - time.perf_counter())):
                break
            service.similar(f"first/{number % 8}.jpg")
            took.append(1000 * (time.perf_counter() - due))
        connection.close()

    clients = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for each in clients:
        each.start()
    try:
        yield
    finally:
        done.set()
        for each in clients:
            each.join()


# ---- the sides -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Service:
    """A running `recq serve`, asked over one connection that is kept."""

    connection: http.client.HTTPConnection
    address: str

    def similar(self, name: str) -> list[str]:
        """The names of what looks most like an item."""
        return self._asked("GET", f"/api/v1/similar?target={quote(name, safe='')}&k={K}", None)

    def similar_to(self, content: bytes) -> list[str]:
        """The names of what looks most like the picture in these bytes."""
        return self._asked("POST", f"/api/v1/similar/picture?k={K}", content)

    def _asked(self, method: str, route: str, body: bytes | None) -> list[str]:
        self.connection.request(method, route, body)
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{route}: {answer.status}: {content.decode('utf-8', 'replace')[:500]}")
        return [each["name"] for each in json.loads(content)["results"]]


@contextmanager
def serving(settings: Settings) -> Iterator[Service]:
    """`recq serve` on a free port of loopback."""
    more = {"RECQ_DATA_DIR": str(settings.data_dir), "RECQ_CATALOG": settings.catalog, "RECQ_LOCK_WAIT": "60"}
    process = subprocess.Popen(
        [str(PROGRAMS / "recq"), "serve", "--port", "0"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**more, **({} if settings.url is None else {"RECQ_URL": settings.url})),
    )
    assert process.stderr is not None
    try:
        said = process.stderr.readline()
        if "http://" not in said:
            raise SystemExit(f"recq serve: {said}{process.stderr.read()}")
        address = said.split("http://", 1)[1].split("/", 1)[0]
        threading.Thread(target=process.stderr.read, daemon=True).start()
        connection = http.client.HTTPConnection(address, timeout=120)
        yield Service(connection, address)
        connection.close()
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def _index(engine: str, count: int, where: Path) -> Iterator[Settings | None]:
    """Settings by which the generated catalog is asked: of a daemon that has it, or of a server."""
    if engine == "daemon":
        empty = where / "empty"
        empty.mkdir()
        with generated.folder(count, where) as settings, daemon([str(empty), "--catalog", "bench"], settings.data_dir):
            yield settings
        return
    with server(where / "server") as url:
        if url is None:
            yield None
            return
        settings = Settings(url=url, catalog="bench", data_dir=where)
        client = server_client(settings)
        progress(f"    filling a server with {count:,} items")
        generated.fill(client, "bench", count)
        client.close()
        yield settings


if __name__ == "__main__":
    main()
