"""A small shop of pictures, indexed with known vectors on each engine, and `recq` to ask it."""

from __future__ import annotations

import hashlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from recq import paths
from recq.errors import Reason
from recq.index.schema import FileFacts, Item, ItemError
from recq.settings import Settings
from tests.secrecy import require_kept

ENGINES = [
    "embedded",
    pytest.param("loopback", marks=pytest.mark.long),  # request by request tests/contract compares it with both others
    pytest.param("server", marks=pytest.mark.server),
]
CATALOG = "shop"

HOSTILE = "evil\x1b[31m\nname.png"
LATIN1 = os.fsdecode(b"caf\xe9.png")

# path: (angle in radians, metadata); the score of two items is the cosine of the difference of their angles.
GOODS: dict[str, tuple[float, dict[str, Any]]] = {
    "sofas/one.png": (0.0, {"category": "sofa", "price": 100.0, "title": "Leather sofa, three seats"}),
    "sofas/two.png": (0.1, {"category": "sofa", "price": 49.5, "labels": ["Action", "Drama"]}),
    "beds/three.png": (0.25, {"category": "bed", "price": 250.0, "in_stock": True}),
    "beds/one.png": (0.37, {"category": "bed", "price": 80.0}),
    "twin-b.png": (0.6, {"category": "twin"}),
    "twin-a.png": (0.6, {"category": "twin", "name": "Smith, Jones", "rank": 7}),
    HOSTILE: (1.2, {"title": "bad \x1b[31m title"}),
    LATIN1: (1.3, {}),
}
FAILED = "broken.png"
WAITING = "waiting.png"
CHANGED = "sofas/one.png"
"""Has other bytes than when it was indexed."""


@dataclass(frozen=True)
class Reply:
    """What a command said and how it ended."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.out.decode()

    @property
    def lines(self) -> list[str]:
        """Its lines."""
        return self.text.splitlines()


@dataclass(frozen=True)
class Shop:
    """The folder of pictures, how to reach its index, and `recq` on it."""

    root: Path
    options: list[str]
    ask_in_process: Callable[..., Reply] = field(repr=False)

    def ask(self, *arguments: str, stdin: bytes | None = None) -> Reply:
        """`recq` with the options that reach this shop, in this process: what a subprocess does, without its start."""
        return self.ask_in_process([*arguments, *self.options, "--catalog", CATALOG], stdin)

    def id(self, path: str) -> str:
        """The id of the item at `path`."""
        return paths.item_id("shop", *paths.to_text(path))


def picture(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (48, 32), *, level: int = 6) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, compress_level=level)


@pytest.fixture(scope="session")
def shop_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures") / "shop"
    for n, path in enumerate([*GOODS, WAITING]):
        picture(root / path, (20 * n, 255 - 20 * n, 90))
    picture(root / "twin-a.png", (80, 175, 90), level=0)  # the pixels of twin-b.png in other bytes
    (root / FAILED).write_bytes(b"\x89PNG\r\n\x1a\n and then nothing sensible")
    return root


def items(root: Path) -> Iterator[tuple[Item, float | None]]:
    """Every item of the shop with its angle; None for the failed one."""
    for path, (angle, metadata) in GOODS.items():
        text, encoded = paths.to_text(path)
        stat = (root / path).stat()
        content = "0" * 64 if path == CHANGED else hashlib.sha256((root / path).read_bytes()).hexdigest()
        facts = FileFacts("shop", text, stat.st_size, stat.st_mtime_ns, content, "PNG", 48, 32, encoded=encoded)
        yield Item(facts, metadata), angle
    error = ItemError(Reason.CORRUPT, "broken data stream", "2026-11-21T10:00:00Z", 2)
    yield Item(FileFacts("shop", FAILED, 40, 0), {"category": "sofa"}, error), None


def stock(client: Any, root: Path) -> None:
    """Fill the catalog: vectors that lie on a circle of the default network's space."""
    from recq.index.catalog import Catalog
    from recq.index.points import ItemVector
    from recq.models import describe_space

    space = describe_space("efficientnet_lite2", Settings())
    catalog = Catalog.create(client, CATALOG, space)
    assert catalog.sources.register(root) == "shop"
    entries = []
    for item, angle in items(root):
        vector = None
        if angle is not None:
            vector = np.zeros(space.dim, np.float32)
            vector[:2] = np.cos(angle), np.sin(angle)
        entries.append(ItemVector(item, vector))
    catalog.writes.upsert(entries)


@contextmanager
def stocked(engine: str, folder: Path, root: Path, request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """The options that reach a stocked index on that engine."""
    from recq.index.connect import own_folder, server_client
    from recq.index.edge import LoopbackServer

    if engine == "server":
        url = request.getfixturevalue("qdrant_server").url
        client = server_client(Settings(url=url))
        before = {collection.name for collection in client.get_collections().collections}
        stock(client, root)
        try:
            yield ["--url", url]
        finally:
            for collection in client.get_collections().collections:
                if collection.name not in before:
                    client.delete_collection(collection.name)
            client.close()
        return
    settings = Settings(data_dir=folder)
    with own_folder(settings) as owned:
        stock(owned.client, root)
        if engine == "loopback":
            with LoopbackServer(folder, owned.engine):
                yield ["--data-dir", str(folder)]
            return
    yield ["--data-dir", str(folder)]


@pytest.fixture(scope="session", autouse=True)
def _own_settings() -> Iterator[None]:
    """Neither the settings nor the server of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("RECQ_")]:
            if name not in ("RECQ_CACHE_DIR", "RECQ_TEST_DATA"):
                patch.delenv(name)
        patch.setenv("RECQ_CONFIG", os.devnull)
        yield


@pytest.fixture
def ask(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Reply]:
    """`recq` in this process: arguments, standard input -> what it said."""

    def run_it(arguments: list[str], stdin: bytes | None = None) -> Reply:
        from query.cli.main import app
        from query.cli.shell import PROG
        from recq.cli_errors import run

        capfdbinary.readouterr()
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = run(app, PROG, arguments)
        out, err = capfdbinary.readouterr()
        require_kept(out, err)
        return Reply(code, out, err.decode())

    return run_it


@pytest.fixture
def tab(
    ask: Callable[[list[str]], Reply], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[str, list[str]], Reply]:
    """Tab at the end of a line, as fish asks; what is kept for later lies in a folder of the test's own."""

    def press(line: str, options: list[str]) -> Reply:
        command, _, rest = line.partition(" ")
        monkeypatch.setenv("RECQ_CACHE_DIR", str(tmp_path / "cache"))
        monkeypatch.setenv("_RECQ_COMPLETE", "complete_fish")
        monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", " ".join(["recq", command, *options, rest]))
        return ask([])

    return press


@pytest.fixture(scope="module", params=ENGINES)
def any_options(
    request: pytest.FixtureRequest, shop_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[str]]:
    with stocked(request.param, tmp_path_factory.mktemp("data"), shop_root, request) as options:
        yield options


@pytest.fixture(scope="module")
def embedded_options(
    request: pytest.FixtureRequest, shop_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[str]]:
    with stocked("embedded", tmp_path_factory.mktemp("data"), shop_root, request) as options:
        yield options


@pytest.fixture
def any_shop(any_options: list[str], shop_root: Path, ask: Callable[..., Reply]) -> Shop:
    """The shop on each of the three engines."""
    return Shop(shop_root, any_options, ask)


@pytest.fixture
def shop(embedded_options: list[str], shop_root: Path, ask: Callable[..., Reply]) -> Shop:
    """The shop in an embedded folder that nobody serves."""
    return Shop(shop_root, embedded_options, ask)
