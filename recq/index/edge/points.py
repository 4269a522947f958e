"""Handlers that write points, and those that read points by id.

Each write is one operation of Edge: checked and converted whole before anything is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import numpy as np
import qdrant_edge as edge
from qdrant_client.http import models as rest

from recq.index.edge.bounds import require_readable
from recq.index.edge.collections import completed
from recq.index.edge.conditions import to_filter, to_id
from recq.index.edge.convert import Floats, Row, record_json, rows_to_points, to_ids, to_payload_selector, to_points
from recq.index.edge.folder import Folder
from recq.index.edge.hashed_backfill import change_payload
from recq.index.edge.hashed_index import refuse_key
from recq.index.edge.problem import Problem, bad_format, edge_errors, not_found, unsupported
from recq.index.edge.request import Request
from recq.index.edge.search import numbers_in_answer
from recq.index.edge.shard import Shard

_Op = edge.UpdateOperation


class _NamedPoint(rest.PointStruct):
    vector: dict[str, list[float]]  # type: ignore[assignment]


class _NamedPoints(rest.PointsList):
    """A list of points whose vectors are all named and dense: what recq writes.

    Validated against all forms, 32 points of 1280 numbers take four times as long, and the daemon's other threads
    wait meanwhile.
    """

    points: list[_NamedPoint]  # type: ignore[assignment]


def upsert(folder: Folder, request: Request) -> Any:
    """PUT /points: whole points; one that is sent without a vector loses the vector it had."""
    shard = folder.shard(request.names[0])
    _upsert(shard, request.parse(rest.PointsBatch) if _is_batch(request.body) else _listed(request))
    return _done(folder, request)


def upsert_rows(folder: Folder, name: str, rows: Sequence[Row]) -> None:
    """The same write, of rows instead of a request."""
    shard = folder.shard(name)
    with shard.writes_held():
        _write(shard, rows_to_points(rows, shard.specs, shard.narrow))
    folder.written()


def read_vectors(folder: Folder, name: str, ids: Sequence[str], using: str) -> dict[str, Floats]:
    """The vectors of some points by id, each float32 (dim,): `retrieve` without a request."""
    wanted = [to_id(one) for one in ids]
    found: dict[str, Floats] = {}
    with folder.shard(name).reading() as shard:
        for one in shard.retrieve(wanted, False, [using]):
            numbers = (one.vector or {}).get(using)  # made now, and turned while they are in the processor's cache
            if numbers is not None:
                found[str(one.id)] = np.array(numbers, np.float32)
    return found


def delete(folder: Folder, request: Request) -> Any:
    """POST /points/delete, by ids or by filter; unknown ids are no error."""
    shard = folder.shard(request.names[0])
    _delete(shard, request.parse(rest.PointsSelector))
    return _done(folder, request)


def set_payload(folder: Folder, request: Request) -> Any:
    """POST /points/payload: top-level keys (or those below `key`) replaced, a null removes its key."""
    shard = folder.shard(request.names[0])
    _set_payload(shard, request.parse(rest.SetPayload))
    return _done(folder, request)


def overwrite_payload(folder: Folder, request: Request) -> Any:
    """PUT /points/payload: the new payload replaces the old one."""
    shard = folder.shard(request.names[0])
    _overwrite_payload(shard, request.parse(rest.SetPayload))
    return _done(folder, request)


def batch(folder: Folder, request: Request) -> Any:
    """POST /points/batch: several writes in their order; as on a server those before a bad one stay done."""
    shard = folder.shard(request.names[0])
    said: rest.UpdateOperations = request.parse(rest.UpdateOperations)
    try:
        for operation in said.operations:
            _carry_out(shard, operation)
    finally:
        folder.written()
    return [completed(request) for _ in said.operations]


def retrieve(folder: Folder, request: Request) -> Any:
    """POST /points: the known ones of the ids, each once, in the order of the request."""
    said: rest.PointRequest = request.parse(rest.PointRequest)
    ids = [to_id(one) for one in said.ids]
    payload = to_payload_selector(said.with_payload, default=False)
    shard = folder.shard(request.names[0])
    require_readable(numbers_in_answer(shard, said.with_vector, len(set(ids))))
    with shard.reading() as opened:
        return [record_json(one) for one in opened.retrieve(ids, payload, _or_false(said.with_vector))]


def retrieve_one(folder: Folder, request: Request) -> Any:
    """GET /points/{id}: with payload and vectors. Problem 404 where it does not exist."""
    name, text = request.names
    try:
        point_id: int | UUID = int(text) if text.isdecimal() else UUID(text)
    except ValueError as error:
        raise Problem(400, f'Wrong input: Can not recognize "{text}" as point id') from error
    with folder.shard(name).reading() as shard:
        found = shard.retrieve([to_id(point_id)], True, True)
    if not found:
        raise not_found(f"Point with id {text} does not exists!")
    return record_json(found[0])


def _carry_out(shard: Shard, operation: Any) -> None:
    match operation:
        case rest.UpsertOperation():
            _upsert(shard, operation.upsert)
        case rest.DeleteOperation():
            _delete(shard, operation.delete)
        case rest.SetPayloadOperation():
            _set_payload(shard, operation.set_payload)
        case rest.OverwritePayloadOperation():
            _overwrite_payload(shard, operation.overwrite_payload)
        case _:
            (kind,) = operation.model_fields_set
            raise unsupported(f"the operation `{kind}`")


def _listed(request: Request) -> rest.PointsList:
    try:
        plain: rest.PointsList = request.parse(_NamedPoints)
        return plain
    except Problem:  # another form, or an invalid one: `parse` of all forms reports the error
        other: rest.PointsList = request.parse(rest.PointsList)
        return other


def _upsert(shard: Shard, said: rest.PointsBatch | rest.PointsList) -> None:
    if said.update_filter is not None or said.update_mode is not None:
        raise unsupported("conditional upserts")
    with shard.writes_held():
        _write(shard, to_points(said, shard.specs, shard.narrow))


def _write(shard: Shard, points: list[edge.Point]) -> None:
    shard.update(_Op.upsert_points(points), [point.id for point in points])


def _delete(shard: Shard, said: rest.PointIdsList | rest.FilterSelector) -> None:
    if isinstance(said, rest.PointIdsList):
        ids = to_ids(said.points)
        shard.update(_Op.delete_points(ids), ids)
    else:
        shard.update(_Op.delete_points_by_filter(to_filter(said.filter, shard.indexed)), None)


def _set_payload(shard: Shard, said: rest.SetPayload) -> None:
    keys = list(said.payload) if said.key is None else [said.key]
    refuse_key(keys)
    with edge_errors(), shard.writes_held():
        chosen = _chosen(said, shard)
        if shard.narrow.touched_by(keys):
            change_payload(shard, chosen, said.payload, said.key)
        elif isinstance(chosen, list):
            shard.update(_Op.set_payload(chosen, said.payload, said.key), chosen)
        else:
            shard.update(_Op.set_payload_by_filter(chosen, said.payload, said.key), None)


def _overwrite_payload(shard: Shard, said: rest.SetPayload) -> None:
    with edge_errors(), shard.writes_held():  # a server ignores `key` here
        chosen, payload = _chosen(said, shard), shard.narrow.completed(said.payload)
        if isinstance(chosen, list):
            shard.update(_Op.overwrite_payload(chosen, payload), chosen)
        else:
            shard.update(_Op.overwrite_payload_by_filter(chosen, payload), None)


def _chosen(said: rest.SetPayload, shard: Shard) -> list[Any] | edge.Filter:
    """The points of a change of payloads: by id, or by filter."""
    return to_ids(said.points) if said.points is not None else _required(said, shard)


def _required(said: Any, shard: Shard) -> edge.Filter:
    if said.filter is None:
        raise bad_format("Either list of point ids or filter must be provided")
    return to_filter(said.filter, shard.indexed)


def _done(folder: Folder, request: Request) -> dict[str, Any]:
    folder.written()
    return completed(request)


def _is_batch(body: bytes) -> bool:
    """Which of the two forms an upsert has, without reading megabytes twice: the first key decides."""
    return body.lstrip().removeprefix(b"{").lstrip().startswith(b'"batch"')


def _or_false(with_vector: Any) -> Any:
    return False if with_vector is None else with_vector
