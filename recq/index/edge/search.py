"""Handlers that look for points: scroll, query, count and facet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import numpy as np
import qdrant_edge as edge
from qdrant_client.http import models as rest

from recq.index.edge.bounds import is_readable, numbers_of, require_comparable, require_readable
from recq.index.edge.conditions import MAX_ID, to_id, to_optional_filter, without_points
from recq.index.edge.convert import (
    record_json,
    scored_json,
    to_order_by,
    to_payload_selector,
    to_search_params,
    to_vector,
)
from recq.index.edge.folder import Folder
from recq.index.edge.hashed_index import values_at
from recq.index.edge.problem import bad_format, edge_errors, invalid_value, not_found, unsupported, wrong_input
from recq.index.edge.request import Request
from recq.index.edge.shard import Shard

_DEFAULT_LIMIT = 10
_ROWS = 1_000
_MOST_CANDIDATES = 16_384  # of a server


def scroll(folder: Folder, request: Request) -> Any:
    """POST /points/scroll: in the order of ids with a next page, or in the order of a field without one."""
    said: rest.ScrollRequest = request.parse(rest.ScrollRequest)
    shard = folder.shard(request.names[0])
    if said.order_by is not None and said.offset is not None:
        raise wrong_input(
            "Cannot use an `offset` when using `order_by`. The alternative for paging is to use `order_by.start_from` "
            "and a filter to exclude the IDs that you've already seen for the `order_by.start_from` value"
        )
    limit, filter_ = _limit(said.limit), to_optional_filter(said.filter, shard.indexed)
    require_readable(numbers_in_answer(shard, said.with_vector, limit, filter_))
    with shard.reading() as open_shard:
        found, following = open_shard.scroll(
            edge.ScrollRequest(
                offset=None if said.offset is None else to_id(said.offset),
                limit=limit,
                filter=filter_,
                with_payload=to_payload_selector(said.with_payload, default=True),
                with_vector=False if said.with_vector is None else said.with_vector,
                order_by=None if said.order_by is None else to_order_by(said.order_by),
            )
        )
    return {"points": [record_json(one) for one in found], "next_page_offset": following}


def query(folder: Folder, request: Request) -> Any:
    """POST /points/query: nearest to a vector or a point, in the order of a field, or just some points."""
    shard = folder.shard(request.names[0])
    return {"points": run_query(shard, request.parse(rest.QueryRequest))}


def query_batch(folder: Folder, request: Request) -> Any:
    """POST /points/query/batch: each query's answer in its place."""
    shard = folder.shard(request.names[0])
    said: rest.QueryRequestBatch = request.parse(rest.QueryRequestBatch)
    return [{"points": found} for found in run_queries(shard, said.searches)]


def count(folder: Folder, request: Request) -> Any:
    """POST /points/count: always exact."""
    said: rest.CountRequest = request.parse(rest.CountRequest)
    shard = folder.shard(request.names[0])
    filter_ = to_optional_filter(said.filter, shard.indexed)
    with shard.reading() as open_shard:
        return {"count": open_shard.count(edge.CountRequest(exact=True, filter=filter_))}


def facet(folder: Folder, request: Request) -> Any:
    """POST /facet: values of an indexed field with their counts, most frequent first; always exact."""
    said: rest.FacetRequest = request.parse(rest.FacetRequest)
    shard = folder.shard(request.names[0])
    limit, filter_ = _limit(said.limit), to_optional_filter(said.filter, shard.indexed)
    if said.key in shard.indexed.narrow.finished_fields():
        return {"hits": _counted(shard, said.key, filter_)[:limit]}
    with shard.reading() as open_shard:
        hits = open_shard.facet(edge.FacetRequest(said.key, limit=limit, exact=True, filter=filter_)).hits
    return {"hits": [{"value": hit.value, "count": hit.count} for hit in hits]}


def _counted(shard: Shard, key: str, filter_: edge.Filter | None) -> list[dict[str, Any]]:
    """The facet of a narrow field, which has no index in Edge: by reading every row, some ms a thousand."""
    counts: Counter[str] = Counter()
    following: Any = None
    while True:
        request = edge.ScrollRequest(
            offset=following,
            limit=_ROWS,
            filter=filter_,
            with_payload=edge.PayloadSelector.Include([key]),
            with_vector=False,
        )
        with shard.reading() as open_shard:
            rows, following = open_shard.scroll(request)
        for row in rows:
            counts.update(set(values_at(row.payload or {}, key)))
        if following is None:
            break
    return [
        {"value": value, "count": count} for value, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    ]


def run_query(shard: Shard, said: rest.QueryRequest) -> list[dict[str, Any]]:
    """The points that a query finds, best first. Raises Problem 400, 404, 422 or 501."""
    return run_queries(shard, [said])[0]


def run_queries(shard: Shard, queries: Sequence[rest.QueryRequest]) -> list[list[dict[str, Any]]]:
    """The same of several queries, whose answers may have so many vectors together as that of one."""
    asked = [(said, _limit(said.limit)) for said in queries if said.with_vector]
    require_readable(
        sum(
            numbers_in_answer(shard, said.with_vector, limit, to_optional_filter(said.filter, shard.indexed))
            for said, limit in asked
        )
    )
    return [_found(shard, said) for said in queries]


def numbers_in_answer(
    shard: Shard, with_vector: bool | Collection[str] | None, limit: int, filter_: edge.Filter | None = None
) -> int:
    """How many numbers of vectors the answer has at the most: of `limit` points, or of those that there are."""
    each = numbers_of(with_vector, shard.sizes)
    if not each:
        return 0
    points = min(limit, shard.counts()[0])
    if filter_ is not None and not is_readable(points * each):  # fewer may match
        with shard.reading() as open_shard:
            points = min(points, open_shard.count(edge.CountRequest(exact=True, filter=filter_)))
    return points * each


def _found(shard: Shard, said: rest.QueryRequest) -> list[dict[str, Any]]:
    if said.shard_key is not None or said.prefetch not in (None, []) or said.lookup_from is not None:
        raise unsupported("queries with `prefetch`, `lookup_from` or `shard_key`")
    filter_ = to_optional_filter(said.filter, shard.indexed)
    wanted, named = _vectors_for_ids(shard, said.query, said.using or "")
    if named:
        filter_ = without_points(filter_, named)
    with_payload = to_payload_selector(said.with_payload, default=False)
    with edge_errors():
        request = edge.QueryRequest(
            limit=_limit(said.limit),
            offset=_unsigned("offset", said.offset or 0),
            query=_scoring(wanted, said.using or "", shard, _limit(said.limit) + (said.offset or 0)),
            filter=filter_,
            score_threshold=said.score_threshold,
            with_payload=with_payload,
            with_vector=False if said.with_vector is None else said.with_vector,
            params=to_search_params(said.params),
        )
    compared = isinstance(wanted, rest.NearestQuery) and not said.with_vector  # mmr: Edge leaves these vectors in
    found = []
    with shard.reading() as open_shard:
        for one in open_shard.query(request):
            found.append(scored_json(one))
            if compared:  # one by one: all of them would not fit into memory
                found[-1].pop("vector", None)
    return found


def _vectors_for_ids(shard: Shard, query: Any, using: str) -> tuple[Any, list[int | UUID]]:
    """The query with stored vectors in place of points, and those points, which the answer must not contain.

    A point without a vector is refused. A server skips it silently in a recommendation, and gives every point the
    score 0 where no example is left.
    """
    named: list[int | UUID] = []

    def vector(example: Any) -> Any:
        if not isinstance(example, int | str | UUID):
            return example
        named.append(to_id(example))
        return _stored_vector(shard, named[-1], using)

    if isinstance(query, rest.RecommendQuery):
        said = query.recommend
        ids = [each for each in [*(said.positive or []), *(said.negative or [])] if isinstance(each, int | str | UUID)]
        require_readable(len(ids) * numbers_of([using], shard.sizes))
        positive = [vector(each) for each in said.positive or []]
        negative = [vector(each) for each in said.negative or []]
        return query.model_copy(
            update={"recommend": said.model_copy(update={"positive": positive, "negative": negative})}
        ), named
    if isinstance(query, rest.NearestQuery):
        if query.mmr is not None:
            return query.model_copy(update={"nearest": vector(query.nearest)}), named
        query = query.nearest
    return vector(query) if isinstance(query, int | str | UUID) else query, named


def _scoring(wanted: Any, using: str, shard: Shard, limit: int) -> Any:
    match wanted:
        case None:
            return None
        case list():
            return edge.Query.Nearest(to_vector(using, wanted, shard.specs), using=using)
        case rest.NearestQuery():
            return _varied(wanted.nearest, wanted.mmr, using, shard, limit)
        case rest.OrderByQuery():
            return to_order_by(wanted.order_by)
        case rest.RecommendQuery():
            return _recommending(wanted.recommend, using, shard)
    raise unsupported(f"queries of the kind {type(wanted).__name__}")


def _varied(nearest: Any, mmr: rest.Mmr | None, using: str, shard: Shard, limit: int) -> edge.Mmr:
    """The nearest, chosen one after another so that they are not all alike (maximal marginal relevance).

    Edge weighs relevance (`lambda_`), the REST API diversity: one is 1 minus the other. The defaults are a server's.
    """
    said = mmr or rest.Mmr()
    diversity = 0.5 if said.diversity is None else said.diversity
    if not 0 <= diversity <= 1:
        raise invalid_value(f"query.mmr.diversity: value {diversity} invalid, must be from 0.0 to 1.0")
    candidates = limit if said.candidates_limit is None else _unsigned("candidates_limit", said.candidates_limit)
    if said.candidates_limit is not None and candidates > _MOST_CANDIDATES:
        raise invalid_value(
            f"query.mmr.candidates_limit: value {candidates} invalid, must be {_MOST_CANDIDATES} or less"
        )
    require_comparable(min(limit, candidates), candidates)
    return edge.Mmr(to_vector(using, nearest, shard.specs), 1 - diversity, candidates, using=using)


def _recommending(said: rest.RecommendInput, using: str, shard: Shard) -> Any:
    positive: list[Any] = [to_vector(using, each, shard.specs) for each in said.positive or []]
    negative: list[Any] = [to_vector(using, each, shard.specs) for each in said.negative or []]
    if not positive and not negative:
        raise invalid_value("recommend: at least one positive or negative example is required")
    if said.strategy in (None, rest.RecommendStrategy.AVERAGE_VECTOR):
        if not positive:
            raise wrong_input("Positive vectors should not be empty with `average` strategy")
        return edge.Query.Nearest(_average(positive, negative), using=using)
    examples = edge.RecommendQuery(positive, negative)
    if said.strategy is rest.RecommendStrategy.BEST_SCORE:
        return edge.Query.RecommendBestScore(examples, using=using)
    return edge.Query.RecommendSumScores(examples, using=using)


def _average(positive: list[list[float]], negative: list[list[float]]) -> list[float]:
    """mean(positive) + (mean(positive) - mean(negative)): what a server searches for with `average_vector`."""
    middle = np.mean(np.asarray(positive, np.float32), axis=0)
    if negative:
        middle = middle + middle - np.mean(np.asarray(negative, np.float32), axis=0)
    numbers: list[float] = middle.tolist()
    return numbers


def _stored_vector(shard: Shard, point: int | UUID, using: str) -> list[float]:
    if using not in shard.specs:
        raise wrong_input(f"Not existing vector name error: {using}")
    with shard.reading() as open_shard:
        found = open_shard.retrieve([point], False, [using])
    if not found:
        raise not_found(f"No point with id {point} found")
    vector: list[float] | None = (found[0].vector or {}).get(using)
    if vector is None:
        raise not_found(f'Vector with name "{using}" for point not found')
    return vector


def _limit(limit: int | None) -> int:
    if limit is None:
        return _DEFAULT_LIMIT
    if _unsigned("limit", limit) < 1:
        raise invalid_value(f"limit: value {limit} invalid, must be 1 or larger")
    return limit


def _unsigned(name: str, number: int) -> int:
    """A number that a server keeps in 64 bits without a sign. Raises Problem 400 for any other."""
    if not 0 <= number <= MAX_ID:
        raise bad_format(f"{name}: invalid value: {number}, expected an integer from 0 to {MAX_ID}")
    return number
