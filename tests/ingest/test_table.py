"""metadata.csv: types per column, lists, and every way in which a table can be wrong, with the line to change."""

from __future__ import annotations

import csv
import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.table import read_table
from recq.errors import MetadataError
from recq.index.schema import FieldType, Metadata, elements, field_problem, fits


def rows(text: str, known: dict[str, FieldType] | None = None) -> dict[str, Metadata]:
    return dict(read_table(text.encode(), "metadata.csv", known or {}).rows)


def test_types_belong_to_columns() -> None:
    table = read_table(
        b"file,count,price,day,new,sku,mixed\na.jpg,1,2,2024-01-31,true,00123,1\nb.jpg,2,2.5,2024-02-01,False,7,x\n",
        "metadata.csv",
        {},
    )
    assert table.types == {
        "count": FieldType.INTEGER,
        "price": FieldType.FLOAT,
        "day": FieldType.DATE,
        "new": FieldType.BOOL,
        "sku": FieldType.STRING,  # a leading zero keeps the column strings
        "mixed": FieldType.STRING,
    }
    assert table.rows["a.jpg"] == {
        "count": 1, "price": 2.0, "day": "2024-01-31", "new": True, "sku": "00123", "mixed": "1",
    }  # fmt: skip
    assert isinstance(table.rows["a.jpg"]["price"], int)  # as it is written: the same whether the field is known or not
    assert table.rows["b.jpg"]["new"] is False


def test_a_bar_anywhere_makes_the_field_a_list_everywhere() -> None:
    assert rows("file,labels,sizes\na.jpg,red|blue,1|2\nb.jpg,red,3\nc.jpg,,\nd.jpg,a\\|b,|4|\n") == {
        "a.jpg": {"labels": ["red", "blue"], "sizes": [1, 2]},
        "b.jpg": {"labels": ["red"], "sizes": [3]},
        "c.jpg": {},
        "d.jpg": {"labels": ["a|b"], "sizes": [4]},
    }


def test_an_escaped_bar_is_a_bar() -> None:
    assert rows("file,title\na.jpg,Yes \\| No\n") == {"a.jpg": {"title": "Yes | No"}}


def test_a_known_field_keeps_its_type_and_misfits_stay_text() -> None:
    known = {"day": FieldType.DATE, "sku": FieldType.STRING}
    assert rows("file,day,sku\na.jpg,2024-01-31,7\nb.jpg,soon,8\n", known) == {
        "a.jpg": {"day": "2024-01-31", "sku": "7"},
        "b.jpg": {"day": "soon", "sku": "8"},
    }


def test_a_column_of_floats_widens_a_field_of_integers() -> None:
    table = read_table(b"file,price\na.jpg,65\nb.jpg,19.99\nc.jpg,n/a\n", "t", {"price": FieldType.INTEGER})
    assert table.types == {"price": FieldType.FLOAT}
    assert [table.rows[f"{name}.jpg"]["price"] for name in "abc"] == [65, 19.99, "n/a"]
    again = read_table(b"file,price\na.jpg,65\nb.jpg,19.99\nc.jpg,n/a\n", "t", table.types)
    assert again.rows == table.rows  # to the digit: no item is written again since the field has widened
    assert isinstance(again.rows["a.jpg"]["price"], int)
    assert read_table(b"file,price\na.jpg,65\n", "t", {"price": FieldType.INTEGER}).types["price"] is FieldType.INTEGER


def test_an_integer_of_more_digits_than_a_float_stays_what_it_is() -> None:
    assert rows("file,code\na.jpg,9007199254740993\nb.jpg,1.5\n") == {
        "a.jpg": {"code": "9007199254740993"},
        "b.jpg": {"code": "1.5"},
    }


def test_a_row_means_the_file_whose_name_looks_the_same() -> None:
    composed, decomposed = "caf\u00e9.jpg", "cafe\u0301.jpg"
    table = read_table(f"file,n\n{composed},1\n".encode(), "t", {})
    assert (table.row_of(composed), table.row_of(decomposed), table.row_of("cafe.jpg")) == (composed, composed, None)
    both = read_table(f"file,n\n{composed},1\n{decomposed},2\n".encode(), "t", {})
    assert (both.row_of(composed), both.row_of(decomposed)) == (composed, decomposed)


def test_what_spreadsheets_write_is_read() -> None:
    """A byte order mark, Windows' line ends, quoted commas and line breaks, blank lines, `./`."""
    text = '\ufefffile,title\r\n./a.jpg,"one, two\r\nthree ""four"""\r\n\r\n,\r\n'.replace("\r\n,\r\n", "\r\n")
    assert rows(text) == {"a.jpg": {"title": 'one, two\r\nthree "four"'}}


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("", "metadata.csv", "is empty"),
        ("name,price\n", "metadata.csv:1:", "no column 'file'"),
        ("file;price\na.jpg;1\n", "metadata.csv:1:", "semicolons"),
        ("file,price,price\n", "metadata.csv:1:", "'price' stands there twice"),
        ("file,\n", "metadata.csv:1:", "column 2 has no name"),
        ("file,file.size\n", "metadata.csv:1:", "'file.size' is reserved"),
        ("file,error\n", "metadata.csv:1:", "'error' is reserved"),
        ("file,_text\n", "metadata.csv:1:", "'_text' is reserved"),
        ("file,a=b\n", "metadata.csv:1:", "'a=b' has one of the characters"),
        ("file,a\nx.jpg,1\ny.jpg,1,2\n", "metadata.csv:3:", "3 cells, but the header names 2 columns"),
        ("file,a\nx.jpg\n", "metadata.csv:2:", "1 cells, but the header names 2 columns"),
        ('file,a\nx.jpg,"1\n2"\ny.jpg\n', "metadata.csv:4:", "1 cells"),
        ("file,a\n,1\n", "metadata.csv:2:", "'file' is empty"),
        ("file,a\nx.jpg,1\nx.jpg,2\n", "metadata.csv:3:", "'x.jpg' stands in line 2 already"),
        ("file,a\nx.jpg,1\ny.jpg,nan\n", "metadata.csv:3:", "column 'a': 'nan' is not a finite number"),
        ("file,a\nx.jpg,-Infinity\n", "metadata.csv:2:", "column 'a': '-Infinity' is not a finite number"),
        ('file,a\nx.jpg,"1\n', "metadata.csv:2:", "not a table"),
    ],
)
def test_a_wrong_table_names_the_line(text: str, where: str, what: str) -> None:
    with pytest.raises(MetadataError) as caught:
        rows(text)
    assert str(caught.value).startswith(where)
    assert what in str(caught.value)


def test_bytes_that_are_not_utf8_name_the_line() -> None:
    with pytest.raises(MetadataError, match=r"metadata.csv:2: not UTF-8"):
        read_table("file,title\na.jpg,Stühle\n".encode("latin-1"), "metadata.csv", {})


def test_an_empty_column_has_no_type_yet() -> None:
    assert read_table(b"file,price,title\na.jpg,,x\n", "metadata.csv", {}).types == {"title": FieldType.STRING}


def test_nan_in_a_column_of_words_is_a_word() -> None:
    assert rows("file,name\na.jpg,nan\nb.jpg,Anna\n")["a.jpg"] == {"name": "nan"}


NAMES = st.text(min_size=1, max_size=12).filter(lambda name: name != "file" and field_problem(name) is None)
CELLS = st.one_of(
    st.text(max_size=20).filter(lambda cell: "\0" not in cell),
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(str),
    st.sampled_from(["true", "FALSE", "2024-02-29", "00", "1|2", "a|", "|"]),
)


@given(st.data())
def test_whatever_csv_can_write_is_read_or_refused(data: st.DataObject) -> None:
    """Every value has the column's type or is text, nothing is empty, and nothing but MetadataError is raised."""
    columns = data.draw(st.lists(NAMES, max_size=4, unique=True))
    body = data.draw(st.lists(st.lists(CELLS, min_size=len(columns), max_size=len(columns)), max_size=6))
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["file", *columns])
    writer.writerows([f"{number}.jpg", *cells] for number, cells in enumerate(body))
    try:
        table = read_table(out.getvalue().encode("utf-8", "replace"), "t.csv", {})
    except MetadataError:
        return
    assert set(table.types) <= set(columns)
    assert set(table.types) >= {name for metadata in table.rows.values() for name in metadata}
    assert list(table.rows) == [f"{number}.jpg" for number in range(len(body))]
    for metadata in table.rows.values():
        for name, value in metadata.items():
            assert value not in ("", [])
            for element in elements(value):
                assert fits(element, table.types[name])
                assert not isinstance(element, float) or math.isfinite(element)
    for name in columns:
        assert len({isinstance(metadata[name], list) for metadata in table.rows.values() if name in metadata}) <= 1
