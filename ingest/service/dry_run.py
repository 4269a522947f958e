"""The steps that a reconcile would take, without taking them: `recq-ingest reconcile --dry-run`.

A comparison knows paths only. To distinguish a move from a deletion and an addition, new files of the size of one that
has gone are read and hashed. Changed files are hashed as well, to distinguish new bytes from a new time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ingest.index.retrying import Retrier
from ingest.index.retrying_index import RetryingIndex
from ingest.reconcile.compare import Action, Difference, Reconciliation, is_as_known, sha256_of
from ingest.reconcile.outdated import needs_decoding
from ingest.reconcile.survivors import Survivors
from ingest.service.roots import ready, roots_here
from ingest.source.watched_source import WatchedSource
from recq import paths
from recq.index.catalog import Catalog
from recq.index.connect import connect
from recq.settings import Settings


class Step(StrEnum):
    """What would be done with an item."""

    ADD = "add"
    EMBED = "re-embed"
    REFRESH = "refresh"  # its bytes are as known, only its time changed
    METADATA = "metadata"
    RETRY = "retry"
    DECODE = "re-decode"  # an older recq decoded it, perhaps otherwise
    MOVE = "move"
    DELETE = "delete"
    HOLD = "hold"  # it has gone, or would lose metadata, but with too many others
    REMOVE_FOREIGN = "remove-foreign"  # a point that another program wrote; `path` is its id


@dataclass(frozen=True)
class Planned:
    """One step. Paths are relative to the source's root, in text form; `was` is where a moved file was."""

    step: Step
    source: str
    path: str
    was: str | None = None

    @property
    def text(self) -> str:
        """In a line."""
        was = f"{paths.printable(self.was)} -> " if self.was is not None else ""
        whose = f"{paths.printable(self.source)}: " if self.source else ""
        return f"{self.step}  {whose}{was}{paths.printable(self.path)}"

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)


def plan(watched: WatchedSource, index: RetryingIndex, *, verify: bool) -> list[Planned]:
    """The steps for a source, by path."""
    reconciliation = Reconciliation(
        watched,
        index,
        verify=verify,
        confirmed=index.confirmed().get(watched.name),
        confirmed_metadata=index.confirmed_metadata().get(watched.name),
    )
    found = list(reconciliation.differences())
    if reconciliation.undecided or reconciliation.held:
        found += reconciliation.gone()
    gone = [each for each in found if each.state is None]
    present = [each for each in found if each.state is not None]
    lengths = {each.known.file.size for each in gone if each.known is not None}
    by_digest: dict[str, list[Difference]] = {}
    for each in gone:
        if each.known is not None and each.known.file.sha256 is not None:
            by_digest.setdefault(each.known.file.sha256, []).append(each)
    steps = []
    moved: set[str] = set()
    for each in present:
        assert each.state is not None
        if each.known is None:
            digest = sha256_of(watched.root, each.path) if each.state.size in lengths else None
            before = by_digest.get(digest or "", [])
            origin = before.pop().path if before else None
            if origin is not None:
                moved.add(origin)
            steps.append(_step(Step.ADD if origin is None else Step.MOVE, watched.name, each.path, origin))
        else:
            steps.append(_step(_change(watched, each), watched.name, each.path))
    if reconciliation.held_metadata is not None:
        steps += [_step(Step.HOLD, watched.name, each.path) for each in reconciliation.losers()]
    left = [each for each in gone if each.path not in moved]
    if reconciliation.held:
        steps += [_step(Step.HOLD, watched.name, each.path) for each in left]
    else:
        steps += _deletions(watched, left, index)
    return sorted(steps, key=lambda each: (each.path, each.step))


def dry_run(settings: Settings, *, table: Path | None, verify: bool) -> list[Planned]:
    """The steps for all sources whose folder is on this host, by source and path. Reads only."""
    retrier = Retrier(
        threading.Event(), give_up_after=settings.connect_timeout, waiting=lambda _: None, recovered=lambda: None
    )
    with connect(settings) as client:
        catalog = Catalog.open(client, settings.catalog)
        steps: list[Planned] = []
        for name, root in roots_here(catalog, table).items():
            watched = ready(catalog, settings, name, root, table, lambda _path, _message: None)
            index = RetryingIndex(catalog, retrier, part=settings.part)
            steps += plan(watched, index, verify=verify)
        return steps


def counted(steps: Iterable[Planned]) -> Mapping[Step, int]:
    """How many there are of each step, in the order of `Step`."""
    steps = list(steps)
    counts = {step: sum(each.step is step for each in steps) for step in Step}
    return {step: count for step, count in counts.items() if count}


def _change(watched: WatchedSource, each: Difference) -> Step:
    if each.action is Action.METADATA:
        return Step.METADATA
    if each.retry:
        return Step.RETRY
    if each.known is not None and is_as_known(each.state, each.known) and needs_decoding(each.known):
        return Step.DECODE
    known = each.known.file.sha256 if each.known is not None else None
    digest = sha256_of(watched.root, each.path)
    unread = digest is None and each.action is Action.COMPARE  # its attributes changed, so that it cannot be read
    return Step.REFRESH if known is not None and (unread or digest == known) else Step.EMBED


def _deletions(watched: WatchedSource, gone: list[Difference], index: RetryingIndex) -> Iterator[Planned]:
    survivors = Survivors(index, {watched.name: watched}, watched.name)
    digests = {each.known.file.sha256 for each in gone if each.known is not None and each.known.file.sha256}
    living = survivors.among(digests)
    lost = [each for each in gone if each.known is not None and each.known.file.sha256 not in {None, *living}]
    held = {each.path for each in lost} if len(lost) > watched.guard.left else set()
    for each in gone:
        yield _step(Step.HOLD if each.path in held else Step.DELETE, watched.name, each.path)


def _step(step: Step, source: str, path: str, was: str | None = None) -> Planned:
    return Planned(step, source, paths.to_text(path)[0], None if was is None else paths.to_text(was)[0])
