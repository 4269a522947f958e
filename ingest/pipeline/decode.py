"""Decode: a process reads each file once and returns its digest, and its pixels where they are needed.

Pixels are not needed where the index has the same bytes for this file, or where the same bytes have just been embedded
for another file; the latter is looked for before decoding as long as there are such files (`Embed.expects_copies`). A
file that was read goes to `embed`, one that could not be read to `write`, and one that changed while it was read goes
back into the queue. For the loop's thread.
"""

from __future__ import annotations

from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from functools import partial

from ingest.context import Context
from ingest.events.queue import Queue
from ingest.pipeline.decode_queue import DecodeQueue
from ingest.pipeline.embed import Embed
from ingest.pipeline.places import Places
from ingest.pipeline.vectors import Embedded
from ingest.pipeline.verdict import Fate, Verdict
from ingest.pipeline.write import Write
from recq.errors import ImageError, Reason
from recq.images.workers import Decoded, DecodePool, FileChanged, Hashed
from recq.space import InputSpec


@dataclass(eq=False)
class _Reading:
    """A file that is being read, and what its digest showed before it was decoded: written by a thread of the pool."""

    verdict: Verdict
    hashed: bool = False
    same: bool = False  # its bytes are those that the index has of it
    embedded: Embedded | None = None  # its bytes had been embedded for another file


class Decode:
    """Takes files to be embedded, and files to be compared, which are embedded only where their bytes have changed."""

    def __init__(
        self,
        context: Context,
        queue: Queue,
        places: Places,
        pool: DecodePool,
        spec: InputSpec,
        embed: Embed,
        write: Write,
    ) -> None:
        self._sources = context.sources
        self._settle = context.settings.settle
        self._queue = queue
        self._places = places
        self._files = DecodeQueue(context.loop, pool, spec)
        self._embed = embed
        self._write = write

    def add(self, source: str) -> None:
        """Decode files of this source, too."""
        self._files.add(source)

    def next_deadline(self) -> float:
        """When `tick` has something to do although nothing was posted."""
        return self._files.next_deadline()

    def tick(self, now: float) -> None:
        """Have processes enough for a backlog, and keep a disk that hangs from holding up other sources."""
        self._files.tick(now, len(self._queue.paths), starving=self._embed.starving)

    def examined(self, verdict: Verdict) -> None:
        """Read the file of a verdict."""
        key = verdict.entry.key
        self._places.enter(key.source)
        reading = _Reading(verdict)
        path = f"{self._sources[key.source].root}/{key.path}"
        asked = verdict.fate is Fate.COMPARE or self._embed.expects_copies
        known = partial(self._is_known, reading) if asked else None
        self._files.submit(key.source, path, known, partial(self._read, reading), fresh=verdict.entry.fresh)

    def _is_known(self, reading: _Reading, digest: str) -> bool:
        """In a thread of the pool: whether these bytes need not be decoded."""
        reading.hashed = True
        known = reading.verdict.known
        if reading.verdict.fate is Fate.COMPARE and known is not None and digest == known.file.sha256:
            reading.same = True
            return True
        reading.embedded = self._embed.recent(digest)
        return reading.embedded is not None

    def _read(self, reading: _Reading, future: Future[Hashed]) -> None:
        verdict = reading.verdict
        try:
            read = future.result()
        except CancelledError:
            self._write.dropped(verdict)
        except ImageError as error:
            if verdict.fate is Fate.COMPARE and not reading.hashed:
                # Only its attributes changed, and it cannot be read now: the item stays as it was.
                self._places.leave(verdict.entry.key.source)
                self._queue.finish(verdict.entry.key)
            else:
                self._write.failed(verdict, error)
        except FileChanged:
            self._again(verdict, self._settle)
        except FileNotFoundError:
            self._again(verdict, 0.0)
        except Exception as error:  # a bug in recq or in a library fails this one picture only
            self._write.failed(verdict, ImageError(Reason.CRASHED, f"{type(error).__name__}: {error}"))
        else:
            if not _is_as_examined(verdict, read):
                self._again(verdict, self._settle)
            elif reading.same:
                self._write.same(verdict)
            elif isinstance(read, Decoded):
                self._embed.decoded(verdict, read)
            else:
                assert reading.embedded is not None
                self._embed.known(verdict, read, reading.embedded)

    def _again(self, verdict: Verdict, quiet: float) -> None:
        self._places.leave(verdict.entry.key.source)
        self._queue.again(verdict.entry, quiet)


def _is_as_examined(verdict: Verdict, read: Hashed) -> bool:
    """Whether the file that was read is in the state in which it was examined; only that state has a ctime."""
    state = verdict.state
    assert state is not None
    return state.ctime_ns is None or (read.size, read.mtime_ns) == (state.size, state.mtime_ns)
