"""Memory for the pixels of one picture after another, used again when no array refers to it any more.

The daemon's allocator gives blocks of this size back to the system at once, so that its memory stays flat
(`ingest.service.allocator`). New memory has to be mapped and cleared, 0.1 ms for 200 KB.
"""

from __future__ import annotations

import sys
import threading

import numpy as np
import numpy.typing as npt

MOST = 64
"""Blocks that are kept: a daemon has some fifty pictures under way, 13 MB of 260 px."""

Block = npt.NDArray[np.uint8]


class Buffers:
    """Hands out blocks of bytes. Thread-safe."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._blocks: list[Block] = []

    def take(self, length: int) -> Block:
        """A block of `length` bytes with any content, uint8 (length,), that only the caller has.

        It is used again once it and all arrays and memoryviews of it are gone: every view of a view refers to the array
        that owns the memory. Only blocks of one length are kept: a block of another length replaces them.
        """
        with self._lock:
            if self._blocks and len(self._blocks[0]) != length:
                self._blocks.clear()
            for block in self._blocks:
                if sys.getrefcount(block) == _UNUSED:
                    return block[:]
            block = np.empty(length, np.uint8)
            if len(self._blocks) < self._most:
                self._blocks.append(block)
            return block[:]


def _references_of_an_unused_block() -> int:
    """How many references the loop in `take` sees to a block of which there is no view."""
    for block in [np.empty(0, np.uint8)]:
        return sys.getrefcount(block)
    raise AssertionError("unreachable")


_UNUSED = _references_of_an_unused_block()
