"""The vectors of the items that people gave a label, in memory: what is near to a picture is one matrix product away.

An engine is asked for each picture, and the embedded one takes 10 ms of 10,000 vectors, while nothing else runs in the
process. A product takes 4 ms, or 0.4 ms a picture where 32 come together, and other threads go on.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from recq.index.filters import known_name
from recq.index.grammar import Condition
from recq.index.operators import Op
from recq.index.points import PAGE
from recq.learn.calibration import NEIGHBOURS

if TYPE_CHECKING:
    from recq.index.catalog import Catalog
    from recq.index.schema import Item
    from recq.models.heads import Floats

MOST_NUMBERS = 25_000_000
"""Numbers that are kept (100 MB): the vectors of 20,000 items by default. Of more the engine is asked."""

FARTHEST = -1.0
"""The cosine of what has no neighbour."""


class Labelled:
    """The vectors of the items of one catalog that have a value of people in `field`, one for each digest.

    They are read by `load`, kept up to date by `note`, and read again where their number is another one, since other
    processes may write as well. From any thread.
    """

    def __init__(self, field: str) -> None:
        self._field = field
        self._lock = threading.Lock()
        self._loaded = False
        self._rows: dict[str, int] = {}
        self._keys: list[str] = []
        self._vectors: Floats = np.empty((0, 0), np.float32)
        self._holders: dict[str, str] = {}  # the key (the digest) of each item that is kept, by its id
        self._copies: Counter[str] = Counter()  # the items of each key
        self._unread: dict[str, str] = {}  # items whose vector is still to be read, with their keys

    def load(self, catalog: Catalog) -> None:
        """Read the vectors that are missing, and forget those of items that have lost their label, or have gone."""
        types = catalog.fields.types()
        field = known_name(self._field, types)
        labelled = Condition(field, Op.EXISTS)
        count = catalog.items.count([labelled]) if field in types else 0
        if count * catalog.space.dim > MOST_NUMBERS:
            with self._lock:
                self._forget_all()
            return
        with self._lock:
            if self._loaded and count == len(self._holders) + len(self._unread):
                return
        found = {item.id: _key(item) for item in catalog.items.rows([labelled])} if count else {}
        with self._lock:
            for item_id in [each for each in (*self._holders, *self._unread) if each not in found]:
                self._remove(item_id)
            self._unread |= {item_id: key for item_id, key in found.items() if self._holders.get(item_id) != key}
            self._loaded = True
        self._read(catalog)

    def note(self, items: Sequence[tuple[Item, Floats | None]]) -> None:
        """Take items as they have just been written; those whose vector is not at hand are read when it is needed."""
        with self._lock:
            if not self._loaded:
                return
            for item, vector in items:
                if item.error is not None or item.may_have_predicted(self._field):
                    self._remove(item.id)
                elif vector is not None:
                    self._put(item.id, _key(item), vector)
                elif self._holders.get(item.id) != _key(item):
                    self._unread[item.id] = _key(item)
            if len(self._keys) * self._vectors.shape[1] > MOST_NUMBERS:
                self._forget_all()

    def nearness(
        self, catalog: Catalog, vectors: Sequence[np.ndarray], digests: Sequence[str | None]
    ) -> list[float] | None:
        """The mean cosine of each vector, float32 (dim,) of length 1, to its nearest that have another digest.

        None where they are not kept: they have not been read yet, or are too many.
        """
        self._read(catalog)
        with self._lock:
            if not self._loaded:
                return None
            if not self._keys:
                return [FARTHEST] * len(vectors)
            with _threads().limit(limits=1):  # more wait for each other in a loop: twice the processor time
                scores = np.stack(vectors) @ self._vectors[: len(self._keys)].T
            for row, digest in zip(scores, digests, strict=True):
                if digest in self._rows:
                    row[self._rows[digest]] = -np.inf
        return [_mean_of_nearest(row) for row in scores]

    def _read(self, catalog: Catalog) -> None:
        """Read the vectors of the items that were noted without.

        An item may have got other bytes since, and with them another vector: one whose key is another afterwards is
        read when it is noted again, or with the next `load`.
        """
        with self._lock:
            wanted = dict(self._unread)
        if not wanted:
            return
        found = catalog.items.vectors(list(wanted))
        now = {item_id: _key(item) for item_id, item in _known(catalog, list(found)).items()}
        with self._lock:
            for item_id, key in wanted.items():
                if self._unread.get(item_id) == key:
                    if now.get(item_id) == key:
                        self._put(item_id, key, found[item_id])
                    else:
                        self._remove(item_id)

    # -- with the lock ------------------------------------------------------------------------------------------------

    def _put(self, item_id: str, key: str, vector: Floats) -> None:
        self._remove(item_id)
        self._holders[item_id] = key
        self._copies[key] += 1
        row = self._rows.setdefault(key, len(self._keys))
        if row == len(self._keys):
            self._keys.append(key)
        if row >= len(self._vectors):
            larger = np.empty((max(256, 2 * row), len(vector)), np.float32)
            larger[:row] = self._vectors[:row] if row else larger[:0]
            self._vectors = larger
        self._vectors[row] = vector

    def _remove(self, item_id: str) -> None:
        self._unread.pop(item_id, None)
        key = self._holders.pop(item_id, None)
        if key is None:
            return
        self._copies[key] -= 1
        if self._copies[key]:
            return
        del self._copies[key]
        row, last = self._rows.pop(key), self._keys.pop()
        if last != key:  # the last one takes its place
            self._keys[row], self._rows[last] = last, row
            self._vectors[row] = self._vectors[len(self._keys)]

    def _forget_all(self) -> None:
        self._loaded = False
        for each in (self._rows, self._holders, self._copies, self._unread):
            each.clear()
        self._keys.clear()
        self._vectors = np.empty((0, 0), np.float32)


@cache
def _threads() -> Any:
    """numpy's linear algebra, which has to be loaded."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _known(catalog: Catalog, ids: Sequence[str]) -> dict[str, Item]:
    """The items as they are now, without metadata."""
    found: dict[str, Item] = {}
    for start in range(0, len(ids), PAGE):
        found |= catalog.ledger.known(ids[start : start + PAGE])
    return found


def _key(item: Item) -> str:
    """What copies of a picture have in common."""
    return item.file.sha256 or item.id


def _mean_of_nearest(scores: Floats) -> float:
    nearest = np.partition(scores, -NEIGHBOURS)[-NEIGHBOURS:] if len(scores) > NEIGHBOURS else scores
    nearest = nearest[nearest > -np.inf]
    return float(nearest.mean()) if len(nearest) else FARTHEST
