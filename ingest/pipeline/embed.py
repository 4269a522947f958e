"""Embed: each decoded picture gets its vector: one made a moment ago, the one in the index, or the network's.

Files with the same bytes share one vector; files that follow soon are not even decoded (`recent`). Pictures wait here
until the network has a place, and a new drop is taken before the backlog. A question to the index costs as much for one
digest as for thirty, so the backlog's are gathered while the network has enough to do, and a few of them while it has
something to do on each core. For the loop's thread; the index is asked in a worker.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ingest.loop import Loop, Worker
from ingest.pipeline.fresh_first import FreshFirst
from ingest.pipeline.vectors import Embedded, Vector
from ingest.pipeline.verdict import Verdict
from recq.errors import ImageError, Reason
from recq.images.workers import Decoded, Hashed
from recq.index.ledger import Carried
from recq.models.embedder import Pass

_REMEMBERED = 1024  # vectors kept for files with the same bytes that come soon after (5 MB, 10 with the means)

_TOGETHER = 10  # pictures of which the index is asked together while no core waits for one of them

_REPEATS = 100  # files without a copy among them, after which none is expected

_LONGEST_DETAIL = 500  # characters: runtimes answer with pages

Pixels = npt.NDArray[np.uint8]


class Embedding(Protocol):
    """What is asked of `recq.models.Embedder`."""

    @property
    def capacity(self) -> int:
        """Pictures that it works on or keeps at hand."""

    def submit_pass(self, pixels: Pixels) -> Future[Pass]:
        """What the network gives of these pixels, as a future; blocks while `capacity` pictures are under way."""


class Next(Protocol):
    """The stage after this one."""

    def embedded(self, verdict: Verdict, read: Hashed, embedded: Embedded, *, carried: bool) -> None:
        """The file that was read has this vector; `carried`: it was not computed for this file."""

    def failed(self, verdict: Verdict, error: ImageError) -> None:
        """The file has no vector."""

    def dropped(self, verdict: Verdict) -> None:
        """The daemon stops, so the file got no vector."""


class Embed:
    """Hands what has a vector to `write`.

    `stored(digests)` gives the vectors that the index has for those SHA-256, and which decoder they are of; none of
    bytes whose picture has to be read for what is predicted of it. `more()`: all that the network gives is wanted, not
    the vector alone.
    """

    def __init__(
        self,
        loop: Loop,
        embedder: Embedding,
        stored: Callable[[Sequence[str]], Mapping[str, Carried]],
        write: Next,
        more: Callable[[], bool] = lambda: False,
    ) -> None:
        self._loop = loop
        self._embedder = embedder
        self._stored = stored
        self._write = write
        self._more = more
        self._worker = Worker("vectors", loop)
        self._recent: OrderedDict[str, Embedded] = OrderedDict()
        self._asked: dict[str, list[tuple[Verdict, Decoded]]] = {}  # all that have the same bytes
        self._unknown: list[tuple[Decoded, bool]] = []  # the index has to be asked
        self._fresh = False  # about a new drop among them
        self._new: FreshFirst[Decoded] = FreshFirst()  # for the network
        self._in_network = 0
        self._since_copy = _REPEATS  # files

    @property
    def expects_copies(self) -> bool:
        """Whether the bytes of a file were those of another a short while ago. Then it is worth to ask about each
        before it is decoded, which takes a message either way."""
        return self._since_copy < _REPEATS

    @property
    def starving(self) -> bool:
        """Whether the network has been given less than it can work on at once."""
        return 2 * (self._in_network + len(self._new)) < self._embedder.capacity

    def recent(self, digest: str) -> Embedded | None:
        """The vector and format of bytes that were embedded a short while ago. Safe in any thread."""
        found = self._recent.get(digest)
        return None if found is not None and found.read is None and self._more() else found

    def decoded(self, verdict: Verdict, decoded: Decoded) -> None:
        """Get the vector of a picture."""
        digest = decoded.sha256
        known = self.recent(digest)
        self._since_copy = 0 if known is not None or digest in self._asked else self._since_copy + 1
        if known is not None:
            self._recent.move_to_end(digest)
            self._write.embedded(verdict, decoded, known, carried=True)
        elif digest in self._asked:
            self._asked[digest].append((verdict, decoded))
        else:
            self._asked[digest] = [(verdict, decoded)]
            self._unknown.append((decoded, verdict.entry.fresh))
            self._fresh = self._fresh or verdict.entry.fresh
            self._look_up()

    def known(self, verdict: Verdict, read: Hashed, embedded: Embedded) -> None:
        """Take a file that was not decoded, since its bytes were `recent` when they were read."""
        self._since_copy = 0
        self._write.embedded(verdict, read, embedded, carried=True)

    def _look_up(self) -> None:
        """Ask the index about all that is not known of it yet, unless that can wait for company."""
        if self._worker.busy or not self._unknown:
            return
        enough = len(self._new) >= max(1, self._embedder.capacity // 2)  # waiting, besides what the network has taken
        busy = self._in_network >= max(2, self._embedder.capacity // 4) and len(self._unknown) < _TOGETHER
        if (enough or busy) and not self._fresh:
            return
        batch, self._unknown, self._fresh = self._unknown, [], False
        digests = [decoded.sha256 for decoded, _ in batch]
        self._worker.submit(partial(self._stored, digests), partial(self._looked_up, batch))

    def _looked_up(self, batch: Sequence[tuple[Decoded, bool]], found: Mapping[str, Carried]) -> None:
        for decoded, fresh in batch:
            stored = found.get(decoded.sha256)
            if stored is not None and stored.decoder >= decoded.since:  # an older decoder saw another picture in it
                self._share(decoded.sha256, stored.vector, None, carried=True)
            else:
                self._new.put(decoded, fresh=fresh)
        self._feed()

    def _feed(self) -> None:
        while self._new and self._in_network < self._embedder.capacity:
            decoded = self._new.take()
            try:
                future = self._embedder.submit_pass(decoded.pixels)
            except Exception as error:
                self._tell(decoded.sha256, _failed(error), carried=False)
                continue
            self._in_network += 1
            future.add_done_callback(partial(self._post, decoded.sha256))
        self._look_up()

    def _post(self, digest: str, future: Future[Pass]) -> None:
        self._loop.post(partial(self._embedded, digest, future))

    def _embedded(self, digest: str, future: Future[Pass]) -> None:
        self._in_network -= 1
        self._feed()
        try:
            found = future.result()
        except CancelledError:
            self._tell(digest, None, carried=False)
        except ImageError as error:
            self._tell(digest, error, carried=False)
        except Exception as error:  # whatever a runtime raises: it fails this picture, and the others go on
            self._tell(digest, _failed(error), carried=False)
        else:
            self._share(digest, found.vector, found if self._more() else None, carried=False)

    def _share(self, digest: str, vector: Vector, read: Pass | None, *, carried: bool) -> None:
        _, first = self._asked[digest][0]
        embedded = Embedded(first.format, first.width, first.height, vector, read)
        self._recent[digest] = embedded
        if len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)
        self._tell(digest, embedded, carried=carried)

    def _tell(self, digest: str, outcome: Embedded | ImageError | None, *, carried: bool) -> None:
        for number, (verdict, decoded) in enumerate(self._asked.pop(digest)):
            if outcome is None:
                self._write.dropped(verdict)
            elif isinstance(outcome, ImageError):
                self._write.failed(verdict, outcome)
            else:
                self._write.embedded(verdict, decoded, outcome, carried=carried or number > 0)


def _failed(error: Exception) -> ImageError:
    return ImageError(Reason.INFERENCE, f"{type(error).__name__}: {error}"[:_LONGEST_DETAIL])
