"""Predictions of items: attached to whatever is written, and made where they are missing or of another predictor.

Each write of an item carries what the present predictors (`recq.learn.predictors`) say of it (`of_new`, `kept`).
Everything else is found after each comparison (`refresh`): items that were there before the predictor, or that it does
not cover any more, whoever wrote them. Most predictors need the stored vector alone. For those that need more the
pictures of such items are read again, as the last of all work, and what is found is written (`read_again`).

Writes and changes of the predictors take turns (`writing`), so that none of an earlier predictor follows a refresh.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from ingest.index.retrying import Retrier
from ingest.loop import Stopping
from recq.errors import FilterError, IndexPending, RequestRefused
from recq.index.catalog import Catalog
from recq.index.ledger import PREDICTED_AT_ONCE, Carried
from recq.index.predicted import Prediction
from recq.index.schema import Item
from recq.learn.predictors import AtHand, Predictor, predictors_of
from recq.settings import Settings

if TYPE_CHECKING:
    from recq.models.embedder import Pass


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


@dataclass(frozen=True, eq=False)
class ItemRead:
    """An item whose picture has just been read, with its vector, float32 (dim,), and what else the network gave, where
    it was asked. No vector exactly when `item.error` is set."""

    item: Item
    vector: np.ndarray | None
    read: Pass | None = None


@dataclass(frozen=True, eq=False)
class Attached:
    """Items with what is predicted of them, by those predictors, and what that was made of."""

    items: Sequence[Item]
    entries: Sequence[ItemRead]
    by: Mapping[str, Predictor]


class Predictions:
    """The predictors of one catalog, and what they say of its items. `stop` ends a refresh."""

    def __init__(
        self, catalog: Catalog, settings: Settings, retrier: Retrier, stop: threading.Event | None = None
    ) -> None:
        self.writing = threading.RLock()
        """Held while anything is written; never while a disk is asked."""
        self._catalog = catalog
        self._settings = settings
        self._retrier = retrier
        self._stop = stop or threading.Event()
        self._ledger = catalog.ledger.asked_through(retrier)
        self._predictors: Mapping[str, Predictor] = {}

    def reload(self) -> Mapping[str, str]:
        """Take what the catalog is to predict, and its trained spaces, as they are now.

        Returns the fields that have no predictor, with the reason.
        """
        found, missing = self._retrier(predictors_of, self._catalog, self._settings)
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
            if predictors != self._predictors:
                self._predictors = predictors
        return missing

    @property
    def reads_pictures(self) -> bool:
        """Whether any predictor needs what only a picture gives. Safe in any thread."""
        return any(each.reads_pictures for each in self._predictors.values())

    # -- what is being written ----------------------------------------------------------------------------------------

    def carried(self, found: Mapping[str, Carried]) -> Mapping[str, Carried]:
        """The stored vectors, by digest, that can serve for further files of the same bytes: where a predictor needs a
        picture, those of whose bytes it has seen one."""
        for each in [each for each in self._predictors.values() if each.reads_pictures]:
            known = self._retrier(self._ledger.predictions_by_sha256, list(found), each.name, each.fingerprint)
            found = {digest: carried for digest, carried in found.items() if digest in known}
        return found

    def of_new(self, entries: Sequence[ItemRead]) -> Attached:
        """Items that get these vectors, with what is predicted of them. Takes long, so it needs no lock."""
        predictors = self._predictors
        return Attached(self._with_predictions(predictors, entries, {}), entries, predictors)

    def current(self, attached: Attached) -> Sequence[Item]:
        """The items with what the present predictors say. With `writing` held."""
        return (attached if attached.by is self._predictors else self.of_new(attached.entries)).items

    def written(self, items: Sequence[tuple[Item, np.ndarray | None]]) -> None:
        """Note items that the index has now, with their vectors where these are others than before."""
        for each in self._predictors.values():
            each.note(items)

    def kept(self, items: Sequence[Item]) -> list[Item]:
        """Known items that get other metadata, with what is predicted of them: their vectors are the stored ones. With
        `writing` held."""
        if not self._predictors or not items:
            return list(items)
        stored = self._retrier(self._ledger.get_many, [item.id for item in items])
        before = {item_id: item.predicted for item_id, item in stored.items()}
        by = self._predictors
        due = [item.id for item in items if any(_is_due(item, before.get(item.id, {}), each) for each in by.values())]
        vectors = self._retrier(self._catalog.items.vectors, due) if due else {}
        return self._with_predictions(by, [ItemRead(item, vectors.get(item.id)) for item in items], before)

    def _with_predictions(
        self,
        predictors: Mapping[str, Predictor],
        entries: Sequence[ItemRead],
        before: Mapping[str, Mapping[str, Prediction]],
    ) -> list[Item]:
        made = {
            entry.item.id: {name: each for name, each in before.get(entry.item.id, {}).items() if name in predictors}
            for entry in entries
        }
        for predictor in predictors.values():
            due = [each for each in entries if _is_due(each.item, before.get(each.item.id, {}), predictor)]
            there = [each for each in due if each.vector is not None]
            for item_id, prediction in self._asked(predictor, there).items():
                made[item_id][predictor.name] = prediction
        return [_predicting(entry.item, made[entry.item.id]) for entry in entries]

    def _asked(self, predictor: Predictor, entries: Sequence[ItemRead]) -> dict[str, Prediction]:
        """Its predictions, by id, of those of which it has enough."""
        if not entries:
            return {}
        at_hand = [AtHand(each.item.file, each.vector, each.read) for each in entries]
        try:
            found = self._retrier(predictor.predictions, self._catalog, at_hand)
        except (FilterError, RequestRefused):  # the next refresh asks again; a picture does not wait for it
            return {}
        return {entry.item.id: each for entry, each in zip(entries, found, strict=True) if each is not None}

    # -- what is there ----------------------------------------------------------------------------------------------

    def refresh(self, source: str, again: Callable[[Iterator[Item]], None]) -> list[Refreshed]:
        """Make the predictions of a source what the present predictors say; of each field that changed what was done.

        `again` takes the items whose pictures have to be read for it. Takes what a page of vectors takes; writes go on
        meanwhile. Raises Stopping.
        """
        done: list[Refreshed] = []
        for each in list(self._predictors.values()):
            with suppress(FilterError, IndexPending, RequestRefused):  # the engine is asked in its place
                self._retrier(each.load, self._catalog)
            again(self._fill(source, each, done))
        for field in sorted(self._retrier(self._catalog.fields.predicted, refresh=True) - self._predictors.keys()):
            done.append(self._clear(source, field))
        return [each for each in done if each.items or each.removed]

    def read_again(self, entries: Sequence[ItemRead]) -> list[Refreshed]:
        """Write what is predicted of items whose pictures have been read for it; of each field what was done."""
        done = []
        for each in list(self._predictors.values()):
            if each.reads_pictures:
                done.append(self._written(each, entries, self._asked(each, entries)))
        return done

    def _fill(self, source: str, predictor: Predictor, done: list[Refreshed]) -> Iterator[Item]:
        """Make what can be made without pictures, and add what was done to `done`; gives the items that need them."""
        counts = Refreshed(predictor.name)
        entries = self._ledger.unpredicted(
            source, predictor.name, predictor.fingerprint, vectors=not predictor.reads_pictures
        )
        while page := [ItemRead(each.item, each.vector) for each in islice(entries, PREDICTED_AT_ONCE)]:
            self._go_on()
            due = [each for each in page if each.item.may_have_predicted(predictor.name)]
            found = self._asked(predictor, due)
            changed = [each for each in page if each.item.id in found or each not in due]
            counts += self._written(predictor, changed, found)
            if predictor.reads_pictures:
                yield from (each.item for each in due if each.item.id not in found)
        done.append(counts)

    def _written(self, predictor: Predictor, page: Sequence[ItemRead], found: Mapping[str, Prediction]) -> Refreshed:
        """Write the predictions of items that are still as they were read; others have just been written."""
        with self.writing:
            if self._predictors.get(predictor.name) is not predictor:  # another one was taken meanwhile
                return Refreshed(predictor.name)
            now = self._retrier(self._ledger.get_many, [each.item.id for each in page]) if page else {}
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


def _predicting(item: Item, predicted: Mapping[str, Prediction]) -> Item:
    return item if item.predicted == predicted else replace(item, predicted=predicted)


def _is_due(item: Item, before: Mapping[str, Prediction], predictor: Predictor) -> bool:
    """Whether a predictor has to be asked about an item, which has these predictions."""
    has = before.get(predictor.name)
    return item.may_have_predicted(predictor.name) and (has is None or has.by != predictor.fingerprint)


def _without(item: Item, field: str) -> Item:
    return replace(item, predicted={name: each for name, each in item.predicted.items() if name != field})


def _is_same(now: Item, read: Item, field: str) -> bool:
    """Whether an item still has the vector that it was read with, and as much of people's label."""
    return (now.file.sha256, now.file.ingested_at, now.error is None, now.may_have_predicted(field)) == (
        read.file.sha256, read.file.ingested_at, read.error is None, read.may_have_predicted(field),
    )  # fmt: skip
