"""The plug-in interface for sources of metadata: what a source is asked, and what it answers.

The folder's own sources (names, table, sidecars) and EXIF use it as well (`ingest.source.metadata_sources`).
docs/plugins.md explains how to write one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from recq.index.problems import Problem
from recq.index.schema import Metadata

GROUP = "recq.metadata_sources"
"""The group of the entry points. An entry's object is called with the `SourceFolder`, once for each watched folder."""

BELOW_FOLDER, FOLDER, USUAL, TABLE, SIDECAR = 50, 100, 150, 200, 300
"""Precedences: EXIF's, folder and file name's, a plug-in's that has none, the table's, a sidecar's."""


class SourceFolder(Protocol):
    """A folder that is watched."""

    @property
    def name(self) -> str:
        """The name of the source, as `file.source` has it."""

    @property
    def root(self) -> Path:
        """The folder, absolute."""


@dataclass(frozen=True, slots=True)
class PictureFile:
    """One picture of a source. `path` is relative to its root, POSIX, surrogate-escaped as the system gives it."""

    source: str
    root: Path
    path: str

    @property
    def absolute(self) -> str:
        """Where it is, for `open` and the like."""
        return f"{self.root}/{self.path}"


@dataclass(frozen=True)
class Described:
    """The metadata of a picture from one source.

    `fields` are names with text, numbers, booleans or lists of these; None takes a field away that a source of lower
    precedence gives, "" and [] give nothing. `problems` are those of the metadata. `fingerprint` is that of this
    answer, where it may differ from the one that was asked for just before. `complete`: the source could
    read everything; else it is asked again.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    problems: Sequence[Problem] = ()
    fingerprint: Metadata | None = None
    complete: bool = True


class MetadataSource(Protocol):
    """A source of metadata for the pictures of one folder, called from several threads.

    Two attributes may be left out: `types`, names of the fields that it gives with the type of each (bool, integer,
    float, date, string), and `precedence` (`USUAL`): of two that give a field the higher one wins.
    """

    def fingerprint(self, file: PictureFile) -> Metadata:
        """What the answer for a picture depends on, besides its bytes: when it changes, `describe` is called again.

        It is called for every picture at every comparison, so it must be cheap. A version of the data and a time of
        change are usual; where the answer costs nothing, the answer itself.
        """

    def describe(self, file: PictureFile) -> Described:
        """The metadata of a picture. An exception becomes a problem of it, and its earlier metadata stays."""
