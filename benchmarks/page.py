"""What the page costs at 100,000 items: the first screen, a value that narrows down, a ranking, pages far back.

    python benchmarks/page.py [--smoke | --short | --full] [--no-server]

`recq serve` is a process of its own that asks the index of a daemon, or of a server. The newest 300 items are
photographs, whose thumbnails are made before anything is measured; all others are generated (`generated.py`). Over HTTP
as a browser asks, the page on one connection and its 60 thumbnails on six; then in Chromium, whose cache is empty at
each first screen, from the start of the navigation until all 60 pictures are decoded, and from the click until the new
tiles stand.
"""

from __future__ import annotations

import hashlib
import http.client
import itertools
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from html import unescape
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page
from qdrant_client import QdrantClient

from benchmarks import generated, pictures
from benchmarks.engines import daemon, server
from benchmarks.measure import Ratio, Report, Section, interval, median, parser_of, percentile, progress
from benchmarks.service import serving
from recq.index.catalog import Catalog
from recq.index.connect import own_folder, server_client
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item
from recq.settings import Settings
from tests.browser import browser

PHOTOGRAPHS = 300
CONNECTIONS = 6
"""That a browser opens to one host."""

FIRST_SCREEN, FACET = 300.0, 150.0


@dataclass(frozen=True)
class Amount:
    """Items of the index, times that each page is asked for."""

    items: int
    times: int


AMOUNTS = {"smoke": Amount(600, 3), "short": Amount(10_000, 30), "full": Amount(100_000, 60)}


def main() -> None:
    """Measure and keep."""
    parser = parser_of(__doc__)
    parser.add_argument("--no-server", action="store_true", help="without a Qdrant server")
    parser.add_argument("--no-browser", action="store_true", help="without Chromium")
    asked = parser.parse_args()
    report, amount = Report(asked), AMOUNTS[asked.size]
    for engine in ("daemon", "server")[: 1 if asked.no_server else 2]:
        report.section(f"{engine}, {amount.items:,}, HTTP", partial(over_http, engine, amount))
        if not asked.no_browser:
            report.section(f"{engine}, {amount.items:,}, Chromium", partial(in_chromium, engine, amount))


# ---- over HTTP -------------------------------------------------------------------------------------------------------


def over_http(engine: str, amount: Amount) -> Section:
    """Each page as a browser asks for it."""
    title = f"{engine}, {amount.items:,} items: pages and thumbnails over HTTP"
    with tempfile.TemporaryDirectory(prefix="recq-bench-") as folder, _served(engine, amount, Path(folder)) as address:
        if address is None:
            return Section(title, "ms", not_run={"server": "no server binary"})
        asking = Asking(address)
        first = asking.get("/")
        liked = itertools.cycle(_ids(first))
        last = (amount.items + PHOTOGRAPHS) // 60
        sides: dict[str, Callable[[], object]] = {
            "first screen, HTML": lambda: asking.get("/"),
            "first screen, with 60 thumbnails": asking.first_screen,
            "half of all (a value)": lambda: asking.get("/?filters=half%3Dh1"),
            "a tenth (a value)": lambda: asking.get("/?filters=tenth%3Dt3"),
            "values beside the tenth": lambda: asking.get("/narrow?filters=tenth%3Dt3"),
            "words": lambda: asking.get("/?text=kind"),
            "ranked": lambda: asking.get(f"/?like={next(liked)}"),
            "ranked, a tenth": lambda: asking.get(f"/?like={next(liked)}&filters=tenth%3Dt3"),
            "page 2": lambda: asking.get("/?page=2"),
            "page in the middle": lambda: asking.get(f"/?page={last // 2}"),
            "last page": lambda: asking.get(f"/?page={last}"),
        }
        asking.get("/narrow")  # which fields there are is counted once
        took = _took(sides, amount.times)
    ratios = [_bar("first screen", took["first screen, with 60 thumbnails"], FIRST_SCREEN)]
    ratios += [_bar(name, took[f"{name} (a value)"], FACET) for name in ("half of all", "a tenth")]
    figures = _spread(took)
    return Section(title, "ms", took, ratios, figures, [f"{amount.times} times, in turns"], items=amount.items)


def _took(sides: dict[str, Callable[[], object]], times: int) -> dict[str, list[float]]:
    """Milliseconds of each side, in turns; the first two rounds warm up."""
    took: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(times + 2):
        for side, ask in sides.items():
            began = time.perf_counter()
            ask()
            if number >= 2:
                took[side].append(1000 * (time.perf_counter() - began))
    return took


def _bar(name: str, samples: Sequence[float], most: float) -> Ratio:
    return Ratio(f"{name}, ms, p50", median(samples), *interval(samples), at_most=most)


def _spread(took: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """What each side took at the least, which a busy machine changes little, and what nineteen of twenty took."""
    least = {f"{side}, least": min(samples) for side, samples in took.items()}
    return least | {f"{side}, p95": percentile(samples, 95) for side, samples in took.items()}


def _ids(page: str) -> list[str]:
    return list(dict.fromkeys(re.findall(r"/items/([0-9a-f-]{36})", page)))


class Asking:
    """Asks as a browser does: a page on one connection, its thumbnails on several at a time, all kept."""

    def __init__(self, address: str) -> None:
        self._connections = [http.client.HTTPConnection(address, timeout=120) for _ in range(CONNECTIONS)]

    def get(self, path: str, number: int = 0) -> str:
        """The answer's text. Raises SystemExit for any other than 200."""
        return self._bytes(path, number).decode("utf-8")

    def _bytes(self, path: str, number: int) -> bytes:
        connection = self._connections[number]
        connection.request("GET", path, headers={"Accept": "text/html"})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status}: {content[:500]!r}")
        return content

    def first_screen(self) -> None:
        """The gallery, then its thumbnails."""
        found = [unescape(each) for each in re.findall(r'<img src="([^"]+/thumbnail[^"]*)"', self.get("/"))]
        if len(found) != 60:
            raise SystemExit(f"{len(found)} thumbnails on the first screen")
        some = [
            threading.Thread(target=lambda n: [self._bytes(each, n) for each in found[n::CONNECTIONS]], args=(number,))
            for number in range(CONNECTIONS)
        ]
        for each in some:
            each.start()
        for each in some:
            each.join()


# ---- in Chromium -----------------------------------------------------------------------------------------------------

_SHOWN = """async () => {
  const pictures = [...document.querySelectorAll('.tile img')];
  await Promise.all(pictures.map((each) => each.decode()));
  return [pictures.length, performance.now()];
}"""
_CLICKED = """(name) => new Promise((done) => {
  const link = [...document.querySelectorAll('aside a.value')].find((each) => each.textContent.includes(name));
  const began = performance.now();
  document.addEventListener('htmx:afterSettle', (event) => {
    if (event.detail.elt.id === 'main') requestAnimationFrame(() => done(performance.now() - began));
  }, { once: false });
  link.click();
})"""


def in_chromium(engine: str, amount: Amount) -> Section:
    """What somebody waits for in a browser."""
    title = f"{engine}, {amount.items:,} items: Chromium, 60 small tiles on a window of 1600 x 1200"
    with tempfile.TemporaryDirectory(prefix="recq-bench-") as folder, ExitStack() as stack:
        address = stack.enter_context(_served(engine, amount, Path(folder)))
        if address is None:
            return Section(title, "ms", not_run={"server": "no server binary"})
        Asking(address).first_screen()
        try:
            opened = stack.enter_context(browser())
        except (pytest.skip.Exception, pytest.fail.Exception) as why:
            return Section(title, "ms", not_run={"Chromium": str(why)})
        took: dict[str, list[float]] = {"first screen": [], "facet click": [], "next page": []}
        for number in range(amount.times + 2):
            context = opened.new_context(
                base_url=f"http://{address}", viewport={"width": 1600, "height": 1200}, reduced_motion="reduce"
            )
            found = _visit(context.new_page())
            context.close()
            if number >= 2:
                for side, milliseconds in found.items():
                    took[side].append(milliseconds)
    ratios = [_bar("first screen", took["first screen"], FIRST_SCREEN), _bar("facet click", took["facet click"], FACET)]
    figures = _spread(took)
    return Section(title, "ms", took, ratios, figures, [f"{amount.times} visits"], items=amount.items)


def _visit(page: Page) -> dict[str, float]:
    page.goto("/?size=s", wait_until="commit")
    page.wait_for_selector(".pages", state="attached")
    pictures_shown, first = page.evaluate(_SHOWN)
    if pictures_shown != 60:
        raise SystemExit(f"{pictures_shown} tiles on the first screen")
    page.wait_for_selector("aside a.value")
    clicked = page.evaluate(_CLICKED, "tenth t3")
    page.wait_for_selector(".chip.filter")
    following = page.evaluate(_CLICKED.replace("'aside a.value'", "'a[rel=next]'"), "next")
    return {"first screen": first, "facet click": clicked, "next page": following}


# ---- the index -------------------------------------------------------------------------------------------------------


@contextmanager
def _served(engine: str, amount: Amount, where: Path) -> Iterator[str | None]:
    """The address of a `recq serve`, whose index has the generated items and the photographs."""
    with ExitStack() as stack:
        if engine == "daemon":
            settings = stack.enter_context(generated.folder(amount.items, where))
            with own_folder(settings) as owned:
                _add_photographs(owned.client)
                owned.engine.flush()
            empty = where / "empty"
            empty.mkdir()
            stack.enter_context(daemon([str(empty), "--catalog", "bench"], settings.data_dir))
        else:
            url = stack.enter_context(server(where / "server"))
            if url is None:
                yield None
                return
            settings = Settings(url=url, catalog="bench", data_dir=where)
            client = server_client(settings)
            progress(f"    filling a server with {amount.items:,} items")
            generated.fill(client, "bench", amount.items)
            _add_photographs(client)
            client.close()
        service = stack.enter_context(serving(settings))
        yield service.address


def _add_photographs(client: QdrantClient) -> None:
    """Photographs as the newest items, with vectors around the real ones."""
    folder = pictures.some_of("clothing", PHOTOGRAPHS)
    catalog = Catalog.open(client, "bench")
    catalog.sources.register(folder, "photographs")
    real = generated.real_vectors(generated.FEW)
    entries = []
    for number, path in enumerate(sorted(folder.rglob("*.jpg"))):
        with Image.open(path) as picture:
            width, height = picture.size
        state = path.stat()
        facts = FileFacts(
            "photographs",
            path.relative_to(folder).as_posix(),
            state.st_size,
            state.st_mtime_ns,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            format="JPEG",
            width=width,
            height=height,
            ingested_at="2026-01-01T00:00:00+00:00",
        )
        metadata = generated.item(number).metadata
        noise = np.random.default_rng([3, number]).standard_normal(real.shape[1]).astype(np.float32) / real.shape[1]
        entries.append(ItemVector(Item(facts, metadata), real[number % len(real)] + noise))
    catalog.writes.upsert(entries)


if __name__ == "__main__":
    main()
