"""Predictions of items: attached to whatever is written, and made where they are missing or of another predictor.

What is predicted is derived from an item's vector and a predictor (`recq.learn.predictors`), so it can always be made
anew from the index, without a picture. Each write of an item carries what the present predictors say of it
(`of_new`, `kept`). Everything else is found after each comparison (`refresh`): items that were there before the
predictor, or that it does not cover any more, whoever wrote them.

Writes and changes of the predictors take turns (`writing`), so that none of an earlier predictor follows a refresh.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from ingest.index.retrying import Retrier
from ingest.loop import Stopping
from recq.errors import FilterError, RequestRefused
from recq.index.catalog import Catalog
from recq.index.ledger import PREDICTED_AT_ONCE
from recq.index.points import ItemVector
from recq.index.predicted import Prediction
from recq.index.schema import Item
from recq.learn.predictors import AtHand, Predictor, predictors_of


@dataclass(frozen=True)
class Refreshed:
    """What was done for a field in a source: items that were given a prediction, those of them that are `unknown`, and
    items that lost one."""

    field: str
    items: int = 0
    unknown: int = 0
    removed: int = 0

    def __add__(self, other: Refreshed) -> Refreshed:
        return Refreshed(
            self.field, self.items + other.items, self.unknown + other.unknown, self.removed + other.removed
        )


class Predictions:
    """The predictors of one catalog, and what they say of its items. `stop` ends a refresh."""

    def __init__(self, catalog: Catalog, retrier: Retrier, stop: threading.Event | None = None) -> None:
        self.writing = threading.RLock()
        """Held while anything is written; never while a disk is asked."""
        self._catalog = catalog
        self._retrier = retrier
        self._stop = stop or threading.Event()
        self._ledger = catalog.ledger.asked_through(retrier)
        self._predictors: Mapping[str, Predictor] = {}

    def reload(self) -> Mapping[str, str]:
        """Take what the catalog is to predict, and its trained spaces, as they are now.

        Returns the fields that have no predictor, with the reason.
        """
        found, missing = self._retrier(predictors_of, self._catalog)
        with self.writing:
            predictors: dict[str, Predictor] = {}
            for each in found:
                before = self._predictors.get(each.name)
                if before is not None and before.fingerprint == each.fingerprint:
                    predictors[each.name] = before
                    continue
                field_type = self._retrier(each.type_in, self._catalog)
                self._retrier(self._catalog.fields.declare_predicted, each.name, field_type)
                predictors[each.name] = each
            self._predictors = predictors
        return missing

    # -- what is being written, `writing` held ------------------------------------------------------------------------

    def of_new(self, entries: Sequence[ItemVector]) -> list[Item]:
        """Items that get these vectors, with what is predicted of them."""
        return self._with_predictions(entries, {})

    def kept(self, items: Sequence[Item]) -> list[Item]:
        """Known items that get other metadata, with what is predicted of them: their vectors are the stored ones."""
        if not self._predictors or not items:
            return list(items)
        stored = self._retrier(self._ledger.get_many, [item.id for item in items])
        before = {item_id: item.predicted for item_id, item in stored.items()}
        due = [item.id for item in items if self._due(item, before.get(item.id, {}))]
        vectors = self._retrier(self._catalog.items.vectors, due) if due else {}
        return self._with_predictions([ItemVector(item, vectors.get(item.id)) for item in items], before)

    def _due(self, item: Item, before: Mapping[str, Prediction]) -> list[Predictor]:
        """The predictors that have to be asked about an item, which has these predictions."""
        return [
            each
            for name, each in self._predictors.items()
            if item.may_have_predicted(name) and (name not in before or before[name].by != each.fingerprint)
        ]

    def _with_predictions(
        self, entries: Sequence[ItemVector], before: Mapping[str, Mapping[str, Prediction]]
    ) -> list[Item]:
        made = {
            entry.item.id: {
                name: each for name, each in before.get(entry.item.id, {}).items() if name in self._predictors
            }
            for entry in entries
        }
        for predictor in self._predictors.values():
            due = [each for each in entries if predictor in self._due(each.item, before.get(each.item.id, {}))]
            for item_id, prediction in self._asked(predictor, due).items():
                made[item_id][predictor.name] = prediction
        return [replace(entry.item, predicted=made[entry.item.id]) for entry in entries]

    def _asked(self, predictor: Predictor, entries: Sequence[ItemVector]) -> dict[str, Prediction]:
        """The predictions of those that have a vector, by id."""
        there = [(each.item, each.vector) for each in entries if each.vector is not None]
        if not there:
            return {}
        at_hand = [AtHand(item.file, vector) for item, vector in there]
        try:
            found = self._retrier(predictor.predictions, self._catalog, at_hand)
        except (FilterError, RequestRefused):  # the next refresh asks again; a picture does not wait for it
            return {}
        return {item.id: each for (item, _), each in zip(there, found, strict=True) if each is not None}

    # -- what is there ----------------------------------------------------------------------------------------------

    def refresh(self, source: str) -> list[Refreshed]:
        """Make the predictions of a source what the present predictors say; of each field that changed what was done.

        Takes what a page of vectors takes; writes go on meanwhile. Raises Stopping.
        """
        done = [self._fill(source, each) for each in self._predictors.values()]
        for field in sorted(self._retrier(self._catalog.fields.predicted, refresh=True) - self._predictors.keys()):
            done.append(self._clear(source, field))
        return [each for each in done if each.items or each.removed]

    def _fill(self, source: str, predictor: Predictor) -> Refreshed:
        done = Refreshed(predictor.name)
        entries = self._ledger.unpredicted(source, predictor.name, predictor.fingerprint)
        while page := list(islice(entries, PREDICTED_AT_ONCE)):
            self._go_on()
            found = self._asked(predictor, [each for each in page if each.item.may_have_predicted(predictor.name)])
            done += self._written(predictor, page, found)
        return done

    def _written(self, predictor: Predictor, page: Sequence[ItemVector], found: Mapping[str, Prediction]) -> Refreshed:
        """Write the predictions of items that are still as they were read; others have just been written."""
        with self.writing:
            if self._predictors.get(predictor.name) is not predictor:  # another one was taken meanwhile
                return Refreshed(predictor.name)
            now = self._retrier(self._ledger.get_many, [each.item.id for each in page])
            fresh: list[Item] = []
            counts = Refreshed(predictor.name)
            for each in page:
                item = now.get(each.item.id)
                if item is None or not _is_same(item, each.item, predictor.name):
                    continue
                before = {name: kept for name, kept in item.predicted.items() if name != predictor.name}
                if not item.may_have_predicted(predictor.name):
                    fresh.append(replace(item, predicted=before))
                    counts += Refreshed(predictor.name, removed=1)
                elif (made := found.get(item.id)) is not None:
                    fresh.append(replace(item, predicted={**before, predictor.name: made}))
                    counts += Refreshed(predictor.name, items=1, unknown=int(made.unknown))
            self._retrier(self._catalog.writes.replace_predictions, fresh)
            return counts

    def _clear(self, source: str, field: str) -> Refreshed:
        """Remove the predictions of a field that is not predicted any more, with the last source its indexes, too."""
        done = Refreshed(field)
        items = self._ledger.predicted(source, field)
        while page := list(islice(items, PREDICTED_AT_ONCE)):
            self._go_on()
            with self.writing:
                now = self._retrier(self._ledger.get_many, [item.id for item in page]).values()
                fresh = [_without(item, field) for item in now if field in item.predicted]
                self._retrier(self._catalog.writes.replace_predictions, fresh)
                done += Refreshed(field, removed=len(fresh))
        with self.writing:
            left = next(islice(self._ledger.predicted(None, field), 1), None)
            if left is None and field not in self._predictors:
                self._retrier(self._catalog.fields.drop_predicted, field)
        return done

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise Stopping


def _without(item: Item, field: str) -> Item:
    return replace(item, predicted={name: each for name, each in item.predicted.items() if name != field})


def _is_same(now: Item, read: Item, field: str) -> bool:
    """Whether an item still has the vector that it was read with, and as much of people's label."""
    return (now.file.sha256, now.file.ingested_at, now.error is None, now.may_have_predicted(field)) == (
        read.file.sha256, read.file.ingested_at, read.error is None, read.may_have_predicted(field),
    )  # fmt: skip
