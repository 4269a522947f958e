"""Method and path to handler: the part of Qdrant's REST API that the embedded engine answers.

Everything else is a 501 that names it. `collections` and `points` hold the handlers; each takes the folder and the
request and gives the `result` of the answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pydantic_core import to_json

from recq.index.edge import collections, points, search
from recq.index.edge.disk import disk_problem
from recq.index.edge.folder import Folder
from recq.index.edge.problem import Problem, unsupported
from recq.index.edge.request import Request
from recq.index.edge.throttle import throttled

_log = throttled(__name__)
Handler = Callable[[Folder, Request], Any]


@dataclass(frozen=True)
class Route:
    """`path` with `*` for a variable part."""

    method: str
    path: str
    handler: Handler

    def names(self, method: str, parts: list[str]) -> tuple[str, ...] | None:
        """The decoded variable parts of a path that this route answers, else None."""
        own = self.path.strip("/").split("/")
        if method != self.method or len(own) != len(parts):
            return None
        if any(mine not in ("*", part) for mine, part in zip(own, parts, strict=True)):
            return None
        return tuple(unquote(part) for mine, part in zip(own, parts, strict=True) if mine == "*")


ROUTES = (
    Route("GET", "/collections", collections.names),
    Route("GET", "/aliases", collections.aliases),
    Route("POST", "/collections/aliases", collections.change_aliases),
    Route("GET", "/collections/*", collections.info),
    Route("PUT", "/collections/*", collections.create),
    Route("PATCH", "/collections/*", collections.update),
    Route("DELETE", "/collections/*", collections.delete),
    Route("GET", "/collections/*/exists", collections.exists),
    Route("GET", "/collections/*/aliases", collections.aliases_of),
    Route("PUT", "/collections/*/index", collections.create_index),
    Route("DELETE", "/collections/*/index/*", collections.delete_index),
    Route("PUT", "/collections/*/points", points.upsert),
    Route("POST", "/collections/*/points", points.retrieve),
    Route("GET", "/collections/*/points/*", points.retrieve_one),
    Route("POST", "/collections/*/points/delete", points.delete),
    Route("POST", "/collections/*/points/batch", points.batch),
    Route("POST", "/collections/*/points/payload", points.set_payload),
    Route("PUT", "/collections/*/points/payload", points.overwrite_payload),
    Route("POST", "/collections/*/points/payload/delete", points.delete_payload),
    Route("POST", "/collections/*/points/payload/clear", points.clear_payload),
    Route("PUT", "/collections/*/points/vectors", points.update_vectors),
    Route("POST", "/collections/*/points/vectors/delete", points.delete_vectors),
    Route("POST", "/collections/*/points/scroll", search.scroll),
    Route("POST", "/collections/*/points/query", search.query),
    Route("POST", "/collections/*/points/query/batch", search.query_batch),
    Route("POST", "/collections/*/points/count", search.count),
    Route("POST", "/collections/*/facet", search.facet),
)
PLAIN = {  # paths that need no collection, with their answers
    "/": to_json({"title": "recq embedded engine", "version": collections.API_VERSION, "commit": None}),
    "/healthz": b"healthz check passed",
    "/livez": b"healthz check passed",
    "/readyz": b"all shards are ready",
}


def answer(folder: Folder, method: str, path: str, query: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
    """Status and body of the answer; never raises. `path` is percent-encoded, as on the wire."""
    started = time.perf_counter()
    if method == "GET" and path in PLAIN:
        return 200, PLAIN[path]
    status, content = 200, {}
    try:
        content = {"result": _result(folder, method, path, query, body), "status": "ok"}
    except Problem as problem:
        status, content = problem.status, {"status": {"error": problem.message}}
    except OSError as error:  # a file beside the shards: the disk is full, or does not answer
        said = disk_problem(error, Path(error.filename or "the data folder"))
        status, content = said.status, {"status": {"error": said.message}}
    except Exception as error:
        _log.exception("%s %s failed", method, path)
        status, content = 500, {"status": {"error": f"Service internal error: {type(error).__name__}: {error}"}}
    return status, to_json({**content, "time": time.perf_counter() - started}, inf_nan_mode="null")


def _result(folder: Folder, method: str, path: str, query: Mapping[str, str], body: bytes) -> Any:
    parts = path.strip("/").split("/")
    for route in ROUTES:
        names = route.names(method, parts)
        if names is not None:
            request = Request(names, query, body)
            request.check_query()
            return route.handler(folder, request)
    raise unsupported(f"{method} {path}")
