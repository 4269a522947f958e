"""A bucket that questions empty and time fills, and who of many has one. Pure: the time is passed in.

A library would bring more than this: `limits` counts in windows, has no bucket, and keeps every client in memory until
its window is over, however many come; what else there is keeps its counts in Redis.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

V = TypeVar("V")

_ROUNDING = 1e-9  # of a unit: who has waited as long as was asked is not refused for the last digit of a sum


@dataclass(frozen=True)
class Rate:
    """So many units come back `per_second`, until there are `most`, which may be taken at once."""

    per_second: float
    most: float


@dataclass(frozen=True)
class Bucket:
    """So many units were `left` at a time, in seconds of any clock that does not go back."""

    left: float
    at: float


def taken(bucket: Bucket | None, rate: Rate, cost: float, now: float) -> tuple[Bucket, float]:
    """The bucket after `cost` units were taken, and 0; or as it was, and the seconds until they are there.

    None is a full one. A cost of 0 takes nothing, and is always there.
    """
    left = rate.most
    if bucket is not None:
        left = min(left, bucket.left + max(0.0, now - bucket.at) * rate.per_second)
    if left + _ROUNDING >= cost:
        return Bucket(max(0.0, left - cost), now), 0.0
    return Bucket(left, now), (cost - left) / rate.per_second


class Lately(Generic[V]):
    """A value for each of the `most` keys that were written last: another one takes the place of the oldest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Hashable, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable) -> V | None:
        """The value of a key, if it is still there."""
        return self._values.get(key)

    def put(self, key: Hashable, value: V) -> None:
        """Write the value of a key, which is the newest then."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._most:
            self._values.popitem(last=False)
