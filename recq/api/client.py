"""The command line's way to a running service: a catalog that puts each question to it.

    with AskedFirst(settings) as catalog:
        answer = catalog.similar("sofa_226.jpg", k=5)

It needs neither the engine's client nor a network nor numpy, which take most of the time of a command. A service that
is not there, is of another version, refuses or does not answer is gone around: the question is then answered by
`recq.face.catalog`, as it is where no service runs. Only a service's answer counts, and an error that is about the
question.
"""

from __future__ import annotations

import http.client
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from stat import S_ISREG
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlsplit

from recq import errors
from recq.announced import Announced, announced
from recq.api.records import Unreadable, dumped, loaded
from recq.commands import current
from recq.progress import Progress, silent
from recq.search.results import Answer, Asked
from recq.search.target import STREAM, SeenName
from recq.waiting import warn

if TYPE_CHECKING:
    from recq.face.catalog import ImageCatalog
    from recq.face.targets import Target
    from recq.index.changes import Changes
    from recq.learn.prediction import Prediction
    from recq.search.compare import Comparison
    from recq.search.inventory import CatalogSummary, FieldSummary
    from recq.search.many import FailedTarget
    from recq.search.results import ItemDetails
    from recq.settings import Settings

CONNECTS_WITHIN = 1.0
"""Seconds for a connection on this machine."""

ANSWERS_WITHIN = 15.0
"""Seconds without a byte of the answer after which a service is gone around. It may have to load a network first."""

MOST_TARGETS = 200
"""Targets that are sent together: for more of them the start of a process is little, and a bar is of use."""

_ROUTE = "/api/v1/ask"
_TARGETS = frozenset({"target", "targets", "like", "dislike"})
_MOST_SENT = 20_000_000  # bytes of pictures, of which base64 makes a third more

_ABOUT_THE_QUESTION = (errors.UsageError, errors.TargetError, errors.RequestRefused, errors.IndexPending)
"""Errors of a service that are the answer; this process may have the index or the network that it lacks."""

T = TypeVar("T")


class _Around(Exception):
    """No service answers this question."""


class AskedFirst:
    """The catalog that the settings name. A context manager; for one thread."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._services = announced(settings) if settings.client else []
        self._opened: ImageCatalog | None = None

    def similar(self, target: Target, **asked: Any) -> Answer:
        """As `ImageCatalog.similar`; the target is a name, or a part of what one names."""
        return self._either("similar", {"target": target, **asked}, lambda at: at.similar(target, **asked))

    def iter_similar(
        self, targets: Sequence[Target], *, progress: Progress = silent, **asked: Any
    ) -> Iterator[Answer | FailedTarget]:
        """As `ImageCatalog.iter_similar`."""

        def here(at: ImageCatalog) -> Iterator[Answer | FailedTarget]:
            return at.iter_similar(targets, progress=progress, **asked)

        if len(targets) > MOST_TARGETS:
            return here(self._here())
        return iter(self._either("similar_many", {"targets": list(targets), **asked}, here))

    def recommend(self, like: Sequence[Target], dislike: Sequence[Target], **asked: Any) -> Answer:
        """As `ImageCatalog.recommend`."""
        given = {"like": list(like), "dislike": list(dislike), **asked}
        return self._either("recommend", given, lambda at: at.recommend(like, dislike, **asked))

    def search(self, **asked: Any) -> Answer:
        """As `ImageCatalog.search`."""
        return self._either("search", asked, lambda at: at.search(**asked))

    def compare(self, target: Target, against: Sequence[str], **asked: Any) -> Comparison:
        """As `ImageCatalog.compare`."""
        given = {"target": target, "against": list(against), **asked}
        return self._either("compare", given, lambda at: at.compare(target, against, **asked))

    def predict(self, targets: Sequence[Target], *, space: str | None, top: int) -> list[Prediction | FailedTarget]:
        """As `ImageCatalog.predict`."""

        def here(at: ImageCatalog) -> list[Prediction | FailedTarget]:
            return at.predict(targets, space=space, top=top)

        if len(targets) > MOST_TARGETS:
            return here(self._here())
        return self._either("predict", {"targets": list(targets), "space": space, "top": top}, here)

    def show(self, target: Target) -> ItemDetails:
        """As `ImageCatalog.show`."""
        return self._either("show", {"target": target}, lambda at: at.show(target))

    def facets(self, field: str, *, filters: Sequence[str], limit: int) -> Any:
        """As `ImageCatalog.facets`."""
        given = {"field": field, "filters": list(filters), "limit": limit}
        return self._either("facets", given, lambda at: at.facets(field, filters=filters, limit=limit))

    def changes(self, since: str | None, *, limit: int) -> Changes:
        """As `ImageCatalog.changes`."""
        return self._either("changes", {"since": since, "limit": limit}, lambda at: at.changes(since, limit=limit))

    def fields(self) -> Sequence[FieldSummary]:
        """As `ImageCatalog.fields`."""
        return self._either("fields", {}, lambda at: at.fields())

    def text_fields(self) -> list[str]:
        """As `ImageCatalog.text_fields`."""
        return self._either("text_fields", {}, lambda at: at.text_fields())

    def catalogs(self) -> Sequence[CatalogSummary]:
        """As `recq.catalogs`."""

        def here(_: ImageCatalog) -> Sequence[CatalogSummary]:
            from recq.face.opening import catalogs

            return catalogs(settings=self.settings)

        return self._either("catalogs", {}, here)

    # -- the service, or this process -----------------------------------------------------------------------------

    def _either(self, name: str, given: Mapping[str, Any], here: Callable[[ImageCatalog], T]) -> T:
        """What a service answers, or this process where none does."""
        while self._services:
            try:
                found: T = _Question(self._services[0], self.settings, name, given).answer()
            except _Around:
                self._services.pop(0)
            else:
                return found
        return here(self._here())

    def _here(self) -> ImageCatalog:
        if self._opened is None:
            from recq.face.catalog import ImageCatalog

            self._opened = ImageCatalog(self.settings)
        return self._opened

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._opened is not None:
            self._opened.close()


class _Question:
    """A question to a service. It raises `_Around` wherever that does not answer it."""

    def __init__(self, service: Announced, settings: Settings, name: str, given: Mapping[str, Any]) -> None:
        self._service = service
        self._settings = settings
        self._name = name
        self._given = {key: _each(value, _seen) if key in _TARGETS else value for key, value in given.items()}
        self._contents: dict[str, bytes] = {}

    def answer(self) -> Any:
        """The answer. Raises the error that the service answers with, where it is about the question."""
        where = urlsplit(self._service.url)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=CONNECTS_WITHIN)
        try:
            connection.connect()
            connection.sock.settimeout(ANSWERS_WITHIN)
            found = self._sent(connection)
            if isinstance(needed := found.get("needed"), list):
                self._read(needed)
                found = self._sent(connection)
        except TimeoutError as error:
            warn(f"process {self._service.pid}, which answers questions, did not: the index is asked without it")
            raise _Around from error
        except (OSError, http.client.HTTPException) as error:
            raise _Around from error
        finally:
            connection.close()
        if "answer" in found:
            return _with_contents(found["answer"], self._contents)
        kind = getattr(errors, str(found.get("error")), None)
        if isinstance(kind, type) and issubclass(kind, _ABOUT_THE_QUESTION):
            raise kind(str(found.get("message")))
        raise _Around

    def _sent(self, connection: http.client.HTTPConnection) -> Mapping[str, Any]:
        question = {
            "ask": self._name,
            "catalog": self._settings.catalog,
            "place": current().to_json(),
            "given": {key: _each(value, self._filled) for key, value in self._given.items()},
        }
        headers = {"Authorization": f"Bearer {self._service.own}", "Content-Type": "application/json"}
        connection.request("POST", _ROUTE, dumped(question), headers)
        try:
            found = loaded(connection.getresponse().read())
        except Unreadable as error:
            raise _Around from error
        if not isinstance(found, Mapping):
            raise _Around
        return found

    def _filled(self, target: Any) -> Any:
        """A name with the bytes of its file, where they are known."""
        return replace(target, content=self._contents.get(target.name)) if isinstance(target, SeenName) else target

    def _read(self, names: Sequence[Any]) -> None:
        """The files that those names mean."""
        left = _MOST_SENT
        targets: list[SeenName] = []
        for value in self._given.values():
            _each(value, lambda target: targets.append(target) if isinstance(target, SeenName) else None)
        for target in targets:
            if target.name in names and target.name not in self._contents:
                content = _content(_file_of(target), min(left, self._settings.max_bytes))
                self._contents[target.name] = content
                left -= len(content)


def _seen(text: Any) -> SeenName:
    """A target as it is typed, with what it means here. Raises _Around for standard input, which can be read once."""
    if not isinstance(text, str) or text == STREAM:
        raise _Around
    return SeenName.here(text)


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    """What is given with every target changed, in lists and regions as well."""
    if isinstance(value, list):
        return [_each(each, change) for each in value]
    if hasattr(value, "region") and hasattr(value, "target"):
        return replace(value, target=_each(value.target, change))
    return change(value)


def _file_of(target: SeenName) -> Path:
    return target.meant.path if target.meant is not None and not target.local.is_file else target.local.path


def _content(path: Path, most: int) -> bytes:
    """The bytes of a file. Raises _Around for one that is larger, changes or cannot be read: the local way says why."""
    try:
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            if not S_ISREG(before.st_mode) or before.st_size > most:
                raise _Around
            content = file.read(most + 1)
            after = os.fstat(file.fileno())
    except OSError as error:
        raise _Around from error
    if len(content) != after.st_size or before.st_mtime_ns != after.st_mtime_ns:
        raise _Around
    return content


def _with_contents(found: Any, contents: Mapping[str, bytes]) -> Any:
    """An answer with the bytes of the pictures that were sent, for who shows them."""
    if not contents:
        return found
    if isinstance(found, Answer):
        examples = found.examples and replace(
            found.examples,
            liked=tuple(_shown(each, contents) for each in found.examples.liked),
            disliked=tuple(_shown(each, contents) for each in found.examples.disliked),
        )
        return replace(found, target=found.target and _shown(found.target, contents), examples=examples)
    if hasattr(found, "columns"):
        columns = tuple(replace(each, answer=_with_contents(each.answer, contents)) for each in found.columns)
        return replace(found, columns=columns)
    return found


def _shown(asked: Asked, contents: Mapping[str, bytes]) -> Asked:
    return replace(asked, content=contents.get(asked.text))
