"""Where the lines of an export end, and what follows."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

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
