"""What a run has done so far, and which sources it could not read or judge whole, counted from its events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ingest.report import Reports
from recq.paths import printable

_DOUBTFUL = frozenset({"held", "unreadable"})  # events after which a source may have more than was seen


@dataclass(frozen=True)
class Counts:
    """What one run has done so far."""

    indexed: int = 0
    reused: int = 0
    failed: int = 0
    deleted: int = 0
    metadata: int = 0
    refused: int = 0

    @property
    def items(self) -> int:
        """Items that were settled."""
        return self.indexed + self.reused + self.failed + self.refused


class Tally:
    """Passes events on to the reporter, and counts them. For the loop's thread."""

    def __init__(self, reporter: Reports) -> None:
        self._reporter = reporter
        self._done = Counter[tuple[str, str]]()  # by source and event
        self.doubts: dict[str, str] = {}
        """What could not be read of a source, or was held back in it: the first such, by the source's name."""

    @property
    def counts(self) -> Counts:
        """What has been done so far."""
        done = Counter[str]()
        for (_, event), count in self._done.items():
            done[event] += count
        return Counts(**done)

    def of(self, source: str) -> Counts:
        """What has been done so far of one source. From any thread."""
        return Counts(**{name: self._done[source, name] for name in Counts.__dataclass_fields__})

    def report(self, event: str, /, **fields: object) -> None:
        """Report an event, and count it."""
        self._reporter.event(event, **fields)
        if event in _DOUBTFUL and fields.get("what") != "metadata":  # that is kept, in the new collection as well
            self.doubts.setdefault(str(fields["source"]), _doubt(event, fields))
        if event in Counts.__dataclass_fields__:
            self._done[str(fields["source"]), event] += 1


def _doubt(event: str, fields: Mapping[str, object]) -> str:
    """The reason for a doubt, from such an event."""
    if event == "held":
        return f"{fields['items']} of its items have gone at once"
    return printable(f"{fields['path']}: {fields['detail']}")
