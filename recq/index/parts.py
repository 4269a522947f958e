"""What is recorded of the parts of a source that several daemons share (`recq.part`): who has each, what it found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from recq.index.sources import Plugin, Watcher
from recq.part import Part

PART_PREFIX = "part:"
"""Collection-metadata keys of what is recorded of parts: one key for each part of each source."""


@dataclass(frozen=True)
class PartRecord:
    """What is recorded of a part of a source. `watcher` is the daemon that has it, and `since` when (ISO 8601).

    `items`, `ignored`, `held`, `held_metadata` and `plugins` are of its last comparison, at `reconciled_at`; `pending`
    paths waited or were under way when the watcher was recorded last.
    """

    source: str
    part: Part
    watcher: Watcher | None = None
    since: str = ""
    pending: int = 0
    items: int = 0
    ignored: int = 0
    held: int = 0
    held_metadata: int = 0
    reconciled_at: str | None = None
    plugins: Mapping[str, Plugin] = field(default_factory=dict)

    @property
    def metadata_key(self) -> str:
        """The key of the collection's metadata under which it is stored."""
        return PART_PREFIX + self.part.key(self.source)

    def to_json(self) -> dict[str, Any]:
        """The value stored under that key."""
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "watcher": asdict(self.watcher) if self.watcher is not None else None,
            "plugins": {name: [each.called, *each.fields] for name, each in self.plugins.items()},
        }

    @classmethod
    def from_json(cls, key: str, data: Mapping[str, Any]) -> Self | None:
        """The record that stands under a metadata key; None where it is no record of a part."""
        source, _, text = key.removeprefix(PART_PREFIX).partition("/")
        try:
            part, watcher = Part.parse(text), data.get("watcher")
        except ValueError:
            return None
        return cls(
            source,
            part,
            Watcher(watcher["host"], watcher["pid"], watcher["at"]) if watcher else None,
            plugins={name: Plugin(called, tuple(fields)) for name, (called, *fields) in data["plugins"].items()},
            **{name: data[name] for name in _PLAIN},
        )


_PLAIN = ("since", "pending", "items", "ignored", "held", "held_metadata", "reconciled_at")


def lacking(parts: Iterable[PartRecord]) -> list[Part]:
    """The parts of a source of which nothing is recorded, among as many as the records name."""
    known = {each.part for each in parts}
    return [part for of in sorted({each.of for each in known}) for part in parts_of(of) if part not in known]


def parts_of(of: int) -> list[Part]:
    """All parts where there are so many."""
    return [Part(number, of) for number in range(1, of + 1)]
