"""Handlers of collections, aliases and payload indexes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import qdrant_edge as edge
from qdrant_client.http import models as rest

from recq.index.edge.folder import Folder
from recq.index.edge.hashed_index import KEY, narrow_params, refuse_key
from recq.index.edge.indexes import schema_json, to_field_schema
from recq.index.edge.manifest import Manifest, ShardEntry, merged_metadata
from recq.index.edge.problem import Problem, bad_format, bad_request, edge_errors, invalid_value, unsupported
from recq.index.edge.request import Request
from recq.index.edge.shard import Shard
from recq.space import MAX_DIMENSIONS

API_VERSION = "1.17.0"
"""The server release whose REST API this is; the contract tests compare against exactly that one."""

# Hints for a server's speed. They are kept and reported; every search here is exhaustive, so its answer is exact.
_HINTS = ("hnsw_config", "optimizers_config", "wal_config", "on_disk_payload")
_FORBIDDEN_IN_NAMES = '<>:"/\\|?*\0\x1f'  # the server's own list
_MAX_NAME = 255

# What a server reports by default; qdrant-client's models require these fields.
_HNSW = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000, "max_indexing_threads": 0, "on_disk": False}
_OPTIMIZERS = {
    "deleted_threshold": 0.2,
    "vacuum_min_vector_number": 1000,
    "default_segment_number": 0,
    "max_segment_size": None,
    "memmap_threshold": None,
    "indexing_threshold": 10000,
    "flush_interval_sec": 5,
    "max_optimization_threads": None,
    "prevent_unoptimized": None,
}
_WAL = {"wal_capacity_mb": 32, "wal_segments_ahead": 0, "wal_retain_closed": 1}


def names(folder: Folder, _: Request) -> Any:
    """GET /collections."""
    return {"collections": [{"name": name} for name in folder.manifest.collections]}


def exists(folder: Folder, request: Request) -> Any:
    """GET /collections/{c}/exists."""
    (name,) = request.names
    return {"exists": name in folder.manifest.collections or name in folder.manifest.aliases}


def info(folder: Folder, request: Request) -> Any:
    """GET /collections/{c}: sizes, configuration, metadata and the payload schema with its counts."""
    (name,) = request.names
    _, entry = folder.manifest.resolve(name)
    shard = folder.shard(name)
    with shard.reading() as opened:
        state = opened.info()
    config: dict[str, Any] = {
        "params": {
            "vectors": entry.vectors,
            "shard_number": 1,
            "replication_factor": 1,
            "write_consistency_factor": 1,
            "on_disk_payload": entry.options.get("on_disk_payload", True),
        },
        "hnsw_config": {**_HNSW, **entry.options.get("hnsw_config", {})},
        "optimizer_config": {**_OPTIMIZERS, **entry.options.get("optimizers_config", {})},
        "wal_config": {**_WAL, **entry.options.get("wal_config", {})},
        "quantization_config": None,
    }
    if entry.metadata:
        config["metadata"] = entry.metadata
    return {
        "status": "green",
        "optimizer_status": "ok",
        "indexed_vectors_count": state.indexed_vectors_count,
        "points_count": state.points_count,
        "segments_count": state.segments_count,
        "config": config,
        "payload_schema": _payload_schema(shard, state.payload_schema),
        "update_queue": {"length": 0},
    }


def create(folder: Folder, request: Request) -> Any:
    """PUT /collections/{c}: named dense vectors, metadata, and hints."""
    (name,) = request.names
    _check_name(name)
    said: rest.CreateCollection = request.parse(rest.CreateCollection)
    for field in ("shard_number", "replication_factor", "write_consistency_factor"):
        if getattr(said, field) not in (None, 1):
            raise unsupported(f"`{field}` above 1")
    _refuse_others(said, {"vectors", "metadata", "shard_number", "replication_factor", "write_consistency_factor"})
    if not isinstance(said.vectors, dict) or not said.vectors:
        raise unsupported("collections without named dense vectors")
    vectors = {key: _vector_json(key, params) for key, params in said.vectors.items()}
    folder.create(name, ShardEntry("", vectors, merged_metadata({}, said.metadata or {}), _hints(said)))
    return True


def update(folder: Folder, request: Request) -> Any:
    """PATCH /collections/{c}: metadata merged, hints replaced."""
    (name,) = request.names
    said: rest.UpdateCollection = request.parse(rest.UpdateCollection)
    _refuse_others(said, {"metadata"})

    def step(manifest: Manifest) -> Manifest:
        real, entry = manifest.resolve(name)
        options = {**entry.options, **_hints(said)}
        return manifest.with_entry(
            real, replace(entry, metadata=merged_metadata(entry.metadata, said.metadata or {}), options=options)
        )

    folder.change(step)
    return True


def delete(folder: Folder, request: Request) -> Any:
    """DELETE /collections/{c}: false where it does not exist."""
    return folder.delete(*request.names)


def aliases(folder: Folder, _: Request) -> Any:
    """GET /aliases."""
    return {"aliases": [_alias_json(alias, target) for alias, target in folder.manifest.aliases.items()]}


def aliases_of(folder: Folder, request: Request) -> Any:
    """GET /collections/{c}/aliases."""
    (name,) = request.names
    return {"aliases": [_alias_json(alias, to) for alias, to in folder.manifest.aliases.items() if to == name]}


def change_aliases(folder: Folder, request: Request) -> Any:
    """POST /collections/aliases: all actions or none."""
    said: rest.ChangeAliasesOperation = request.parse(rest.ChangeAliasesOperation)
    for action in said.actions:
        if isinstance(action, rest.CreateAliasOperation):
            _check_name(action.create_alias.alias_name)
        if isinstance(action, rest.RenameAliasOperation):
            _check_name(action.rename_alias.new_alias_name)
    folder.change(lambda manifest: manifest.with_aliases_changed(said.actions))
    return True


def create_index(folder: Folder, request: Request) -> Any:
    """PUT /collections/{c}/index: another type on the same field replaces the first."""
    (name,) = request.names
    said: rest.CreateFieldIndex = request.parse(rest.CreateFieldIndex)
    if said.field_schema is None:
        raise bad_request("Can't auto-detect field type, please specify `field_schema` in the request")
    field, schema = said.field_name, said.field_schema
    params = narrow_params(field, schema)
    if params is not None:
        folder.make_narrow(name, field, params)
    else:
        refuse_key([field])
        with edge_errors():
            operation = edge.UpdateOperation.create_field_index(field, to_field_schema(schema))
        folder.shard(name).update_indexes(operation)
        folder.drop_narrow(name, field)
    folder.written()
    return completed(request)


def delete_index(folder: Folder, request: Request) -> Any:
    """DELETE /collections/{c}/index/{field}."""
    name, field = request.names
    refuse_key([field])
    folder.drop_narrow(name, field)
    with edge_errors():
        operation = edge.UpdateOperation.delete_field_index(field)
    folder.shard(name).update_indexes(operation)
    folder.written()
    return completed(request)


def _payload_schema(shard: Shard, schema: Mapping[str, Any]) -> dict[str, Any]:
    """All indexes of a collection; the narrow ones as the keyword indexes that they stand for."""
    known = {key: schema_json(one) for key, one in schema.items() if key != KEY}
    for key, one in shard.narrow.finished_fields().items():
        known[key] = {"data_type": "keyword", "points": shard.count_of(one), "params": dict(one.params)}
    return known


def completed(request: Request) -> dict[str, Any]:
    """The answer to every update. Edge numbers its operations, but does not return the number."""
    return {"operation_id": None, "status": "completed" if request.waits else "acknowledged"}


def _alias_json(alias: str, collection: str) -> dict[str, str]:
    return {"alias_name": alias, "collection_name": collection}


def _check_name(name: str) -> None:
    bad = [char for char in name if char in _FORBIDDEN_IN_NAMES]
    if bad:
        raise Problem(422, f"Validation error in path parameters: [name: collection name cannot contain {bad[0]!r}]")
    if not 0 < len(name) <= _MAX_NAME:
        raise Problem(422, f"Validation error in path parameters: [name: must have 1 to {_MAX_NAME} characters]")


def _vector_json(name: str, params: rest.VectorParams) -> dict[str, Any]:
    _refuse_others(params, {"size", "distance"}, hints=False)
    if params.size < 1:
        raise bad_format(f"vectors.{name}.size: value {params.size} invalid, must be from 1 to {MAX_DIMENSIONS}")
    if params.size > MAX_DIMENSIONS:
        raise invalid_value(f"vectors.{name}.size: value {params.size} invalid, must be from 1 to {MAX_DIMENSIONS}")
    return {"size": params.size, "distance": params.distance.value}


def _hints(said: Any) -> dict[str, Any]:
    return {name: value for name, value in _said(said).items() if name in _HINTS}


def _refuse_others(said: Any, known: set[str], hints: bool = True) -> None:
    for name in _said(said):
        if name not in known and not (hints and name in _HINTS):
            raise unsupported(f"`{name}` of a collection")


def _said(model: Any) -> dict[str, Any]:
    """The value in a request; an empty object counts as none, as on a server."""
    given: dict[str, Any] = model.model_dump(mode="json", exclude_none=True)
    return {name: value for name, value in given.items() if value != {}}
