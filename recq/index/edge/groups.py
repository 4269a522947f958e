"""Handlers of searches in groups: the best few points of each of the best few values of a payload field.

Edge has no groups, so they are made here of an exhaustive ranking. It is queried with growing limits until there are
enough groups; then each group that is not full gets a query of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from qdrant_client.http import models as rest

from recq.index.edge.bounds import numbers_of, require_readable
from recq.index.edge.convert import record_json, to_payload_selector
from recq.index.edge.folder import Folder
from recq.index.edge.older_searches import recommend_query, search_query
from recq.index.edge.problem import invalid_value, unsupported
from recq.index.edge.request import Request
from recq.index.edge.search import run_query
from recq.index.edge.shard import Shard

_GROUPS = 10  # a server's defaults
_GROUP_SIZE = 3
_GROWTH = 4
_ASKED_ALONE = 16  # groups that are each filled by a query of their own; for more, the ranking is faster
_TOKEN = re.compile(r'"([^"]*)"|([^."\[\]]+)|\[(\d*)\]')

Value = str | int
Row = dict[str, Any]


def query(folder: Folder, request: Request) -> Any:
    """POST /points/query/groups."""
    said: rest.QueryGroupsRequest = request.parse(rest.QueryGroupsRequest)
    own = {"group_by", "group_size", "with_lookup"}
    given = {name: getattr(said, name) for name in type(said).model_fields if name not in own}
    return _answer(folder.shard(request.names[0]), rest.QueryRequest.model_construct(**given), said)


def search(folder: Folder, request: Request) -> Any:
    """POST /points/search/groups, which `/points/query/groups` has replaced."""
    said: rest.SearchGroupsRequest = request.parse(rest.SearchGroupsRequest)
    return _answer(folder.shard(request.names[0]), search_query(said), said)


def recommend(folder: Folder, request: Request) -> Any:
    """POST /points/recommend/groups, which `/points/query/groups` has replaced."""
    said: rest.RecommendGroupsRequest = request.parse(rest.RecommendGroupsRequest)
    return _answer(folder.shard(request.names[0]), recommend_query(said), said)


def _answer(
    shard: Shard,
    said: rest.QueryRequest,
    groups: rest.QueryGroupsRequest | rest.SearchGroupsRequest | rest.RecommendGroupsRequest,
) -> dict[str, Any]:
    if groups.with_lookup is not None:
        raise unsupported("groups with `with_lookup`")
    if isinstance(said.query, rest.OrderByQuery) or getattr(said.query, "mmr", None) is not None:
        raise unsupported("groups of queries with `order_by` or `mmr`")
    count = _at_least_one("limit", groups.limit, _GROUPS)
    size = _at_least_one("group_size", groups.group_size, _GROUP_SIZE)
    found = _grouped(shard, said, groups.group_by, count, size)
    whole = _whole(shard, [row["id"] for rows in found.values() for row in rows], said)
    return {
        "groups": [
            {"id": value, "hits": [{**row, **whole[row["id"]]} for row in rows if row["id"] in whole]}
            for value, rows in found.items()
        ]
    }


def _grouped(shard: Shard, said: rest.QueryRequest, key: str, count: int, size: int) -> dict[Value, list[Row]]:
    """The `count` groups with the best rows, best first, and the `size` best rows of each, without payload."""

    def ranked(limit: int, more: rest.Filter | None = None) -> list[Row]:
        asked = {"limit": limit, "filter": more or said.filter, "with_payload": [key], "with_vector": False}
        return run_query(shard, said.model_copy(update=asked))

    limit = count * size
    while True:
        rows = ranked(limit)
        best = dict(list(groups_of(rows, key).items())[:count])
        short = [value for value in best if len(best[value]) < size] if len(rows) == limit else []
        if len(rows) < limit or (len(best) == count and len(short) <= _ASKED_ALONE):
            break
        limit *= _GROWTH
    for value in short:
        of_it = rest.FieldCondition(key=key, match=rest.MatchValue(value=value))
        must = [of_it] if said.filter is None else [of_it, said.filter]
        best[value] = groups_of(ranked(size, rest.Filter(must=must)), key).get(value, [])
    return {value: [_plain(row) for row in rows[:size]] for value, rows in best.items()}


def groups_of(rows: Iterable[Row], key: str) -> dict[Value, list[Row]]:
    """Rows by the values of a payload field, groups in the order of their first row; a row may stand in several.

    As on a server: a row without a value, or with one that is neither a text nor an integer, is in none.
    """
    groups: dict[Value, list[Row]] = {}
    for row in rows:
        values = list(dict.fromkeys(_values(row.get("payload") or {}, key)))
        if all(isinstance(value, str | int) and not isinstance(value, bool) for value in values):
            for value in values:
                groups.setdefault(value, []).append(row)
    return groups


def _values(payload: Mapping[str, Any], key: str) -> Iterator[Any]:
    """The values at a path of the engine's own syntax: `a.b`, `a[].b`, `a[0]`, `"a name".b`; lists taken apart."""
    at: list[Any] = [payload]
    for quoted, plain, index in _TOKEN.findall(key):
        name = quoted or plain
        if name:
            at = [one[name] for one in at if isinstance(one, Mapping) and name in one]
        else:
            lists = [one for one in at if isinstance(one, list)]
            at = [each for one in lists for each in (one[int(index) :][:1] if index else one)]
    for one in at:
        for value in one if isinstance(one, list) else [one]:
            yield value if isinstance(value, str | int) else float("nan")  # hashable, and in no group


def _whole(shard: Shard, ids: list[Any], said: rest.QueryRequest) -> dict[Any, Row]:
    """The requested parts of the rows of the answer, by id. A row that was deleted meanwhile is missing."""
    payload = to_payload_selector(said.with_payload, default=False)
    unique = list(dict.fromkeys(ids))
    require_readable(len(unique) * numbers_of(said.with_vector, shard.sizes))
    with shard.reading() as opened:
        rows = opened.retrieve(unique, payload, False if said.with_vector is None else said.with_vector)
    return {row.id: record_json(row) for row in rows}


def _plain(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "payload"}


def _at_least_one(name: str, number: int | None, default: int) -> int:
    if number is None:
        return default
    if number < 1:
        raise invalid_value(f"{name}: value {number} invalid, must be 1 or larger")
    return number
