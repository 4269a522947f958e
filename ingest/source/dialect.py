"""Reads the records of a CSV file, whatever program wrote it: encoding, separator, line ends, and broken rows.

Nothing is guessed from the rows. A byte order mark decides the encoding; without one it is UTF-8, or UTF-16 where the
first characters can be nothing else. The header decides the separator: the one with which `file` is a column. Excel's
first line `sep=;` is understood. Of a row with wrong quotes only that line is lost.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from recq.errors import MetadataError
from recq.index.cells import FILE_COLUMN

SEPARATORS = (",", ";", "\t")

_MOST_BROKEN = 1_000  # rows whose quotes are wrong: each is read to the end of the longest cell that csv takes
_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_QUOTE = '"'
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[\s,;]*', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Record:
    """A record that begins in `line` (from 1). `broken` is the reason where it has none, since its quotes are wrong."""

    line: int
    cells: Sequence[str] = ()
    broken: str | None = None


def decode(data: bytes) -> str:
    """The text. A byte that is not of the encoding becomes a lone surrogate, which no text has (`unreadable`)."""
    mark, encoding = next((each for each in _ENCODINGS if data.startswith(each[0])), (b"", _without_mark(data)))
    data = data[len(mark) :]
    if encoding == "utf-8":
        return data.decode(encoding, "surrogateescape")
    width = 2 if encoding.startswith("utf-16") else 4
    whole = data[: len(data) // width * width]
    try:
        return whole.decode(encoding, "surrogatepass")
    except UnicodeDecodeError as error:  # half a character at the very end
        return whole[: error.start].decode(encoding, "surrogatepass")


def _without_mark(data: bytes) -> str:
    """UTF-16 where the first two characters are plain ones of it (a header is), else UTF-8."""
    empty = [byte == 0 for byte in data[:4]]
    if empty == [False, True, False, True]:
        return "utf-16-le"
    return "utf-16-be" if empty == [True, False, True, False] else "utf-8"


def unreadable(text: str) -> str | None:
    """The character of `text` that could not be decoded, None where all could."""
    if text.isascii():
        return None
    for character in text:
        if "\udc80" <= character <= "\udcff":
            return f"0x{ord(character) - 0xDC00:02X} is not UTF-8"
        if "\ud800" <= character <= "\udfff":
            return f"0x{ord(character):04X} is half a character"
    return None


def records(data: bytes, name: str) -> tuple[str, Iterator[Record]]:
    """The separator, and the records that are not empty, the header first.

    Raises MetadataError with `name` where there is no header, or none with a column `file`; later, where too many rows
    are broken.
    """
    lines = list(io.StringIO(decode(data), newline=""))
    named = _SEPARATOR_LINE.fullmatch(lines[0].rstrip("\r\n")) if lines else None
    start = 0 if named is None else 1
    separator = separator_of(lines[start:], named[1] if named is not None else None, name, start + 1)
    return separator, _records(lines, start, separator, name)


def separator_of(lines: Sequence[str], named: str | None, name: str, line: int) -> str:
    """The separator that makes `file` a column of the header, the first record of `lines`, which begin at `line`.

    `named` is what a line `sep=` asks for: it is tried first. A header can have a column `file` with one separator
    alone, unless it has no other column.
    """
    first = [named] if named and named != _QUOTE else []  # a quote separates nothing: newer versions of csv refuse it
    candidates = [*first, *(each for each in SEPARATORS if each != named)]
    headers = {each: next(_records(lines, 0, each, name), None) for each in candidates}
    found = [header for header in headers.values() if header is not None]
    if not found:
        raise MetadataError(f"{name} is empty: its first line has to name the columns, one of them {FILE_COLUMN!r}")
    for separator, header in headers.items():
        if header is not None and any(map(is_file_column, header.cells)):
            return separator
    widest = max(found, key=lambda header: len(header.cells))
    where = f"{name}:{line + widest.line - 1}"
    if widest.broken is not None:
        raise MetadataError(f"{where}: {widest.broken}")
    columns = [cell.strip() for cell in widest.cells]
    if problem := unreadable("".join(columns)):
        raise MetadataError(f"{where}: the character {problem}: save the table as UTF-8")
    alike = next(
        (column for column in columns if FILE_COLUMN in column.casefold() or column.casefold() == "path"), None
    )
    hint = f" (or call the column {alike!r} so)" if alike is not None else ""
    raise MetadataError(
        f"{where}: no column {FILE_COLUMN!r}: add one with each file's path relative to the source's root{hint}"
    )


def is_file_column(cell: str) -> bool:
    """Whether a column of that name names the files."""
    return cell.strip().casefold() == FILE_COLUMN


def _records(lines: Sequence[str], start: int, separator: str, name: str) -> Iterator[Record]:
    """The records of `lines` from `start`. After a broken row reading goes on with the next line."""
    broken = 0
    while start < len(lines):
        reader = csv.reader((lines[at] for at in range(start, len(lines))), delimiter=separator, strict=True)
        before = 0
        try:
            for cells in reader:
                if any(map(str.strip, cells)):
                    yield Record(start + before + 1, cells)
                before = reader.line_num
        except csv.Error as error:
            broken += 1
            if broken > _MOST_BROKEN:
                raise MetadataError(
                    f"{name}: more than {_MOST_BROKEN:,} rows have wrong quotes: is it a table?"
                ) from error
            yield Record(start + before + 1, broken=_quote_problem(str(error)))
            start += before + 1
        else:
            return


def _quote_problem(message: str) -> str:
    """The message of the csv module in words that tell what to mend."""
    if "end of data" in message or "field limit" in message:
        return "the quote that opens here is never closed"
    if "expected after" in message:
        return "text follows a closing quote: write a quote inside quotes twice"
    return f"not a row of a table: {message}"
