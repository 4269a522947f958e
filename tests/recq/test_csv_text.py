"""CSV is read back as it was written, whatever characters its cells have, and by every command that prints it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from query.text.render import FacetsFormat, facets_text
from recq.csv_text import csv_text
from recq.index.facets import Facets
from recq.index.field_types import FieldType
from recq.operate.problems import Listed, to_csv

CELLS = st.text(st.sampled_from("a,;\"'\r\n\t |=\0é\u2028") | st.characters(), max_size=8)
TABLES = st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1))


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@given(TABLES)
def test_rows_are_read_as_they_were_written(rows: list[list[str]]) -> None:
    assert rows_of(csv_text(rows)) == rows


@pytest.mark.parametrize("cell", ["a\rb", "a\nb", "a\r\nb", "\r", "a\n\r"])
def test_a_line_ends_with_a_line_feed_and_a_cell_keeps_its_own(cell: str) -> None:
    assert csv_text([["file", cell], ["x", 1]]) == f'file,"{cell}"\nx,1\n'
    assert csv_text([[cell]]) == f'"{cell}"\n'


def facets(odd: str) -> str:
    return facets_text(Facets("colour", FieldType.STRING, [(odd, 2)], 2), FacetsFormat.CSV)


def problems(odd: str) -> str:
    return to_csv([Listed("shop", odd, "field", "wrong", odd, 3, 1)])


@pytest.mark.parametrize("table", [facets, problems])
@pytest.mark.parametrize("odd", ["a\rb", "\r", 'a"b\rc', "a\r\nb\n"])
def test_every_table_keeps_line_breaks_within_cells(table: Callable[[str], str], odd: str) -> None:
    header, *rows = rows_of(table(odd))
    assert len(rows) == 1
    assert len(rows[0]) == len(header)
    assert odd in rows[0]
