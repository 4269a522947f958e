"""Browsing without a question: the items that filters hold for, the newest first, any page of them at little cost.

New is what was written last: the order is that of the stamps of writes (`recq.index.changes`), which every engine has
an index of. An engine walks along that index as far as the page begins, from the end that is nearer, and gives the ids
of the page alone, whose rows are then read (read with the ids, those before the page would be read as well): so no page
costs more than the one in the middle (100,000 items on the embedded engine: 80 ms). Items without a stamp, of an index
that an older recq made, come last, in the order of ids.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from qdrant_client import models

from recq.index.changes import NUMBER
from recq.index.fields import Fields
from recq.index.finder import Found, Hit
from recq.index.items import Items
from recq.index.parameters import Parameters
from recq.index.plain_requests import Near
from recq.index.points import Points
from recq.index.schema import Item

MOST_COPIES = 1_000
"""Copies of the pictures of a page that are looked at, the newest: beyond them copies are shown as other items are."""

_UNSTAMPED = models.IsEmptyCondition(is_empty=models.PayloadField(key=NUMBER))
_DIGEST = "file.sha256"


@dataclass(frozen=True)
class Span:
    """Rows that one request gives: `limit` after the first `offset` of the stamped ones or of the others.

    `backwards`: counted from the oldest, which then comes first.
    """

    stamped: bool
    backwards: bool
    offset: int
    limit: int


def spans(offset: int, limit: int, *, stamped: int, others: int) -> list[Span]:
    """The requests for `limit` rows after the first `offset` where `stamped` rows come before `others`."""
    wanted = []
    first = max(0, min(limit, stamped - offset))
    if first:
        after = stamped - offset - first
        backwards = after < offset
        wanted.append(Span(stamped=True, backwards=backwards, offset=after if backwards else offset, limit=first))
    start = max(0, offset - stamped)
    rest = max(0, min(limit - first, others - start))
    if rest:
        wanted.append(Span(stamped=False, backwards=False, offset=start, limit=rest))
    return wanted


class Latest:
    """Reads the items of one collection, the newest first. Raises only errors of `recq.errors`."""

    def __init__(self, points: Points, fields: Fields, items: Items) -> None:
        self._points = points
        self._fields = fields
        self._items = items

    def page(self, parameters: Parameters) -> Found:
        """`k` items after the first `offset` that all filters and groups hold for; `total` is how many there are.

        Copies of a newer item among those are left out, and counted (`copies`), unless `keep_duplicates` is set: so
        each place belongs to one item, whatever is folded, and a page may have fewer than `k`. Raises FilterError.
        """
        compiled = self._items.compiled(parameters.conditions)
        total = self._points.count(compiled)
        others = self._points.count(_and(compiled, _UNSTAMPED)) if self._fields.stamped() else total
        wanted = spans(parameters.offset, parameters.k, stamped=total - others, others=others)
        ids = [item_id for span in wanted for item_id in self._ids(compiled, span, stamped=total > others)]
        read = self._points.items(ids)
        found = [read[item_id] for item_id in ids if item_id in read]
        newest = {} if parameters.keep_duplicates else self._newest(compiled, found, stamped=total > others)
        shown = [item for item in found if _first_of(item, newest)[0] == item.id]
        hits = tuple(Hit(item, math.nan, _first_of(item, newest)[1]) for item in shown)
        return Found(hits, total, copies=len(found) - len(shown))

    def _ids(self, compiled: models.Filter, span: Span, *, stamped: bool) -> list[str]:
        """The ids of a span, the newest first."""
        request = models.QueryRequest(
            query=_in_order(descending=not span.backwards) if span.stamped else None,
            filter=_and(compiled, _UNSTAMPED) if stamped and not span.stamped else compiled,
            offset=span.offset,
            limit=span.limit,
        )
        ids = [str(point.id) for point in self._points.nearest([request])[0]]
        return ids[::-1] if span.backwards else ids

    def _newest(
        self, compiled: models.Filter, items: Iterable[Item], *, stamped: bool
    ) -> Mapping[str, tuple[str, int]]:
        """For the bytes of these items: the id of the newest item that has them, and how many have."""
        digests = list(dict.fromkeys(item.file.sha256 for item in items if item.file.sha256 is not None))
        if not digests:
            return {}
        same = models.FieldCondition(key=_DIGEST, match=models.MatchAny(any=digests))
        request = models.QueryRequest(
            query=_in_order(descending=True) if stamped else None,
            filter=_and(compiled, same),
            limit=MOST_COPIES,
            with_payload=[_DIGEST],
        )
        counted: dict[str, tuple[str, int]] = {}
        for point in self._points.nearest([request])[0]:
            digest = str(_file(point).get("sha256"))
            first, copies = counted.get(digest, (str(point.id), 0))
            counted[digest] = first, copies + 1
        return counted


def _first_of(item: Item, newest: Mapping[str, tuple[str, int]]) -> tuple[str, int]:
    return newest.get(item.file.sha256 or "", (item.id, 1))


def _in_order(*, descending: bool) -> models.OrderByQuery:
    direction = models.Direction.DESC if descending else models.Direction.ASC
    return models.OrderByQuery(order_by=models.OrderBy(key=NUMBER, direction=direction))


def _and(*conditions: models.Condition) -> models.Filter:
    return models.Filter(must=list(conditions))


def _file(point: Near) -> Mapping[str, Any]:
    file = (point.payload or {}).get("file")
    return file if isinstance(file, Mapping) else {}
