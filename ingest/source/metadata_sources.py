"""Asks every source of metadata for a picture's fields, in turn, and trusts none of them.

A source that raises, or answers what cannot be used, costs its own fields only: that becomes a problem of the picture
which names the plug-in, or a problem of the folder where the source cannot be used at all. A plug-in that does not
answer in time is not asked again for the folder until the daemon starts again, since its thread cannot be ended.
Pictures keep what such a source gave before, since it is unknown whether it still would.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint
from typing import Any, TypeVar

from ingest.source.own_sources import Watched
from ingest.source.timebox import NotAnswered, Timebox
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
"""The sources whose fingerprints are part of a digest as they are; those of others are stored under their names.

So the digests that recq made before there were plug-ins still hold.
"""

_FAILED = "failed"

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """The usable answer of one source for a picture.

    `unknown` are the fields that it could not find out just now; None: any field.
    """

    fields: Mapping[str, Value | None]
    problems: Sequence[Problem]
    fingerprint: Metadata
    unknown: Collection[str] | None = ()


class Asked:
    """One source of metadata, with what it declares; asking it raises nothing. `source` None: it cannot be used.

    `timebox` bounds the time of a plug-in's answers; recq's own sources need none. `given_up` is called with the
    problem when a plug-in takes longer.
    """

    def __init__(
        self,
        name: str,
        called: str,
        source: MetadataSource | None,
        timebox: Timebox | None = None,
        given_up: Callable[[Problem], None] = lambda _: None,
    ) -> None:
        self.name = name
        self.called = called
        self.is_plugin = name not in DOOR.own
        self.types = _types(source)
        self.precedence = _precedence(source)
        self._bare = name in _BARE
        self._source = source
        self._timebox = timebox
        self._given_up = given_up
        self._giving_up = threading.Lock()

    def fingerprint(self, file: PictureFile) -> Metadata:
        """What the source's answer depends on, as a part of the digest of a picture's metadata."""
        source = self._source
        if source is None:
            return self._as_failed()
        try:
            return self._in_time(lambda: self._as_known(source.fingerprint(file)))
        except KeyboardInterrupt:
            raise
        except NotAnswered:
            self._give_up()
        except BaseException:  # `ask` reports it
            pass
        return self._as_failed()

    def ask(self, file: PictureFile) -> Answer:
        """The source's answer for a picture."""
        source, unknown = self._source, self.types or None
        if source is None:
            return Answer({}, (), self._as_failed(), unknown)
        try:
            return self._in_time(lambda: self._answer(source, file))
        except KeyboardInterrupt:
            raise
        except NotAnswered:
            self._give_up()
            return Answer({}, (), self._as_failed(), unknown)
        except BaseException as error:  # a panic of a library in Rust is no Exception
            problem = Problem(ProblemKind.PLUGIN, f"{self.called}: {fault(error)}; the picture is without it")
            return Answer({}, [problem], self._as_failed(), unknown)

    def _answer(self, source: MetadataSource, file: PictureFile) -> Answer:
        """What the source answers. Raises what it raises, and TypeError or ValueError for what cannot be used."""
        # The folder's own sources give a fingerprint with each answer; of all others the one asked first holds.
        before = {} if self._bare else self._as_known(source.fingerprint(file))
        answer = source.describe(file)
        if not isinstance(answer, Described) or not isinstance(answer.fields, Mapping):
            raise TypeError(f"it answers {type(answer).__name__}, not Described with a mapping of fields")
        if not all(isinstance(problem, Problem) for problem in answer.problems):
            raise TypeError("its problems are not of recq.index.problems.Problem")
        if (odd := next((name for name in answer.fields if not isinstance(name, str)), None)) is not None:
            raise TypeError(f"it names a field {odd!r}, which is no text")
        now = before if answer.fingerprint is None else self._as_known(answer.fingerprint)
        if self._bare:
            return Answer(answer.fields, answer.problems, now)
        kept = storable(answer.fields)
        problems = [*answer.problems, *(left_out(self.called, field, why) for field, why in kept.dropped.items())]
        if not answer.complete:
            return Answer(kept.fields, problems, self._as_failed(), self.types or None)
        return Answer(kept.fields, problems, now)

    def _in_time(self, ask: Callable[[], T]) -> T:
        """What `ask` gives. Raises what it raises, and NotAnswered where a plug-in takes too long."""
        return ask() if self._timebox is None else self._timebox(ask)

    def _give_up(self) -> None:
        """Ask the plug-in no more: its thread hangs, and each further question would take one more."""
        with self._giving_up:
            if self._source is None:
                return
            self._source = None
        seconds = self._timebox.seconds if self._timebox is not None else 0.0
        self._given_up(
            Problem(
                ProblemKind.PLUGIN,
                f"{self.called} has not answered for {seconds:g} s (the setting plugin_timeout) and is not asked again "
                "until the daemon starts again: pictures keep what it gave them, and get nothing new of it",
            )
        )

    def _as_known(self, fingerprint: Metadata) -> Metadata:
        """Raises TypeError or ValueError where it is no JSON object."""
        if not isinstance(fingerprint, Mapping):
            raise TypeError(f"its fingerprint is {type(fingerprint).__name__}, not a mapping")
        return fingerprint if self._bare else {f"_{self.name}": metadata_digest(fingerprint)}

    def _as_failed(self) -> Metadata:
        """A fingerprint that no answer has, so that the source is asked again at the next look."""
        return {f"_{self.name}": _FAILED}


def metadata_sources(
    folder: Watched, *, exif: bool, plugin_timeout: float, missing: Callable[[Problem], None]
) -> Sequence[Asked]:
    """The sources of a folder's metadata, those that win last.

    `plugin_timeout` are the seconds that a plug-in has for an answer. `missing` is called with a problem for each
    plug-in that cannot be used, now, or later when it does not answer.
    """
    found: list[Asked] = []
    for name, entry in DOOR.own.items():
        if exif or name != _EXIF:
            found.append(Asked(name, name, _made(entry, folder)))
    for name, entry in DOOR.installed().items():
        called = DOOR.called(entry)
        timebox = Timebox(plugin_timeout, f"plug-in {name}")
        try:
            made = timebox(partial(_made, entry, folder))
        except (PluginError, NotAnswered) as error:
            why = f"{called} cannot be used: {error}" if isinstance(error, NotAnswered) else str(error)
            detail = f"{why}: pictures keep what it gave them, and get nothing new of it"
            missing(Problem(ProblemKind.PLUGIN, detail))
            found.append(Asked(name, called, None))
        else:
            found.append(Asked(name, called, made, timebox, missing))
    return sorted(found, key=lambda each: each.precedence)


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
    """Why an object cannot be a source of metadata; None where it can."""
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
