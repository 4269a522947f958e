"""Which paths a walk has met, in memory of one size, however many they are."""

from __future__ import annotations

import os

_BITS = 1 << 23  # a megabyte: of a million paths one in eight that was not met seems to be


class Walked:
    """A path that was met is always known; another one may be taken for one that was, which one differs each time."""

    def __init__(self) -> None:
        self._salt = os.urandom(8)
        self._bits = bytearray(_BITS // 8)

    def __contains__(self, path: str) -> bool:
        byte, bit = self._place(path)
        return bool(self._bits[byte] & bit)

    def add(self, path: str) -> None:
        """Note a path that was met."""
        byte, bit = self._place(path)
        self._bits[byte] |= bit

    def _place(self, path: str) -> tuple[int, int]:
        place = hash((self._salt, path)) % _BITS
        return place // 8, 1 << place % 8
