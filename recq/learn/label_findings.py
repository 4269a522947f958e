"""What an audit or a suggestion says of items: the label that each has, and the one that it should have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from recq.evaluate.evaluate import labels_of
from recq.learn.labels import LabelRules
from recq.paths import printable
from recq.search.results import Result, result_of

if TYPE_CHECKING:
    from recq.index.catalog import Catalog


class Question(StrEnum):
    """What was asked for."""

    AUDIT = "audit"
    SUGGEST = "suggest"


@dataclass(frozen=True)
class Change:
    """An item, by id, that should lose the labels `removed` and get `added`, and how certain that is, 0 to 1.

    `unknown`: nothing that has a label is like it.
    """

    id: str
    removed: tuple[str, ...]
    added: tuple[str, ...]
    certainty: float
    unknown: bool = False


@dataclass(frozen=True)
class LabelFinding:
    """An item as a `result`, whose rank is its place; its labels `now`, those to be `removed` and `added`.

    `certainty` is how probable it is that the change is right, 0 to 1, `values` are the item's values of the field as
    text. `unknown`: nothing that has a label is like it.
    """

    result: Result
    values: tuple[str, ...]
    now: tuple[str, ...]
    removed: tuple[str, ...]
    added: tuple[str, ...]
    certainty: float
    unknown: bool = False

    def to_json(self) -> dict[str, Any]:
        """One element of `findings`, one line of jsonl."""
        document = self.result.to_json()
        return {
            "rank": document["rank"],
            "certainty": round(self.certainty, 4),
            **{name: document[name] for name in ("id", "source", "path", "name")},
            "now": list(self.now),
            "remove": list(self.removed),
            "add": list(self.added),
            "unknown": self.unknown,
        }


@dataclass(frozen=True)
class LabelFindings:
    """The findings about a `field`, the first `limit` of `total`.

    `items` were looked at; of `unjudged` items nothing could be said. `several`: items may have several labels;
    `as_lists`: the field holds lists. `rules` say how values become labels.
    """

    question: Question
    field: str
    rules: LabelRules
    several: bool
    as_lists: bool
    items: int
    unjudged: int
    total: int
    findings: tuple[LabelFinding, ...]
    took_ms: float
    filters: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """How many findings there are among how many items, in one line."""
        field, items = printable(self.field), f"{self.items:,} item{'' if self.items == 1 else 's'}"
        shown = len(self.findings)
        if self.question is Question.SUGGEST:
            return f"{items} without {field}" + (f": the {shown:,} to label first" if shown < self.items else "")
        if not self.total:
            told = f"no likely mistake in the {field} of {items}"
        else:
            told = f"{self.total:,} likely mistake{'' if self.total == 1 else 's'} in the {field} of {items}"
        if shown < self.total:
            told += f", the {shown:,} most certain are shown"
        unjudged = f"; {self.unjudged:,} could not be judged: all with their label are views of one thing"
        return told + (unjudged if self.unjudged else "")

    def to_json(self) -> dict[str, Any]:
        """The document that `--format json` prints."""
        return {
            "field": self.field,
            "several_labels": self.several,
            "items": self.items,
            "unjudged": self.unjudged,
            "total": self.total,
            "findings": [each.to_json() for each in self.findings],
            "took_ms": round(self.took_ms, 1),
        }


def findings_of(catalog: Catalog, label: str, rules: LabelRules, changes: Sequence[Change]) -> Iterator[LabelFinding]:
    """The changes with their items, but for those that have just been deleted."""
    items = catalog.lookups.get_many(list(dict.fromkeys(each.id for each in changes)))
    sources = catalog.sources.all()
    rank = 0
    for change in changes:
        item = items.get(change.id)
        if item is None:
            continue
        rank += 1
        result = result_of(rank, item, None, catalog.sources.path_of(item, sources), catalog=catalog.name)
        values = labels_of(item, label)
        yield LabelFinding(
            result, values, rules.labels_of(values), change.removed, change.added, change.certainty, change.unknown
        )
