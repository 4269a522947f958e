"""Tags that people collected on the page and that no patch has yet. Kept with the catalog: no reload loses them.

The folder is the only source of metadata, so a tagging changes no item: it becomes rows of a patch
(`recq.page.collected`). It names items by their ids, as a review's decision does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self

PREFIX = "tagging:"
"""Collection-metadata keys of taggings (`recq.index.dated_records`)."""


class How(StrEnum):
    """What a tagging does to the values that an item has in its field."""

    IS = "is"  # these and no others
    ALSO = "also"  # these as well
    NOT = "not"  # these no more; without any: none
    RIGHT = "right"  # as they are: somebody has looked


@dataclass(frozen=True)
class Tagging:
    """The `items` (ids) get, keep or lose `values`, as text, in `field`, as `how` says. `at` is ISO 8601 UTC."""

    field: str
    how: How
    values: tuple[str, ...]
    items: tuple[str, ...]
    at: str

    @property
    def key(self) -> str:
        """Which one it is, in short: that of any number of its items."""
        text = json.dumps([self.at, self.field, self.how, self.values])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def without(self, items: Collection[str]) -> Self:
        """The same of its other items."""
        return replace(self, items=tuple(each for each in self.items if each not in items))

    def to_json(self) -> dict[str, Any]:
        """The value stored with the collection."""
        return {
            "field": self.field,
            "how": self.how.value,
            "values": list(self.values),
            "items": list(self.items),
            "at": self.at,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The value that `to_json` wrote."""
        return cls(data["field"], How(data["how"]), tuple(data["values"]), tuple(data["items"]), str(data["at"]))


def revised(values: Sequence[str], taggings: Sequence[Tagging]) -> tuple[str, ...]:
    """The values of an item that these taggings are about, one after the other. Again the same from what comes out."""
    found = tuple(values)
    for each in taggings:
        if each.how is How.IS:
            found = each.values
        elif each.how is How.ALSO:
            found = tuple(dict.fromkeys((*found, *each.values)))
        elif each.how is How.NOT:
            found = tuple(value for value in found if each.values and value not in each.values)
    return found
