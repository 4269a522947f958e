"""Handlers of the searches that `/points/query` has replaced, and that clients still send: each becomes such a query.

A server answers them as long as its clients use them (1.17: the JavaScript client's `search` and `recommend`).
"""

from __future__ import annotations

from typing import Any

from qdrant_client.http import models as rest

from recq.index.edge.folder import Folder
from recq.index.edge.problem import bad_request, unsupported
from recq.index.edge.request import Request
from recq.index.edge.search import run_queries, run_query


def search(folder: Folder, request: Request) -> Any:
    """POST /points/search: nearest to a vector."""
    return run_query(folder.shard(request.names[0]), search_query(request.parse(rest.SearchRequest)))


def search_batch(folder: Folder, request: Request) -> Any:
    """POST /points/search/batch: each search's answer in its place."""
    shard = folder.shard(request.names[0])
    said: rest.SearchRequestBatch = request.parse(rest.SearchRequestBatch)
    return run_queries(shard, [search_query(one) for one in said.searches])


def recommend(folder: Folder, request: Request) -> Any:
    """POST /points/recommend: more like these, less like those."""
    return run_query(folder.shard(request.names[0]), recommend_query(request.parse(rest.RecommendRequest)))


def recommend_batch(folder: Folder, request: Request) -> Any:
    """POST /points/recommend/batch: each recommendation's answer in its place."""
    shard = folder.shard(request.names[0])
    said: rest.RecommendRequestBatch = request.parse(rest.RecommendRequestBatch)
    return run_queries(shard, [recommend_query(one) for one in said.searches])


def search_query(said: rest.SearchRequest | rest.SearchGroupsRequest) -> rest.QueryRequest:
    """A search as a query. Its vector is an object with the vector's name, or a list for the unnamed vector."""
    match said.vector:
        case rest.NamedVector():
            return _query(said, said.vector.vector, said.vector.name)
        case list():
            return _query(said, said.vector, None)
    raise unsupported("searches for a sparse vector")


def recommend_query(said: rest.RecommendRequest | rest.RecommendGroupsRequest) -> rest.QueryRequest:
    """A recommendation as a query. Raises Problem 400 where there is no example, 501 for `lookup_from`."""
    if said.lookup_from is not None:
        raise unsupported("recommendations with `lookup_from`")
    if not said.positive and not said.negative:
        raise bad_request("recommend: at least one positive or negative example is required")
    examples = rest.RecommendInput(positive=said.positive, negative=said.negative, strategy=said.strategy)
    return _query(said, rest.RecommendQuery(recommend=examples), said.using)


def _query(said: Any, query: Any, using: str | None) -> rest.QueryRequest:
    return rest.QueryRequest.model_construct(
        shard_key=said.shard_key,
        query=query,
        using=using,
        filter=said.filter,
        params=said.params,
        score_threshold=said.score_threshold,
        limit=said.limit,
        offset=getattr(said, "offset", None),  # groups have none
        with_vector=said.with_vector,
        with_payload=said.with_payload,
    )
