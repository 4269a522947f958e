"""What a grid shows, before it is drawn: cards, rows, and what is left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from recq.display.grid_sheet import Card, Row, Sheet, sheet_of
from recq.duplicates.groups import Duplicates, Group, Why
from recq.duplicates.kinds import Kind
from recq.search.results import Answer, Asked, Result
from tests.query.pictures.test_grid import SPACE, answer


def cards(count: int) -> tuple[Card, ...]:
    return tuple(Card(str(n + 1), f"{n}.png", None) for n in range(count))


def result(**metadata: object) -> Result:
    file = {"size": 1234567, "width": 30, "height": 20}
    return Result(7, 0.987, "id", "sh\x1bop", "a\n.png", "in/a\n.png", Path("/in/a.png"), {**metadata, "file": file})


@pytest.mark.parametrize(
    ("rows", "most", "kept", "left_out"),
    [
        ([3, 4], 10, [3, 4], [0, 0]),
        ([80], 50, [50], [30]),
        ([30, 30], 50, [25, 25], [5, 5]),  # each has its share
        ([300, 2, 2], 50, [16, 2, 2], [284, 0, 0]),
        ([7] * 20, 50, [5] * 10, [2] * 9 + [2 + 70]),  # never less than a line of five: the last rows go
        ([0], 50, [0], [0]),
        ([], 50, [], []),
        ([0] * 60 + [3], 50, [0] * 50, [0] * 49 + [3]),  # rows without results cost room, too
    ],
)
def test_what_does_not_fit_is_left_out_and_counted(
    rows: list[int], most: int, kept: list[int], left_out: list[int]
) -> None:
    sheet = Sheet("", tuple(Row(cards(count)) for count in rows)).within(most, 5)
    assert [len(row.found) for row in sheet.rows] == kept
    assert [row.left_out for row in sheet.rows] == left_out
    assert sum(kept) + sheet.left_out == sum(rows)


def test_a_card_has_what_matters_first_and_everything_printable() -> None:
    found = result(price=49.5, **{"na\x07me": "x\u202ey"}, category="sofa", labels=["a", "b"], empty="")
    asked = Asked("t", "t\x1b.png", location=Path("/t.png"), content=b"...")
    (row,) = sheet_of(Answer(SPACE, (found,), 1.0, asked, ("na\x07me?",), named=("na\x07me",))).rows
    (card,) = row.found
    assert (card.heading, card.score, card.name, card.asked) == ("7", "0.99", "a\\n.png", False)
    assert card.facts == (("na\\x07me", "x\\u202ey"), ("category", "sofa"), ("price", "49.5"))
    assert card.more == (
        ("labels", "a, b"),
        ("path", "in/a\\n.png"),
        ("source", "sh\\x1bop"),
        ("pixels", "30x20"),
    )
    assert row.asked == (Card("target", "t\\x1b.png", Path("/t.png"), b"...", asked=True),)


def test_several_targets_are_several_rows() -> None:
    first, second = answer(Path("/a.png"), result()), answer(Path("/b.png"))
    sheet = sheet_of([first, second])
    assert sheet.title == "Like 2 pictures"
    assert [len(row.found) for row in sheet.rows] == [1, 0]
    assert [row.asked[0].location for row in sheet.rows] == [Path("/a.png"), Path("/b.png")]
    assert sheet_of(answer(None, result())).rows[0].asked == ()


def test_groups_of_duplicates_are_rows_with_a_title() -> None:
    first, second, third = (replace(result(), rank=rank) for rank in (1, 2, 3))
    groups = (
        Group((first, second), (Kind.EXACT, Kind.EXACT), Why.PATH),
        Group((first, second, third), (Kind.EXACT, Kind.CROP, Kind.CROP), Why.UNCROPPED),
    )
    sheet = sheet_of(Duplicates(SPACE, groups, 9, frozenset({Kind.CROP}), 0.6, 1.0))
    assert [row.title for row in sheet.rows] == ["1   2 times: the same bytes", "2   3 times: 2 crops"]
    assert [card.score for card in sheet.rows[0].found] == ["keep: first by path", "same bytes"]
    assert [card.score for card in sheet.rows[1].found] == ["keep: not cropped", "crop 0.987", "crop 0.987"]
    card = sheet.rows[0].found[0]
    assert dict(card.facts) == {"folder": "/in", "pixels": "30x20", "bytes": "1,234,567"}
    assert card.scale == "30x20   1,234,567 bytes"  # a PNG has no room for more
