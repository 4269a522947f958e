"""Bytes that were decoded get their vector: one just made, the one the index has, else the network's answer.

Files with the same bytes share one vector; those that come soon after need not even be decoded (`recent`). What the
network has no place for yet waits here, where a new drop passes the backlog. For the loop's thread; questions to the
index run in a worker.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from ingest.loop import Loop, Worker
from recq.errors import ImageError, Reason
from recq.images.workers import Decoded
from recq.index.ledger import Carried

_REMEMBERED = 1024  # vectors kept for files with the same bytes that come soon after (5 MB)

_LONGEST_DETAIL = 500  # characters: runtimes answer with pages

T = TypeVar("T")
Vector = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
Then = Callable[[Vector | ImageError | None, bool], None]
"""Told the vector, why there is none, or None (the daemon stops); and whether it was computed for another file."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """What is known of bytes that have a vector: `width` x `height` and `format` of the picture."""

    format: str
    width: int
    height: int
    vector: Vector


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

    @property
    def has_fresh(self) -> bool:
        """Whether anything fresh waits."""
        return bool(self._fresh)

    def put(self, thing: T, *, fresh: bool) -> None:
        """Add to the end."""
        (self._fresh if fresh else self._rest).append(thing)

    def take(self) -> T:
        """Remove the next one."""
        return (self._fresh or self._rest).popleft()


class Vectors:
    """`stored(digests)` gives the vectors that the index has for those SHA-256, and which decoder they are of."""

    def __init__(
        self, loop: Loop, embedder: Embedding, stored: Callable[[Sequence[str]], Mapping[str, Carried]]
    ) -> None:
        self._loop = loop
        self._embedder = embedder
        self._stored = stored
        self._worker = Worker("vectors", loop)
        self._recent: OrderedDict[str, Embedded] = OrderedDict()
        self._asked: dict[str, tuple[Decoded, list[Then]]] = {}  # the first of those with these bytes, and all
        self._unknown: list[tuple[Decoded, bool]] = []  # the index has to be asked
        self._new: FreshFirst[Decoded] = FreshFirst()  # for the network
        self._in_network = 0

    def recent(self, digest: str) -> Embedded | None:
        """What is known of bytes that got their vector a short while ago. Safe in any thread."""
        return self._recent.get(digest)

    def ask(self, decoded: Decoded, then: Then, *, fresh: bool) -> None:
        """Get the vector of a picture."""
        digest = decoded.sha256
        known = self._recent.get(digest)
        if known is not None:
            self._recent.move_to_end(digest)
            then(known.vector, True)
        elif digest in self._asked:
            self._asked[digest][1].append(then)
        else:
            self._asked[digest] = decoded, [then]
            self._unknown.append((decoded, fresh))
            self._look_up()

    def _look_up(self) -> None:
        if self._worker.busy or not self._unknown:
            return
        batch, self._unknown = self._unknown, []
        digests = [decoded.sha256 for decoded, _ in batch]
        self._worker.submit(partial(self._stored, digests), partial(self._looked_up, batch))

    def _looked_up(self, batch: Sequence[tuple[Decoded, bool]], found: Mapping[str, Carried]) -> None:
        for decoded, fresh in batch:
            stored = found.get(decoded.sha256)
            if stored is not None and stored.decoder >= decoded.since:  # an older decoder saw another picture in it
                self._share(decoded.sha256, stored.vector, carried=True)
            else:
                self._new.put(decoded, fresh=fresh)
        self._feed()
        self._look_up()

    def _feed(self) -> None:
        while self._new and self._in_network < self._embedder.capacity:
            decoded = self._new.take()
            try:
                future = self._embedder.submit(decoded.pixels)
            except Exception as error:
                self._tell(decoded.sha256, _failed(error), carried=False)
                continue
            self._in_network += 1
            future.add_done_callback(partial(self._post, decoded.sha256))

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
        except Exception as error:  # whatever a runtime raises: it fails this picture, and the others go on
            self._tell(digest, _failed(error), carried=False)
        else:
            self._share(digest, vector, carried=False)

    def _share(self, digest: str, vector: Vector, *, carried: bool) -> None:
        first, _ = self._asked[digest]
        self._recent[digest] = Embedded(first.format, first.width, first.height, vector)
        if len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)
        self._tell(digest, vector, carried=carried)

    def _tell(self, digest: str, outcome: Vector | ImageError | None, *, carried: bool) -> None:
        for number, then in enumerate(self._asked.pop(digest)[1]):
            then(outcome, carried or number > 0)


def _failed(error: Exception) -> ImageError:
    return ImageError(Reason.INFERENCE, f"{type(error).__name__}: {error}"[:_LONGEST_DETAIL])
