"""A catalog as one file: JSON lines or Parquet, with the space, the sources and the types of fields in its head.

Both forms have the id, the payload and the vector of each point. Neither has a pickle, and both restore each number:
vectors are float32 in Parquet, and the shortest decimals that give the same float32 in JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import IO, Any, Self

import numpy as np
import orjson

from recq.errors import RecqError, UsageError
from recq.index.candidates import TrainedSpace
from recq.index.points import ItemVector
from recq.index.problems import few, left_out
from recq.index.schema import SCHEMA_VERSION, FieldType, FieldTypes, Item, field_problem, storable
from recq.index.sources import Source
from recq.space import EmbeddingSpace

VERSION = 1
"""The version of the layout of these files."""

_KEY = "recq"  # of the head: the first line's only key, and a key of Parquet's own metadata
_END = "recq_end"  # the last line's only key: the number of items
_PARQUET_MAGIC = b"PAR1"
_BEGINNING = re.compile(rb'(\xef\xbb\xbf)?\s*\{\s*"recq"\s*:')
"""How JSON lines begin, also where another program has written them anew."""

_LOOKED_AT = 64  # bytes that tell whether it is an export: a file without a line break is not read whole for that
_DAMAGE = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
"""What a document of another shape than ours ends in, whatever is in it."""

_NO_PYARROW = "Parquet needs the package pyarrow: pip install 'recq[parquet]', or use --format jsonl"


@dataclass(frozen=True)
class Head:
    """The head of the file. `items` is the approximate number of items: the catalog may change while it is read.

    `trained` is the trained space that the vectors are of, with its head.
    """

    catalog: str
    space: EmbeddingSpace
    sources: Mapping[str, Source]
    types: FieldTypes
    items: int
    trained: TrainedSpace | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON; `from_json` reads it back."""
        return {
            "version": VERSION,
            "schema": SCHEMA_VERSION,
            "catalog": self.catalog,
            "space": self.space.to_json(),
            "fingerprint": self.space.fingerprint,
            "sources": {name: source.place_json() for name, source in self.sources.items()},
            "types": {name: str(field_type) for name, field_type in self.types.items()},
            "items": self.items,
            **({} if self.trained is None else {"trained": self.trained.to_json()}),
        }

    @classmethod
    def from_json(cls, data: Any, file: str) -> Self:
        """The head that `to_json` wrote; `file` is its name in messages. Raises UsageError."""
        if not isinstance(data, dict) or "version" not in data:
            raise UsageError(f"{file} is no export of recq: its head is missing")
        try:
            if data["version"] != VERSION or data.get("schema", 0) > SCHEMA_VERSION:
                raise UsageError(f"{file} was written by a newer recq: update recq")
            head = cls(
                str(data["catalog"]),
                EmbeddingSpace.from_json(data["space"]),
                {name: Source.from_json(name, source) for name, source in data["sources"].items()},
                {name: FieldType(kind) for name, kind in data["types"].items() if field_problem(name) is None},
                int(data["items"]),
                TrainedSpace.from_json(data["trained"]) if "trained" in data else None,
            )
        except _DAMAGE as error:
            raise UsageError(f"{file} has a damaged head: {error}") from error
        if head.space.fingerprint != data.get("fingerprint"):
            raise UsageError(f"{file} has a damaged head: the fingerprint is not that of its embedding space")
        if head.trained is not None and head.trained.space != head.space:
            raise UsageError(f"{file} has a damaged head: the trained space is not that of its vectors")
        return head


class JsonLines:
    """The head on the first line, then an item on each; the last line has their number, which shows a cut file.

    Nothing follows that: joined parts of a backup, for example, would bring outdated items back.
    """

    def __init__(self, stream: IO[bytes], head: Head) -> None:
        self._stream = stream
        self._items = 0
        stream.write(_json({_KEY: head.to_json()}) + b"\n")

    def write(self, entries: Sequence[ItemVector]) -> None:
        """A line each."""
        for entry in entries:
            vector = b"null" if entry.vector is None else orjson.dumps(entry.vector, option=orjson.OPT_SERIALIZE_NUMPY)
            start = _json({"id": entry.item.id, "payload": entry.item.to_payload()})
            self._stream.write(start[:-1] + b',"vector":' + vector + b"}\n")
        self._items += len(entries)

    def close(self) -> None:
        """The last line; the stream is the caller's."""
        self._stream.write(_json({_END: self._items}) + b"\n")
        self._stream.flush()


class Parquet:
    """Columns id, source, path, payload (JSON) and vector (a list of fixed size); a row group for each `write`."""

    def __init__(self, stream: IO[bytes], head: Head) -> None:
        pa = _pyarrow()
        import pyarrow.parquet as pq

        self._schema = pa.schema(
            [
                ("id", pa.string()),
                ("source", pa.string()),
                ("path", pa.string()),
                ("payload", pa.string()),
                ("vector", pa.list_(pa.float32(), head.space.dim)),
            ],
            metadata={_KEY: _json(head.to_json())},
        )
        self._writer = pq.ParquetWriter(stream, self._schema, compression="zstd")

    def write(self, entries: Sequence[ItemVector]) -> None:
        """A row each."""
        pa = _pyarrow()
        items = [entry.item for entry in entries]
        columns = [
            [item.id for item in items],
            [item.file.source for item in items],
            [item.file.path for item in items],
            [_json(item.to_payload()).decode() for item in items],
            [entry.vector for entry in entries],
        ]
        self._writer.write_table(pa.table(columns, schema=self._schema))

    def close(self) -> None:
        """Write the footer, without which the file cannot be read."""
        self._writer.close()


def read(stream: IO[bytes], file: str) -> tuple[Head, Iterator[ItemVector]]:
    """The head of an export and its items; the first bytes tell its form.

    `stream` need not be seekable for JSON lines. Raises UsageError, also while the items are read: with the number of
    the line or row, or when the file ends early or goes on after its end.
    """
    first = stream.read(len(_PARQUET_MAGIC))
    if first == _PARQUET_MAGIC:
        if not stream.seekable():
            raise UsageError("Parquet cannot be read from a pipe: name the file")
        head, rows = _parquet_rows(stream, file)
        kind = "row"
    else:
        head, rows = _json_rows(first, stream, file)
        kind = "line"
    return head, _checked(head, rows, file, kind)


Row = tuple[int, str, Any, Any]
"""Number, id, payload, vector as a list or None."""


def _json_rows(first: bytes, stream: IO[bytes], file: str) -> tuple[Head, Iterator[Row]]:
    begun = first + stream.readline(_LOOKED_AT)
    if _BEGINNING.match(begun) is None:
        return Head.from_json(None, file), iter(())  # which raises
    whole = begun if begun.endswith(b"\n") else begun + stream.readline()
    lines = enumerate(chain([whole], stream), start=1)
    start = _parsed(next(lines)[1])
    head = Head.from_json(start.get(_KEY) if isinstance(start, dict) else None, file)

    def rows() -> Iterator[Row]:
        number = 1
        for number, line in lines:
            row = _parsed(line)
            if isinstance(row, dict) and _END in row:
                if row[_END] != number - 2:
                    raise UsageError(
                        f"{file} has {number - 2:,} items, its last line counts {row[_END]}: export it again"
                    )
                if any(line.strip() for _, line in lines):
                    raise UsageError(f"{file}: more follows its last line, {number}: import one export at a time")
                return
            if not isinstance(row, dict) or not {"id", "payload", "vector"} <= row.keys():
                raise UsageError(f"{file}: line {number} is no item" + ("" if line.endswith(b"\n") else ": it is cut"))
            yield number, row["id"], row["payload"], row["vector"]
        raise UsageError(f"{file} ends early, after {number - 1:,} items: export it again")

    return head, rows()


def _parsed(line: bytes) -> Any:
    """The line's JSON, or None where it is none."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):  # brackets in brackets, thousands deep
        return None


def _parquet_rows(stream: IO[bytes], file: str) -> tuple[Head, Iterator[Row]]:
    pa = _pyarrow()
    import pyarrow.parquet as pq

    try:
        opened = pq.ParquetFile(stream)
    except (pa.ArrowInvalid, OSError) as error:
        raise UsageError(f"{file} is no whole Parquet file: {' '.join(str(error).split())}") from error
    raw = (opened.schema_arrow.metadata or {}).get(_KEY.encode())
    head = Head.from_json(_parsed(raw) if raw else None, file)

    def rows() -> Iterator[Row]:
        number = 0
        for batch in opened.iter_batches(batch_size=256, columns=["id", "payload", "vector"]):
            for row in zip(*(batch.column(n) for n in range(3)), strict=True):
                number += 1
                id_, payload, vector = row
                yield number, id_.as_py(), _parsed(payload.as_py().encode()), vector.as_py()

    return head, rows()


def _checked(head: Head, rows: Iterable[Row], file: str, kind: str) -> Iterator[ItemVector]:
    for number, id_, payload, vector in rows:
        try:
            item = Item.from_payload(payload)
            item = _storable(item, f"{file}: {kind} {number}")
            with np.errstate(over="ignore"):  # what is not finite is refused where it would be stored
                entry = ItemVector(item, None if vector is None else np.asarray(vector, dtype=np.float32))
        except (*_DAMAGE, RecqError) as error:
            raise UsageError(f"{file}: {kind} {number} has no payload of recq's, or no vector: {error!r}") from error
        if item.id != id_:
            raise UsageError(f"{file}: {kind} {number} has the id {id_}, its source and path give {item.id}")
        if entry.vector is not None and entry.vector.shape != (head.space.dim,):
            raise UsageError(f"{file}: {kind} {number} has a vector of another length than {head.space.dim}")
        if (entry.vector is None) != (item.error is not None):
            raise UsageError(f"{file}: {kind} {number} has neither a vector nor a failure, or has both")
        yield entry


def _storable(item: Item, where: str) -> Item:
    """The item without the fields that no index takes (the file was edited), which are listed with it."""
    kept = storable(item.metadata)
    if not kept.dropped:
        return item
    problems = [left_out(where, name, why) for name, why in kept.dropped.items()]
    metadata = {name: value for name, value in kept.fields.items() if value is not None}
    return replace(item, metadata=metadata, problems=few([*item.problems, *problems]))


def _json(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")


def _pyarrow() -> Any:
    try:
        import pyarrow as pa
    except ImportError as error:
        raise UsageError(_NO_PYARROW) from error
    return pa
