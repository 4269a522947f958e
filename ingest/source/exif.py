"""EXIF as a source of metadata, with the setting `exif`: when, with what and where a picture was taken.

The headers are read in an isolated process (`ingest.source.headers`). Their fields depend on the picture's bytes alone,
so a comparison reads no headers of a picture whose bytes are unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ingest.source.headers import Headers
from recq.errors import ImageError, Reason
from recq.images.workers import FileChanged
from recq.index.dates import written_date
from recq.index.metadata_source import BELOW_FOLDER, Described, PictureFile
from recq.index.problems import Problem, ProblemKind
from recq.index.schema import FieldType, Metadata

FIELDS: Mapping[str, FieldType] = {
    "exif.taken": FieldType.DATE,
    "exif.camera": FieldType.STRING,
    "exif.lens": FieldType.STRING,
    "exif.lat": FieldType.FLOAT,
    "exif.lon": FieldType.FLOAT,
}

_REVISION = 1
"""A part of the fingerprint: when it changes, the headers of all pictures are read again."""

_PASSING = frozenset({Reason.IO_ERROR, Reason.PERMISSION, Reason.TIMEOUT, Reason.CRASHED, Reason.OUT_OF_MEMORY})
"""Reasons outside the bytes for which headers cannot be read; with any other reason the picture itself fails."""


class HeadersOf(Protocol):
    """A folder whose files' headers can be asked for."""

    @property
    def headers(self) -> Headers | None:
        """None where the setting `exif` is off."""


class FromExif:
    """`exif.taken`, `exif.camera`, `exif.lens`, `exif.lat` and `exif.lon`, as far as a picture's file has them."""

    precedence = BELOW_FOLDER
    types = FIELDS

    def __init__(self, folder: HeadersOf) -> None:
        assert folder.headers is not None, "the setting exif is off"
        self._headers = folder.headers

    def fingerprint(self, file: PictureFile) -> Metadata:  # noqa: ARG002 - the door's signature
        """The same for all pictures."""
        return {"revision": _REVISION}

    def describe(self, file: PictureFile) -> Described:
        """The fields of the headers; a problem where they cannot be read just now."""
        try:
            found = self._headers.exif(file.absolute)
        except ImageError as error:
            return _unread(error.detail) if error.reason in _PASSING else Described()
        except FileChanged:
            return _unread("the file changed while it was read")
        except OSError as error:
            return _unread(error.strerror or str(error))
        taken = written_date(found.taken) if found.taken is not None else None
        values = (taken, found.camera, found.lens, found.lat, found.lon)
        return Described({name: value for name, value in zip(FIELDS, values, strict=True) if value is not None})


def _unread(why: str) -> Described:
    return Described(problems=[Problem(ProblemKind.PLUGIN, f"EXIF cannot be read: {why}")], complete=False)
