"""What is closed at the end of a `with` block, whatever ends it."""

from __future__ import annotations

from typing import Self


class ClosedAtEnd:
    """A context manager whose end is its `close`."""

    def close(self) -> None:
        """Release what is held; harmless when that has been done."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
