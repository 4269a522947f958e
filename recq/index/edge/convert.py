"""Points, vectors, selectors and results: the REST API's models on one side, Edge's types on the other. Pure.

`to_vectors` refuses numbers that are not finite and vectors of the wrong shape: Edge would store them silently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import qdrant_edge as edge
from qdrant_client.http import models as rest

from recq.index.edge.conditions import to_id
from recq.index.edge.hashed_index import KEY, NarrowFields
from recq.index.edge.problem import Problem, bad_request, edge_errors, invalid_value, unsupported, wrong_input

DISTANCES = {
    rest.Distance.COSINE: edge.Distance.Cosine,
    rest.Distance.EUCLID: edge.Distance.Euclid,
    rest.Distance.DOT: edge.Distance.Dot,
    rest.Distance.MANHATTAN: edge.Distance.Manhattan,
}


Floats = npt.NDArray[np.float32]

Row = tuple[str, Mapping[str, Floats], Mapping[str, Any]]
"""A whole point as recq has it: its id, its vectors by name, each float32 (dim,), and its payload, plain JSON."""


@dataclass(frozen=True)
class VectorSpec:
    """One named vector of a collection: how many numbers, and how two of them are compared."""

    size: int
    distance: rest.Distance


def to_vector(name: str, numbers: Any, specs: Mapping[str, VectorSpec]) -> list[float]:
    """One dense vector, checked: known name, right length, finite as float32. Raises Problem 400."""
    spec = _spec(name, specs)
    if not isinstance(numbers, list) or (numbers and not isinstance(numbers[0], int | float)):
        raise unsupported(f"a vector `{name}` that is not a plain list of numbers")
    if len(numbers) != spec.size:
        raise _wrong_size(spec, len(numbers))
    with np.errstate(over="ignore"):
        _require_finite(name, np.asarray(numbers, dtype=np.float32))
    return numbers


def array_to_vector(name: str, numbers: Floats, specs: Mapping[str, VectorSpec]) -> list[float]:
    """The same of an array, float32 (dim,), whose numbers are taken as they are."""
    spec = _spec(name, specs)
    if numbers.shape != (spec.size,):
        raise _wrong_size(spec, numbers.size)
    with np.errstate(over="ignore"):
        _require_finite(name, numbers)
    plain: list[float] = numbers.tolist()
    return plain


def _spec(name: str, specs: Mapping[str, VectorSpec]) -> VectorSpec:
    if name not in specs:
        raise wrong_input(f"Not existing vector name error: {name}")
    return specs[name]


def _wrong_size(spec: VectorSpec, size: int) -> Problem:
    return wrong_input(f"Vector dimension error: expected dim: {spec.size}, got {size}")


def _require_finite(name: str, stored: Floats) -> None:
    length = float(np.dot(stored, stored))  # NaN and infinity survive the sum: one test finds all of them
    if not np.isfinite(length):
        raise wrong_input(f"vector `{name}` has numbers that are not finite, or too large for its length to be")


def to_vectors(vector: Any, specs: Mapping[str, VectorSpec]) -> dict[str, Any]:
    """All vectors of one point; an empty mapping is a point without one. Raises Problem 400 or 501."""
    if isinstance(vector, list):
        return {"": to_vector("", vector, specs)}
    if not isinstance(vector, dict):
        raise unsupported("inference from documents, images or objects")
    return {name: to_vector(name, numbers, specs) for name, numbers in vector.items()}


def to_points(
    operation: rest.PointsList | rest.PointsBatch, specs: Mapping[str, VectorSpec], narrow: NarrowFields
) -> list[edge.Point]:
    """The points of an upsert in either form. Raises Problem 400, 422 or 501, before anything is written."""
    if isinstance(operation, rest.PointsBatch):
        structs = _unzip(operation.batch)
    else:
        structs = [(point.id, point.vector, point.payload) for point in operation.points]
    if not structs:
        raise bad_request("Empty update request")
    with edge_errors():
        return [
            edge.Point(to_id(id_), to_vectors(vector, specs), narrow.completed(payload))
            for id_, vector, payload in structs
        ]


def rows_to_points(rows: Sequence[Row], specs: Mapping[str, VectorSpec], narrow: NarrowFields) -> list[edge.Point]:
    """The points of an upsert that was not sent as a request. Raises Problem 400 or 501, before anything is written."""
    with edge_errors():
        return [
            edge.Point(
                to_id(id_),
                {name: array_to_vector(name, numbers, specs) for name, numbers in vectors.items()},
                narrow.completed(payload),
            )
            for id_, vectors, payload in rows
        ]


def _unzip(batch: rest.Batch) -> list[tuple[Any, Any, Any]]:
    count = len(batch.ids)
    if not isinstance(batch.vectors, dict):
        raise wrong_input("Not existing vector name error: ")
    for numbers in batch.vectors.values():
        if len(numbers) != count:
            raise invalid_value(f"batch: number of ids and vectors must be equal ({count} != {len(numbers)})")
    payloads: Sequence[Any] = batch.payloads if batch.payloads is not None else [None] * count
    if len(payloads) != count:
        raise invalid_value(f"batch: number of ids and payloads must be equal ({count} != {len(payloads)})")
    vectors = [{name: numbers[row] for name, numbers in batch.vectors.items()} for row in range(count)]
    return list(zip(batch.ids, vectors, payloads, strict=True))


def to_ids(ids: Sequence[Any]) -> list[Any]:
    """The points of an update by id; none at all is an error, as on a server."""
    if not ids:
        raise bad_request("Empty update request")
    return [to_id(one) for one in ids]


def to_payload_selector(selector: rest.WithPayloadInterface | None, default: bool) -> Any:
    """`with_payload` for Edge; `default` where the request has none."""
    match selector:
        case None:
            return default
        case rest.PayloadSelectorInclude():
            return edge.PayloadSelector.Include(selector.include)
        case rest.PayloadSelectorExclude():
            return edge.PayloadSelector.Exclude(selector.exclude)
    return selector


def to_order_by(order: str | rest.OrderBy) -> edge.OrderBy:
    """`order_by` for Edge, from the short or the long form."""
    if isinstance(order, str):
        return edge.OrderBy(order)
    directions = {rest.Direction.ASC: edge.Direction.Asc, rest.Direction.DESC: edge.Direction.Desc}
    start = order.start_from
    return edge.OrderBy(
        order.key,
        None if order.direction is None else directions[order.direction],
        start.isoformat() if start is not None and not isinstance(start, int | float) else start,
    )


def to_search_params(params: rest.SearchParams | None) -> edge.SearchParams | None:
    """Search parameters. Every search here is exhaustive, so `exact` and `hnsw_ef` hold by themselves."""
    if params is None:
        return None
    quantized = params.quantization is not None and params.quantization.model_dump(exclude_unset=True)
    if quantized or params.acorn is not None:
        raise unsupported("search parameters `quantization` and `acorn`")
    return edge.SearchParams(hnsw_ef=params.hnsw_ef, exact=bool(params.exact), indexed_only=bool(params.indexed_only))


def without_numbers(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """A stored payload as it was written, without what the narrow indexes store in it."""
    return {key: value for key, value in payload.items() if key != KEY} if KEY in payload else payload


def record_json(record: Any) -> dict[str, Any]:
    """One retrieved or scrolled point; fields that were not requested are left out."""
    answer: dict[str, Any] = {"id": record.id}
    payload, vector, order_value = record.payload, record.vector, record.order_value  # each is made when it is read
    if payload is not None:
        answer["payload"] = without_numbers(payload)
    if vector is not None:
        answer["vector"] = vector
    if order_value is not None:
        answer["order_value"] = order_value
    return answer


def scored_json(point: Any) -> dict[str, Any]:
    """One found point with its score."""
    return {**record_json(point), "version": point.version, "score": point.score}
