"""What a grid shows, before it is a picture or a page: cards in rows. Pure: records in, printable text out.

Whatever `recq` answers becomes a `Sheet` here; `query.grid_png` and `query.grid_html` know nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from query.duplicates import Duplicates
from query.results import Answer, Asked, Result, scale_text
from query.table import cell, columns_of, pixels
from recq.paths import printable

Facts = tuple[tuple[str, str], ...]
"""Names and values, both printable."""


@dataclass(frozen=True)
class Card:
    """One picture and what is written with it: `heading` is its rank, or what it is to the question.

    `scale` tells what the score means here, `facts` are worth a look, `more` is everything else that is known.
    `content` holds the bytes of a picture that was read for the question.
    """

    heading: str
    name: str
    location: Path | None
    content: bytes | None = None
    score: str = ""
    scale: str = ""
    facts: Facts = ()
    more: Facts = ()
    asked: bool = False


@dataclass(frozen=True)
class Row:
    """What was asked and what was found for it, perhaps under a title. `left_out` of the cards are not shown."""

    found: tuple[Card, ...]
    asked: tuple[Card, ...] = ()
    title: str = ""
    left_out: int = 0


@dataclass(frozen=True)
class Sheet:
    """Rows under one title. `spaces` are ways to name the embedding space, the longest first."""

    title: str
    rows: tuple[Row, ...]
    filters: tuple[str, ...] = ()
    spaces: tuple[str, ...] = ()

    @property
    def left_out(self) -> int:
        """Cards that are not shown."""
        return sum(row.left_out for row in self.rows)

    def within(self, most: int, row_at_least: int) -> Sheet:
        """The sheet with at most `most` cards found: each row has its share, `row_at_least` in any case, first come."""
        share = max(row_at_least, most // max(1, len(self.rows)))
        rows, room, dropped = [], most, 0
        for row in self.rows:
            kept = row.found[: min(share, room)]
            if not kept and row.found:
                dropped += len(row.found)
                continue
            room -= len(kept)
            rows.append(replace(row, found=kept, left_out=row.left_out + len(row.found) - len(kept)))
        if dropped and rows:
            rows[-1] = replace(rows[-1], left_out=rows[-1].left_out + dropped)
        return replace(self, rows=tuple(rows))


Shown = Answer | Sequence[Answer] | Duplicates
"""What a grid can be made of: one answer, an answer for each of several targets, groups of duplicates."""


def sheet_of(shown: Shown) -> Sheet:
    """The sheet of anything that `recq` answers with pictures."""
    if isinstance(shown, Answer):
        return answers_sheet([shown])
    if isinstance(shown, Duplicates):
        return duplicates_sheet(shown)
    return answers_sheet(shown)


def answers_sheet(answers: Sequence[Answer]) -> Sheet:
    """One row for each answer, all in one space and with the same filters."""
    first = answers[0]
    rows = tuple(
        Row(tuple(_found(result, answer) for result in answer.results), asked_cards(answer)) for answer in answers
    )
    targets = [answer.target.name for answer in answers if answer.target is not None]
    title = f"Like {printable(targets[0])}" if len(targets) == 1 else f"Like {len(targets)} pictures" if targets else ""
    return Sheet(title or "Items", rows, tuple(map(printable, first.filters)), (first.space.label, first.space.model))


def duplicates_sheet(found: Duplicates) -> Sheet:
    """One row for each group."""
    rows = tuple(
        Row(
            tuple(_member(result, exact=group.exact) for result in group.results),
            title=f"{number}   {len(group.results):,} times, {'the same bytes' if group.exact else 'nearly the same'}",
        )
        for number, group in enumerate(found.groups, start=1)
    )
    return Sheet("Duplicates", rows, (), (found.space.label, found.space.model))


def asked_cards(answer: Answer) -> tuple[Card, ...]:
    """What the answer started from."""
    if answer.target is not None:
        return (_asked(answer.target, "target"),)
    if answer.examples is None:
        return ()
    liked = (_asked(each, "like") for each in answer.examples.liked)
    return (*liked, *(_asked(each, "unlike") for each in answer.examples.disliked))


def _asked(asked: Asked, heading: str) -> Card:
    return Card(heading, printable(asked.name), asked.location, asked.content, asked=True)


def _found(result: Result, answer: Answer) -> Card:
    seen = columns_of(answer)
    facts = tuple((name, result.metadata[name]) for name in seen if name in result.metadata)
    others = {name: value for name, value in result.metadata.items() if name not in seen}
    return _card(result, facts, others)


def _member(result: Result, *, exact: bool) -> Card:
    file = result.payload["file"]
    facts = [("pixels", pixels(file)), ("bytes", f"{file['size']:,}")]
    card = _card(result, [fact for fact in facts if fact[1]], result.metadata)
    return replace(card, score="same bytes" if exact else card.score)


def _card(result: Result, facts: Sequence[tuple[str, Any]], others: Mapping[str, Any]) -> Card:
    known = (("path", result.within), ("source", result.source), ("pixels", pixels(result.payload["file"])))
    seen = {name for name, _ in facts}
    return Card(
        str(result.rank),
        printable(result.name),
        result.location,
        score=f"{result.score:.2f}" if result.score is not None else "",
        scale=scale_text(result.share) if result.share is not None else "",
        facts=_printed(facts),
        more=(
            *_printed(others.items()),
            *((name, printable(value)) for name, value in known if value and name not in seen),
        ),
    )


def _printed(facts: Iterable[tuple[str, Any]]) -> Facts:
    return tuple((printable(name), text) for name, value in facts if (text := cell(value)))
