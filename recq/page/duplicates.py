"""The review of duplicates: groups are looked for once, shown one after the other, and decided. Nothing is deleted.

Looking reads pictures and takes seconds to minutes (`recq.page.looking`).
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from recq.api.service import Served, Service
from recq.display.table import kind_text, pixels
from recq.duplicates.groups import Group
from recq.face.findings import Duplicates
from recq.index.dated_records import DatedRecords
from recq.index.reviews import Decision
from recq.page.looking import Looking, Looks
from recq.page.tiles import title_of
from recq.paths import printable

T = TypeVar("T")


@dataclass(frozen=True)
class Member:
    """One file of a group: what distinguishes it, and why it is the one to keep, or what it is of that one."""

    id: str
    title: str
    path: str
    pixels: str
    bytes: str
    why: str
    keep: bool


@dataclass(frozen=True)
class Reviewed:
    """Where a review stands: a group to decide (None: all are decided), its number from 1, and the counts.

    `exact`: groups that are not decided and of which all files have the same bytes.
    """

    group: Sequence[Member] | None
    number: int
    groups: int
    decided: int
    superfluous: int
    exact: int


@dataclass
class Review:
    """Looks for duplicates and keeps decisions, for one service."""

    service: Service
    _looks: Looks[Duplicates] = field(init=False)

    def __post_init__(self) -> None:
        self._looks = Looks(self.service)

    def looking(self, catalog: str | None) -> Looking[Duplicates] | None:
        """The last look in a catalog; None where there was none."""
        return self._looks.at(catalog)

    def look(self, catalog: str | None) -> None:
        """Begin to look, unless that goes on already."""
        self._looks.begin(catalog, catalog, lambda at, progress: at.catalog.duplicates(progress=progress))

    def standing(self, catalog: str | None, found: Duplicates, skip: int) -> Reviewed:
        """The first group that is not decided, without the `skip` first ones of those."""
        decisions = self._decisions(catalog)
        decided = Decided(decisions)
        open_ = [number for number, group in enumerate(found.groups) if decided.about(group) is None]
        number = open_[min(skip, len(open_) - 1)] if open_ else None
        return Reviewed(
            None if number is None else _members(found.groups[number]),
            0 if number is None else number + 1,
            len(found.groups),
            len(found.groups) - len(open_),
            len(superfluous(found, decisions)),
            sum(found.groups[each].exact for each in open_),
        )

    def decide(self, catalog: str | None, seen: Sequence[str], keep: Sequence[str]) -> None:
        """Keep a decision about the items `seen`: those in `keep` stay."""
        decision = Decision(frozenset(seen), frozenset(keep) & frozenset(seen), _now())
        self._ask(catalog, lambda reviews: reviews.write(decision))

    def decide_exact(self, catalog: str | None) -> None:
        """Decide all groups of the same bytes that are left, as suggested: one decision for each, at one time."""
        looking, at = self.looking(catalog), _now()
        if looking is None or looking.found is None:
            return
        decided = Decided(self._decisions(catalog))
        made = [
            Decision(frozenset(each.id for each in group.results), frozenset([group.results[0].id]), at)
            for group in looking.found.groups
            if group.exact and decided.about(group) is None
        ]
        self._ask(catalog, lambda reviews: reviews.take(made))

    def undo(self, catalog: str | None) -> None:
        """Take the latest decision back, if there is one; those that were made at one time all together."""
        decisions = self._decisions(catalog)
        if decisions:
            latest = [each.key for each in decisions if each.at == decisions[-1].at]
            self._ask(catalog, lambda reviews: reviews.forget(*latest))

    def script(self, catalog: str | None, found: Duplicates) -> str:
        """What is superfluous by the decisions, as a shell script to read before it is run."""
        return script_of(superfluous(found, self._decisions(catalog)))

    def listed(self, catalog: str | None, found: Duplicates) -> str:
        """The same as paths, one a line."""
        return "".join(f"{each.path}\n" for each in superfluous(found, self._decisions(catalog)) if each.path)

    def _decisions(self, catalog: str | None) -> list[Decision]:
        return self._ask(catalog, lambda reviews: reviews.all())

    def _ask(self, catalog: str | None, ask: Callable[[DatedRecords[Decision]], T]) -> T:
        def asked(at: Served) -> T:
            with at.session.opened() as index:
                return ask(index.reviews)

        return self.service.ask(catalog, asked)


@dataclass(frozen=True)
class Superfluous:
    """A file that is not to be kept: its path, "" where that is no text or not known, its name for people, and which
    file it is a copy of."""

    path: str
    name: str
    of: str


def superfluous(found: Duplicates, decisions: Sequence[Decision]) -> list[Superfluous]:
    """What was decided not to be kept. Where nothing of a group was to be kept, all of it stays."""
    made = []
    decided = Decided(decisions)
    for group in found.groups:
        decision = decided.about(group)
        if decision is None or not decision.keep:
            continue
        kept = next((each for each in group.results if each.id in decision.keep), group.results[0])
        made += [
            Superfluous(_text(each.location), printable(each.within), printable(kept.within))
            for each in group.results
            if each.id not in decision.keep
        ]
    return made


def script_of(files: Sequence[Superfluous]) -> str:
    """A shell script that would delete them, with a line for each that it cannot name."""
    lines = ["#!/bin/sh", "# Files that were decided not to be kept. recq deletes nothing: read this, then run it."]
    for each in files:
        told = f"{each.name}: the same picture as {each.of}"
        lines.append(f"rm -- {shlex.quote(each.path)}  # {told}" if each.path else f"# by hand, {told}")
    return "\n".join([*lines, ""])


def _text(location: Path | None) -> str:
    """A path as text; "" for one whose bytes are none, or that has a line's end, which a list cannot have."""
    text = "" if location is None else str(location)
    return text if text.isprintable() else ""


class Decided:
    """Decisions, found by one of their items: in a review each of a thousand groups is looked up for each page."""

    def __init__(self, decisions: Sequence[Decision]) -> None:
        self._by_item: dict[str, list[Decision]] = {}
        for each in decisions:
            for item in each.seen:
                self._by_item.setdefault(item, []).append(each)

    def about(self, group: Group) -> Decision | None:
        """The latest decision about all files of a group."""
        items = [each.id for each in group.results]
        return next((each for each in reversed(self._by_item.get(items[0], [])) if each.covers(items)), None)


def _members(group: Group) -> list[Member]:
    return [
        Member(
            each.id,
            title_of(each.metadata, each.name),
            printable(each.within),
            pixels(each.payload["file"]),
            f"{each.payload['file']['size']:,}",
            f"keep: {group.why}" if each.rank == 1 else kind_text(each, kind),
            each.rank == 1,
        )
        for each, kind in zip(group.results, group.kinds, strict=True)
    ]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
