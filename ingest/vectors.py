"""Bytes that were decoded get their vector: one just made, the one the index has, else the network's answer.

Files with the same bytes share one vector. What the network has no place for yet waits here, where a new drop passes
the backlog. For the loop's thread; questions to the index run in a worker.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from ingest.loop import Loop, Worker
from recq.errors import ImageError

_REMEMBERED = 1024  # vectors kept for files with the same bytes that come soon after (5 MB)

T = TypeVar("T")
Vector = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
Then = Callable[[Vector | ImageError | None, bool], None]
"""Told the vector, why there is none, or None (the daemon stops); and whether it was computed for another file."""


class Embedding(Protocol):
    """What is asked of `recq.models.Embedder`."""

    @property
    def capacity(self) -> int:
        """Pictures that it works on or keeps at hand."""

    def submit(self, pixels: Pixels) -> Future[Vector]:
        """Pixels to a vector, later; waits while `capacity` pictures are under way."""


class FreshFirst(Generic[T]):
    """A queue in which what is fresh passes the rest; otherwise first come, first served."""

    def __init__(self) -> None:
        self._fresh: deque[T] = deque()
        self._rest: deque[T] = deque()

    def __len__(self) -> int:
        return len(self._fresh) + len(self._rest)

    def put(self, thing: T, *, fresh: bool) -> None:
        """Add to the end."""
        (self._fresh if fresh else self._rest).append(thing)

    def take(self) -> T:
        """Remove the next one."""
        return (self._fresh or self._rest).popleft()


class Vectors:
    """`stored(digests)` gives the vectors that the index has for those SHA-256."""

    def __init__(
        self, loop: Loop, embedder: Embedding, stored: Callable[[Sequence[str]], Mapping[str, Vector]]
    ) -> None:
        self._loop = loop
        self._embedder = embedder
        self._stored = stored
        self._worker = Worker("vectors", loop)
        self._recent: OrderedDict[str, Vector] = OrderedDict()
        self._asked: dict[str, list[Then]] = {}
        self._unknown: list[tuple[str, Pixels, bool]] = []  # the index has to be asked
        self._new: FreshFirst[tuple[str, Pixels]] = FreshFirst()  # for the network
        self._in_network = 0

    def ask(self, digest: str, pixels: Pixels, then: Then, *, fresh: bool) -> None:
        """Get the vector of the file with that SHA-256, which looks like that to the network."""
        vector = self._recent.get(digest)
        if vector is not None:
            self._recent.move_to_end(digest)
            then(vector, True)
        elif digest in self._asked:
            self._asked[digest].append(then)
        else:
            self._asked[digest] = [then]
            self._unknown.append((digest, pixels, fresh))
            self._look_up()

    def _look_up(self) -> None:
        if self._worker.busy or not self._unknown:
            return
        batch, self._unknown = self._unknown, []
        digests = [digest for digest, _, _ in batch]
        self._worker.submit(partial(self._stored, digests), partial(self._looked_up, batch))

    def _looked_up(self, batch: Sequence[tuple[str, Pixels, bool]], found: Mapping[str, Vector]) -> None:
        for digest, pixels, fresh in batch:
            if digest in found:
                self._share(digest, found[digest], carried=True)
            else:
                self._new.put((digest, pixels), fresh=fresh)
        self._feed()
        self._look_up()

    def _feed(self) -> None:
        while self._new and self._in_network < self._embedder.capacity:
            digest, pixels = self._new.take()
            self._in_network += 1
            self._embedder.submit(pixels).add_done_callback(partial(self._post, digest))

    def _post(self, digest: str, future: Future[Vector]) -> None:
        self._loop.post(partial(self._embedded, digest, future))

    def _embedded(self, digest: str, future: Future[Vector]) -> None:
        self._in_network -= 1
        self._feed()
        try:
            vector = future.result()
        except CancelledError:
            self._tell(digest, None, carried=False)
        except ImageError as error:
            self._tell(digest, error, carried=False)
        else:
            self._share(digest, vector, carried=False)

    def _share(self, digest: str, vector: Vector, *, carried: bool) -> None:
        self._recent[digest] = vector
        if len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)
        self._tell(digest, vector, carried=carried)

    def _tell(self, digest: str, outcome: Vector | ImageError | None, *, carried: bool) -> None:
        for number, then in enumerate(self._asked.pop(digest)):
            then(outcome, carried or number > 0)
