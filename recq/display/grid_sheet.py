"""The content of a grid, as a picture or a page: cards in rows. Pure: records in, printable text out.

Every answer of `recq` becomes a `Sheet` here; `query.pictures.grid_png` and `recq.display.grid_html` use nothing
else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recq.display.label_table import labels_text, percent_text, proposed_text
from recq.display.table import cell, columns_of, kind_text, pixels, title_of
from recq.duplicates.groups import Duplicates, Group
from recq.duplicates.kinds import Kind
from recq.learn.label_findings import LabelFindings, Question
from recq.paths import printable
from recq.region import Region
from recq.search.compare import Comparison
from recq.search.results import Answer, Asked, Result, scale_text

Facts = tuple[tuple[str, str], ...]
"""Names and values, both printable."""

_MOST_ASKED = 10


@dataclass(frozen=True)
class Card:
    """One picture and its text: `heading` is its rank, or its role in the question.

    `scale` shows what the score means in this catalog, `facts` are the main values, `more` are all others.
    `content` holds the bytes of a picture that was read for the question, `region` is the part of it that was meant.
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
    region: Region | None = None


@dataclass(frozen=True)
class Row:
    """The cards of a question and of its results, perhaps under a title. `left_out` cards are not shown."""

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
        """The sheet with at most `most` cards of results: each row gets its share, and at least `row_at_least`, in
        order.

        A row without results counts as one card; a row keeps at most `_MOST_ASKED` cards of its question.
        """
        share = max(row_at_least, most // max(1, len(self.rows)))
        rows, room, dropped = [], most, 0
        for row in self.rows:
            kept = row.found[: min(share, room)]
            if room < 1:
                dropped += len(row.found)
                continue
            room -= max(1, len(kept))
            left_out = row.left_out + len(row.found) - len(kept)
            rows.append(replace(row, found=kept, asked=row.asked[:_MOST_ASKED], left_out=left_out))
        if dropped:
            rows[-1] = replace(rows[-1], left_out=rows[-1].left_out + dropped)
        return replace(self, rows=tuple(rows))


Drawable = Answer | Sequence[Answer] | Duplicates | Comparison | LabelFindings
"""What a grid can be made from: one answer, an answer for each of several targets, groups, several catalogs, findings
about labels."""


def sheet_of(shown: Drawable) -> Sheet:
    """The sheet of anything that `recq` answers with pictures."""
    match shown:
        case Answer():
            return answers_sheet([shown])
        case Duplicates():
            return duplicates_sheet(shown)
        case Comparison():
            return comparison_sheet(shown)
        case LabelFindings():
            return label_sheet(shown)
        case _:
            return answers_sheet(shown)


def answers_sheet(answers: Sequence[Answer]) -> Sheet:
    """One row for each answer, all in one space and with the same filters."""
    first = answers[0]
    rows = tuple(Row(_found(answer), asked_cards(answer)) for answer in answers)
    title = title_of(first) or "items" if len(answers) == 1 else f"like {len(answers)} pictures"
    spaces = (first.space.label, first.space.model) if first.metric is not None else ()
    return Sheet(_sentence(title), rows, tuple(map(printable, first.filters)), spaces)


def comparison_sheet(comparison: Comparison) -> Sheet:
    """One row for each catalog under its name and space, the target beside the first."""
    rows = tuple(
        Row(_found(each.answer), asked_cards(each.answer) if number == 0 else (), "   ".join(told))
        for number, (each, told) in enumerate(zip(comparison.columns, _told(comparison), strict=True))
    )
    first = comparison.columns[0].answer
    title = f"{title_of(first)} in {len(rows)} catalogs"
    return Sheet(_sentence(title), rows, tuple(map(printable, first.filters)))


def _told(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    """The lines above each catalog's row."""
    for number, each in enumerate(comparison.columns):
        told = (printable(each.catalog), each.answer.space.label)
        yield told if number == 0 else (*told, f"{comparison.overlap(0, number).told} the same as in the first")


def duplicates_sheet(found: Duplicates) -> Sheet:
    """One row for each group."""
    rows = tuple(
        Row(
            tuple(_member(result, kind, group) for result, kind in zip(group.results, group.kinds, strict=True)),
            title=f"{number}   {len(group.results):,} times: {_kinds_text(group)}",
        )
        for number, group in enumerate(found.groups, start=1)
    )
    return Sheet("Duplicates", rows or (Row(()),), (), (found.space.label, found.space.model))


def label_sheet(found: LabelFindings) -> Sheet:
    """One row with a card for each finding: the label now, the one proposed, and how certain that is."""
    field = printable(found.field)
    cards = tuple(
        replace(
            _card(each.result, [], each.result.metadata),
            score=proposed_text(found, each),
            scale=f"{percent}% certain" if (percent := percent_text(each)) else "",
            facts=((field, now),) if (now := labels_text(each.now)) else (),
        )
        for each in found.findings
    )
    title = f"Likely mistakes in {field}" if found.question is Question.AUDIT else f"Items without {field}"
    return Sheet(title, (Row(cards),), tuple(map(printable, found.filters)))


def asked_cards(answer: Answer) -> tuple[Card, ...]:
    """What the answer started from."""
    if answer.examples is not None:
        liked = [_asked(each, "liked") for each in answer.examples.liked]
        return (*liked, *(_asked(each, "not like this") for each in answer.examples.disliked))
    return () if answer.target is None else (_asked(answer.target, "target"),)


def _asked(asked: Asked, heading: str) -> Card:
    return Card(heading, printable(asked.name), asked.location, asked.content, asked=True, region=asked.region)


def _found(answer: Answer) -> tuple[Card, ...]:
    seen = columns_of(answer)
    return tuple(
        _card(
            result,
            [(name, result.value(name)) for name in seen],
            {
                **{name: value for name, value in result.metadata.items() if name not in seen},
                **{name: result.value(name) for name in result.predicted_fields if name not in seen},
            },
        )
        for result in answer.results
    )


_KINDS = {
    Kind.EXACT: ("the same bytes", "the same bytes"),
    Kind.COPY: ("a copy", "copies"),
    Kind.CROP: ("a crop", "crops"),
    Kind.MIRROR: ("a mirror image", "mirror images"),
}


def _kinds_text(group: Group) -> str:
    """The relation of the others of a group to the first."""
    if group.exact:
        return "the same bytes"
    counts = group.counted().items()
    return ", ".join(_KINDS[kind][0] if count == 1 else f"{count:,} {_KINDS[kind][1]}" for kind, count in counts)


def _member(result: Result, kind: Kind, group: Group) -> Card:
    """A card with the differences of copies: the folder, pixels, bytes."""
    file = result.payload["file"]
    size, length = pixels(file), f"{file['size']:,}"
    folder = result.path.rpartition("/")[0] if result.path is not None else result.within.rpartition("/")[0]
    facts = [("folder", folder), ("pixels", size), ("bytes", length)]
    card = _card(result, [fact for fact in facts if fact[1]], result.metadata)
    return replace(
        card,
        name=printable(result.within),
        score=f"keep: {group.why}" if result.rank == 1 else kind_text(result, kind),
        scale=f"{size}   {length} bytes".strip(),
    )


def _card(result: Result, facts: Sequence[tuple[str, Any]], others: Mapping[str, Any]) -> Card:
    copies = f"{result.copies:,}" if result.copies > 1 else ""
    size = pixels(result.payload["file"])
    known = (("copies", copies), ("path", result.within), ("source", result.source), ("pixels", size))
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


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _printed(facts: Iterable[tuple[str, Any]]) -> Facts:
    return tuple((printable(name), text) for name, value in facts if (text := cell(value)))
