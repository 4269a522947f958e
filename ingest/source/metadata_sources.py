"""Where a picture's metadata comes from: every source behind the door, asked in turn, and none of them trusted.

What a source raises or answers that cannot be used costs its own fields alone: it becomes a problem of the picture, or
of the folder where the source cannot be had at all, and names the plug-in. What such a source gave before is kept,
since nobody knows whether it still would.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

from ingest.source.own_sources import Watched
from recq.errors import PluginError
from recq.index.metadata_source import GROUP, USUAL, Described, MetadataSource, PictureFile
from recq.index.problems import Problem, ProblemKind, left_out
from recq.index.schema import FieldType, Metadata, Value, field_problem, metadata_digest, storable
from recq.plugins import Door, fault

DOOR = Door(
    GROUP,
    {
        "names": "ingest.source.own_sources:FromNames",
        "table": "ingest.source.own_sources:FromTable",
        "sidecar": "ingest.source.own_sources:FromSidecar",
        "exif": "ingest.source.exif:FromExif",
    },
)
_EXIF = "exif"
_BARE = frozenset({"names", "table", "sidecar"})
"""Whose fingerprints stand in a digest as they are, as they did before there was a door; others' have a name."""

_FAILED = "failed"


@dataclass(frozen=True)
class Told:
    """What one source says of a picture, as it can be used.

    `unknown` are the fields that it could not find out just now, None any field.
    """

    fields: Mapping[str, Value | None]
    problems: Sequence[Problem]
    fingerprint: Metadata
    unknown: Collection[str] | None = ()


class Asked:
    """One source behind the door, with what it declares; it raises nothing. `source` None: it cannot be had."""

    def __init__(self, name: str, called: str, source: MetadataSource | None) -> None:
        self.name = name
        self.called = called
        self.types = _types(source)
        self.precedence = _precedence(source)
        self._bare = name in _BARE
        self._source = source

    def fingerprint(self, file: PictureFile) -> Metadata:
        """What its answer depends on, as it goes into the digest of a picture's metadata."""
        if self._source is None:
            return self._as_failed()
        try:
            return self._as_known(self._source.fingerprint(file))
        except KeyboardInterrupt:
            raise
        except BaseException:  # `ask` tells what it was
            return self._as_failed()

    def ask(self, file: PictureFile) -> Told:
        """What it says of a picture."""
        unknown = self.types or None
        if self._source is None:
            return Told({}, (), self._as_failed(), unknown)
        try:
            # Those of the folder itself tell with each answer: of all others, what is asked first holds for it.
            before = {} if self._bare else self._as_known(self._source.fingerprint(file))
            said = self._source.describe(file)
            if not isinstance(said, Described) or not isinstance(said.fields, Mapping):
                raise TypeError(f"it answers {type(said).__name__}, not Described with a mapping of fields")
            if not all(isinstance(problem, Problem) for problem in said.problems):
                raise TypeError("its problems are not of recq.index.problems.Problem")
            if (odd := next((name for name in said.fields if not isinstance(name, str)), None)) is not None:
                raise TypeError(f"it names a field {odd!r}, which is no text")
            now = before if said.fingerprint is None else self._as_known(said.fingerprint)
            kept = storable({} if self._bare else said.fields)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a panic of a library in Rust is no Exception
            problem = Problem(ProblemKind.PLUGIN, f"{self.called}: {fault(error)}; the picture is without it")
            return Told({}, [problem], self._as_failed(), unknown)
        if self._bare:
            return Told(said.fields, said.problems, now)
        problems = [*said.problems, *(left_out(self.called, field, why) for field, why in kept.dropped.items())]
        if not said.complete:
            return Told(kept.fields, problems, self._as_failed(), unknown)
        return Told(kept.fields, problems, now)

    def _as_known(self, fingerprint: Metadata) -> Metadata:
        """Raises TypeError or ValueError where it is no JSON object."""
        if not isinstance(fingerprint, Mapping):
            raise TypeError(f"its fingerprint is {type(fingerprint).__name__}, not a mapping")
        return fingerprint if self._bare else {f"_{self.name}": metadata_digest(fingerprint)}

    def _as_failed(self) -> Metadata:
        """What no answer has: the source is asked again when it can be had, or at the next look."""
        return {f"_{self.name}": _FAILED}


def metadata_sources(folder: Watched, *, exif: bool) -> tuple[Sequence[Asked], Sequence[Problem]]:
    """The sources of a folder's metadata, those that win last, and one problem for each that cannot be had."""
    found: list[Asked] = []
    problems: list[Problem] = []
    own = [entry for name, entry in DOOR.own.items() if exif or name != _EXIF]
    for entry in (*own, *DOOR.installed().values()):
        called = entry.name if entry in own else DOOR.called(entry)
        try:
            found.append(Asked(entry.name, called, _made(entry, folder)))
        except PluginError as error:
            detail = f"{error}: pictures keep what it gave them, and get nothing new of it"
            problems.append(Problem(ProblemKind.PLUGIN, detail))
            found.append(Asked(entry.name, called, None))
    return sorted(found, key=lambda each: each.precedence), problems


def _made(entry: EntryPoint, folder: Watched) -> MetadataSource:
    make = DOOR.load(entry)
    try:
        source: MetadataSource = make(folder)
        wrong = _fault_of(source)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginError(f"{DOOR.called(entry)} cannot be used: {fault(error)}") from error
    if wrong is not None:
        raise PluginError(f"{DOOR.called(entry)} cannot be used: {wrong}")
    return source


def _fault_of(source: Any) -> str | None:
    """Why something is no source of metadata; None where it is one."""
    for method in ("fingerprint", "describe"):
        if not callable(getattr(source, method, None)):
            return f"it has no method {method}"
    for name, kind in dict(getattr(source, "types", {})).items():
        if (problem := field_problem(name)) is not None:
            return f"its field '{name}' {problem}"
        if kind not in set(FieldType):
            return f"its field '{name}' is of the type {kind!r}: there are {', '.join(FieldType)}"
    if not isinstance(getattr(source, "precedence", USUAL), int):
        return "its precedence is no integer"
    return None


def _types(source: MetadataSource | None) -> Mapping[str, FieldType]:
    return {name: FieldType(kind) for name, kind in dict(getattr(source, "types", {})).items()}


def _precedence(source: MetadataSource | None) -> int:
    precedence: int = getattr(source, "precedence", USUAL)
    return precedence
