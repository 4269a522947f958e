"""Fields whose payload indexes are still to be made, and the index that comes next. Pure.

An engine takes 0.02 to 0.3 s for each new payload index, and more the more there are (it flushes all of them each
time). Hundreds of new columns would delay the first picture by minutes. So where that many come together, their
types are recorded in the collection's metadata, the pictures are written, and the indexes are made afterwards, one by
one (`ingest.index.missing_indexes`): first those that answer `=`, the ranges and the facets, then those that answer
`~`.

The record is one metadata key a field, since the engines merge metadata key by key: two daemons cannot undo each other.
It is written before the first point that carries the field, and removed after its last index was made. What is missing
is what the records ask for, less what the payload schema has: so every step can be repeated, by anybody, at any time.
An index that is there decides its field's type, whatever a record says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from recq.commands import command
from recq.errors import FilterError, IndexPending, RecqError
from recq.index.grammar import AnyOf, Condition
from recq.index.operators import Asks
from recq.index.schema import FieldType, FieldTypes, field_name, payload_key, searched_field, shadow_key

PENDING_PREFIX = "field:"
"""Collection-metadata keys of the fields that wait, each with the field's type: one key a field."""

REFUSED_PREFIX = "unindexed:"
"""Collection-metadata keys of indexes that the engine would not make, each with its reason: one key an index, followed
by the payload key that it would stand on."""

PACE_KEY = "index_seconds"
"""Collection-metadata key of how long an index took lately, in seconds: others tell from it how long to wait."""

AT_ONCE = 24
"""New fields that get their indexes before the first point that carries them: some twenty columns and a `category`."""

LATELY = 60.0
"""Seconds in which no more than `AT_ONCE` fields are made so: sidecars bring their fields a few at a time."""

_FIRST_PACE = 0.1
"""Seconds for an index, where none was measured yet."""


@dataclass(frozen=True)
class Missing:
    """One payload index that is still to be made: the one of a field's values, or the one of its `words` (`~`)."""

    field: str
    type: FieldType
    words: bool = False

    @property
    def key(self) -> str:
        """The payload key that it is made on."""
        return shadow_key(self.field) if self.words else payload_key(self.field)


@dataclass(frozen=True)
class Waiting:
    """What a collection still has to make. `types` are the recorded fields, those included whose indexes are all there;
    `indexes` in the order in which they are made; `pace` is seconds an index.

    `refused` are those of them that the engine would not make when it was asked last, with its reason: nobody waits for
    these; each daemon tries them once. `noted` are the payload keys that have a record of a refusal.
    """

    types: FieldTypes = field(default_factory=dict)
    indexes: tuple[Missing, ...] = ()
    pace: float = _FIRST_PACE
    refused: Mapping[Missing, str] = field(default_factory=dict)
    noted: frozenset[str] = frozenset()

    @property
    def left(self) -> int:
        """How many indexes are still to be made, as far as is known."""
        return len(self.indexes) - len(self.refused)

    @property
    def seconds(self) -> float:
        """About how long all of them take."""
        return self.pace * self.left

    def without(self, made: Missing) -> Waiting:
        """The same after one more index was made."""
        refused = {each: why for each, why in self.refused.items() if each != made}
        return replace(self, indexes=tuple(each for each in self.indexes if each != made), refused=refused)

    @property
    def settled(self) -> list[str]:
        """The payload keys with an outdated record of a refusal: the index was made since."""
        return sorted(self.noted - {each.key for each in self.refused})

    @property
    def complete(self) -> list[str]:
        """The recorded fields that miss nothing any more."""
        missing = {each.field for each in self.indexes}
        return [name for name in self.types if name not in missing]

    def next(self, skip: Collection[Missing] = ()) -> Missing | None:
        """The index to make next, but for those of `skip`."""
        return next((each for each in self.indexes if each not in skip), None)

    def lacks(self, uses: Iterable[tuple[str, bool]]) -> Missing | None:
        """The first index that is missing of those that `uses` (field, words) need."""
        missing = {(each.field, each.words): each for each in self.indexes}
        return next((missing[use] for use in uses if use in missing), None)

    def refusal(self, lacked: Missing) -> RecqError:
        """The error for a question that needs a missing index."""
        what = f"the index for '{lacked.field}~'" if lacked.words else f"the index of field {lacked.field!r}"
        if lacked in self.refused:
            return FilterError(f"{what} could not be made, so it cannot be used in a question: {self.refused[lacked]}")
        return IndexPending(
            f"{what} is being made, {self.left:,} wait: try again in about {max(1, round(self.seconds)):,} s "
            f"({command('recq-ingest', 'run')} makes them)"
        )


def made_at_once(new: int, waiting: int, lately: int) -> bool:
    """Whether `new` fields get their indexes before their first point, rather than after: only few, and none while
    others wait. `lately` is how many were made so in the last `LATELY` seconds."""
    return not waiting and lately + new <= AT_ONCE


def record(types: FieldTypes) -> dict[str, str]:
    """The metadata that records waiting fields."""
    return {PENDING_PREFIX + name: str(field_type) for name, field_type in types.items()}


def refusal_record(missing: Missing, why: str) -> dict[str, dict[str, str]]:
    """The metadata that records why an index is missing."""
    return {REFUSED_PREFIX + missing.key: {"detail": why}}


def waiting_in(metadata: Mapping[str, Any], indexed: FieldTypes, keys: Collection[str]) -> Waiting:
    """What waits, from a collection's metadata, the types of the fields that have an index, and all indexed keys.

    Engines write keys their own way (without the quotes around `größe`): names are compared. A record of a type that
    only a newer recq knows is left to that. `category` is first, since most filters name it.
    """
    known = set(FieldType)
    types = {
        name: indexed.get(name, FieldType(recorded))
        for key, recorded in metadata.items()
        if key.startswith(PENDING_PREFIX) and recorded in known and (name := key.removeprefix(PENDING_PREFIX))
    }
    names = sorted(types, key=lambda name: (name != "category", name))
    made = {(searched, True) if (searched := searched_field(key)) else (field_name(key), False) for key in keys}
    wanted = [Missing(name, types[name]) for name in names]
    wanted += [Missing(name, types[name], words=True) for name in names if types[name] is FieldType.STRING]
    missing = tuple(each for each in wanted if (each.field, each.words) not in made)
    noted = {
        key.removeprefix(REFUSED_PREFIX): str(told.get("detail", ""))
        for key, told in metadata.items()
        if key.startswith(REFUSED_PREFIX) and isinstance(told, Mapping)
    }
    pace = metadata.get(PACE_KEY)
    return Waiting(
        types,
        missing,
        float(pace) if isinstance(pace, int | float) and pace > 0 else _FIRST_PACE,
        {each: noted[each.key] for each in missing if each.key in noted},
        frozenset(noted),
    )


def fields_of(conditions: Iterable[Condition | AnyOf]) -> list[str]:
    """The fields that conditions name."""
    return [each.field for each in _flat(conditions)]


def uses_of(conditions: Iterable[Condition | AnyOf]) -> list[tuple[str, bool]]:
    """The (field, words) whose index conditions need: all but those that ask whether there is a value."""
    flat = _flat(conditions)
    return [(each.field, each.op.asks is Asks.WORDS) for each in flat if each.op.asks is not Asks.NO_VALUE]


def _flat(conditions: Iterable[Condition | AnyOf]) -> list[Condition]:
    return [each for one in conditions for each in (one.alternatives if isinstance(one, AnyOf) else (one,))]
