"""metadata.csv: types per column, lists, and every way in which a table can be wrong, with the line to change."""

from __future__ import annotations

import csv
import io
import itertools
import math
import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ingest.source.dialect import SEPARATORS
from ingest.source.table import MetadataTable, read_table, read_tables, sheet
from recq.errors import MetadataError
from recq.index.problems import ProblemKind
from recq.index.schema import FieldType, FieldTypes, Metadata, elements, field_problem, fits, nfc
from tests.packs import pack


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
        ("\n\r\n", "metadata.csv", "is empty"),
        ("sep=;\r\n", "metadata.csv", "is empty"),
        ("name,price\n", "metadata.csv:1:", "no column 'file'"),
        ("\nname;price\n", "metadata.csv:2:", "no column 'file'"),
        ("filename,price\n", "metadata.csv:1:", "or call the column 'filename' so"),
        ('"file,a\nx.jpg,1\n', "metadata.csv:1:", "the quote that opens here is never closed"),
    ],
)
def test_a_table_without_a_column_file_names_the_line(text: str, where: str, what: str) -> None:
    with pytest.raises(MetadataError) as caught:
        rows(text)
    assert str(caught.value).startswith(where)
    assert what in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "field", "what", "left"),
    [
        ("file,a,a\nx.jpg,1,2\n", 1, "a", "column 'a' stands there twice", {"x.jpg": {"a": 1}}),
        ("file,a,\nx.jpg,1,2\n", 1, None, "column 3 has no name", {"x.jpg": {"a": 1}}),
        ("file,file,a\nx.jpg,y.jpg,1\n", 1, "file", "'file' stands there twice", {"x.jpg": {"a": 1}}),
        ("file,file.size,a\nx.jpg,1,2\n", 1, "file.size", "'file.size' is reserved", {"x.jpg": {"a": 2}}),
        ("file,error,a\nx.jpg,1,2\n", 1, "error", "'error' is reserved", {"x.jpg": {"a": 2}}),
        ("file,_text,a\nx.jpg,1,2\n", 1, "_text", "'_text' is reserved", {"x.jpg": {"a": 2}}),
        ("file,a=b,a\nx.jpg,1,2\n", 1, "a=b", "'a=b' has one of the characters", {"x.jpg": {"a": 2}}),
        ("file,a\nx.jpg,1\ny.jpg,1,2\n", 3, None, "3 cells, but the header names 2", {"x.jpg": {"a": 1}}),
        ('file,a\nx.jpg,"1\n2"\ny.jpg,1,2\n', 4, None, "3 cells", {"x.jpg": {"a": "1\n2"}}),
        ("file,a\n,1\nx.jpg,2\n", 2, None, "'file' is empty", {"x.jpg": {"a": 2}}),
        ("file,a\nx.jpg,1\nx.jpg,2\n", 3, None, "'x.jpg' stands in line 2 already", {"x.jpg": {"a": 1}}),
        ("file,a\nx.jpg,1\ny.jpg,nan\n", 3, "a", "'nan' is not a finite number", {"x.jpg": {"a": 1}, "y.jpg": {}}),
        ("file,a\nx.jpg,-Infinity\n", 2, "a", "'-Infinity' is not a finite number", {"x.jpg": {}}),
        ('file,a\nx.jpg,"1\ny.jpg,2\n', 2, None, "the quote that opens here is never closed", {"y.jpg": {"a": 2}}),
        ('file,a\nx.jpg,"12 inch\ny.jpg,"z"\n', 2, None, "text follows a closing quote", {"y.jpg": {"a": "z"}}),
        ('file,a\nx.jpg,"1"0\ny.jpg,2\n', 2, None, "write a quote inside quotes twice", {"y.jpg": {"a": 2}}),
        ("file,a\nx.jpg,1\ny.jpg,\"1,234.50\"\n", 3, "a", "separator between thousands",
         {"x.jpg": {"a": 1}, "y.jpg": {"a": "1,234.50"}}),
        ("file,a\nx.jpg,1.5\ny.jpg,\"2,5\"\n", 3, "a", "decimal comma: write 2.5",
         {"x.jpg": {"a": 1.5}, "y.jpg": {"a": "2,5"}}),
        ("file;a\nx.jpg;1,234\ny.jpg;2,500\n", 2, "a", "may be 1234 or 1.234",
         {"x.jpg": {"a": "1,234"}, "y.jpg": {"a": "2,500"}}),
        ("file;a\nx.jpg;1,5\ny.jpg;1.234,50\n", 3, "a", "separator between thousands",
         {"x.jpg": {"a": 1.5}, "y.jpg": {"a": "1.234,50"}}),
        ("file;a\nx.jpg;1.5\ny.jpg;2,5\n", 3, "a", "decimal comma", {"x.jpg": {"a": 1.5}, "y.jpg": {"a": "2,5"}}),
        ("file;a\nx.jpg;7\ny.jpg;1 234\n", 3, "a", "separator", {"x.jpg": {"a": 7}, "y.jpg": {"a": "1 234"}}),
    ],
)  # fmt: skip
def test_one_bad_row_column_or_cell_is_left_out_and_listed_with_its_line(
    text: str, line: int, field: str | None, what: str, left: dict[str, Metadata]
) -> None:
    table = read_table(text.encode(), "metadata.csv", {})
    (problem,) = table.problems
    assert problem.detail.startswith(f"metadata.csv:{line}: ")
    assert what in problem.detail
    assert (problem.path, problem.line, problem.field) == ("metadata.csv", line, field)
    assert dict(table.rows) == left


def test_a_character_that_is_not_utf8_is_named_and_costs_its_cell_alone() -> None:
    data = b"file,title,price\na.jpg,St\xfchle,1\nb.jpg,\x93x\x94,2\nc\xfc.jpg,x,3\nd.jpg,Tisch,4\n"
    table = read_table(data, "metadata.csv", {})
    assert dict(table.rows) == {"a.jpg": {"price": 1}, "b.jpg": {"price": 2}, "d.jpg": {"title": "Tisch", "price": 4}}
    assert [(problem.line, problem.field) for problem in table.problems] == [(2, "title"), (3, "title"), (4, None)]
    for problem, byte in zip(table.problems, ("0xFC", "0x93", "0xFC"), strict=True):
        assert f"{byte} is not UTF-8: save the table as UTF-8" in problem.detail
    with pytest.raises(MetadataError, match="0xFC is not UTF-8"):
        read_table(b"Datei,K\xfcrzel\na.jpg,1\n", "metadata.csv", {})


def test_a_table_of_nothing_but_open_quotes_is_refused_in_time() -> None:
    with pytest.raises(MetadataError, match="more than 1,000 rows have wrong quotes"):
        rows("file,a\n" + 'x.jpg,"1"x\n' * 5_000)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("excel_short_row.csv", {"tent.jpg": {"title": "Zelt"}, "basketball.jpg": {"title": "Ball", "price": 3}}),
        ("excel_trailing_empty_columns.csv", {"tent.jpg": {"title": "Zelt", "price": 12}}),
        ("sep_line.csv", {"tent.jpg": {"title": "Zelt"}}),
        ("tabs.csv", {"tent.jpg": {"title": "Zelt"}}),
    ],
)
def test_reported_tables_are_read(name: str, expected: dict[str, Metadata]) -> None:
    table = read_table((pack("reported") / "metadata" / name).read_bytes(), "metadata.csv", {})
    assert (dict(table.rows), table.problems) == (expected, ())


TABLE = 'file,title,price\nmüller.jpg,"Tisch; groß",12\nb.jpg,Stuhl,\n'
READ = {"müller.jpg": {"title": "Tisch; groß", "price": 12}, "b.jpg": {"title": "Stuhl"}}


@pytest.mark.parametrize(
    "data",
    [
        TABLE.encode(),
        TABLE.encode("utf-8-sig"),
        TABLE.encode("utf-16"),
        TABLE.encode("utf-16-le"),
        TABLE.encode("utf-16-be"),
        b"\xfe\xff" + TABLE.encode("utf-16-be"),
        TABLE.encode("utf-32"),
        TABLE.encode("utf-16") + b"\0",  # cut in the middle of a character
        TABLE.replace("\n", "\r\n").encode(),
        TABLE.replace("\n", "\r").encode(),
        TABLE.replace("\n", "\r", 1).encode(),
        TABLE.replace(",", "\t").encode(),
        TABLE.replace(",", ";").encode(),
        ("sep=;\r\n" + TABLE.replace(",", ";")).encode("utf-8-sig"),
        ("sep=\t\n" + TABLE.replace(",", "\t")).encode("utf-16"),
        ("SEP=|\n" + TABLE.replace(",", "|")).encode(),
        ('"sep=,"\n' + TABLE).encode(),
        ("sep=;\n" + TABLE).encode(),  # it lies: the header decides
        ('sep="\n' + TABLE).encode(),
        ('"sep=""\n' + TABLE).encode(),
        TABLE.replace("price", "price,,").replace("12", "12,,").encode(),
        TABLE.replace("Stuhl,", "Stuhl").encode(),
        TABLE.replace("Stuhl,", "Stuhl,,,").encode(),
        TABLE.replace("file", " File ", 1).encode(),
        ("\n\n" + TABLE + "\n ,,\n").encode(),
    ],
)  # fmt: skip
def test_tables_as_people_have_them_say_the_same(data: bytes) -> None:
    table = read_table(data, "metadata.csv", {})
    assert (dict(table.rows), table.problems) == (READ, ())


@given(st.sampled_from('"\r\n\0 \\=') | st.characters(), st.sampled_from(["sep={}", '"sep={}"']))
def test_whatever_a_first_line_names_as_the_separator_the_header_decides(character: str, line: str) -> None:
    """From Python 3.13 on csv raises ValueError for some."""
    read = csv.reader

    def as_newer(lines: Iterator[str], *, delimiter: str, strict: bool) -> Iterator[list[str]]:
        if delimiter in '"\r\n':
            raise ValueError("bad delimiter or quotechar value")
        return read(lines, delimiter=delimiter, strict=strict)

    data = f"{line.format(character)}\n{TABLE}".encode("utf-8", "surrogatepass")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv, "reader", as_newer)
        try:
            table = read_table(data, "metadata.csv", {})
        except MetadataError:  # the line is no such line: it has two characters, or none
            assert character in "\r\n"
            return
    assert (dict(table.rows), table.problems) == (READ, ())


def test_a_column_of_decimal_commas_is_one_of_numbers() -> None:
    table = read_table(b"file;a;b;c\nx.jpg;1,5;0,125;1,5 kg\ny.jpg;-12;0,5|2,25;2,5\n", "metadata.csv", {})
    assert table.types == {"a": FieldType.FLOAT, "b": FieldType.FLOAT, "c": FieldType.STRING}
    assert dict(table.rows) == {
        "x.jpg": {"a": 1.5, "b": [0.125], "c": "1,5 kg"},
        "y.jpg": {"a": -12.0, "b": [0.5, 2.25], "c": "2,5"},
    }
    assert table.problems == ()


def test_a_field_that_is_text_already_takes_decimal_commas_as_they_are() -> None:
    assert rows("file;a\nx.jpg;1,5\n", {"a": FieldType.STRING}) == {"x.jpg": {"a": "1,5"}}


def test_a_whole_column_that_cannot_be_read_as_numbers_is_one_problem() -> None:
    table = read_table(b'file,a\nx.jpg,"12,50"\ny.jpg,"3,75"\n', "metadata.csv", {})
    (problem,) = table.problems
    assert "metadata.csv:2: column 'a': '12,50' has a decimal comma: write 12.50 (all 2 cells" in problem.detail


def test_a_row_means_the_file_that_it_says_in_another_form() -> None:
    """Backslashes, spaces around it, accents apart: where no row has the file's own name."""
    text = "file,n\nimages\\a.jpg,1\n.\\b.jpg,2\nimages/c.jpg,3\nimages\\c.jpg,4\n d.jpg ,5\nMu\u0308ller.jpg,6\n"
    table = read_table(text.encode(), "t.csv", {})
    meant = {
        "images/a.jpg": "images\\a.jpg",
        "images\\a.jpg": "images\\a.jpg",  # a name that really has one
        "b.jpg": ".\\b.jpg",
        "images/c.jpg": "images/c.jpg",
        "d.jpg": " d.jpg ",
        "M\u00fcller.jpg": "Mu\u0308ller.jpg",
        "e.jpg": None,
    }
    assert {path: table.row_of(path) for path in meant} == meant


@pytest.mark.parametrize("nothing", ["", "nan", "-inf", "|", "\udcff", "nan|Infinity"])
def test_a_column_without_a_value_has_no_type_yet(nothing: str) -> None:
    """The catalog would keep one for good: `nan` today must not make a text of tomorrow's price."""
    data = f"file,price,title\na.jpg,{nothing},x\n".encode("utf-8", "surrogateescape")
    table = read_table(data, "metadata.csv", {})
    assert (table.types, table.rows["a.jpg"]) == ({"title": FieldType.STRING}, {"title": "x"})


@pytest.mark.parametrize("cell", ["nan", "NaN", "inf", "-inf", "Infinity"])
@pytest.mark.parametrize(
    "beside",
    ["Anna", "true", "2024-01-31", "00123", "9400111899223197428490", "-9400111899223197428490", "9" * 5_000, "1e999",
     "-1e999"],
)  # fmt: skip
def test_nan_in_a_column_of_words_is_a_word(cell: str, beside: str) -> None:
    """A number that is too long or too large is one."""
    data = f"file,name\na.jpg,{cell}\nb.jpg,{beside}\n".encode()
    table = read_table(data, "metadata.csv", {})
    assert dict(table.rows) == {"a.jpg": {"name": cell}, "b.jpg": {"name": beside}}
    assert (table.types, table.problems) == ({"name": FieldType.STRING}, ())


ODD = st.sampled_from(
    ["nan", "-inf", "Infinity", "1e999", "-1e999", "9400111899223197428490", "9007199254740993", "9" * 5_000, "1",
     "1.5", "1,5", "1,234", "1 234", "007", "true", "2024-01-31", "", "|", "x", "nan|1", "\x00", "\udcff"]
)  # fmt: skip


@given(st.lists(st.lists(st.tuples(ODD, ODD), max_size=4), min_size=1, max_size=2), st.sampled_from(SEPARATORS))
def test_tables_say_the_same_once_the_catalog_knows_their_fields(
    tables: Sequence[Sequence[tuple[str, str]]], separator: str
) -> None:
    """Nothing is raised, whatever stands beside what: the next start would read the same and end in the same way."""

    def written(at: int, body: Sequence[tuple[str, str]]) -> bytes:
        out = io.StringIO(newline="")
        writer = csv.writer(out, delimiter=separator)
        writer.writerows([("file", "x", "y"), *((f"{at}/{number}.jpg", *cells) for number, cells in enumerate(body))])
        return out.getvalue().encode("utf-8", "surrogateescape")

    sheets = [sheet(written(at, body), f"{at}.csv") for at, body in enumerate(tables)]
    first = read_tables(sheets, {})
    assert [set(each.types) for each in first] == [
        {name for row in each.rows.values() for name in row} for each in first
    ]
    again = read_tables(sheets, {name: kind for each in first for name, kind in each.types.items()})
    assert [each.rows for each in again] == [each.rows for each in first]


@pytest.mark.parametrize("first_row", ["0.jpg", "0.jpg" + ",1" * 3_000])
def test_a_header_of_many_columns_costs_what_the_rows_say(first_row: str) -> None:
    """As many cells as there are columns and rows together would be: a file of some KB would take all memory."""
    header = ",".join(["file", *(f"f{number}" for number in range(3_000))])
    data = "\n".join([header, first_row, *(f"{number}.jpg" for number in range(1, 3_000))]).encode()
    tracemalloc.start()
    try:
        table = read_table(data, "t.csv", {})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 30_000_000
    assert (len(table.rows), table.problems) == (3_000, ())
    assert set(table.types) == set(table.rows["0.jpg"]) == {f"f{number}" for number in range(first_row.count(","))}


NAMES = st.text(min_size=1, max_size=12).filter(lambda name: name != "file" and field_problem(name) is None)
CELLS = st.one_of(
    st.text(max_size=20).filter(lambda cell: "\0" not in cell),
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(str),
    st.sampled_from(["true", "FALSE", "2024-02-29", "00", "1|2", "a|", "|", "nan", "-inf", "1e999", "9" * 30]),
)


@given(st.data())
def test_whatever_csv_can_write_is_read(data: st.DataObject) -> None:
    """Every value has the column's type or is text, nothing is empty, and nothing is raised."""
    columns = data.draw(st.lists(NAMES, max_size=4, unique=True))
    body = data.draw(st.lists(st.lists(CELLS, min_size=len(columns), max_size=len(columns)), max_size=6))
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["file", *columns])
    writer.writerows([f"{number}.jpg", *cells] for number, cells in enumerate(body))
    table = read_table(out.getvalue().encode("utf-8", "replace"), "t.csv", {})
    misfits = {problem.field for problem in table.problems if problem.kind is ProblemKind.MISFIT}
    assert set(table.types) <= set(map(nfc, columns))
    assert set(table.types) >= {name for metadata in table.rows.values() for name in metadata}
    assert list(table.rows) == [f"{number}.jpg" for number in range(len(body))]
    for metadata in table.rows.values():
        for name, value in metadata.items():
            assert value not in ("", [])
            for element in elements(value):
                assert fits(element, table.types[name]) or (isinstance(element, str) and name in misfits)
                assert not isinstance(element, float) or math.isfinite(element)
    for name in map(nfc, columns):
        assert len({isinstance(metadata[name], list) for metadata in table.rows.values() if name in metadata}) <= 1


TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="|\\") | st.sampled_from('";,\t\n'), max_size=12
)


@given(
    titles=st.lists(TEXTS, max_size=6),
    separator=st.sampled_from(SEPARATORS),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]),
    announced=st.booleans(),
    padding=st.integers(0, 3),
)
def test_what_any_program_writes_is_read_back_equal(
    titles: list[str], separator: str, end: str, quoting: Any, encoding: str, announced: bool, padding: int
) -> None:
    """Excel, LibreOffice, pandas: their separators, line ends, quotes, encodings, and columns that hold nothing."""
    # With this line end Python's writer leaves a line feed without quotes: nobody can tell it from the end of a row.
    assume(end != "\r" or quoting != csv.QUOTE_MINIMAL or not any("\n" in title for title in titles))
    out = io.StringIO(newline="")
    if announced:
        out.write(f"sep={separator}{end}")
    writer = csv.writer(out, delimiter=separator, lineterminator=end, quoting=quoting)
    nothing = [""] * padding
    writer.writerow(["file", "title", *nothing])
    writer.writerows([f"{number}.jpg", title, *nothing] for number, title in enumerate(titles))
    table = read_table(out.getvalue().encode(encoding), "t.csv", {"title": FieldType.STRING})
    assert table.problems == ()
    expected = {
        f"{number}.jpg": {"title": title.strip()} if title.strip() else {} for number, title in enumerate(titles)
    }
    assert dict(table.rows) == expected


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"sep=", b"file,a\n", b"file;a\r\n", b"sep=\t\nfile\ta\n", b"\xff\xfef\0i\0l\0e\0\n\0"]),
    st.sampled_from([{}, {"a": FieldType.FLOAT}, {"a": FieldType.INTEGER}, {"a": FieldType.DATE}]),
)
def test_no_bytes_raise_anything_but_a_metadata_error(data: bytes, begin: bytes, known: FieldTypes) -> None:
    """What is read or left out is listed, each with its line; nothing ends a daemon."""
    try:
        table = read_table(begin + data, "t.csv", known)
    except MetadataError:
        return
    assert all(problem.line and problem.detail.startswith(f"t.csv:{problem.line}: ") for problem in table.problems)
    for row in table.rows:
        row.encode("utf-8")
        assert table.row_of(row) == row


@pytest.mark.parametrize(
    ("first", "second"), list(itertools.permutations(["caf\u00e9/x.jpg", "caf\u00e9\\x.jpg", " cafe\u0301/x.jpg"], 2))
)
def test_of_two_rows_that_mean_a_file_in_other_forms_the_first_holds(first: str, second: str) -> None:
    """But for a file that is called exactly as one of them says."""
    table = read_table(f"file,price\n{first},1\n{second},2\n".encode(), "metadata.csv", {})
    asked = "cafe\u0301\\x.jpg"
    assert asked not in table.rows
    assert table.rows[str(table.row_of(asked))] == {"price": 1}
    assert [table.rows[str(table.row_of(file))] for file in table.rows] == [{"price": 1}, {"price": 2}]


def in_memory(data: bytes, rows: int) -> tuple[MetadataTable, float, float]:
    """The table, and the bytes that each row takes of it and took while it was read."""
    tracemalloc.start()
    try:
        table = read_table(data, "metadata.csv", {})
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return table, kept / rows, most / rows


def test_a_table_in_memory_takes_little() -> None:
    count, kinds = 20_000, 500
    lines = (f"f{n // 1000:03d}/{n:06d}.jpg,a thing of kind {n % kinds},{n % 997},{n % 25}\n" for n in range(count))
    table, kept, most = in_memory(f"file,title,price,category\n{''.join(lines)}".encode(), count)
    assert kept < 350  # bytes a row; 440 with a text for each cell, and a line and a form for each row
    assert most < 900  # 1,080 then
    assert table.rows["f019/019999.jpg"] == {"title": f"a thing of kind {19_999 % kinds}", "price": 59, "category": 24}
    assert table.lines["f019/019999.jpg"] == count + 1


def test_cells_that_are_all_different_are_not_kept_to_find_equal_ones() -> None:
    count, columns = 12_000, range(6)
    lines = (f"f/{n:06d}.jpg,{','.join(f'{n * len(columns) + each}.5' for each in columns)}\n" for n in range(count))
    data = f"file,{','.join(f'c{each}' for each in columns)}\n{''.join(lines)}".encode()
    assert in_memory(data, count)[2] < 2_000  # bytes a row; 2,076 with an entry for each cell
