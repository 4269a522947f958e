"""Tables on a terminal: no line is wider than it, the columns that matter are there, the rest is named."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from query.text.terminal import draw, hidden_remark
from recq.display.layout import GAP, LEAST, fitted, layout
from recq.display.table import TextTable, answer_table
from recq.index.similarity import Metric
from recq.models import describe_space
from recq.search.results import Answer, Result, percent_text
from recq.settings import Settings

SPACE = describe_space("mobilenet_v2", Settings())
LONG = "word " * 300
HEBREW, JAPANESE, FAMILY = (
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd",
    "\u65e5\u672c\u306e\u9774",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
)
FILM = {
    "title": "The Seventh Seal, restored and with a long title",
    "category": "Films & Television",
    "price": 1299.99,
    "genres": ["Drama", "Fantasy", "History"],
    "plot": LONG,
    "brand": "Svensk Filmindustri",
}


def answer(*metadata: dict[str, object], fields: tuple[str, ...] | None = None) -> Answer:
    results = tuple(
        Result(
            number,
            1.0 - number / 100,
            str(number),
            "shop",
            f"{number}.jpg",
            f"a/folder/of/many/films/film-number-{number}-poster-large.jpg",
            Path("/x"),
            {"file": {"size": 1}, **each},
            share=0.9999 - number / 1000,
        )
        for number, each in enumerate(metadata, 1)
    )
    return Answer(SPACE, results, 1.0, metric=METRIC, fields=fields)


METRIC = Metric("cosine", True)


def drawn(table: TextTable, width: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of the table on a terminal so wide."""
    monkeypatch.setenv("COLUMNS", str(width))
    return re.sub(r"\x1b\[[0-9;]*m", "", draw(table)).splitlines()


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_title_category_and_price_are_there(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = drawn(answer_table(answer(FILM, FILM)), width, monkeypatch)
    header, first = lines[0], lines[2]
    assert header.split() == ["#", "score", "file", "category", "title", "price"]
    assert "0.99  99.8 %" in first
    assert first.endswith("1299.99")
    assert "Films" in first
    assert "The" in first
    assert all(cell_len(line) <= width for line in lines)
    assert not any("no room" in line for line in lines)


def test_what_was_asked_for_is_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    table = answer_table(answer(FILM, FILM, fields=("title", "genres", "plot")))
    lines = drawn(table, 80, monkeypatch)
    assert lines[0].split() == ["#", "score", "file", "title", "genres", "plot"]
    assert len([line for line in lines if line.startswith(("1 ", "2 "))]) == 2, "a row is a line"
    for text in ("The Seventh", "Drama, Fant", "word word", "-large.jpg"):
        assert text in lines[2]
    assert lines[2].count("\u2026") == 4


def test_columns_without_room_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    table = answer_table(answer(FILM, fields=tuple(FILM)))
    lines = drawn(table, 60, monkeypatch)
    hidden = layout(table, 60).hidden
    assert hidden
    assert hidden_remark(hidden, chosen=True) in " ".join(" ".join(lines).split())
    assert not set(hidden) & set(lines[0].split())
    assert set(hidden) | set(lines[0].split()) == {"#", "score", "file", *FILM}


@pytest.mark.parametrize(
    "text", [HEBREW, JAPANESE, FAMILY, "e\u0301" * 30, JAPANESE * 20, HEBREW * 20, FAMILY * 20, LONG]
)
@pytest.mark.parametrize("width", [60, 80, 200])
def test_columns_stay_in_line_whatever_is_written(text: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = {**FILM, "title": text, "category": text}
    lines = drawn(answer_table(answer(FILM, odd)), width, monkeypatch)
    assert all(cell_len(line) <= width for line in lines)
    assert cell_len(lines[2]) == cell_len(lines[3]), "both end with the price"
    assert "\\u" not in lines[3], "an emoji is one sign, however many characters it is made of"


cell = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=40)


@given(st.lists(st.tuples(cell, cell, cell, cell), min_size=1, max_size=5), st.integers(12, 250))
def test_a_layout_fits_and_forgets_no_column(rows: list[tuple[str, ...]], width: int) -> None:
    rows = [(str(n), *row) for n, row in enumerate(rows)]
    header = ("#", "file", "a", "b", "c")
    table = TextTable(header, tuple(rows), (True, *(False,) * 4), one_line=True, names="file", kept=2)
    shape = layout(table, width)
    assert shape.width <= width
    assert [header[place] for place in shape.places] + list(shape.hidden) == list(header)
    for place, taken in zip(shape.places, shape.widths, strict=True):
        needed = max(cell_len(row[place]) for row in [header, *rows])
        assert taken <= needed
        assert taken >= min(needed, 4)
    if shape.hidden:
        assert shape.width + GAP + LEAST > width or len(shape.places) == 2


@given(cell, st.integers(1, 50), st.booleans(), st.booleans())
def test_a_cell_takes_the_room_it_is_given(text: str, width: int, right: bool, end: bool) -> None:
    assert cell_len(fitted(text, width, right=right, end=end)) == width


def test_the_end_of_a_path_says_more_than_its_beginning() -> None:
    assert fitted("a/folder/shoe_runx.jpg", 14, end=True) == "\u2026shoe_runx.jpg"
    assert fitted("a long title", 8) == "a long\u2026 "


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100 %"), (0.99996, "99.99 %"), (0.997, "99.7 %"), (0.9989, "99.8 %"), (0.0, "0.0 %")]
)
def test_per_cents_are_rounded_down(share: float, text: str) -> None:
    assert percent_text(share) == text


def test_scores_of_one_answer_stand_below_each_other() -> None:
    one, two = answer(FILM, FILM).results
    table = answer_table(replace(answer(), results=(replace(one, share=1.0), replace(two, share=0.9999))))
    assert [row[1] for row in table.rows] == ["0.99    100 %", "0.98  99.99 %"]
