"""One thing that the index will not take keeps no other out: a request that fails is split until it is found.

A refusal (400, 413 ...) is the request's fault by its nature. An error inside the index (5xx) may be anybody's: where
the same request keeps failing while the index takes another (`probe`), something in it is the cause, and it is treated
as a refusal; where the index takes none, it is away and waited for.
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
"""What a request is refused with for something that is in it."""

FIRST_TRIES = 4
"""Tries of a whole request that the index fails at, some seconds in all, until the request itself is suspected."""


@dataclass(frozen=True)
class Isolated(Generic[T]):
    """What the index took, and what it did not take although it stood alone in its request, with the reason."""

    done: Sequence[T]
    refused: Sequence[tuple[T, RecqError]]


class Isolation:
    """Sends requests about several things, again while the index is away.

    `probe` asks the index for something harmless alike.

    It raises IndexUnreachable where the index takes nothing.
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
        """Send these together; why the index does not take them, None when it did."""
        try:
            self._retrier.unless_at_fault(self._probe, tries, send, things)
        except AT_FAULT as error:
            return error
        return None


def declare_each(catalog: Catalog, isolation: Isolation, types: FieldTypes) -> None:
    """Create the payload indexes of fields. One that is refused costs the others nothing, and no start.

    What is wrong with it is found again, and listed, with the first item that has it.
    """
    isolation.each(lambda names: catalog.fields.declare({name: types[name] for name in names}), list(types))
