"""Where an item's metadata comes from: the folder alone, and each field from the first place that has it.

    photo.jpg.json   a JSON object beside the picture; `null` takes a field away, "" says nothing, as an empty cell
    metadata.csv     the row whose column `file` names the picture (`ingest.table`)
    the folder       `category` is the first folder below the root: chairs/oak/1.jpg -> chairs
    the name         `category` is what stands before the first underscore: sofa_226.jpg -> sofa

Everything here is pure: bytes and names in, metadata out.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from typing import Any, NoReturn

from ingest.table import Table
from recq.errors import MetadataError
from recq.index.schema import FieldType, FieldTypes, Metadata, Value, elements, field_problem, parse_cell, value_problem

CATEGORY = "category"

SIDECAR_SUFFIX = ".json"
"""A sidecar is named after the whole file name: photo.jpg -> photo.jpg.json."""

MAX_SIDECAR_BYTES = 1 << 20
"""Longer sidecars are refused: metadata travels with every answer."""

CAMERA_PREFIXES = frozenset(
    {
        "cimg",  # Casio
        "dsc",  # Nikon, Sony
        "dscf",  # Fujifilm
        "dscn",  # Nikon Coolpix
        "gopr",  # GoPro
        "img",  # Canon, Apple, Android
        "mvimg",  # Google, moving pictures
        "p",  # Panasonic, Olympus
        "pano",  # panoramas
        "pxl",  # Google Pixel
        "sam",  # Samsung
        "screenshot",
        "vid",
    }
)
"""What cameras and telephones put before the underscore says nothing of the picture (IMG_0001.jpg)."""

Sidecar = Mapping[str, Value | None]


def category_of(path: str) -> str | None:
    """The category that folder or file name give, for a POSIX path relative to the root."""
    folder, slash, _ = path.partition("/")
    if slash:
        return folder
    prefix, underscore, rest = path.rpartition("/")[2].partition("_")
    prefix = prefix.strip()
    named = underscore and rest and prefix.casefold() not in CAMERA_PREFIXES and any(map(str.isalpha, prefix))
    return prefix if named else None


def merge(path: str, table: Table, sidecar: Sidecar, known: FieldTypes, row: str | None = None) -> Metadata:
    """All metadata of the item at `path` (text form), to which the table's row `row` belongs: its own where None.

    `known` are the types of the catalog's fields.
    """
    category = category_of(path)
    merged: dict[str, Value | None] = {}
    if category is not None:
        field_type = known.get(CATEGORY) or table.types.get(CATEGORY) or FieldType.STRING
        merged[CATEGORY] = parse_cell(category, field_type)
    merged.update(table.rows.get(row or path, {}))
    merged.update((name, said) for name, value in sidecar.items() if (said := _said(value)) != [])
    return {name: value for name, value in merged.items() if value is not None}


def _said(value: Value | None) -> Value | None:
    """A sidecar's value without what says nothing, as an empty cell of a table does: "" and spaces; [] where all is."""
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    if isinstance(value, str | list):
        return [element for element in elements(value) if not isinstance(element, str) or element.strip()]
    return value


def lost_fields(path: str, before: Metadata, now: Metadata) -> list[str]:
    """The fields that the item at `path` had and would have no more; a category that is only the folder's now is lost.

    What says nothing is no loss, and neither is a name that cannot be a field any more.
    """
    there = {unicodedata.normalize("NFC", name) for name in now}
    lost = [
        name
        for name, value in before.items()
        if unicodedata.normalize("NFC", name) not in there and _said(value) != [] and field_problem(name) is None
    ]
    fallen_back = CATEGORY in now and str(now[CATEGORY]) == category_of(path)
    if fallen_back and CATEGORY in before and before[CATEGORY] != now[CATEGORY]:
        lost.append(CATEGORY)
    return lost


def parse_sidecar(data: bytes, name: str) -> Sidecar:
    """The object in a sidecar's bytes. Raises MetadataError with `name` and what to change."""
    if len(data) > MAX_SIDECAR_BYTES:
        raise MetadataError(f"{name}: {len(data):,} bytes, more than {MAX_SIDECAR_BYTES:,}: make it shorter")
    try:
        parsed = json.loads(data.decode("utf-8-sig"), parse_constant=_refuse_constant, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise MetadataError(f"{name}:{error.lineno}: not JSON: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise MetadataError(f"{name}: not UTF-8: save it as UTF-8") from error
    except RecursionError as error:
        raise MetadataError(f"{name}: nested too deeply: write an object of plain values") from error
    except MetadataError as error:
        raise MetadataError(f"{name}: {error}") from error
    if not isinstance(parsed, dict):
        raise MetadataError(f'{name}: not an object: write {{"field": value, ...}}')
    for field, value in parsed.items():
        if problem := field_problem(field):
            raise MetadataError(f"{name}: field {field!r} {problem}: rename it")
        if value is not None and (problem := value_problem(value) or _text_problem(value)):
            raise MetadataError(f"{name}: field {field!r} {problem}")
    return parsed


def _refuse_constant(constant: str) -> NoReturn:
    raise MetadataError(f"{constant} is not a finite number: leave the field out")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise MetadataError(f"field {twice!r} stands there twice: remove one")
    return result


def _text_problem(value: Value) -> str | None:
    """JSON can write half a surrogate pair, which no index can store."""
    for element in elements(value):
        if isinstance(element, str) and any("\ud800" <= c <= "\udfff" for c in element):
            return "has half a surrogate pair, which is not text"
    return None
