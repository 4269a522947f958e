"""One rule for the value of a field, wherever a payload comes from."""

from __future__ import annotations

from typing import Any

import pytest

from recq.index.field_value import field_value
from recq.index.schema import FileFacts, Item, Value
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
        ("file.height", None),
        ("price", None),
        ("width", None),
    ],
)
def test_metadata_stands_at_the_top_and_facts_in_file(payload: dict[str, Any], field: str, value: Value | None) -> None:
    assert field_value(payload, field) == value


@pytest.mark.parametrize("payload", [{}, {"file": None}, {"file": "a.jpg"}, {"file": ["a.jpg"]}])
def test_a_point_that_another_program_wrote_has_no_facts(payload: dict[str, Any]) -> None:
    assert field_value(payload, "file.name") is None
