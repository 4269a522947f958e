"""One rule for the value of a field, wherever a payload comes from."""

from __future__ import annotations

from typing import Any

import pytest

from recq.index.field_value import field_value
from recq.index.schema import FileFacts, Item, Value, stored_payload
from recq.search.results import payload_of

ITEM = Item(FileFacts("shop", "goods/a.jpg", 7, 1, width=640), {"title": "Bed", "a.b": [1, 2], "file width": 1})


@pytest.mark.parametrize("payload", [ITEM.to_payload(), payload_of(ITEM)], ids=["as stored", "as shown"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "Bed"),
        ("a.b", [1, 2]),
        ("file width", 1),
        ("file.width", 640),
        ("file.path", "goods/a.jpg"),
        ("file.name", "a.jpg"),
        ("file.folders", ["goods"]),
        ("file.height", None),
        ("price", None),
        ("width", None),
    ],
)
def test_metadata_stands_at_the_top_and_facts_in_file(payload: dict[str, Any], field: str, value: Value | None) -> None:
    assert field_value(payload, field) == value


def test_folders_are_those_of_the_path_where_a_payload_has_none_of_its_own() -> None:
    odd = FileFacts("shop", "100%25/%E9.jpg", 7, 1, encoded=True)
    assert field_value(Item(odd).to_payload(), "file.folders") == ["100%"]
    assert field_value(stored_payload(Item(odd), {}), "file.folders") == ["100%"]
    assert field_value({"file": {"path": "100%25/%E9.jpg", "folders": ["100%"]}}, "file.folders") == ["100%"]
    assert field_value({"file": {"path": "a.jpg"}}, "file.folders") is None
    assert field_value({"file": {"path": 3}}, "file.folders") is None


@pytest.mark.parametrize("payload", [{}, {"file": None}, {"file": "a.jpg"}, {"file": ["a.jpg"]}])
def test_a_point_that_another_program_wrote_has_no_facts(payload: dict[str, Any]) -> None:
    assert field_value(payload, "file.name") is None
