"""What people judged: that an item is right for a query, or not. Read from JSON Lines, as the page writes them.

{"query": "shoes/12.jpg", "item": "shoes/31.jpg", "judgement": "like"}
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recq.errors import UsageError
from recq.paths import printable

LIKE, DISLIKE = "like", "dislike"
GAINS: Mapping[str, float] = {LIKE: 1.0, DISLIKE: 0.0}
"""What a judgement in words is worth."""

MOST_GAIN = 1_000.0

MOST = 100_000
"""Judgements that are read at a time."""

_LONGEST = 8_192  # characters of a name


@dataclass(frozen=True)
class Judgement:
    """That `item` is worth `gain` as an answer for `query`: 1 for a like, 0 for a dislike, or a grade of your own.

    Both are names, paths or ids of indexed items.
    """

    query: str
    item: str
    gain: float

    def __post_init__(self) -> None:
        for name in (self.query, self.item):
            if not isinstance(name, str) or not name or len(name) > _LONGEST:
                raise UsageError("a judgement needs the name of an item as its query, and of another one as its item")
        if not _is_gain(self.gain):
            raise UsageError(f"a judgement is 'like', 'dislike', or a number from 0 to {MOST_GAIN:,.0f}")


def _is_gain(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value <= MOST_GAIN  # which NaN is not, and which no conversion of a long integer comes before


def judgement_of(data: object) -> Judgement:
    """One judgement of JSON; other members are left alone. Raises UsageError in words for anything else."""
    if not isinstance(data, Mapping):
        raise UsageError("a JSON object with query, item and judgement is needed")
    missing = [name for name in ("query", "item", "judgement") if name not in data]
    if missing:
        raise UsageError(f"{missing[0]} is missing")
    judged: Any = data["judgement"]
    return Judgement(data["query"], data["item"], GAINS.get(judged, math.nan) if isinstance(judged, str) else judged)


def judgement_json(query: str, item: str, *, liked: bool) -> dict[str, str]:
    """What `judgement_of` reads."""
    return {"query": query, "item": item, "judgement": LIKE if liked else DISLIKE}


def read_judgements(path: Path) -> list[Judgement]:
    """The judgements in a file of JSON Lines; empty lines are left alone. Raises UsageError, which names the line."""
    try:
        with path.open("rb") as file:
            return list(_read(file, path))
    except (OSError, ValueError) as error:  # a name that no file can have is a ValueError
        why = error.strerror if isinstance(error, OSError) else None
        raise UsageError(f"{printable(str(path))} cannot be read: {why or error}") from error


def all_judgements(given: Iterable[str | Path | Judgement]) -> list[Judgement]:
    """Judgements, and those in the files that are named, in their order. Raises UsageError."""
    files_read = ([each] if isinstance(each, Judgement) else read_judgements(Path(each)) for each in given)
    return [each for several in files_read for each in several]


def _read(lines: Iterable[bytes], path: Path) -> Iterator[Judgement]:
    found = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip(b"\xef\xbb\xbf \t\r\n"):
            continue
        found += 1
        if found > MOST:
            raise UsageError(f"{path} has more than {MOST:,} judgements")
        try:
            yield judgement_of(json.loads(line.decode("utf-8-sig")))
        except (UnicodeDecodeError, ValueError, RecursionError) as error:
            raise UsageError(f"{path}, line {number}: it is no JSON: {error}") from error
        except UsageError as error:
            raise UsageError(f"{path}, line {number}: {error}") from error
    if not found:
        raise UsageError(f"{path} has no judgements")
