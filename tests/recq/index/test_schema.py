"""Types belong to fields; payloads come back as they went in."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recq.errors import Reason
from recq.index.schema import (
    FieldType,
    FileFacts,
    Item,
    ItemError,
    Scalar,
    Value,
    column_type,
    composed,
    field_name,
    field_problem,
    fits,
    infer_type,
    metadata_digest,
    parse_cell,
    payload_key,
    stored_payload,
    value_problem,
)

scalars: st.SearchStrategy[Scalar] = (
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
names = st.text(min_size=1).filter(lambda name: field_problem(name) is None)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["true", "False"], FieldType.BOOL),
        (["1", "-20", "0"], FieldType.INTEGER),
        (["1", "2.5"], FieldType.FLOAT),
        (["1e3", ".5"], FieldType.FLOAT),
        (["2024-02-29", "2024-01-01T10:00:00Z"], FieldType.DATE),
        (["2023-02-29"], FieldType.STRING),
        (["1", "00123"], FieldType.STRING),
        (["00.5"], FieldType.STRING),
        (["1", "n/a"], FieldType.STRING),
        (["9223372036854775808"], FieldType.STRING),
        (["nan", "sofa"], FieldType.STRING),
        (["1e999"], FieldType.STRING),
        ([], FieldType.STRING),
    ],
)
def test_a_column_has_one_type(cells: list[str], expected: FieldType) -> None:
    assert column_type(cells) is expected


@pytest.mark.parametrize("cell", ["nan", "NaN", "inf", "-Infinity", "1e999", "9" * 5_000])
@pytest.mark.parametrize("others", [[], ["1.5"], ["9400111899223197428490"]])
def test_what_is_not_finite_is_no_number_whatever_stands_beside_it(cell: str, others: list[str]) -> None:
    assert column_type([*others, cell]) is FieldType.STRING


def test_a_cell_that_does_not_fit_stays_text() -> None:
    assert parse_cell("n/a", FieldType.FLOAT) == "n/a"
    assert parse_cell("12", FieldType.FLOAT) == 12.0
    assert parse_cell("12", FieldType.STRING) == "12"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([True, False], FieldType.BOOL),
        ([1, 2], FieldType.INTEGER),
        ([1, 2.0], FieldType.FLOAT),
        (["2024-01-01"], FieldType.DATE),
        (["a", 1], FieldType.STRING),
        ([["a", "b"], "c"], FieldType.STRING),
        ([[1], [2, 3]], FieldType.INTEGER),
        ([[]], FieldType.STRING),
    ],
)
def test_inferred_types(values: list[Value], expected: FieldType) -> None:
    assert infer_type(values) is expected


@given(st.lists(scalars, min_size=1))
def test_every_value_fits_the_inferred_type_unless_it_is_mixed(values: list[Scalar]) -> None:
    inferred = infer_type(values)
    if inferred is not FieldType.STRING:
        assert all(fits(value, inferred) for value in values)


@pytest.mark.parametrize("name", ["file", "file.path", "error", "_text", "_x", "", " a", "a=b", 'a"b', "a\nb", "has:x"])
def test_reserved_and_unusable_names(name: str) -> None:
    assert field_problem(name) is not None


@pytest.mark.parametrize("value", [math.nan, math.inf, {"a": 1}, [[1]], None, 2**63, [1, math.nan]])
def test_values_that_cannot_be_stored(value: object) -> None:
    assert value_problem(value) is not None


@given(names)
def test_payload_keys_name_their_field(name: str) -> None:
    assert field_name(payload_key(name)) == name


@given(
    st.dictionaries(names, scalars | st.lists(scalars), max_size=4),
    st.none() | st.builds(ItemError, reason=st.sampled_from(Reason), detail=st.text(), at=st.just("2026-01-01")),
)
def test_items_survive_their_payload(metadata: dict[str, Value], error: ItemError | None) -> None:
    item = Item(FileFacts("shop", "a/b.jpg", 3, 4, sha256="00", encoded=True), metadata, error).with_digest()
    types = {name: infer_type([value]) for name, value in metadata.items()}
    payload = json.loads(json.dumps(item.to_payload()))
    assert Item.from_payload(payload) == item
    stored = json.loads(json.dumps(stored_payload(item, types)))
    assert Item.from_payload(stored).metadata == composed(metadata)
    assert payload["file"]["name"] == "b.jpg"


def test_the_digest_sees_every_change_and_no_order() -> None:
    assert metadata_digest({"a": 1, "b": "x"}) == metadata_digest({"b": "x", "a": 1})
    different = [{"a": 1}, {"a": 1.5}, {"a": "1"}, {"a": [1]}, {"a": True}, {}]
    assert len({metadata_digest(metadata) for metadata in different}) == len(different)  # type: ignore[arg-type]
