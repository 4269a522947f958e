"""The data of a site stays data, whatever metadata holds."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recq.errors import FilterError
from recq.index.schema import FieldType
from recq.site.columns import Column, columns_of, metadata_of, values_of
from recq.site.quantise import quantised
from recq.site.scripts import coarse_script, rest_script, script

HOSTILE = ["</script><script>x()</script>", "\u2028x()", "<!--", "__proto__", '");x();("', "\\", "\ud800", "&lt;", "\0"]
TEXTS = st.one_of(st.text(), st.sampled_from(HOSTILE))
SCALARS = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), TEXTS
)
TYPES = {"title": FieldType.STRING, "price": FieldType.FLOAT, "zoo": FieldType.BOOL, "made": FieldType.DATE}


def content_of(made: bytes) -> Any:
    found = re.fullmatch(rb'take\("items",7,(.*)\);\n', made, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


@given(st.recursive(SCALARS, st.lists))
def test_a_script_is_one_call_with_json(content: Any) -> None:
    made = script("items", 7, content)
    assert content_of(made) == content
    assert made.isascii()
    assert not re.search(rb"<|[\x00-\x1f\x7f](?!$)", made.rstrip(b"\n"))


@given(st.dictionaries(st.sampled_from(sorted(TYPES)), st.one_of(SCALARS, st.lists(SCALARS, max_size=3))))
def test_values_are_pairs_of_a_number_and_what_javascript_holds(payload: dict[str, Any]) -> None:
    columns = [Column(name, kind) for name, kind in TYPES.items()]
    found = values_of(payload, columns)
    assert [columns[number].name for number, _ in found] == [
        each.name for each in columns if payload.get(each.name) not in (None, [])
    ]
    for _, value in found:
        for each in value if isinstance(value, list) else [value]:
            assert not isinstance(each, int) or abs(each) <= 2**53
            assert not isinstance(each, str) or each.isprintable()


def test_an_integer_that_no_float_has_is_text() -> None:
    assert values_of({"n": 2**53 + 1}, [Column("n", FieldType.INTEGER)]) == [[0, "9007199254740993"]]


def test_what_goes_out() -> None:
    def names(**asked: Any) -> list[str]:
        return [each.name for each in columns_of(TYPES, 1, **asked)]

    assert names() == ["title", "price", "made", "zoo", "file.path"]
    assert [each.name for each in columns_of(TYPES, 2)][-2:] == ["file.path", "file.source"]
    assert names(without=["price", "file.path"]) == ["title", "made", "zoo"]
    assert names(fields=["zoo", "file.width"]) == ["zoo", "file.width"]
    assert names(fields=["zoo", "price"], without=["zoo"]) == ["price"]
    assert names(fields=[]) == []
    assert metadata_of(columns_of(TYPES, 1)) == ["title", "price", "made", "zoo"]


@pytest.mark.parametrize("asked", [{"without": ["prise"]}, {"fields": ["prise"]}])
def test_a_misspelt_field_is_refused(asked: Any) -> None:
    with pytest.raises(FilterError, match="did you mean 'price'"):
        columns_of(TYPES, 1, **asked)


def test_numbers_are_little_endian_in_a_row() -> None:
    parts = quantised(np.array([[1.0, -0.5], [0.0, 2.0]], np.float32))
    text = re.search(rb'"([A-Za-z0-9+/=]+)"\);', coarse_script(0, parts))
    assert text is not None
    raw = base64.b64decode(text[1])
    assert np.frombuffer(raw[:8], "<f4").tolist() == parts.scale.tolist()
    assert np.frombuffer(raw[8:16], "<f4").tolist() == parts.miss.tolist()
    assert np.frombuffer(raw[16:], np.int8).reshape(2, 2).tolist() == parts.coarse.tolist() == [[127, -64], [0, 127]]
    rests = re.search(rb'"([A-Za-z0-9+/=]+)"\);', rest_script(0, parts.rest))
    assert rests is not None
    assert np.frombuffer(base64.b64decode(rests[1]), "<i2").reshape(2, 2).tolist() == parts.rest.tolist()
