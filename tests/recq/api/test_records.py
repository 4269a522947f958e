"""Records between two processes: what is written is read again, and nothing else is made."""

from __future__ import annotations

import json
import math
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from recq.api import records
from recq.api.records import Unreadable, dumped, loaded
from recq.errors import Reason
from recq.face import results as face
from recq.index.field_types import FieldType
from recq.index.schema import FileFacts, Item, ItemError
from recq.index.similarity import Metric
from recq.search.results import Answer, Asked, ItemDetails, Result
from recq.search.target import Local, SeenName
from recq.settings import Settings
from recq.space import EmbeddingSpace

SPACE = EmbeddingSpace("m", "0" * 16, "top", "gem", 8, "pad", "own", "f32", 3)
PAYLOAD = {"title": "Sofa", "tags": ["a", "b"], "price": 1.5, "file": {"size": 7}, "$": None, "r": ["r", "Path", {}]}
RESULT = Result(1, 0.25, "id", "shop", "a.jpg", "b/a.jpg", Path("/shop/b/a.jpg"), PAYLOAD, share=0.5)


@pytest.mark.parametrize(
    "value",
    [
        None, True, 0, -1.5, math.inf, "text", "\udce9 and \ud800", [], (), {}, [1, (2, [3])], {"a": {"": [()]}},
        Path("/a/\udce9.jpg"), b"\x00\xff", FieldType.DATE, Reason.CORRUPT, SPACE, RESULT,
        Answer(SPACE, (RESULT,), 1.5, Asked("a", "a", region=None), notes=("one",), metric=Metric("cosine", True)),
        SeenName("a.jpg", Local(Path("/a.jpg"), (Path("/a.jpg"),), is_file=True), None, b"bytes"),
        ItemDetails(Item(FileFacts("s", "p", 1, 2), {"a": 1}, ItemError("corrupt", "why", "then")), None),
    ],
    ids=lambda value: ascii(value)[:30],
)  # fmt: skip
def test_what_is_written_is_read_again(value: Any) -> None:
    again = loaded(dumped(value))
    assert (again, type(again)) == (value, type(value))


def test_every_listed_class_can_be_made() -> None:
    for name in records._HOMES:
        made = records._class_of(name)
        assert is_dataclass(made) or issubclass(made, Enum), name
        assert records._name_of(made) == name


def test_an_answer_of_the_face_is_passed_as_the_record_that_it_extends() -> None:
    plain = Answer(SPACE, (RESULT,), 1.5)
    shown = face.shown_as(face.Answer, plain, settings=Settings())
    assert loaded(dumped(shown)) == plain


def test_bytes_are_left_out_of_answers() -> None:
    answer = Answer(SPACE, (), 1.0, Asked("a.jpg", "a.jpg", content=b"the whole picture"))
    again = loaded(dumped(answer, contents=False))
    assert again.target == Asked("a.jpg", "a.jpg")


@pytest.mark.parametrize("value", [object(), {1, 2}, Settings(), Settings, 1j], ids=lambda value: type(value).__name__)
def test_nothing_else_is_written(value: object) -> None:
    with pytest.raises(TypeError):
        dumped([value])


@pytest.mark.parametrize(
    "plain",
    [
        {"a": 1}, [], ["x", 1], ["r", "Path", {}], ["r", "os.system", {"command": "true"}], ["e", "FieldType", "none"],
        ["r", "Local", {}], ["r", "Local", {"path": 1, "places": 2, "more": 3}], ["b", "no base64!"], ["p", 7],
        ["m", 1], ["m", [["l"], 1]], ["m", ["a", 1, 2]],
    ],
    ids=ascii,
)  # fmt: skip
def test_what_nobody_writes_is_not_read(plain: Any) -> None:
    with pytest.raises(Unreadable):
        loaded(json.dumps(plain).encode())


def test_neither_is_what_is_no_json_or_too_deep() -> None:
    for content in (b"", b"\xff", b"[" * 100_000, b'["l",' * 5_000 + b"1" + b"]" * 5_000):
        with pytest.raises(Unreadable):
            loaded(content)


def test_no_record_has_a_member_that_cannot_be_given() -> None:
    for name in records._HOMES:
        made = records._class_of(name)
        if is_dataclass(made):
            assert all(each.init for each in fields(made)), name
