"""docs/consumers.md as programs: its blocks of code, and the samples served to them with a read-only key."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from recq.index.connect import own_folder
from recq.index.edge import LoopbackServer
from recq.index.edge.serving import Serving
from recq.settings import Settings
from tests.ingest.running import NETWORK, Place
from tests.qdrant_server import QdrantServer

ROOT = Path(__file__).resolve().parents[1]
DOCS = (ROOT / "docs" / "consumers.md").read_text("utf-8")
KEY = "what-recq-itself-shows"
READ_KEY = "what-guests-may-read"
SERVED = "http://127.0.0.1:6390"
"""Where the examples ask."""

_BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Guest:
    """Where an index is served, by which engine, and the environment that the examples read."""

    url: str
    engine: str

    @property
    def environment(self) -> dict[str, str]:
        """What an example's environment has to have."""
        return {"RECQ_SERVE_READ_KEY": READ_KEY}

    def code(self, language: str, needs: str = "") -> list[str]:
        """The blocks of a language that need that package besides recq's own, as they stand but for the address."""
        wanted = f" needs={needs}" if needs else ""
        return [
            code.replace(SERVED, self.url)
            for kind, more, code in _BLOCK.findall(DOCS)
            if (kind, more) == (language, wanted)
        ]


@contextmanager
def samples_served(engine: str, folder: Path) -> Iterator[Guest]:
    """The samples and a broken picture, indexed and served: by the embedded engine on loopback, or by a server."""
    drop = folder / "drop"
    shutil.copytree(ROOT / "samples", drop)
    (drop / "broken_1.jpg").write_bytes((drop / "tent.jpg").read_bytes()[:100])
    if engine == "server":
        with QdrantServer(folder / "server", api_key=KEY, read_only_key=READ_KEY) as server:
            place = Place(drop, folder / "data", ("--url", server.url), {"RECQ_API_KEY": KEY}, model=NETWORK)
            assert place.once().returncode == 3  # one item failed
            yield Guest(server.url, engine)
        return
    place = Place(drop, folder / "data", model=NETWORK)
    assert place.once().returncode == 3
    serving = Serving(read_key=READ_KEY)
    with (
        own_folder(Settings(data_dir=place.data)) as owned,
        LoopbackServer(place.data, owned.engine, serving=serving) as loopback,
    ):
        yield Guest(loopback.url, engine)
