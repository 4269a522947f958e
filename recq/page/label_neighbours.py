"""A picture and what looks like it, to be tagged together: what each has in a field, and what is predicted of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from recq.api.service import Served
from recq.display.table import cell
from recq.errors import RecqError
from recq.evaluate.evaluate import labels_of
from recq.index.grammar import escape_field
from recq.index.schema import Item
from recq.index.taggings import revised
from recq.learn.prediction import Prediction
from recq.page.collected import ByItem
from recq.page.label_queues import Pick
from recq.page.tiles import title_of
from recq.search.results import scale_text
from recq.search.target import IndexedName

MOST_NEAR = 23
"""Neighbours on one page; the picture itself comes first."""


@dataclass(frozen=True)
class Near:
    """The picture and its neighbours. `more`: there are others behind."""

    title: str
    picks: Sequence[Pick]
    more: bool


def neighbours(at: Served, item: str, field: str, tagged: ByItem, *, bare: bool, page: int) -> Near:
    """The neighbours of an item, the nearest first. `bare`: only those that have nothing in the field.

    Raises TargetNotFound for an unknown item, TargetError for one without a vector.
    """
    with at.session.opened() as index:
        types, trained = index.fields.types(), index.candidates.labels() if index.trained is None else {}
    own = at.catalog.show(IndexedName(item)).item
    found = at.catalog.similar(
        IndexedName(item),
        k=MOST_NEAR,
        page=page,
        filters=[f"no:{escape_field(field)}"] if bare and field in types else [],
        keep_duplicates=True,
    )
    with at.session.opened() as index:
        there = index.lookups.get_many([each.id for each in found])
    items = [own] if page == 1 else []
    items += [there[each.id] for each in found if each.id in there]
    space = next((name for name, label in trained.items() if label == field), None)
    predicted = {each.id: text for each in items if (text := _stored(each, field))}
    if space is not None:
        predicted |= _predicted(at, [each.id for each in items if each.id not in predicted], space)
    near = {each.id: scale_text(each.share) for each in found if each.share is not None}
    picks = [_pick(each, field, tagged, predicted, near, ticked=each is own) for each in items]
    return Near(title_of(own.metadata, own.file.name), picks, len(found) == MOST_NEAR)


def _pick(
    item: Item, field: str, tagged: ByItem, predicted: Mapping[str, str], near: Mapping[str, str], *, ticked: bool
) -> Pick:
    values = labels_of(item, field)
    taggings = tagged.get(item.id, {}).get(field)
    return Pick(
        item.id,
        title_of(item.metadata, item.file.name),
        item.file.path,
        ", ".join(map(cell, values)),
        predicted=predicted.get(item.id, ""),
        collected=None if taggings is None else ", ".join(map(cell, revised(values, taggings))) or "nothing",
        why=near.get(item.id, ""),
        ticked=ticked,
    )


def _stored(item: Item, field: str) -> str:
    """What the index has as a prediction of an item."""
    found = item.predicted.get(field)
    if found is None:
        return ""
    if found.unknown:
        return "like nothing that is labelled"
    sure = [*found.confidences, *[None] * len(found.labels)]
    return ", ".join(_guess(str(label), each) for label, each in zip(found.labels, sure, strict=False))


def _predicted(at: Served, items: Sequence[str], space: str) -> dict[str, str]:
    """What a trained space says of items, from their stored vectors. Nothing where it cannot be asked."""
    with suppress(RecqError):
        found = at.catalog.predict([IndexedName(each) for each in items], space=space, top=1)
        return {item: _told(each) for item, each in zip(items, found, strict=True) if isinstance(each, Prediction)}
    return {}


def _told(found: Prediction) -> str:
    if found.unknown:
        return "like nothing that is labelled"
    return ", ".join(_guess(each.label, each.probability) for each in found.guesses)


def _guess(label: str, probability: float | None) -> str:
    return cell(label) if probability is None else f"{cell(label)} {100 * probability:.0f} %"
