"""Method and path to handler: the part of Qdrant's REST API that the embedded engine answers.

Everything else is a 501 that names it. `collections`, `points` and `search` hold the handlers; each takes the folder
and the request and gives the `result` of the answer. A route counts as writing unless `reads` is set: the
read-only key opens only the routes that read (`only_reads`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pydantic_core import to_json

from recq.index.edge import collections, groups, older_searches, points, search
from recq.index.edge.disk import disk_problem
from recq.index.edge.folder import Folder
from recq.index.edge.problem import Problem, unsupported
from recq.index.edge.request import Request
from recq.index.edge.throttle import throttled

_log = throttled(__name__)
Handler = Callable[[Folder, Request], Any]


@dataclass(frozen=True)
class Route:
    """`path` with `*` for a variable part. `reads`: it never changes anything."""

    method: str
    path: str
    handler: Handler
    reads: bool = False

    def names(self, method: str, parts: list[str]) -> tuple[str, ...] | None:
        """The decoded variable parts of a path that this route answers, else None."""
        own = self.path.strip("/").split("/")
        if method != self.method or not _fits(own, parts):
            return None
        return tuple(unquote(part) for mine, part in zip(own, parts, strict=True) if mine == "*")


def _fits(own: list[str], parts: list[str]) -> bool:
    return len(own) == len(parts) and all(mine in ("*", part) for mine, part in zip(own, parts, strict=True))


ROUTES = (
    Route("GET", "/collections", collections.names, reads=True),
    Route("GET", "/aliases", collections.aliases, reads=True),
    Route("POST", "/collections/aliases", collections.change_aliases),
    Route("GET", "/collections/*", collections.info, reads=True),
    Route("PUT", "/collections/*", collections.create),
    Route("PATCH", "/collections/*", collections.update),
    Route("DELETE", "/collections/*", collections.delete),
    Route("GET", "/collections/*/exists", collections.exists, reads=True),
    Route("GET", "/collections/*/aliases", collections.aliases_of, reads=True),
    Route("PUT", "/collections/*/index", collections.create_index),
    Route("DELETE", "/collections/*/index/*", collections.delete_index),
    Route("PUT", "/collections/*/points", points.upsert),
    Route("POST", "/collections/*/points", points.retrieve, reads=True),
    Route("GET", "/collections/*/points/*", points.retrieve_one, reads=True),
    Route("POST", "/collections/*/points/delete", points.delete),
    Route("POST", "/collections/*/points/batch", points.batch),
    Route("POST", "/collections/*/points/payload", points.set_payload),
    Route("PUT", "/collections/*/points/payload", points.overwrite_payload),
    Route("POST", "/collections/*/points/scroll", search.scroll, reads=True),
    Route("POST", "/collections/*/points/query", search.query, reads=True),
    Route("POST", "/collections/*/points/query/batch", search.query_batch, reads=True),
    Route("POST", "/collections/*/points/query/groups", groups.query, reads=True),
    Route("POST", "/collections/*/points/search/groups", groups.search, reads=True),
    Route("POST", "/collections/*/points/recommend/groups", groups.recommend, reads=True),
    Route("POST", "/collections/*/points/search", older_searches.search, reads=True),
    Route("POST", "/collections/*/points/search/batch", older_searches.search_batch, reads=True),
    Route("POST", "/collections/*/points/recommend", older_searches.recommend, reads=True),
    Route("POST", "/collections/*/points/recommend/batch", older_searches.recommend_batch, reads=True),
    Route("POST", "/collections/*/points/count", search.count, reads=True),
    Route("POST", "/collections/*/facet", search.facet, reads=True),
)
# These only read on a server and are not supported here: the read-only key gets the same 501 as any other key.
_ABSENT_READS = (
    ("GET", "/telemetry"),
    ("GET", "/metrics"),
    ("GET", "/issues"),
    ("GET", "/cluster"),
    ("GET", "/cluster/telemetry"),
    ("GET", "/snapshots"),
    ("GET", "/collections/*/cluster"),
    ("GET", "/collections/*/optimizations"),
    ("GET", "/collections/*/shards"),
    ("GET", "/collections/*/snapshots"),
    ("POST", "/collections/*/points/discover"),
    ("POST", "/collections/*/points/discover/batch"),
    ("POST", "/collections/*/points/search/matrix/pairs"),
    ("POST", "/collections/*/points/search/matrix/offsets"),
)
PLAIN = {  # paths that need no collection, with their answers
    "/": to_json({"title": "recq embedded engine", "version": collections.API_VERSION, "commit": None}),
    "/healthz": b"healthz check passed",
    "/livez": b"healthz check passed",
    "/readyz": b"all shards are ready",
}


def answer(folder: Folder, method: str, path: str, query: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
    """Status and body of the answer; never raises. `path` is percent-encoded, as on the wire."""
    if method == "GET" and path in PLAIN:
        return 200, PLAIN[path]
    return answered(f"{method} {path}", lambda: _result(folder, method, path, query, body))


def answered(what: str, result: Callable[[], Any]) -> tuple[int, bytes]:
    """Status and body of the answer with what `result` returns or raises; `what` names the request in the log."""
    started = time.perf_counter()
    status, content = 200, {}
    try:
        content = {"result": result(), "status": "ok"}
    except Problem as problem:
        status, content = problem.status, {"status": {"error": problem.message}}
    except OSError as error:  # a file beside the shards: the disk is full, or fails
        said = disk_problem(error, Path(error.filename or "the data folder"))
        status, content = said.status, {"status": {"error": said.message}}
    except Exception as error:
        _log.exception("%s failed", what)
        status, content = 500, {"status": {"error": f"Service internal error: {type(error).__name__}: {error}"}}
    return status, to_json({**content, "time": time.perf_counter() - started}, inf_nan_mode="null")


def only_reads(method: str, path: str) -> bool:
    """Whether a request changes nothing: its route in the table has `reads`. `path` is percent-encoded."""
    found = _route(method, path)
    if found is not None:
        return found[0].reads
    parts = path.strip("/").split("/")
    absent = any(method == one and _fits(own.strip("/").split("/"), parts) for one, own in _ABSENT_READS)
    return absent or (method == "GET" and path in PLAIN)


@lru_cache(256)
def _route(method: str, path: str) -> tuple[Route, tuple[str, ...]] | None:
    """The route that answers, with the variable parts of the path."""
    parts = path.strip("/").split("/")
    for route in ROUTES:
        names = route.names(method, parts)
        if names is not None:
            return route, names
    return None


def _result(folder: Folder, method: str, path: str, query: Mapping[str, str], body: bytes) -> Any:
    found = _route(method, path)
    if found is None:
        raise unsupported(f"{method} {path}")
    route, names = found
    request = Request(names, query, body)
    request.check_query()
    return route.handler(folder, request)
