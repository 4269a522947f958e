"""Narrow indexes stand in for keyword indexes with `on_disk: true`, since Edge's index takes too much memory. Pure.

Edge 0.9 keeps every keyword index of a growing shard in anonymous memory, whatever its parameters: some 400 bytes a
point for a field whose values are all different. So such a field gets no index of its own. Each write stores a hash of
each value in the payload, under a key that no client sees, and Edge indexes those numbers: 50 bytes a value.

    {"file": {"path": "a.jpg"}, "_narrow": [123456789]}

A condition on the field becomes one on the number *and* the condition itself: two values with one number stay distinct.
Numbers stay below 2**53, because Edge's index of integers finds ranges, which are pairs of floats; it could find equal
numbers too, for twice the memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import qdrant_edge as edge
from qdrant_client.http import models as rest

from recq.index.edge.problem import unsupported, wrong_input

KEY = "_narrow"
"""The payload's key of the numbers: a list, one number for each value of each narrow field."""

MAX_FIELDS = 256
MAX_VALUES = 1_000
"""The most values of a condition that are looked up in the index: 0.1 ms each; reading rows takes 2 ms a thousand."""

_HASH_BITS = 45  # with the field's 8 bits: 53, the integers that a float has
_PLAIN = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_ROOT = re.compile(r'"[^"]*"|[^.\[]*')

INDEX = edge.IntegerIndexParams(lookup=False, range=True)
"""The index on `KEY`: the cheapest that Edge has."""


def narrow_params(key: str, schema: rest.PayloadFieldSchema) -> dict[str, Any] | None:
    """The parameters of an index that is made narrow, None for any other.

    Keys with lists or quotes in their path are not: such an index takes its memory.
    """
    if not isinstance(schema, rest.KeywordIndexParams) or not schema.on_disk or not _PLAIN.fullmatch(key):
        return None
    said: dict[str, Any] = schema.model_dump(mode="json", exclude_none=True)
    return said


@dataclass(frozen=True)
class NarrowField:
    """One field: its place among the numbers, from 0 to `MAX_FIELDS` - 1, and the parameters of its index."""

    number: int
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def bounds(self) -> tuple[int, int]:
        """The smallest and the largest number that a value of the field can have."""
        return self.number << _HASH_BITS, ((self.number + 1) << _HASH_BITS) - 1

    def number_of(self, value: str) -> int:
        """The number of one value."""
        digest = blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return self.bounds[0] + (int.from_bytes(digest, "big") >> (64 - _HASH_BITS))

    @property
    def anything(self) -> edge.FieldCondition:
        """That a point has any value in the field."""
        return _between(*self.bounds)


@dataclass(frozen=True)
class NarrowFields:
    """The narrow fields of one collection, by key. `unfinished`: some points have no numbers yet for these."""

    fields: Mapping[str, NarrowField] = field(default_factory=dict)
    unfinished: frozenset[str] = frozenset()

    def with_field(self, key: str, params: Mapping[str, Any]) -> NarrowFields:
        """One more field, unfinished; one that there is keeps its number. Problem 400 when there are too many."""
        taken = {one.number for name, one in self.fields.items() if name != key}
        if len(taken) == MAX_FIELDS:
            raise wrong_input(f"more than {MAX_FIELDS} keyword indexes with on_disk")
        known = self.fields.get(key)
        number = min(set(range(MAX_FIELDS)) - taken) if known is None else known.number
        fields = {**self.fields, key: NarrowField(number, params)}
        return NarrowFields(fields, self.unfinished | {key})

    def without(self, key: str) -> NarrowFields:
        """The same without the field."""
        fields = {name: one for name, one in self.fields.items() if name != key}
        return NarrowFields(fields, self.unfinished - {key})

    def finished(self, key: str) -> NarrowFields:
        """Every point has its numbers for `key` now."""
        return NarrowFields(self.fields, self.unfinished - {key})

    def numbers(self, payload: Mapping[str, Any], below: str | None = None) -> list[int]:
        """The numbers of the values in `payload`, which is at the path `below` if one is given; each once."""
        found: set[int] = set()
        below = below and below.replace('"', "")
        for key, one in self.fields.items():
            path = key if below is None else key.removeprefix(f"{below}.")
            if below is None or path != key:
                found.update(one.number_of(value) for value in values_at(payload, path))
        return sorted(found)

    def completed(self, payload: Mapping[str, Any] | None) -> dict[str, Any]:
        """A whole payload as it is stored. Raises Problem 501 where it has `KEY` itself."""
        given = dict(payload or {})
        refuse_key(given)
        numbers = self.numbers(given) if self.fields else []
        return {**given, KEY: numbers} if numbers else given

    def touched_by(self, keys: Sequence[str]) -> bool:
        """Whether a change of the payload at those paths may change a value of a narrow field."""
        roots = {root_of(key) for key in keys}
        return any(root_of(key) in roots for key in self.fields)

    def condition(self, key: str, match: rest.Match | None) -> Any:
        """What has to hold besides `match`, found by the index; None where the index does not help."""
        one = self.fields.get(key)
        if one is None or key in self.unfinished:
            return None
        if isinstance(match, rest.MatchValue) and isinstance(match.value, str):
            number = one.number_of(match.value)
            return _between(number, number)
        if isinstance(match, rest.MatchExcept) and all(isinstance(value, str) for value in match.except_):
            return one.anything  # as from an index of keywords: values that are no strings do not count
        if isinstance(match, rest.MatchAny) and 0 < len(match.any) <= MAX_VALUES:
            numbers = sorted({one.number_of(value) for value in match.any if isinstance(value, str)})
            if numbers:
                return edge.Filter(should=[_between(number, number) for number in numbers])
        return None

    def finished_fields(self) -> dict[str, NarrowField]:
        """The fields of which every point has its numbers."""
        return {key: one for key, one in self.fields.items() if key not in self.unfinished}

    def to_json(self) -> dict[str, Any]:
        """The finished fields, for the manifest."""
        return {key: {"number": one.number, "params": dict(one.params)} for key, one in self.finished_fields().items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> NarrowFields:
        """What `to_json` gave. Raises KeyError or TypeError for anything else."""
        return cls({key: NarrowField(one["number"], one["params"]) for key, one in data.items()})


def refuse_key(keys: Mapping[str, Any] | Sequence[str]) -> None:
    """Raise Problem 501 where a write names `KEY`: clients cannot write the hidden key."""
    if any(root_of(key) == KEY for key in keys):
        raise unsupported(f"the payload key `{KEY}`, which is reserved,")


def root_of(key: str) -> str:
    """The first part of a payload key: the name of a top-level field."""
    found = _ROOT.match(key)
    return found.group().strip('"') if found else key


def _between(low: int, high: int) -> edge.FieldCondition:
    return edge.FieldCondition(KEY, range=edge.RangeFloat(gte=low, lte=high))


def values_at(payload: Any, path: str) -> Iterator[str]:
    """The strings at a dotted path: the value there, or the elements of the list."""
    for part in path.split("."):
        if not isinstance(payload, Mapping) or part not in payload:
            return
        payload = payload[part]
    for one in payload if isinstance(payload, list) else [payload]:
        if isinstance(one, str):
            yield one
