"""Metadata: which place wins, and what a sidecar may hold."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.source.metadata import (
    MAX_SIDECAR_BYTES,
    Sidecar,
    category_of,
    folder_fields,
    lost_fields,
    merge,
    parse_sidecar,
)
from ingest.source.table import MetadataTable
from recq.errors import MetadataError
from recq.index.problems import ProblemKind
from recq.index.schema import (
    MOST_ELEMENTS,
    MOST_FIELDS,
    FieldType,
    FieldTypes,
    Metadata,
    Value,
    field_problem,
    nfc,
    value_problem,
)


def described(path: str, table: MetadataTable, sidecar: Sidecar, known: FieldTypes) -> Metadata:
    """What the folder's own sources say together."""
    return merge(folder_fields(path, table.types, known), table.rows.get(path, {}), sidecar)


@pytest.mark.parametrize(
    ("path", "category"),
    [
        ("chairs/oak/1.jpg", "chairs"),
        ("chairs/sofa_1.jpg", "chairs"),
        ("sofa_226.jpg", "sofa"),
        ("running-shoe_pro_max.jpg", "running-shoe"),
        ("2024/IMG_1.jpg", "2024"),
        ("tripod.jpg", None),
        ("_226.jpg", None),
        ("sofa_", None),
        ("2024_01_31.jpg", None),
        ("IMG_0001.jpg", None),
        ("DSC_0001.JPG", None),
    ],
)
def test_category_of_folder_or_prefix(path: str, category: str | None) -> None:
    assert category_of(path) == category


def test_sidecar_over_table_over_folder_over_prefix() -> None:
    table = MetadataTable(rows={"beds/bed_1.jpg": {"category": "bunk", "price": 10, "title": "Old"}})
    assert described("beds/bed_2.jpg", table, {}, {}) == {"category": "beds"}
    assert described("beds/bed_1.jpg", table, {}, {}) == {"category": "bunk", "price": 10, "title": "Old"}
    sidecar = parse_sidecar(b'{"title": "New", "price": null, "labels": []}', "x.json")
    assert described("beds/bed_1.jpg", table, sidecar.fields, {}) == {"category": "bunk", "title": "New"}
    assert described("beds/bed_1.jpg", table, {"category": None}, {}) == {"price": 10, "title": "Old"}


def test_an_empty_cell_leaves_the_folder_its_say() -> None:
    assert described("beds/1.jpg", MetadataTable(rows={"beds/1.jpg": {}}), {}, {}) == {"category": "beds"}


def test_a_category_is_of_the_fields_type() -> None:
    assert described("2024/1.jpg", MetadataTable(), {}, {}) == {"category": "2024"}
    assert described("2024/1.jpg", MetadataTable(), {}, {"category": FieldType.INTEGER}) == {"category": 2024}
    assert described("beds/1.jpg", MetadataTable(types={"category": FieldType.INTEGER}), {}, {}) == {"category": "beds"}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"", "x.json:1: not JSON"),
        (b'{"a": 1,\n}', "x.json:2: not JSON"),
        (b"[1]", "x.json: not an object"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b" " * (MAX_SIDECAR_BYTES + 1), "make it shorter"),
    ],
)
def test_a_bad_sidecar_says_what_to_change(text: bytes, what: str) -> None:
    with pytest.raises(MetadataError) as caught:
        parse_sidecar(text, "x.json")
    assert what in str(caught.value)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b'{"a": NaN, "b": 1}', "field 'a' is not a finite number"),
        (b'{"a": 1e999, "b": 1}', "field 'a' is not a finite number"),
        (b'{"a": {"b": 1}, "b": 1}', "field 'a' is neither text, number, boolean nor a list of these"),
        (b'{"a": [[1]], "b": 1}', "field 'a' is a list of lists"),
        (b'{"a": [null], "b": 1}', "field 'a' is neither text, number"),
        (b'{"a": [' + b"[" * 80 + b"]" * 80 + b'], "b": 1}', "field 'a' is a list of lists"),
        (b'{"a": [' + b"1," * MOST_ELEMENTS + b'1], "b": 1}', "field 'a' is a list of 10,001 values"),
        (b'{"file.size": 1, "b": 1}', "field 'file.size' is reserved"),
        (b'{"a": 1, "b": 1, "a": 2}', "field 'a' stands there twice"),
        (b'{"a": 99999999999999999999, "b": 1}', "more than 64 bits"),
        (b'{"a": ' + b"9" * 10_000 + b', "b": 1}', "more than 64 bits"),
        (b'{"a": "\\ud800", "b": 1}', "half a surrogate pair"),
        (b'{"a\\\\b": "x", "b": 1}', r"field 'a\b' has the character \, which no index takes in a name"),
        (b'{"a\\"b": "x", "b": 1}', 'has the character ", which no index takes in a name'),
        (b'{"a=b": "x", "b": 1}', "has one of the characters = < > ~ ! ? that filters use"),
        (b'{"a\\u0000": "x", "b": 1}', r"has the character \x00, which cannot be printed"),
        (b'{"": "x", "b": 1}', "field '' is empty"),
        (b'{"' + b"n" * 10_000 + b'": "x", "b": 1}', "is longer than 255 characters"),
    ],
)
def test_a_field_that_cannot_be_stored_costs_that_field_alone(text: bytes, what: str) -> None:
    sidecar = parse_sidecar(text, "x.json")
    assert sidecar.fields == {"b": 1}
    (problem,) = sidecar.problems
    assert problem.kind is ProblemKind.FIELD
    assert problem.detail.startswith("x.json: field ")
    assert what in problem.detail
    assert len(problem.detail) < 300


def test_a_picture_has_a_thousand_fields_at_most() -> None:
    sidecar = parse_sidecar(json.dumps({f"f{n}": n for n in range(MOST_FIELDS + 2)}).encode(), "x.json")
    assert list(sidecar.fields) == [f"f{n}" for n in range(MOST_FIELDS)]
    assert [problem.field for problem in sidecar.problems] == ["f1000", "f1001"]


def test_a_sidecar_of_nothing_but_doubled_names_is_read_in_time() -> None:
    """The names together take a hundred times as long as one after the other where each is looked for in a list."""
    names = [f"{number:x}" for number in range(40_000)]
    text = "{" + ",".join(f'"{name}":1' for name in [*names, *names, "once"]) + "}"
    assert len(text) < MAX_SIDECAR_BYTES
    before = time.process_time()
    sidecar = parse_sidecar(text.encode(), "x.json")
    assert time.process_time() - before < 5
    assert sidecar.fields == {"once": 1}
    assert [problem.field for problem in sidecar.problems] == names


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_any_json_is_metadata_or_refused(document: object) -> None:
    try:
        sidecar = parse_sidecar(json.dumps(document).encode("utf-8", "surrogatepass"), "x.json")
    except MetadataError:
        return
    assert isinstance(document, dict)
    meant = {nfc(name): value for name, value in document.items()}
    dropped = {problem.field for problem in sidecar.problems}
    assert sidecar.fields.keys() | dropped == meant.keys()
    assert not sidecar.fields.keys() & dropped
    assert all(meant[name] == value for name, value in sidecar.fields.items())
    for name, value in described("a.jpg", MetadataTable(), sidecar.fields, {}).items():
        assert field_problem(name) is None
        assert value_problem(value) is None


@pytest.mark.parametrize("nothing", ["", "  ", [], [""], ["", " "]])
def test_an_empty_value_of_a_sidecar_says_nothing_as_an_empty_cell_does(nothing: Value) -> None:
    """Only null takes a field away; what stands in the table, or the folder says, holds else."""
    table = MetadataTable(rows={"chairs/a.jpg": {"brand": "Nike", "price": 5}})
    sidecar = {"brand": nothing, "category": nothing, "title": nothing, "price": None}
    assert described("chairs/a.jpg", table, sidecar, {}) == {"category": "chairs", "brand": "Nike"}
    assert described("a.jpg", MetadataTable(), {"labels": ["red", "", " "], "title": " x "}, {}) == {
        "labels": ["red"],
        "title": " x ",
    }


@pytest.mark.parametrize(
    ("before", "now", "lost"),
    [
        ({}, {}, []),
        ({"price": 1}, {"price": 2}, []),
        ({"price": 1, "title": "x"}, {"title": "y"}, ["price"]),
        ({"category": "Bags"}, {"category": "images"}, ["category"]),  # only the folder gives one now
        ({"category": "images"}, {"category": "images"}, []),
        ({"category": "images"}, {"category": "Bags"}, []),
        ({"category": "Bags"}, {}, ["category"]),
        ({"brand": "", "labels": []}, {}, []),  # they said nothing
        ({"Gr\u00f6\u00dfe": 1}, {"Gro\u0308\u00dfe": 1}, []),
        ({"a=b": 1}, {}, []),  # no field can be called so
    ],
)
def test_what_an_item_would_lose(before: Metadata, now: Metadata, lost: list[str]) -> None:
    assert lost_fields("images/a.jpg", before, now) == lost
