"""The API on an index of a test, behind its server in a thread."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from recq.api.access import Gatekeeper
from recq.api.server import MakePages, Server, bind
from recq.api.service import Service
from recq.settings import Settings
from tests.secrecy import secret

PREFIX = "/api/v1"
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Api:
    """A client of the service."""

    client: httpx.Client
    service: Service

    def get(self, route: str, **parameters: Any) -> httpx.Response:
        """The answer to a GET."""
        return self.client.get(PREFIX + route, params=parameters)

    def post(self, route: str, **document: Any) -> httpx.Response:
        """The answer to a POST of a document."""
        return self.client.post(PREFIX + route, content=json.dumps(document), headers=JSON)

    def send(self, route: str, content: bytes, **parameters: Any) -> httpx.Response:
        """The answer to a POST of a picture."""
        return self.client.post(PREFIX + route, content=content, params=parameters)


def settings_of(options: Sequence[str], catalog: str, **more: Any) -> Settings:
    """The settings that options of a command line amount to."""
    given = dict(zip(options[::2], options[1::2], strict=True))
    folder = {"data_dir": Path(given["--data-dir"])} if "--data-dir" in given else {}
    return Settings(url=given.get("--url"), catalog=catalog, **folder, **more)


@contextmanager
def served(settings: Settings, keeper: Gatekeeper | None = None, pages: MakePages | None = None) -> Iterator[Api]:
    """The API on a free port of loopback, for the length of the block; with `pages` the routes for people, too."""
    bound, up, keeper = bind("127.0.0.1", 0), threading.Event(), keeper or Gatekeeper()
    for key in (keeper.operate, keeper.read, keeper.own, keeper.own_read):
        secret(key or "")
    with Service(settings) as service, bound.listening:
        server = Server(service, keeper, up.set, None if pages is None else pages(service, keeper))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound.listening]})
        thread.start()
        try:
            assert up.wait(30)
            with httpx.Client(base_url=bound.url, timeout=120) as client:
                yield Api(client, service)
        finally:
            server.leave()
            thread.join(30)
        assert not thread.is_alive()
