"""What the page costs at 100,000 items: the first screen, a value that narrows down, a ranking, pages far back.

    python benchmarks/page.py [--smoke | --short | --full] [--no-server]

`recq serve` is a process of its own that asks the index of a daemon, or of a server. The newest 300 items are
photographs, whose thumbnails are made before anything is measured; all others are generated (`generated.py`). Over HTTP
as a browser asks, the page on one connection and its 60 thumbnails on six; then in Chromium, from the start of the
navigation until all 60 pictures are decoded: warm, in a tab that has shown them before, and with nothing in the cache,
each beside the same bytes given from memory, which is Chromium's own share; and from the click until the new tiles
stand. Last a review of 1,000 groups of duplicates, each decided over HTTP and the next one shown.
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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page
from qdrant_client import QdrantClient

from benchmarks import generated, pictures
from benchmarks.engines import daemon, server
from benchmarks.measure import Ratio, Report, Section, interval, median, parser_of, percentile, progress, ratio
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
WARM, COLD, CLICK = "first screen, warm", "first screen, nothing cached", "facet click"
FROM_MEMORY = ", the same bytes from memory"


@dataclass(frozen=True)
class Amount:
    """Items of the index, times that each page is asked for, groups of a review of duplicates."""

    items: int
    times: int
    groups: int


AMOUNTS = {"smoke": Amount(600, 3, 8), "short": Amount(10_000, 30, 100), "full": Amount(100_000, 60, 1_000)}


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
    report.section(f"review, {amount.groups:,} groups", partial(review, amount.groups))


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

    def post(self, path: str, form: str) -> None:
        """Send a form, whose answer leads elsewhere. Raises SystemExit for any other."""
        connection = self._connections[0]
        connection.request("POST", path, form, {"Content-Type": "application/x-www-form-urlencoded"})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 303:
            raise SystemExit(f"{path}: {answer.status}: {content[:500]!r}")

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
        plain = stack.enter_context(_from_memory(address))
        names = (WARM, WARM + FROM_MEMORY, COLD, COLD + FROM_MEMORY, CLICK, "next page")
        took: dict[str, list[float]] = {name: [] for name in names}
        for number in range(amount.times + 2):
            found: dict[str, float] = {}
            for where, visit in ((address, _visit), (plain, _look_at_plain)):
                context = opened.new_context(
                    base_url=f"http://{where}", viewport={"width": 1600, "height": 1200}, reduced_motion="reduce"
                )
                found |= visit(context.new_page())
                context.close()
            if number >= 2:
                for side, milliseconds in found.items():
                    took[side].append(milliseconds)
    ratios = [_bar(WARM, took[WARM], FIRST_SCREEN), _bar(CLICK, took[CLICK], FACET)]
    ratios += [
        ratio(f"{name} / the same bytes from memory", took[name], took[name + FROM_MEMORY]) for name in (WARM, COLD)
    ]
    figures = _spread(took)
    return Section(title, "ms", took, ratios, figures, [f"{amount.times} visits"], items=amount.items)


def _visit(page: Page) -> dict[str, float]:
    first = _first_screens(page)
    clicked = page.evaluate(_CLICKED, "tenth t3")
    page.wait_for_selector(".chip.filter")
    following = page.evaluate(_CLICKED.replace("'aside a.value'", "'a[rel=next]'"), "next")
    return first | {CLICK: clicked, "next page": following}


def _look_at_plain(page: Page) -> dict[str, float]:
    return {name + FROM_MEMORY: took for name, took in _first_screens(page).items()}


def _first_screens(page: Page) -> dict[str, float]:
    return {name: _first_screen(page) for name in (COLD, WARM)}


def _first_screen(page: Page) -> float:
    page.goto("/?size=s", wait_until="commit")
    page.wait_for_selector(".pages", state="attached")
    pictures_shown, took = page.evaluate(_SHOWN)
    if pictures_shown != 60:
        raise SystemExit(f"{pictures_shown} tiles on the first screen")
    page.wait_for_selector("aside a.value")  # what follows the pictures is not a part of the next visit
    return float(took)


@contextmanager
def _from_memory(address: str) -> Iterator[str]:
    """The address of a server that gives the same first screen, byte for byte, and asks nobody."""
    kept: dict[str, tuple[bytes, dict[str, str]]] = {}

    class Kept(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path not in kept:
                connection = http.client.HTTPConnection(address, timeout=120)
                connection.request("GET", self.path, headers={"Accept": "text/html"})
                answer = connection.getresponse()
                headers = {name: answer.getheader(name, "") for name in ("Content-Type", "Cache-Control")}
                kept[self.path] = answer.read(), headers
                connection.close()
            content, headers = kept[self.path]
            self.send_response(200)
            for name, value in (headers | {"Content-Length": str(len(content))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Kept) as serving_kept:
        thread = threading.Thread(target=serving_kept.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{serving_kept.server_port}"
        finally:
            serving_kept.shutdown()
            thread.join()


# ---- a review of duplicates ------------------------------------------------------------------------------------------


def review(groups: int) -> Section:
    """All groups of a catalog of pairs, decided one after the other as the page does it."""
    title = f"A review of {groups:,} groups of the same picture: each decision, and the page with the next group"
    took: dict[str, list[float]] = {"decision, first tenth": [], "decision, last tenth": []}
    with tempfile.TemporaryDirectory(prefix="recq-bench-") as folder, ExitStack() as stack:
        where = Path(folder)
        settings = Settings(data_dir=where / "data", catalog="pairs", lock_wait=60)
        with own_folder(settings) as owned:
            _add_pairs(owned.client, groups, where / "pairs")
            owned.engine.flush()
        asking = Asking(stack.enter_context(serving(settings)).address)
        began = time.perf_counter()
        asking.post("/duplicates/look", "")
        while "Look again" not in (page := asking.get("/duplicates")):
            time.sleep(0.5)
        looked = time.perf_counter() - began
        if f"of {groups:,} groups" not in page:
            raise SystemExit(f"not {groups:,} groups: {page}")
        for number in range(groups):
            seen = re.findall(r'name="seen" value="([^"]+)"', page)
            keep = re.findall(r'name="keep" value="([^"]+)" checked', page)
            began = time.perf_counter()
            asking.post("/duplicates/decide", urlencode([*(("seen", s) for s in seen), *(("keep", k) for k in keep)]))
            page = asking.get("/duplicates")
            milliseconds = 1000 * (time.perf_counter() - began)
            if number < max(1, groups // 10):
                took["decision, first tenth"].append(milliseconds)
            elif number >= groups - max(1, groups // 10):
                took["decision, last tenth"].append(milliseconds)
        listed = asking.get("/duplicates/superfluous.txt").splitlines()
        if "Every group is decided" not in page or len(listed) != groups:
            raise SystemExit(f"{len(listed)} files are listed after {groups} decisions")
    figures = {"the look for groups, s": looked, **_spread(took)}
    return Section(title, "ms", took, (), figures, [f"{2 * groups:,} files"], items=2 * groups)


def _add_pairs(client: QdrantClient, groups: int, folder: Path) -> None:
    """Photographs of 160 pixels, and each once more with 120, with vectors that are nearly those of their pair."""
    found = pictures.pack("clothing")
    catalog = Catalog.create(client, "pairs", generated.space())
    folder.mkdir()
    catalog.sources.register(folder, "pairs")
    numbers = np.random.default_rng(7)
    entries = []
    for number in range(groups):
        vector = numbers.standard_normal(catalog.space.dim, dtype=np.float32)
        with Image.open(found[number % len(found)]) as opened:
            picture = opened.convert("RGB").rotate(90 * (number // len(found)))
        for side in (160, 120):
            path = folder / f"{number:04d}-{side}.jpg"
            small = picture.copy()
            small.thumbnail((side, side))
            small.save(path, quality=92)
            noise = numbers.standard_normal(catalog.space.dim, dtype=np.float32) * np.float32(0.01)
            entries.append(ItemVector(Item(_facts("pairs", folder, path), {}), vector + noise))
    for start in range(0, len(entries), 500):
        catalog.writes.upsert(entries[start : start + 500])


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
        facts = _facts("photographs", folder, path)
        metadata = generated.item(number).metadata
        noise = np.random.default_rng([3, number]).standard_normal(real.shape[1], dtype=np.float32) / real.shape[1]
        entries.append(ItemVector(Item(facts, metadata), real[number % len(real)] + noise))
    catalog.writes.upsert(entries)


def _facts(source: str, folder: Path, path: Path) -> FileFacts:
    """A file as a daemon would have found it."""
    with Image.open(path) as picture:
        width, height = picture.size
    state = path.stat()
    return FileFacts(
        source,
        path.relative_to(folder).as_posix(),
        state.st_size,
        state.st_mtime_ns,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        format="JPEG",
        width=width,
        height=height,
        ingested_at="2026-01-01T00:00:00+00:00",
    )


if __name__ == "__main__":
    main()
