"""The queues of the label workbench: likely mistakes, and what to label first. Nine pictures at a time, one a digit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recq.api.service import Served, Service
from recq.display.table import cell
from recq.evaluate.evaluate import labels_of
from recq.face.findings import LabelFindings
from recq.index.cells import values_cell
from recq.index.schema import Item
from recq.index.taggings import How, Tagging
from recq.learn.label_findings import LabelFinding, Question
from recq.page.collected import ByItem, by_item, settled
from recq.page.looking import Looking, Looks
from recq.page.tags import Tag
from recq.page.tiles import title_of
from recq.progress import Progress

AT_ONCE = 9
"""Pictures that are decided together."""

MOST_FOUND = 300
"""Findings of one look: look again when they are decided."""


@dataclass(frozen=True)
class Pick:
    """A picture that can be ticked: what it has `now` in the field, and what would be `typed` for it.

    `predicted` is what a trained space or the index says of it, `collected` what the tags that are collected make of
    it (None: none is about it), `why` what there is to say of a proposal.
    """

    id: str
    title: str
    path: str
    now: str
    typed: str = ""
    predicted: str = ""
    collected: str | None = None
    why: str = ""
    ticked: bool = False

    @property
    def alt(self) -> str:
        """What a screen reader says of the picture."""
        return ", ".join(each for each in (self.title, self.now, self.why or self.predicted) if each)


@dataclass(frozen=True)
class Queue:
    """Where a queue stands: the next `picks`, how many are open, and the `told` of the look."""

    picks: Sequence[Pick]
    open: int
    told: str


@dataclass
class LabelQueues:
    """Asks for findings, which takes seconds to minutes, and shows those that nobody has decided about."""

    service: Service
    _looks: Looks[LabelFindings] = field(init=False)

    def __post_init__(self) -> None:
        self._looks = Looks(self.service)

    def looking(self, catalog: str | None, question: Question, name: str) -> Looking[LabelFindings] | None:
        """The last look at a field; None where there was none."""
        return self._looks.at((catalog, question, name))

    def look(self, catalog: str | None, question: Question, name: str) -> None:
        """Begin to look, unless that goes on already."""

        def ask(at: Served, progress: Progress) -> LabelFindings:
            wanted: dict[str, Any] = {"limit": MOST_FOUND, "progress": progress}
            if question is Question.AUDIT:
                return at.catalog.audit_labels(name, **wanted)
            return at.catalog.suggest_labels(name, **wanted)

        self._looks.begin((catalog, question, name), catalog, ask)

    def standing(self, catalog: str | None, found: LabelFindings, taggings: Sequence[Tagging], skip: int) -> Queue:
        """The next findings that are open, without the `skip` first ones of those."""
        grouped = _by_item(found)

        def asked(at: Served) -> dict[str, Item]:
            with at.session.opened() as index:
                return index.lookups.get_many(list(grouped))

        items = self.service.ask(catalog, asked)
        open_ = open_findings(found, items, taggings)
        first = min(skip, max(0, len(open_) - 1) // AT_ONCE * AT_ONCE)
        return Queue([_pick(found, each) for each in open_[first : first + AT_ONCE]], len(open_), found.told)


def _by_item(found: LabelFindings) -> dict[str, list[LabelFinding]]:
    grouped: dict[str, list[LabelFinding]] = {}
    for each in found.findings:
        grouped.setdefault(each.result.id, []).append(each)
    return grouped


def open_findings(
    found: LabelFindings, items: Mapping[str, Item], taggings: Sequence[Tagging]
) -> list[list[LabelFinding]]:
    """The findings, item by item, that hold for the items as they are now, and that nobody has decided about."""
    tagged: ByItem = by_item(taggings)
    return [
        each
        for id_, each in _by_item(found).items()
        if id_ in items
        and labels_of(items[id_], found.field) == each[0].values
        and not settled(tagged, taggings, id_, found.field, each[0].values)
    ]


def _pick(found: LabelFindings, of_item: Sequence[LabelFinding]) -> Pick:
    first = of_item[0]
    removed = frozenset(label for each in of_item for label in each.removed)
    added = [label for each in of_item for label in each.added]
    revised = () if first.unknown else found.rules.revised(first.values, removed, added)
    why = "like nothing that is labelled" if first.unknown else f"{100 * first.certainty:.0f} % sure"
    return Pick(
        first.result.id,
        title_of(first.result.metadata, first.result.name),
        first.result.within,
        ", ".join(map(cell, first.values)),
        typed(revised),
        why=why,
        ticked=found.question is Question.AUDIT,
    )


def typed(values: Sequence[str]) -> str:
    """Values as somebody would type them."""
    return (values_cell(values, as_list=False) or "") if values else ""


def answered(question: Question, given: Sequence[tuple[str, str]]) -> list[Tag]:
    """The tags that a sent form means, which has of each item in order `seen`, `proposed` and `given`, and `tick`.

    What is ticked, or has another value than proposed, gets the value. Of likely mistakes the others are right as they
    are; an item without a label stays without.
    """
    seen, proposed, values = ([each for name, each in given if name == of] for of in ("seen", "proposed", "given"))
    ticked = {each for name, each in given if name == "tick"}
    tags = []
    for item, before, value in zip(seen, proposed, values, strict=False):
        if value.strip() and (item in ticked or value != before):
            tags.append(Tag(How.IS, value, (item,)))
        elif question is Question.AUDIT:
            tags.append(Tag(How.NOT if item in ticked else How.RIGHT, "", (item,)))
    return tags
