"""Cells of metadata tables: what is written is what is read, or is not written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recq.index.cells import LONGEST_CELL, file_cell, file_in, is_removed, values_cell, values_in

HOSTILE = st.text(st.sampled_from("ab|\\ \t\n\r,;\"'=<>./"), max_size=8)


@given(st.lists(HOSTILE, min_size=1, max_size=4), st.booleans())
def test_values_are_read_as_they_were_written_or_refused(values: list[str], as_list: bool) -> None:
    cell = values_cell(values, as_list=as_list)
    if cell is None:
        assert any(value != value.strip() or not value for value in values), "only what a cell cannot hold"
    else:
        assert values_in(cell) == values


@pytest.mark.parametrize(
    ("values", "as_list", "cell"),
    [
        (["sofa"], False, "sofa"),
        (["sofa"], True, "sofa|"),
        (["a", "b"], False, "a|b"),
        (["a|b"], False, "a\\|b"),
        (["a\\", "b"], True, "a\\ |b"),
        (["a\\|"], False, "a\\\\|"),
        ([" sofa"], False, None),
        (["<Remove>"], False, None),
        (["<remove>"], True, "<remove>|"),
        (["x" * (LONGEST_CELL + 1)], False, None),
    ],
)
def test_cells(values: list[str], as_list: bool, cell: str | None) -> None:
    assert values_cell(values, as_list=as_list) == cell
    if cell is not None:
        assert values_in(cell) == values
        assert not is_removed(cell)


@pytest.mark.parametrize("path", ["=cmd.jpg", "+1.jpg", "-a.jpg", "@x.jpg", "a/=b.jpg", " a.jpg"])
def test_a_spreadsheet_takes_no_path_for_a_formula(path: str) -> None:
    assert file_cell(path)[0] not in "=+-@"
    assert file_in(file_cell(path)) == path
