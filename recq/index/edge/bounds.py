"""Limits on the size of a request: each call of Edge holds the interpreter, so a long call blocks all other threads.

The number of conditions and the depth of nesting are limited. The ids or values of one condition are not: a lookup
takes some microseconds, and recq itself sends thousands. Conditions are counted before the request is validated,
because validation takes longer. `require_affordable` limits the conditions that no index answers: for each of them
Edge reads the payload of each point again, 2 to 4 microseconds (measured with 0.9.0). `require_readable` limits the
vectors of an answer, which Edge gives as lists of Python's floats: 100,000 of them took 4 GB.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic_core import from_json

from recq.index.edge.problem import Problem, bad_request

MAX_CONDITIONS = 1_000
"""Of one filter: 0.2 s at 20,000 points where indexes answer them."""

MAX_IN_REQUEST = 20_000
"""Of all filters of a batch: recq sends some hundred queries with a few conditions each in one batch."""

MAX_DEPTH = 32
"""Filters within filters and queries within queries; recq nests four."""

MAX_EVALUATIONS = 1_000_000
"""Points times conditions without an index, of one filter: 2 to 4 s."""

ALWAYS = 16
"""This many conditions without an index are always allowed: a filter typed by hand on a large collection."""

MAX_COMPARED = 1_000_000
"""Points of an answer times the candidates that each is compared with, where it is varied: 1 to 2 s at 1,280 numbers
(100 of 10,000: 2.0 s; 1,000 of 1,000: 0.8 s; 1,000 of 10,000: 92 s)."""

MAX_READ = 10_000_000
"""Numbers of all vectors that one answer has, or that one query starts from: each is a float of Python, and then text,
some 60 bytes together. 7,812 vectors of 1,280 numbers, 152 of the longest; recq itself asks for 100 of these."""

_LISTS = ("must", "should", "must_not")
_NO_FILTERS = frozenset({"payload", "payloads", "vector", "vectors", "metadata"})
_SIMPLE = min(MAX_CONDITIONS, MAX_DEPTH)


def require_bounded(body: bytes) -> None:
    """Raise Problem 400 where a filter of the request `body` has too many conditions, or nests too deep.

    A body that is not JSON, or has no filter, is left to the validation.
    """
    if body.count(b"{") <= _SIMPLE:  # each condition and each level is an object
        return
    if not any(mark in body for mark in (b'filter"', b'prefetch"', b"\\u")):
        return
    try:
        request = from_json(body)
    except ValueError:
        return
    total = 0
    for conditions in map(_conditions, _filters(request, 1)):
        if conditions > MAX_CONDITIONS:
            raise _too_many(f"a filter of {conditions:,} conditions", MAX_CONDITIONS)
        total += conditions
    if total > MAX_IN_REQUEST:
        raise _too_many(f"a request with {total:,} conditions", MAX_IN_REQUEST)


def require_affordable(unindexed: int, points: int) -> None:
    """Raise Problem 400 where evaluating `unindexed` conditions on `points` points would take too long."""
    if unindexed > ALWAYS and unindexed * points > MAX_EVALUATIONS:
        raise bad_request(
            f"{unindexed:,} conditions without a payload index of their kind would read each of {points:,} points "
            f"again: at most {max(ALWAYS, MAX_EVALUATIONS // points):,} here. Create an index, or give many values in "
            "one condition (`match.any`)"
        )


def _too_many(what: str, most: int) -> Problem:
    return bad_request(f"{what}, at most {most:,}: give many ids or values in one condition (`has_id`, `match.any`)")


def _filters(value: Any, depth: int) -> Iterator[Any]:
    """Every filter in a request, at any place; stored payloads are not searched."""
    if depth > MAX_DEPTH:
        raise _too_deep()
    if isinstance(value, list):
        for one in value:
            yield from _filters(one, depth + 1)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            if key in ("filter", "update_filter"):
                yield one
            elif key not in _NO_FILTERS and isinstance(one, list | Mapping):
                yield from _filters(one, depth + 1)


def _conditions(filter_: Any) -> int:
    """How many conditions a filter has, those within others included; a group counts as one more."""
    count, left = 0, [(filter_, 1)]
    while left:
        group, depth = left.pop()
        if depth > MAX_DEPTH:
            raise _too_deep()
        for condition in _members(group):
            count += 1
            if isinstance(condition, Mapping):
                nested = condition.get("nested")
                left.append((nested.get("filter") if isinstance(nested, Mapping) else condition, depth + 1))
    return count


def _members(group: Any) -> Iterator[Any]:
    if not isinstance(group, Mapping):
        return
    at_least = group.get("min_should")
    parts = [group.get(key) for key in _LISTS]
    parts.append(at_least.get("conditions") if isinstance(at_least, Mapping) else None)
    for part in parts:
        if isinstance(part, list):
            yield from part
        elif part is not None:
            yield part


def _too_deep() -> Problem:
    return bad_request(f"filters or queries nested more than {MAX_DEPTH} levels deep")


def require_comparable(chosen: int, candidates: int) -> None:
    """Raise Problem 400 where choosing `chosen` varied points of `candidates` would take too long."""
    if chosen * candidates > MAX_COMPARED:
        raise bad_request(
            f"mmr: {chosen:,} points of {candidates:,} candidates are too many to compare, the product of the two may "
            f"be {MAX_COMPARED:,}: lower `limit` or `candidates_limit`"
        )


def numbers_of(with_vector: bool | Collection[str] | None, sizes: Mapping[str, int]) -> int:
    """How many numbers the requested ones of a point's vectors have; `sizes` are those of all that it may have."""
    if isinstance(with_vector, bool) or with_vector is None:
        return sum(sizes.values()) if with_vector else 0
    return sum(sizes.get(name, 0) for name in set(with_vector))


def is_readable(numbers: int) -> bool:
    """Whether so many numbers of vectors are read for one answer."""
    return numbers <= MAX_READ


def require_readable(numbers: int) -> None:
    """Raise Problem 400 where they are not."""
    if not is_readable(numbers):
        raise bad_request(
            f"the vectors have {numbers:,} numbers together, at most {MAX_READ:,} are read for one answer: ask for "
            "fewer at a time, or without vectors"
        )
