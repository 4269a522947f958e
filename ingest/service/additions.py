"""Gives folders to a daemon that runs already: it adds them while it runs, and the caller can wait until they are done.

`POST /recq/sources` adds folders, `POST /recq/progress` answers how far the daemon is with sources. A process that
indexes once, or rebuilds, adds none: it ends by itself, and is waited for.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest.service.outcome import Outcome, Standing
from ingest.service.requests import Answer, checked
from ingest.service.roots import let_go
from ingest.source.targets import Target, require_folder
from ingest.tally import Counts
from recq import paths
from recq.commands import command
from recq.errors import IndexBusy, IndexUnreachable, TargetNotFound, UsageError
from recq.learn.predictors import chosen_of
from recq.operate.requests import ANSWERS_WITHIN, ask_route
from recq.operate.status import ask_daemon, engine_of
from recq.paths import printable
from recq.settings import Settings
from recq.waiting import waiting

if TYPE_CHECKING:
    from ingest.report import Reporter
    from ingest.service.status import DaemonStatus
    from ingest.source.watched_source import WatchedSource
    from recq.index.catalog import Catalog

SOURCES = "/recq/sources"
PROGRESS = "/recq/progress"

_LOOK_EVERY = 0.2  # seconds between two looks at how far the daemon is
_DECIDES = (
    "watch", "ignore", "settle", "rescan", "poll_interval", "max_delete", "max_bytes", "max_pixels",
    "decode_timeout", "decode_memory", "plugin_timeout", "exif", "runtime",
)  # fmt: skip
"""Settings by which a source is watched, read and embedded: those of the daemon hold for the folders that it adds."""


@dataclass(frozen=True)
class Taken:
    """The folders that a daemon (process `pid`) was given, by source; `known` are those that it watched already.

    `before` is what it had done for each source until then.
    """

    pid: int
    sources: Mapping[str, Path]
    known: frozenset[str]
    before: Mapping[str, Counts]

    def lines(self) -> list[str]:
        """The lines to report."""
        lines = []
        for name, root in self.sources.items():
            folder, source = printable(str(root)), printable(name)
            if name in self.known:
                lines.append(f"process {self.pid} watches {folder} already, as source {source}")
            else:
                lines.append(f"process {self.pid} watches {folder} from now on, as source {source}")
        if len(self.known) < len(self.sources):
            lines.append("it watches it until it ends: name the folder where the daemon is started, too")
        return lines


# -- for the command line --------------------------------------------------------------------------------------------


class HandOver:
    """Offers folders to the process that has the data folder."""

    def __init__(self, settings: Settings, targets: Sequence[Target], table: Path | None, *, once: bool) -> None:
        self._settings = settings
        self._question = {
            "catalog": settings.catalog,
            "engine": engine_of(settings),
            "folders": [_folder_json(target) for target in targets],
            "table": None if table is None else _path_json(table.absolute()),
            "settings": given_settings(settings),
            "compare": once,
            "predict": settings.predict,
            "partition": settings.partition,
        }
        self.taken: Taken | None = None

    def __call__(self) -> str | None:
        """Offer the folders: `taken` is what the process has added; the result is the reason why it has not (yet).

        Raises UsageError or SpaceMismatch where it cannot add them, IndexBusy where it works on another catalog.
        """
        self._require_space()
        try:
            found = ask_route(self._settings, SOURCES, self._question)
        except IndexUnreachable as error:  # it is starting, or ending
            return f"which does not add folders now ({error})"
        if found is None:
            return None
        pid, answer = found
        if not answer["live"]:
            return "which indexes once and ends then"
        if "sources" not in answer:
            raise IndexBusy(
                f"{self._settings.data_dir} is in use by process {pid}, for catalog {answer['catalog']!r} "
                f"({answer['engine']}): a data folder has one daemon, and that one catalog; stop it, or name another "
                "folder with --data-dir"
            )
        sources = answer["sources"]
        self.taken = Taken(
            pid,
            {name: _path_of(each["folder"]) for name, each in sources.items()},
            frozenset(name for name, each in sources.items() if each["known"]),
            {name: Counts(**each["done"]) for name, each in sources.items()},
        )
        return None

    def _require_space(self) -> None:
        """Raise SpaceMismatch when the settings ask for another network than that of the daemon's catalog."""
        from recq.index.catalog import Catalog
        from recq.index.connect import connect
        from recq.models import ModelOptions, describe_variant
        from recq.space import require_same

        asked = ModelOptions.from_settings(self._settings)
        if not asked.said or (status := ask_daemon(self._settings)) is None or status.space is None:
            return
        with connect(self._settings) as client:
            space = Catalog.open(client, self._settings.catalog).base
        require_same(space, describe_variant(space, asked, self._settings), self._settings.catalog)


def wait_until_done(settings: Settings, taken: Taken, reporter: Reporter, began: float) -> Outcome:
    """Wait until a daemon has indexed the folders that it was given. Raises IndexUnreachable if it ends before."""
    names = list(taken.sources)
    answered = began
    while True:
        try:
            with waiting(f"process {taken.pid}, which has the data folder, to answer", ANSWERS_WITHIN):
                found = ask_route(settings, PROGRESS, {"sources": names})
        except IndexUnreachable:  # as any run that indexes once waits for it
            if time.monotonic() - answered > settings.connect_timeout:
                raise
            time.sleep(_LOOK_EVERY)
            continue
        answered = time.monotonic()
        if found is None or found[0] != taken.pid:
            raise IndexUnreachable(f"process {taken.pid} has ended before everything was indexed: run this again")
        sources = found[1]["sources"]
        done = _added(Counts(**each["done"]) for each in sources.values())
        counts = _without(done, _added(taken.before.values()))
        pending = sum(each["pending"] for each in sources.values())
        settled = all(each["settled"] for each in sources.values())
        items = counts.items + counts.metadata + counts.deleted
        reporter.progress(found[1]["state"], items, items + pending, counts.failed, known=settled)
        if settled:
            standing = sum((Standing.from_json(each["standing"]) for each in sources.values()), Standing())
            return Outcome(False, counts, standing, time.monotonic() - began, taken.lines())
        time.sleep(_LOOK_EVERY)


def _added(each: Any) -> Counts:
    total = Counter[str]()
    for counts in each:
        total.update(vars(counts))
    return Counts(**total)


def _without(counts: Counts, before: Counts) -> Counts:
    """What was done since `before`; a daemon that has taken another one's place begins at 0."""
    return Counts(**{name: max(0, count - getattr(before, name)) for name, count in vars(counts).items()})


def given_settings(settings: Settings) -> dict[str, Any]:
    """The settings that decide how a source is watched, read and embedded, of those that were given."""
    return {name: getattr(settings, name) for name in _DECIDES if name in settings.model_fields_set}


def _folder_json(target: Target) -> dict[str, Any]:
    return {"folder": _path_json(target.root), "name": target.name}


def _path_json(path: Path) -> list[Any]:
    """A path in the text form of `recq.paths`, and whether that is the encoded form."""
    return list(paths.to_text(str(path)))


def _path_of(data: Sequence[Any]) -> Path:
    text, encoded = data
    return Path(paths.from_text(text, encoded))


# -- for the daemon --------------------------------------------------------------------------------------------------

Prepare = Callable[["Catalog", str, Path, "Path | None"], "WatchedSource"]
"""Makes a source ready to be watched: of a catalog, a name, a folder, and a table where one was named."""


class Additions:
    """The routes of a running daemon. Called by the threads of its loopback server."""

    def __init__(self, board: DaemonStatus, settings: Settings, prepare: Prepare, adding: threading.Lock) -> None:
        self._board = board
        self._settings = settings
        self._prepare = prepare
        self._one_at_a_time = adding

    def routes(self) -> dict[str, Callable[[str, bytes], Answer]]:
        """Path -> handler, as `LoopbackServer` takes them."""
        return {SOURCES: checked(self._add), PROGRESS: checked(self._progress)}

    def _add(self, question: Mapping[str, Any]) -> dict[str, object]:
        catalog, _, daemon = self._board.running()
        answer: dict[str, object] = {"live": daemon.live, "catalog": catalog.name, "engine": engine_of(self._settings)}
        if not daemon.live or (question["catalog"], question["engine"]) != (answer["catalog"], answer["engine"]):
            return answer
        targets = [Target(_path_of(each["folder"]), each["name"]) for each in question["folders"]]
        table = None if question["table"] is None else _path_of(question["table"])
        with self._one_at_a_time:
            catalog, sources, daemon = self._board.running()  # another one where the catalog has just moved
            require_same_part(self._settings, question.get("partition"))
            require_same_settings(self._settings, question["settings"])
            for target in targets:
                require_addable(target, sources, table)
            before = {name: daemon.tally.of(name) for name in sources}
            named = catalog.sources.names_for((target.root, target.name) for target in targets)
            for name, root in named.items():
                if name in sources and sources[name].root != root:
                    where = printable(str(sources[name].root))
                    raise UsageError(
                        f"source {name!r} is watched in {where}: give {printable(str(root))} another name, or stop the "
                        "daemon first"
                    )
            predict = question.get("predict")
            chosen = None if predict is None else chosen_of(catalog, predict, self._settings)
            for name, root in named.items():
                catalog.sources.register(root, name)
            if chosen is not None:
                catalog.predicting.choose(chosen)
            new = self._prepared(catalog, {name: root for name, root in named.items() if name not in sources}, table)
            known = [name for name in named if name in sources]
            daemon.begin(new, list(sources) if chosen is not None else known if question["compare"] else ())
        answer["sources"] = {
            name: {
                "folder": _path_json(root),
                "known": name in known,
                "done": vars(before.get(name, Counts())),
            }
            for name, root in named.items()
        }
        return answer

    def _prepared(self, catalog: Catalog, named: Mapping[str, Path], table: Path | None) -> list[WatchedSource]:
        """All of these sources. Where one cannot be made ready, none is watched: other daemons may have the others."""
        new: list[WatchedSource] = []
        try:
            for name, root in named.items():
                new.append(self._prepare(catalog, name, root, table))
        except BaseException:
            for watched in new:
                let_go(catalog, self._settings, watched.name)
            raise
        return new

    def _progress(self, question: Mapping[str, Any]) -> dict[str, object]:
        catalog, sources, daemon = self._board.running()
        answer: dict[str, object] = {}
        for name in question["sources"]:
            if name not in sources:
                raise TargetNotFound(f"source {printable(name)!r} is not watched by this daemon")
            settled = daemon.is_settled(name)  # first: what is counted afterwards is all there
            answer[name] = {
                "settled": settled,
                "pending": daemon.pending(name)[0],
                "done": vars(daemon.tally.of(name)),
                "standing": vars(Standing.of(catalog, sources[name])) if settled else None,
            }
        return {"state": daemon.state, "sources": answer}


def require_same_part(settings: Settings, given: str | None) -> None:
    """Raise UsageError unless folders are given to a daemon for the part of them that it sees to."""
    if given != settings.partition:
        own = "all of its sources" if settings.partition is None else f"part {settings.partition} of its sources"
        wanted = "all" if given is None else f"part {given}"
        raise UsageError(
            f"the daemon that has the data folder {settings.data_dir} sees to {own}, and this asks for {wanted}: name "
            "another data folder with --data-dir, one for each daemon"
        )


def require_same_settings(settings: Settings, given: Mapping[str, Any]) -> None:
    """Raise UsageError unless the given settings are those of the daemon."""
    for name, value in given.items():
        own = getattr(settings, name)
        if (tuple(value) if isinstance(value, list) else value) != own:
            raise UsageError(
                f"the running daemon has {name} = {_shown(own)} for all its sources, and this command asks for "
                f"{_shown(value)}: leave it out, or stop the daemon and start it with all folders"
            )


def require_addable(target: Target, sources: Mapping[str, WatchedSource], table: Path | None) -> None:
    """Raise UsageError unless a folder can be a source beside those that are watched, or is one of them."""
    root = target.root
    require_folder(root)
    for name, watched in sources.items():
        folder, other = printable(str(root)), printable(str(watched.root))
        if root == watched.root:
            if table is not None:
                raise UsageError(
                    f"{folder} is watched already, as source {name!r}: --metadata can be given only when its daemon is "
                    "started"
                )
        elif root.is_relative_to(watched.root):
            raise UsageError(f"{folder} lies inside {other}, which is watched as source {name!r} and covers it")
        elif watched.root.is_relative_to(root):
            raise UsageError(
                f"{other} lies inside {folder} and is watched as source {name!r}: stop the daemon, "
                f"{command('recq-ingest', 'forget', name)}, and start it with {folder} alone"
            )


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
