"""Where the lines of an export end, and what follows."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recq.errors import UsageError
from recq.index.catalog import Catalog
from recq.index.connect import connect
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item
from recq.settings import Settings
from recq.transfer.archive import Head, JsonLines, read
from recq.transfer.transfer import import_catalog
from tests.recq.index.conftest import SPACE

ITEMS = 230


def export(source: str, count: int) -> bytes:
    """An export of some items."""
    stream = BytesIO()
    lines = JsonLines(stream, Head("shop", SPACE, {}, {}, count))
    digits = [f"{n:064x}" for n in range(count)]
    items = [Item(FileFacts(source, f"{each}.jpg", 1, 1, each)) for each in digits]
    lines.write([ItemVector(item, np.ones(SPACE.dim, np.float32)) for item in items])
    lines.close()
    return stream.getvalue()


ONE = export("one", 3)


@pytest.mark.parametrize("after", [b"", b"\n", b"\r\n \n\n"], ids=["nothing", "a blank line", "blank lines"])
def test_an_export_ends_with_its_last_line(after: bytes) -> None:
    _, entries = read(BytesIO(ONE + after), "it")
    assert len(list(entries)) == 3


@pytest.mark.parametrize(
    "after",
    [
        export("other", 2),
        b"\n" + export("other", 2),
        ONE,
        ONE.splitlines(keepends=True)[1],
        ONE.splitlines(keepends=True)[-1],
        b"x",
    ],
    ids=["an export", "an export after a blank line", "the same once more", "an item", "an end", "something"],
)
def test_what_follows_the_last_line_is_never_left_out_in_silence(after: bytes) -> None:
    with pytest.raises(UsageError, match=r"^it: more follows its last line, 5: import one export at a time$"):
        list(read(BytesIO(ONE + after), "it")[1])


def test_how_much_of_joined_exports_was_imported_is_told(tmp_path: Path) -> None:
    joined = tmp_path / "joined.jsonl"
    joined.write_bytes(export("one", ITEMS) + export("other", 2))
    settings = Settings(data_dir=tmp_path / "data")
    with pytest.raises(UsageError, match=r"import one export at a time \(200 items before it were imported\)$"):
        import_catalog(settings, joined)
    with connect(settings) as client:
        assert Catalog.open(client, settings.catalog).items.count() == 200


class Endless(io.RawIOBase):
    """The beginning of a stream that never ends, as /dev/zero does not, nor for long a file without line breaks."""

    def __init__(self, begins: bytes, goes_on: bytes) -> None:
        self._left, self._goes_on, self.read_bytes = begins, goes_on, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left:
            self._left = self._goes_on * 4096
        count = min(len(buffer), len(self._left))
        buffer[:count], self._left = self._left[:count], self._left[count:]
        self.read_bytes += count
        assert self.read_bytes < 1_000_000, "it is read on and on"
        return count


@pytest.mark.parametrize(
    "begins",
    [b"", b" ", b"{", b'{"recq_end":', b'{"type":"FeatureCollection","features":[', b"\xef\xbb\xbf{", b"recq", b"\0"],
)
@pytest.mark.parametrize("goes_on", [b"\0", b" ", b"x", b'{"a":1},'])
def test_what_does_not_begin_as_an_export_is_not_read_on(begins: bytes, goes_on: bytes) -> None:
    with pytest.raises(UsageError, match=r"^it is no export of recq: its head is missing$"):
        read(io.BufferedReader(Endless(begins, goes_on)), "it")


@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b" ", b"\n"])
@pytest.mark.parametrize("written", [json.dumps, lambda document: json.dumps(document, separators=(" , ", " : "))])
def test_a_head_that_another_program_wrote_anew_is_read(before: bytes, written: Callable[[Any], str]) -> None:
    head, *lines = ONE.splitlines(keepends=True)
    stream = BytesIO(b"".join([before, written(json.loads(head)).encode(), b"\n", *lines]))
    assert read(stream, "it")[0].space == SPACE


ODD: list[Any] = ["x", None, [], {}, [1], -1, 1e308, float("inf"), float("nan"), 10**400, True]
"""Values of kinds and sizes that a file may have anywhere."""


@pytest.mark.parametrize("odd", ODD, ids=[str(each)[:9] for each in ODD])
@pytest.mark.parametrize("name", json.loads(ONE.splitlines()[0])["recq"])
def test_a_head_with_any_value_in_any_place_is_read_or_told(name: str, odd: Any) -> None:
    head, *lines = ONE.splitlines(keepends=True)
    document = json.loads(head)
    document["recq"][name] = odd
    stream = BytesIO(b"".join([json.dumps(document).encode(), b"\n", *lines]))
    with contextlib.suppress(UsageError):
        read(stream, "it")


@pytest.mark.parametrize("odd", ODD, ids=[str(each)[:9] for each in ODD])
@pytest.mark.parametrize("place", ["id", "payload", "vector", "a number", "file", "size"])
def test_an_item_with_any_value_in_any_place_is_read_or_told(place: str, odd: Any) -> None:
    head, item, *lines = ONE.splitlines(keepends=True)
    document = json.loads(item)
    holder, key = {
        "a number": (document["vector"], 0),
        "file": (document["payload"], "file"),
        "size": (document["payload"]["file"], "size"),
    }.get(place, (document, place))
    holder[key] = odd
    stream = BytesIO(b"".join([head, json.dumps(document).encode(), b"\n", *lines]))
    with contextlib.suppress(UsageError):
        list(read(stream, "it")[1])


DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (DEEP, "is no export of recq"),
        (b'{"recq":' + DEEP + b"\n", "is no export of recq"),
        (b'{"recq":{"version":1,"schema":"x"}}\n', "has a damaged head"),
        (b'{"recq":{"version":1,"schema":99}}\n', "was written by a newer recq"),
        (ONE.splitlines(keepends=True)[0] + DEEP + b"\n", "line 2 is no item"),
        (ONE.splitlines(keepends=True)[0] + b'{"recq_end":' + DEEP + b"\n", "line 2 is no item"),
    ],
    ids=["brackets", "a deep head", "a schema in words", "a newer schema", "a deep item", "a deep end"],
)
def test_what_no_reader_can_take_is_told(data: bytes, says: str) -> None:
    with pytest.raises(UsageError, match=rf"^it:? {says}"):
        list(read(BytesIO(data), "it")[1])
