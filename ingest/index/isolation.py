"""Splits a request that the index refuses until the refused thing is found, so that all others are taken.

A refusal (400, 413 ...) is the fault of the request. An error inside the index (5xx) may have any cause: where the same
request keeps failing while the index takes another one (`probe`), the request is the cause, and this counts as a
refusal. Where the index takes neither, it is away and is waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ingest.index.retrying import Retrier
from recq.errors import ImageError, IndexFailing, RecqError, RequestRefused
from recq.index.catalog import Catalog
from recq.index.schema import FieldTypes

T = TypeVar("T")

AT_FAULT = (ImageError, RequestRefused, IndexFailing)
"""The errors with which a request is refused for something that it contains."""

FIRST_TRIES = 4
"""Tries of a whole request that the index fails at, some seconds in all, until the request itself is suspected."""


@dataclass(frozen=True)
class Isolated(Generic[T]):
    """What the index took, and what it refused even alone in its request, with the reason."""

    done: Sequence[T]
    refused: Sequence[tuple[T, RecqError]]


class Isolation:
    """Sends requests about several things, and repeats them while the index is away.

    `probe` sends a similar, harmless request; it raises IndexUnreachable where the index takes nothing.
    """

    def __init__(self, retrier: Retrier, probe: Callable[[], object]) -> None:
        self._retrier = retrier
        self._probe = probe

    def each(self, send: Callable[[Sequence[T]], object], things: Sequence[T], tries: int = FIRST_TRIES) -> Isolated[T]:
        """Send all in one request; where it fails, each half by itself, down to single things."""
        if not things:
            return Isolated([], [])
        error = self.refusal(send, things, tries)
        if error is None:
            return Isolated(things, [])
        if len(things) == 1:
            return Isolated([], [(things[0], error)])
        middle = len(things) // 2
        halves = [self.each(send, half, tries=1) for half in (things[:middle], things[middle:])]
        return Isolated(
            [thing for half in halves for thing in half.done], [pair for half in halves for pair in half.refused]
        )

    def refusal(self, send: Callable[[Sequence[T]], object], things: Sequence[T], tries: int = 1) -> RecqError | None:
        """Send these together; the error with which the index refuses them, None where it takes them."""
        try:
            self._retrier.unless_at_fault(self._probe, tries, send, things)
        except AT_FAULT as error:
            return error
        return None


def declare_each(catalog: Catalog, isolation: Isolation, types: FieldTypes) -> None:
    """Create the payload indexes of fields. A refused one stops neither the others nor the start.

    The refusal is found again, and listed, with the first item that has the field.
    """
    isolation.each(lambda names: catalog.fields.declare({name: types[name] for name in names}), list(types))
