"""What an item's metadata is made of: each field is taken from the first place that has it.

    patches          tables `metadata.NAME.csv` that change some fields (`ingest.source.patches`), the last name first
    photo.jpg.json   a JSON object beside the picture; `null` removes a field, "" is the same as no field
    metadata.csv     the row whose column `file` names the picture (`ingest.source.table`)
    plug-ins         what else is behind the door (`ingest.source.metadata_sources`)
    the folder       `category` is the first folder below the root: chairs/oak/1.jpg -> chairs
    the name         `category` is what stands before the first underscore: sofa_226.jpg -> sofa
    the picture      `exif.taken` and others from its headers (`ingest.source.exif`)

Everything here is pure: bytes and names in, metadata out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recq.errors import MetadataError
from recq.index.problems import Problem, left_out
from recq.index.schema import FieldType, FieldTypes, Metadata, Value, elements, field_problem, nfc, parse_cell, storable

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
"""Prefixes that cameras and telephones write before the underscore (IMG_0001.jpg): they are no categories."""

Sidecar = Mapping[str, Value | None]

_LONGEST_INTEGER = 20  # characters; longer ones no index takes, and Python reads no more than some thousand digits


@dataclass(frozen=True)
class ReadSidecar:
    """The fields of a sidecar, and a problem for each field that was left out, since it cannot be stored."""

    fields: Sidecar = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


class _Twice:
    """Replaces the value of a field that a sidecar has twice: it is unknown which of the two was meant."""


def category_of(path: str) -> str | None:
    """The category that folder or file name give, for a POSIX path relative to the root."""
    folder, slash, _ = path.partition("/")
    if slash:
        return folder
    prefix, underscore, rest = path.rpartition("/")[2].partition("_")
    prefix = prefix.strip()
    named = underscore and rest and prefix.casefold() not in CAMERA_PREFIXES and any(map(str.isalpha, prefix))
    return prefix if named else None


def folder_fields(path: str, tables: FieldTypes, known: FieldTypes) -> Metadata:
    """The category from the path of the picture (text form), as a value of the field's type.

    `known` are the types of the catalog's fields, `tables` those of the columns of the folder's tables.
    """
    category = category_of(path)
    if category is None:
        return {}
    field_type = known.get(CATEGORY) or tables.get(CATEGORY) or FieldType.STRING
    return {CATEGORY: parse_cell(category, field_type)}


def merge(*parts: Mapping[str, Value | None]) -> Metadata:
    """All metadata of a picture from the answers of its sources: of two that give a field the later one wins.

    None removes a field; an empty value leaves it to the other sources.
    """
    merged: dict[str, Value | None] = {}
    for part in parts:
        merged.update((name, filled) for name, value in part.items() if (filled := _filled(value)) != [])
    return {name: value for name, value in merged.items() if value is not None}


def _filled(value: Value | None) -> Value | None:
    """A value without empty texts ("" and spaces), which count as empty cells of a table; [] where nothing is left."""
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    if isinstance(value, str | list):
        return [element for element in elements(value) if not isinstance(element, str) or element.strip()]
    return value


def lost_fields(path: str, before: Metadata, now: Metadata) -> list[str]:
    """The fields that the item at `path` had and would lose; so is a category that only the folder gives now.

    An empty value is no loss, and neither is a name that cannot be a field any more.
    """
    there = {nfc(name) for name in now}
    lost = [
        name
        for name, value in before.items()
        if nfc(name) not in there and _filled(value) != [] and field_problem(name) is None
    ]
    fallen_back = CATEGORY in now and str(now[CATEGORY]) == category_of(path)
    if fallen_back and CATEGORY in before and before[CATEGORY] != now[CATEGORY]:
        lost.append(CATEGORY)
    return lost


def changed_fields(before: Metadata, now: Metadata) -> list[str]:
    """The fields that both have, with another value; both as they are stored."""
    return [name for name, value in before.items() if name in now and now[name] != value]


def parse_sidecar(data: bytes, name: str) -> ReadSidecar:
    """The object in a sidecar's bytes, without the fields that cannot be stored.

    Raises MetadataError with `name` and what to change where the sidecar cannot be read at all.
    """
    if len(data) > MAX_SIDECAR_BYTES:
        raise MetadataError(f"{name}: {len(data):,} bytes, more than {MAX_SIDECAR_BYTES:,}: make it shorter")
    try:
        parsed = json.loads(
            data.decode("utf-8-sig"), parse_constant=float, parse_int=_integer, object_pairs_hook=_object
        )
    except json.JSONDecodeError as error:
        raise MetadataError(f"{name}:{error.lineno}: not JSON: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise MetadataError(f"{name}: not UTF-8: save it as UTF-8") from error
    except RecursionError as error:
        raise MetadataError(f"{name}: nested too deeply: write an object of plain values") from error
    except ValueError as error:
        raise MetadataError(f"{name}: cannot be read: {error}") from error
    if not isinstance(parsed, dict):
        raise MetadataError(f'{name}: not an object: write {{"field": value, ...}}')
    twice = {name: "stands there twice: remove one" for name, value in parsed.items() if isinstance(value, _Twice)}
    kept = storable({name: value for name, value in parsed.items() if name not in twice})
    dropped = {**twice, **kept.dropped}
    return ReadSidecar(kept.fields, tuple(left_out(name, field, why) for field, why in dropped.items()))


def _integer(text: str) -> int:
    """An integer of JSON; a longer one than any index takes is replaced, since reading it is slow."""
    return int(text) if len(text) <= _LONGEST_INTEGER else 10**_LONGEST_INTEGER


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        stored = nfc(name)
        result[stored] = _Twice() if stored in result else value
    return result
