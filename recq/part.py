"""The part of its sources that a daemon sees to, where several daemons share them: the setting `partition`.

An item is in one part by its point's id, which is a hash of source and path (`recq.paths.item_id`). The ids of a part
are a range: an engine scrolls in the order of ids, so a daemon reads its part of the index and nothing else, and a
change of the number of parts writes nothing anew.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

MOST = 1_000
"""Parts of a source."""

_BITS = 32  # of an id that decide: the first ones, which uuid5 leaves as the hash has them


@dataclass(frozen=True, order=True)
class Part:
    """Part `number` of `of` parts, counted from 1; `WHOLE` is all of a source."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """The part that is written as 2/5. Raises ValueError."""
        found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text.strip(), re.ASCII)
        number, of = (int(each) for each in found.groups()) if found else (0, 0)
        if not (1 <= number <= of and 2 <= of <= MOST):
            raise ValueError(f"write NUMBER/PARTS, such as 2/5 for the second of five daemons, of 2 to {MOST:,} parts")
        return cls(number, of)

    @property
    def is_whole(self) -> bool:
        """Whether it is all of a source."""
        return self.of == 1

    def has(self, item_id: str) -> bool:
        """Whether the item of that id is in this part."""
        return self.is_whole or int(item_id[:8], 16) * self.of >> _BITS == self.number - 1

    @property
    def first(self) -> str | None:
        """The id at which its range begins; None: at the first one."""
        return None if self.number == 1 else self._bound(self.number - 1)

    @property
    def end(self) -> str | None:
        """The id before which its range ends; None: it ends with the last one."""
        return None if self.number == self.of else self._bound(self.number)

    def _bound(self, parts: int) -> str:
        return f"{-(-(parts << _BITS) // self.of):08x}-0000-0000-0000-000000000000"

    def key(self, source: str) -> str:
        """The name of a source under which what concerns this part alone is recorded: no source's name has a slash."""
        return source if self.is_whole else f"{source}/{self}"

    def __str__(self) -> str:
        """As it is written: 2/5."""
        return f"{self.number}/{self.of}"


WHOLE = Part()
"""All of a source, as a daemon works on it that shares it with none."""
