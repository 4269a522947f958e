"""Files that look like a table of metadata and are not read: `labels.csv` with a column `file`, `metadata.xlsx`.

Only the beginning of a file is looked at. Such a file is reported, since its author expects it to be read.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import BinaryIO

from ingest.source.dialect import records
from ingest.source.regular_files import open_regular
from ingest.source.table import TABLE_NAME
from recq.index.cells import FILE_COLUMN
from recq.index.patch_names import PATCHES

_TEXT = frozenset({".csv", ".tab", ".tsv"})
_NAMED = frozenset({".json", ".jsonl", ".numbers", ".ods", ".parquet", ".txt", ".xls", ".xlsx"})  # only as metadata.*
_HEAD = 1 << 16  # bytes of a table that are read
_LARGEST_WORKBOOK = 50 << 20  # bytes


def may_be_table(path: str) -> bool:
    """Whether the name of a file alone makes it worth a look."""
    stem, suffix = _stem_and_suffix(path)
    return suffix in _TEXT or suffix == ".xlsx" or (suffix in _NAMED and stem == "metadata")


def looks_like_table(root: Path, path: str) -> bool:
    """Whether a file that `may_be_table` is called like a table of metadata, or has a column `file`."""
    stem, suffix = _stem_and_suffix(path)
    if stem == "metadata" or (suffix in _TEXT and stem.startswith("metadata.")):
        return True
    try:
        with open_regular(root / path) as file:
            if suffix == ".xlsx":
                return _workbook_has_column(file)
            records(file.read(_HEAD), path)
    except Exception:  # it is a hint about a file of no concern: zipfile alone raises a dozen kinds of errors
        return False
    return True


def unread(path: str) -> str:
    """The message about such a file, with what to do."""
    why = f"{path} looks like a table of metadata, but is not read:"
    if _stem_and_suffix(path)[1] not in _TEXT:
        return f"{why} save it as {TABLE_NAME} in the source's root"
    return (
        f"{why} only {TABLE_NAME} in the source's root is, or the one that --metadata names, and beside it patches, "
        f"{PATCHES} (NAME of letters, digits, '.', '_' and '-')"
    )


def _stem_and_suffix(path: str) -> tuple[str, str]:
    stem, dot, suffix = path.rpartition("/")[2].casefold().rpartition(".")
    return stem, dot + suffix


def _workbook_has_column(file: BinaryIO) -> bool:
    """Whether any text of a workbook is the word `file`; its first ones are the header's. Raises what zipfile does."""
    if os.fstat(file.fileno()).st_size > _LARGEST_WORKBOOK:
        return False
    with zipfile.ZipFile(file) as workbook, workbook.open("xl/sharedStrings.xml") as texts:
        return f">{FILE_COLUMN}<".encode() in texts.read(_HEAD).lower()
