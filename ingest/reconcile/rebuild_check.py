"""Whether a rebuilt collection may replace the old one: the last check before it answers.

A disk that was away during the rebuild leaves the new collection empty without any error, and a network that makes no
vectors fills it with failures. So every item that is found today is looked for in the new collection, and a sample of
its vectors is asked for. In any doubt the old collection stays. Items that a new ignore rule excludes are no loss, up
to the limit of `max_delete`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from ingest.reconcile.compare import is_as_known
from ingest.source.ignore_files import Rule
from ingest.source.scan import Kind
from ingest.source.watched_source import WatchedSource
from recq import paths
from recq.commands import command
from recq.errors import TargetError
from recq.index.catalog import Catalog
from recq.index.parameters import Parameters
from recq.index.schema import Item
from recq.paths import printable

_PAGE = 500  # items that are compared at a time
_SAMPLE = 16  # items whose vectors are asked for
_NEAR = 1e-2  # how far the nearest item may be from the vector that it was asked with, of the vector's length

_KEPT = "Nothing was replaced, the old vectors still answer"


@dataclass(frozen=True)
class Gone:
    """Items of a source that are found today, whose files have gone: the new collection is without them."""

    source: str
    items: int
    path: str


def require_whole(
    old: Catalog, new: Catalog, sources: Mapping[str, WatchedSource], doubts: Mapping[str, str]
) -> list[Gone]:
    """Raise TargetError unless `new` may take the place of `old`; what it will be without since its files have gone.

    `doubts`: what could not be read of a source, or was held back in it, by the source's name.
    """
    gone: list[Gone] = []
    for name, watched in sources.items():
        doubt = doubts.get(name)
        if doubt is None and not watched.is_same_root():
            doubt = f"{printable(str(watched.root))} has gone or was replaced meanwhile"
        before, after = _size(old, name), _size(new, name)
        found = _Found() if doubt is not None else _compared(old, new, watched)
        if found.ignored and not (after and watched.guard.allows(len(found.ignored), before)):
            items = "1 item" if len(found.ignored) == 1 else f"{len(found.ignored):,} items"
            many = "more than the setting max_delete lets go at once" if after else "nothing would be left"
            raise TargetError(
                f"source {name!r}: {items} found today are ignored now, by {found.ignored[0]}: {many}. {_KEPT}: change "
                f"that rule, or if it is meant, run {command('recq-ingest', 'reconcile')}, then "
                f"{command('recq-ingest', 'confirm', name)}, {command('recq-ingest', 'reconcile')} and the same "
                "rebuild again"
            )
        if doubt is None and not after and before:
            items = "its 1 item is" if before == 1 else f"all of its {before:,} items are"
            doubt = f"{items} missing from {printable(str(watched.root))}"
        if doubt is not None:
            raise TargetError(
                f"source {name!r} could not be read whole: {doubt}. {_KEPT}: mount or repair it and run the same "
                f"rebuild again, or {command('recq-ingest', 'forget', name)}"
            )
        if found.lost:
            items = "1 item" if len(found.lost) == 1 else f"{len(found.lost):,} items"
            raise TargetError(
                f"source {name!r}: {items} found today would be lost (first: {found.lost[0]}). {_KEPT}: choose "
                "another network, or mend the cause and run the same rebuild again, which tries them again"
            )
        if found.gone and not watched.guard.allows(len(found.gone), before):
            items = f"{len(found.gone):,} items found today have"
            raise TargetError(
                f"source {name!r}: {items} gone from {printable(str(watched.root))}, more than the setting max_delete "
                f"lets go at once. {_KEPT}: bring them back, or if it is meant, run "
                f"{command('recq-ingest', 'reconcile')}, then {command('recq-ingest', 'confirm', name)}, "
                f"{command('recq-ingest', 'reconcile')} and the same rebuild again"
            )
        if found.gone:
            gone.append(Gone(name, len(found.gone), printable(found.gone[0])))
    _require_answers(new, list(sources))
    return gone


def require_all_there(old: Catalog, new: Catalog) -> None:
    """Raise TargetError unless `new` has every item of `old`, as far as that can be asked of the index alone."""
    sources = list(old.sources.all())
    for name in sources:
        items = old.ledger.scan(name)
        while page := list(islice(items, _PAGE)):
            known = new.ledger.known([item.id for item in page])
            for item in page:
                again = known.get(item.id)
                if again is None or (again.error is None) != (item.error is None):
                    lost = printable(f"{name}/{item.file.path}")
                    raise TargetError(
                        f"{lost} is missing from the new collection, another daemon may just have written it. {_KEPT}: "
                        "run the same command again"
                    )
    _require_answers(new, sources)


def _size(catalog: Catalog, source: str) -> int:
    """Items of a source, failed ones included."""
    return catalog.items.count(source=source) + catalog.ledger.count_failed(source=source)


@dataclass(frozen=True)
class _Lost:
    """An item that is found today, and why it would not be."""

    path: str
    why: str

    def __str__(self) -> str:
        return printable(f"{self.path}: {self.why}")


@dataclass
class _Found:
    """Items that are found today and not in the new collection: lost ones, of ignored ones the rules, and the paths of
    those whose files have gone."""

    lost: list[_Lost] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    ignored: list[Rule] = field(default_factory=list)


def _compared(old: Catalog, new: Catalog, watched: WatchedSource) -> _Found:
    """Compare every item of a source that is found today with the new collection."""
    found = _Found()
    embedded = (item for item in old.ledger.scan(watched.name) if item.error is None)
    while page := list(islice(embedded, _PAGE)):
        known = new.ledger.known([item.id for item in page])
        for item in page:
            again = known.get(item.id)
            if again is None:
                _note_missing(found, watched, item)
            elif again.error is not None and _same_file(again, item):
                found.lost.append(_Lost(item.file.path, f"{again.error.reason}: {again.error.detail}"))
    return found


def _note_missing(found: _Found, watched: WatchedSource, item: Item) -> None:
    """Note why the new collection is without an item.

    The network did not lose a file that has changed meanwhile, and neither one that no walk meets: it has gone.
    """
    path = paths.from_text(item.file.path, item.file.encoded)
    try:
        seen = watched.look_listed(path)
    except OSError as error:
        found.lost.append(_Lost(item.file.path, f"it cannot be looked at: {error.strerror or error}"))
        return
    rule = watched.rule_ignoring(path) if seen is not None else None
    if rule is not None:
        found.ignored.append(rule)
    elif seen is None or seen.kind is Kind.IGNORED:
        found.gone.append(item.file.path)
    elif is_as_known(seen.state, item):
        found.lost.append(_Lost(item.file.path, "it is missing from the new collection"))


def _same_file(one: Item, other: Item) -> bool:
    return (one.file.size, one.file.mtime_ns) == (other.file.size, other.file.mtime_ns)


def _require_answers(new: Catalog, sources: list[str]) -> None:
    """Raise TargetError unless a sample of the new items has vectors, each of which finds itself or an equal one."""
    embedded = (item for name in sources for item in new.ledger.scan(name) if item.error is None)
    sample = [item.id for item in islice(embedded, _SAMPLE)]
    vectors = new.items.vectors(sample)
    for item_id in sample:
        vector = vectors.get(item_id)
        hits = new.finder.rank(vector, Parameters(1, keep_duplicates=True)).hits if vector is not None else ()
        if vector is None or not hits or not _is_near(vector, hits[0].score, cosine=new.space.higher_is_better):
            raise TargetError(f"the new vectors do not answer as they should. {_KEPT}: run the same rebuild again")


def _is_near(vector: np.ndarray, score: float, *, cosine: bool) -> bool:
    """Whether a score is that of the vector with itself, within the engine's precision."""
    return score >= 1 - _NEAR if cosine else score <= _NEAR * max(1.0, float(np.linalg.norm(vector)))
