"""The requests of a question, answered as plain JSON: what is read of them is little, and it is read a thousand times.

`QdrantClient` makes a model of every point of an answer, which takes longer than the search itself in a small index.
Here the client's connection is used, or the engine of this process, and the answer is what JSON gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote
from weakref import WeakKeyDictionary

import httpx
import numpy as np
import numpy.typing as npt
from pydantic_core import from_json, to_json
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from recq.errors import IndexRefused
from recq.index.errors import no_json
from recq.index.local_connections import LocalConnections

Floats = npt.NDArray[np.float32]

_HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
"""An answer has some kilobytes: to compress and expand them takes longer than to send them."""


class Near(NamedTuple):
    """A point that a request found: what the client's `ScoredPoint` has, unchecked but for the kinds of its parts."""

    id: str | int
    score: float
    payload: Mapping[str, Any] | None


class Stored(NamedTuple):
    """A point as it is stored, as much of it as was asked for: what the client's `Record` has, unchecked likewise."""

    id: str | int
    payload: Mapping[str, Any] | None
    vector: Mapping[str, Any] | None
    order_value: Any = None


def query_points(client: QdrantClient, collection: str, requests: Sequence[models.QueryRequest]) -> list[list[Near]]:
    """The points that each request finds, asked for in one. Raises what the client raises, IndexRefused for an answer
    that is none."""
    if len(requests) == 1:
        answers = [_post(client, collection, "/points/query", requests[0])]
    else:
        answers = _post(client, collection, "/points/query/batch", {"searches": list(requests)})
    found = [_points(answer) for answer in answers] if isinstance(answers, list) else []
    if len(found) != len(requests):
        raise _unreadable()
    return found


def query_beside(
    client: QdrantClient, collection: str, request: models.QueryRequest, point_id: str
) -> tuple[list[Near], Mapping[str, Any] | None]:
    """The points that a request finds, and the payload of another point, None where there is none. Raises as above.

    A server answers both in one request; in this process a request costs little, and Edge reads a point by its id
    faster than by a filter.
    """
    if _direct(client) is not None:
        known = stored_payloads(client, collection, [point_id], True)
        return query_points(client, collection, [request])[0], known.get(point_id)
    only = models.Filter(must=[models.HasIdCondition(has_id=[point_id])])
    found, one = query_points(
        client, collection, [request, models.QueryRequest(filter=only, limit=1, with_payload=True)]
    )
    return found, one[0].payload if one else None


def scroll_points(
    client: QdrantClient, collection: str, request: models.ScrollRequest
) -> tuple[list[Stored], str | int | None]:
    """A page of points, and the id that the next one begins with, None where there is none. Raises as above."""
    page = _post(client, collection, "/points/scroll", request)
    try:
        return [_stored(each) for each in page["points"]], page.get("next_page_offset")
    except (AttributeError, KeyError, TypeError) as error:
        raise _unreadable() from error


def stored_points(
    client: QdrantClient, collection: str, ids: Sequence[str], payload: bool | list[str], vectors: bool | list[str]
) -> list[Stored]:
    """Those of some points that exist, in no order. Raises as above."""
    asked = {"ids": list(ids), "with_payload": payload, "with_vector": vectors}
    try:
        return [_stored(each) for each in _post(client, collection, "/points", asked)]
    except (AttributeError, KeyError, TypeError) as error:
        raise _unreadable() from error


def stored_payloads(
    client: QdrantClient, collection: str, ids: Sequence[str], payload: bool | list[str]
) -> dict[str, Mapping[str, Any]]:
    """The payloads of those ids that exist, by id, whole or some of their keys. Raises as above."""
    return {str(each.id): each.payload or {} for each in stored_points(client, collection, ids, payload, False)}


def stored_vectors(client: QdrantClient, collection: str, ids: Sequence[str], using: str) -> dict[str, Floats]:
    """The vectors of those ids that have one, each float32 (dim,). Raises as above."""
    if (read := getattr(client, "vectors_of", None)) is not None:  # the engine of this process
        found: dict[str, Floats] = read(collection, ids, using)
        return found
    named = {str(each.id): each.vector or {} for each in stored_points(client, collection, ids, False, [using])}
    try:
        return {id_: np.array(vectors[using], np.float32) for id_, vectors in named.items() if using in vectors}
    except (TypeError, ValueError) as error:
        raise _unreadable() from error


def _points(answer: Any) -> list[Near]:
    try:
        return [_near(each) for each in answer["points"]]
    except (KeyError, TypeError) as error:
        raise _unreadable() from error


def _near(found: Mapping[str, Any]) -> Near:
    point, score, payload = found["id"], found["score"], found.get("payload")
    if not isinstance(score, int | float) or not (payload is None or isinstance(payload, dict)):
        raise TypeError
    return Near(point, float(score), payload)


def _stored(found: Mapping[str, Any]) -> Stored:
    payload, vector = found.get("payload"), found.get("vector")
    if not all(each is None or isinstance(each, dict) for each in (payload, vector)):
        raise TypeError
    return Stored(found["id"], payload, vector, found.get("order_value"))


def _post(client: QdrantClient, collection: str, path: str, body: Any) -> Any:
    """The `result` of a POST below a collection."""
    direct, content = _direct(client), to_json(body, by_alias=True, exclude_none=True)
    below = f"/collections/{quote(collection, safe='')}{path}"
    said = _sent(client, below, content) if direct is None else direct(below, content)
    try:
        return from_json(said)["result"]
    except ValueError:
        raise no_json() from None
    except (KeyError, TypeError) as error:
        raise _unreadable() from error


def _sent(client: QdrantClient, path: str, content: bytes) -> bytes:
    """The body of a server's answer to a POST. Raises ResponseHandlingException and UnexpectedResponse.

    The client would make address and headers of each request anew, and look for what it knows in the answer: together
    as much work of Python's as sending it.
    """
    api = client.http.client
    made = _prepared(api, path)
    request = httpx.Request("POST", made.url, headers=made.headers, content=content, extensions=made.extensions)
    local: LocalConnections | None = getattr(client, "connections", None)
    answer = api.middleware(request, api.send_inner if local is None else local.send)
    if not answer.is_success:
        raise UnexpectedResponse.for_response(answer)
    return answer.content


_requests: WeakKeyDictionary[Any, dict[str, httpx.Request]] = WeakKeyDictionary()
"""Of each client's API the requests that it makes itself, by their path."""


def _prepared(api: Any, path: str) -> httpx.Request:
    """What the client would send there, without a body."""
    known = _requests.setdefault(api, {})
    made = known.get(path)
    if made is None:
        made = api._client.build_request("POST", f"{api.host.rstrip('/')}{path}", headers=_HEADERS)
        del made.headers["Content-Length"]
        known[path] = made
    return made


def _direct(client: QdrantClient) -> Callable[[str, bytes], bytes] | None:
    """`EmbeddedClient.post` where the engine is in this process."""
    return getattr(client, "post", None)


def _unreadable() -> IndexRefused:
    return IndexRefused("this recq cannot read the answer of the index: update recq")
