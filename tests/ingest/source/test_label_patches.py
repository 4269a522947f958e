"""What `recq labels` writes is what the daemon reads: hostile paths, values of every type, lists, removals."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from ingest.source.dialect import records
from ingest.source.table import MetadataTable, read_tables, sheet
from recq import paths
from recq.evaluate.evaluate import labels_of
from recq.index.field_types import FieldType
from recq.index.schema import FileFacts, Item, Scalar, nfc
from recq.learn.patch import PatchRow, table_of

FIELD = "Kind, so called; (EUR)"

NAMES = st.binary(min_size=1, max_size=12).map(lambda raw: raw.replace(b"\0", b"_").replace(b"/", b"_"))
NASTY = st.sampled_from(
    [b"=1+1", b"@x", b"-a", b"a,b;c\td", b'"q"', b"a\nb", b"a\r\nb", b"\r", b"caf\xe9", b"a\\b", b" a ", b"%41\xff"]
)
PATHS = st.lists(st.one_of(NAMES, NASTY), min_size=1, max_size=3).map(
    lambda parts: paths.to_text(os.fsdecode(b"/".join(parts) + b".jpg"))[0]
)
TEXTS = st.one_of(
    st.sampled_from(["sofa", "007", "1.5", "true", "=SUM(A1)", "a|b", "a\\", "2024-01-31", "1,234", "nan", "x\ny"]),
    st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=10).map(lambda text: nfc(text).strip()),
).filter(bool)
VALUES: dict[FieldType, st.SearchStrategy[Scalar]] = {
    FieldType.STRING: TEXTS,
    FieldType.INTEGER: st.integers(-(2**63), 2**63 - 1),
    FieldType.FLOAT: st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**53) + 1, 2**53 - 1)),
    FieldType.BOOL: st.booleans(),
}


def written(values: list[Scalar]) -> tuple[str, ...]:
    """As text, as every label is."""
    return labels_of(Item(FileFacts("s", "p", 1, 1), {"x": values}), "x")


def read(data: bytes, kind: FieldType) -> MetadataTable:
    """By the daemon, beside a table of the source that has the field, too."""
    (_, table) = read_tables(
        [sheet(b"file,other\nx,1\n", "metadata.csv"), sheet(data, "m.csv", patch=True)], {FIELD: kind}
    )
    return table


@st.composite
def contents(draw: st.DrawFn) -> tuple[FieldType, bool, dict[str, list[Scalar] | None]]:
    kind = draw(st.sampled_from(list(VALUES)))
    as_list = draw(st.booleans())
    several = st.lists(VALUES[kind], min_size=1, max_size=3 if as_list else 1)
    return kind, as_list, draw(st.dictionaries(PATHS, st.none() | several, min_size=1, max_size=5))


@given(contents())
def test_a_patch_is_read_back_as_it_was_written(given_: tuple[FieldType, bool, dict[str, list[Scalar] | None]]) -> None:
    kind, as_list, rows = given_
    asked = [PatchRow(path, {FIELD: () if values is None else written(values)}) for path, values in rows.items()]
    data, left_out = table_of({FIELD: as_list}, asked)
    table = read(data, kind)
    assert table.problems == ()
    for path, values in rows.items():
        if path in left_out:
            assert values is not None
            assert path not in table.rows
            continue
        assert table.row_of(path) == path
        removed = FIELD in table.removed.get(path, ())
        assert removed == (values is None)
        if values is not None:
            lists = isinstance(table.rows[path].get(FIELD), list)
            assert table.rows[path][FIELD] == (list(values) if lists else values[0])
            assert lists or type(table.rows[path][FIELD]) is type(values[0])


def test_every_row_of_a_patch_that_nothing_is_known_of_says_nothing() -> None:
    data, left_out = table_of({"kind": False}, [PatchRow("a.jpg", {}), PatchRow("b.jpg", {"kind": ("x",)})])
    (table,) = read_tables([sheet(data, "m.csv", patch=True)], {"kind": FieldType.STRING})
    assert table.rows == {"a.jpg": {}, "b.jpg": {"kind": "x"}}
    assert (table.removed, left_out, table.problems) == ({}, (), ())


def test_several_fields_in_one_table() -> None:
    rows = [PatchRow("a.jpg", {"kind": ("x",), "tags": ("new",)}), PatchRow("b.jpg", {"tags": ()})]
    data, _ = table_of({"kind": False, "tags": True}, rows)
    (table,) = read_tables([sheet(data, "m.csv", patch=True)], {})
    assert table.rows == {"a.jpg": {"kind": "x", "tags": ["new"]}, "b.jpg": {}}
    assert table.removed == {"b.jpg": frozenset({"tags"})}


def test_no_cell_holds_it() -> None:
    data, left_out = table_of(
        {"kind": False}, [PatchRow("a.jpg", {"kind": ("<remove>",)}), PatchRow("b.jpg", {"kind": (" x",)})]
    )
    assert left_out == ("a.jpg", "b.jpg")
    assert [record.cells for record in records(data, "m.csv")[1]] == [["file", "kind"]]
