"""What becomes of a path that is due, decided from the file and the index as they are now.

Whatever brought the path here (an event, a walk) was only a hint: everything is decided afresh, for a batch of paths
with one question to the index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ingest.events.pending import PendingPath
from ingest.events.stability import is_complete
from ingest.reconcile.compare import Action, Index, decide
from ingest.source.files import FileState, Key
from ingest.source.metadata import SIDECAR_SUFFIX
from ingest.source.scan import Kind, Seen
from ingest.source.table import TABLE_NAME
from ingest.source.watched_source import WatchedSource
from recq import paths
from recq.index.patch_names import patch_name
from recq.index.schema import FileFacts, Item


class Fate(StrEnum):
    """What becomes of a path."""

    NOTHING = "nothing"  # the index has it as it is, or it is no item and the index knows of none
    SETTLING = "settling"  # it changes, or changed since it was last seen: wait longer
    UNCERTAIN = "uncertain"  # its state cannot be known now: leave it as it is
    EMBED = "embed"
    COMPARE = "compare"  # embedded only where its bytes turn out to be others
    METADATA = "metadata"
    PREDICT = "predict"  # read for what is predicted of it; its metadata may have changed as well
    DELETE = "delete"
    SIDECAR = "sidecar"  # it belongs to a picture, which has to be looked at
    OTHERS = "others"  # another daemon sees to it
    TABLE = "table"  # it is the source's metadata.csv, or a patch


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the path of `entry`: `state` is the file's now, `known` the item that the index has.

    `described`: the metadata of an item to be read is the folder's. `picture`: the path of the picture that a
    sidecar belongs to.
    """

    entry: PendingPath
    fate: Fate
    state: FileState | None = None
    known: Item | None = None
    described: bool = True
    picture: str | None = None


def verdicts(
    entries: Sequence[PendingPath], sources: Mapping[str, WatchedSource], index: Index, now: float
) -> list[Verdict]:
    """What becomes of each entry; `now` is monotonic. In a worker: asks the index once, and the disk for each."""
    known = index.known([facts(entry.key, entry.observation.state).id for entry in entries])
    return [_examine(entry, sources[entry.key.source], known.get(facts(entry.key, None).id), now) for entry in entries]


def facts(key: Key, state: FileState | None) -> FileFacts:
    """What is known of a file before it is read."""
    text, encoded = paths.to_text(key.path)
    state = state or FileState(0, 0)
    return FileFacts(
        key.source, text, size=state.size, mtime_ns=state.mtime_ns, ctime_ns=state.ctime_ns, encoded=encoded
    )


def _examine(entry: PendingPath, watched: WatchedSource, known: Item | None, now: float) -> Verdict:
    try:
        seen = watched.look(entry.key.path)
    except OSError:
        return Verdict(entry, Fate.UNCERTAIN)
    state = seen.state if seen is not None else None
    if not is_complete(entry.observation, state, now):
        return Verdict(entry, Fate.SETTLING, state)
    if entry.key.path == TABLE_NAME or patch_name(entry.key.path) is not None:
        return Verdict(entry, Fate.TABLE)
    if not watched.has(entry.key.path):
        if entry.key.path.endswith(SIDECAR_SUFFIX):
            return Verdict(entry, Fate.SIDECAR, picture=watched.picture_of(entry.key.path))
        return Verdict(entry, Fate.OTHERS, state)
    is_item = seen is not None and _is_item(seen, watched)
    if seen is None or is_item:
        watched.ignored.discard(entry.key.path)
    elif is_item is not None:
        watched.ignored.add(entry.key.path, seen.state)
    if known is None and not is_item and entry.key.path.endswith(SIDECAR_SUFFIX):
        return Verdict(entry, Fate.SIDECAR, picture=watched.picture_of(entry.key.path))
    if is_item is None:
        if known is None:
            return Verdict(entry, Fate.UNCERTAIN, state)
        is_item = True  # it stays one as one with an image's name does: who reads it tells why that cannot be done
    if is_item and entry.altered:
        return Verdict(entry, Fate.EMBED, state, known)
    action = decide(state if is_item else None, known, lambda: _is_described(watched, entry, known), retry=entry.retry)
    if entry.unpredicted and known is not None and known.error is None and action in (Action.NOTHING, Action.METADATA):
        return Verdict(entry, Fate.PREDICT, state, known, described=action is Action.NOTHING)
    described = action is not Action.COMPARE or _is_described(watched, entry, known)
    return Verdict(entry, Fate(action.value), state, known, described)


def _is_described(watched: WatchedSource, entry: PendingPath, known: Item | None) -> bool:
    return known is not None and watched.is_described(entry.key.path, known.file.metadata_digest)


def _is_item(seen: Seen, watched: WatchedSource) -> bool | None:
    """None where its first bytes would tell, and cannot be read."""
    if seen.kind is not Kind.MAYBE:
        return seen.kind is Kind.ITEM
    try:
        return watched.begins_as_image(seen)
    except OSError:
        return None
