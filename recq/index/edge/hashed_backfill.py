"""Keep the numbers of narrow fields correct: for points that existed first, and when a part of a payload changes.

A write of a whole payload includes its numbers. A change of a part does not: so the numbers that may be needed
afterwards are added first, then the change is made, then the numbers no longer needed are removed. If the process is
killed in between, a point has too many numbers. No answer shows them: each condition also checks the payload.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import qdrant_edge as edge

from recq.index.edge.hashed_index import INDEX, KEY
from recq.index.edge.problem import edge_errors, not_found
from recq.index.edge.shard import Shard
from recq.index.edge.written import Id

PAGE = 100
"""Points whose payloads are read in one call: about 2 ms, in which no other thread runs."""

_Op = edge.UpdateOperation


def begin(shard: Shard, key: str, params: Mapping[str, Any]) -> None:
    """From here on every write has the numbers of the field `key`; no condition uses them yet."""
    with shard.writes_held():
        shard.narrow = shard.narrow.with_field(key, params)
        with shard.reading() as opened:
            known = KEY in opened.info().payload_schema
        if not known:
            shard.update_indexes(_Op.create_field_index(KEY, INDEX))


def fill(shard: Shard) -> None:
    """Every point gets its numbers, a page at a time and at half speed, while others read and write."""
    following: Any = None
    while True:
        started = time.monotonic()
        with shard.writes_held():
            request = edge.ScrollRequest(offset=following, limit=PAGE, with_payload=True, with_vector=False)
            with shard.reading() as opened:
                records, following = opened.scroll(request)
            _correct(shard, records)
        if following is None:
            break
        time.sleep(time.monotonic() - started)
    shard.flush()  # the manifest, written next, survives a power cut: so must this


def change_payload(
    shard: Shard,
    chosen: list[Id] | edge.Filter,
    new: Mapping[str, Any],
    below: str | None,
) -> None:
    """Set a part of the payload of the points `chosen`, below a path if one is given, that a narrow field may notice.

    As one write towards all others. Where a point is unknown, Problem 404 is raised when all others are changed; Edge
    alone would change some of them.
    """
    with shard.writes_held():
        ids = list(_found(shard, chosen)) if isinstance(chosen, edge.Filter) else list(chosen)
        unknown: list[Id] = []
        for start in range(0, len(ids), PAGE):
            some = ids[start : start + PAGE]
            records = _read(shard, some)
            known = [record.id for record in records]
            there = set(map(str, known))
            unknown += [id_ for id_ in some if str(id_) not in there]
            if not known:
                continue
            for record in records:
                before = set((record.payload or {}).get(KEY, ()))
                _write(shard, record, before | set(shard.narrow.numbers(new, below)))
            try:
                with edge_errors():
                    shard.update(_Op.set_payload(known, dict(new), below), known)
            finally:
                _correct(shard, _read(shard, known))
    if unknown:
        raise not_found(f"No point with id {unknown[0]}")


def _found(shard: Shard, filter_: edge.Filter) -> Iterator[Id]:
    following: Any = None
    while True:
        request = edge.ScrollRequest(
            offset=following, limit=10 * PAGE, filter=filter_, with_payload=False, with_vector=False
        )
        with shard.reading() as opened:
            records, following = opened.scroll(request)
        yield from (record.id for record in records)
        if following is None:
            return


def _read(shard: Shard, ids: Sequence[Id]) -> Sequence[Any]:
    with shard.reading() as opened:
        records: Sequence[Any] = opened.retrieve(list(ids), True, False)
        return records


def _correct(shard: Shard, records: Sequence[Any]) -> None:
    for record in records:
        _write(shard, record, set(shard.narrow.numbers(record.payload or {})))


def _write(shard: Shard, record: Any, numbers: set[int]) -> None:
    if set((record.payload or {}).get(KEY, ())) == numbers:
        return
    with edge_errors():
        change = (
            _Op.set_payload([record.id], {KEY: sorted(numbers)}) if numbers else _Op.delete_payload([record.id], [KEY])
        )
        shard.update(change, [record.id])
