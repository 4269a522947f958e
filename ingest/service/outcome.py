"""How a run ended: what was done, the state of the index afterwards, and the summary line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

from ingest.tally import Counts
from recq.commands import command, command_line, operand
from recq.errors import ItemsFailed
from recq.index.problems import UNMET
from recq.paths import item_id, printable

if TYPE_CHECKING:
    from ingest.source.watched_source import WatchedSource
    from recq.index.catalog import Catalog
    from recq.index.schema import Item

_EXAMPLES = 20  # items among which one is looked for whose name can be typed


def size_of(catalog: Catalog) -> int:
    """All items of a collection, failed ones included."""
    return catalog.items.count() + catalog.ledger.count_failed()


@dataclass(frozen=True)
class Standing:
    """The state of sources in the index: searchable `items`, `failed` ones, deletions and losses `held`, `problems`.

    `unmet` are the sources of which the index lacks metadata of the folder; `example` is an item as a target.
    """

    items: int = 0
    failed: int = 0
    held: int = 0
    problems: int = 0
    unmet: Sequence[str] = ()
    example: str | None = None

    @classmethod
    def of(cls, catalog: Catalog, watched: WatchedSource) -> Self:
        """The state of one source, or of a daemon's part of it, asked of the index."""
        problems = catalog.problems.count(watched.name)
        unmet = watched.is_unmet() or not UNMET.isdisjoint(problems)
        found = islice(catalog.ledger.scan(watched.name, page=_EXAMPLES), _EXAMPLES)
        typed = (_target(catalog, item) for item in found if item.error is None and item.file.path.isprintable())
        if watched.part.is_whole:
            items, failed = catalog.items.count(source=watched.name), catalog.ledger.count_failed(source=watched.name)
        else:
            all_, failed = catalog.ledger.count_part(watched.name, watched.part)
            items = all_ - failed
        return cls(
            items=items,
            failed=failed,
            held=watched.held + watched.held_metadata,
            problems=sum(problems.values()),
            unmet=[watched.name] if unmet else [],
            example=next((text for text in typed if text is not None), None),
        )

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The record from the JSON of its `vars`."""
        return cls(**data)

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.items + other.items,
            self.failed + other.failed,
            self.held + other.held,
            self.problems + other.problems,
            [*self.unmet, *other.unmet],
            self.example or other.example,
        )


@dataclass(frozen=True)
class Outcome:
    """How a run ended: whether by a signal, what was done in how many seconds, and the state of its sources.

    `taken_up`: the lines to report where a daemon that runs already did the work, or continues it. `space`: the one
    that the catalog was moved to by it.
    """

    stopped: bool
    counts: Counts = field(default_factory=Counts)
    standing: Standing = field(default_factory=Standing)
    seconds: float = 0.0
    taken_up: Sequence[str] = ()
    space: str = ""


def summary(outcome: Outcome) -> str:
    """One line for a run that has done all its work, with the most useful next command."""
    counts, standing = outcome.counts, outcome.standing
    done = {
        "indexed": counts.indexed + counts.reused,
        "updated": counts.metadata,
        "deleted": counts.deleted,
        "failed": standing.failed,
        "held": standing.held,
    }
    parts = [f"{count:,} {what}" for what, count in done.items() if count or what != "held"]
    parts.append(_counted(standing.problems, "problem"))
    line = f"{_counted(standing.items, 'item')}: {', '.join(parts)} in {outcome.seconds:.1f} s"
    command = _next(standing)
    return f"{line}; next: {command}" if command else line


def _next(standing: Standing) -> str | None:
    if standing.failed:
        return command_line("recq-ingest", "failed")
    if standing.problems:
        return command_line("recq-ingest", "problems")
    return None if standing.example is None else command_line("recq", "similar", *operand(standing.example))


def _target(catalog: Catalog, item: Item) -> str | None:
    """The text that names this item alone on a command line: its path, or SOURCE/path; None where neither does."""
    source, path = item.file.source, item.file.path
    for text in (path, f"{source}/{path}"):
        first, _, rest = text.partition("/")
        placed = catalog.lookups.get(item_id(first, rest, False)) if first and rest else None
        named = {each.id for each in (*catalog.lookups.find_path(text, limit=2), placed) if each is not None}
        if named == {item.id} and not text.startswith("-"):
            return text
    return None


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def require_none_failed(outcome: Outcome) -> None:
    """Raise ItemsFailed when items failed, when the index refused some, or when it lacks metadata of the folders."""
    reasons = []
    if failed := outcome.standing.failed:
        items = "1 item" if failed == 1 else f"{failed:,} items"
        reasons.append(f"{items} could not be indexed: {command('recq-ingest', 'failed')} lists them with the reason")
    if refused := outcome.counts.refused:
        items = "1 item was" if refused == 1 else f"{refused:,} items were"
        reasons.append(f"{items} refused by the index in every form: the next run tries again")
    if outcome.standing.unmet:
        names = ", ".join(map(printable, outcome.standing.unmet))
        listing = command("recq-ingest", "problems")
        reasons.append(f"not all metadata of {names} could be stored: {listing} lists what was not, and why")
    if reasons:
        raise ItemsFailed("; ".join(reasons))
