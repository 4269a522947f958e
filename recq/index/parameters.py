"""The parameters of a question besides its target: how many results, which, in which order. One frozen record."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self

from recq.errors import UsageError
from recq.index.grammar import AnyOf, Condition, Where, parse_all, parse_any_of
from recq.index.schema import nfc

MAX_RESULTS = 100_000
"""The last place of a ranking that can be asked for: an answer is held in memory as a whole. As many as an embedded
catalog is meant for."""


@dataclass(frozen=True)
class Sort:
    """Order by a field, ascending unless `descending`; items without a value come last in both cases."""

    field: str
    descending: bool = False

    def __post_init__(self) -> None:
        """Fields have composed names (NFC), whoever types them."""
        object.__setattr__(self, "field", nfc(self.field))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `price`, `price:asc` or `price:desc`. Raises UsageError."""
        field, _, direction = text.rpartition(":")
        if direction not in ("asc", "desc"):
            field, direction = text, "asc"
        if not field:
            raise UsageError(f"--sort {text!r} names no field: write --sort price, or --sort price:desc")
        return cls(field, direction == "desc")


Limit = Literal["min_score", "max_distance"]


@dataclass(frozen=True)
class Parameters:
    """`k` rows after the first `offset`, of the items that match all `filters` and groups `any_of`.

    `min_score` leaves out what scores less, `max_distance` what is farther away (in catalogs that compare so);
    `group_by` keeps the first item of each value of a field; `diversity` from 0 (nearest) to 1 (most varied);
    `keep_duplicates` shows items of the same bytes as rows of their own; `sort` orders the rows by a field; `fields`
    are the metadata fields that are shown, all when None; `keep_own_group` shows also an example's own group, which
    `group_by` leaves out. `unusual` leaves out what is no nearer than random pairs often
    are, in place of a number for the limit that it names (`recq.index.background.UNUSUAL`). `space` is the name of a
    trained space whose order the rows are in (`recq.index.candidates`), None for the catalog's own.
    """

    k: int = 5
    offset: int = 0
    filters: tuple[Where, ...] | list[str] = ()
    any_of: tuple[str | AnyOf, ...] | list[str] = ()
    min_score: float | None = None
    max_distance: float | None = None
    group_by: str | None = None
    diversity: float = 0.0
    keep_duplicates: bool = False
    sort: Sort | None = None
    fields: tuple[str, ...] | None = None
    unusual: Limit | None = None
    keep_own_group: bool = False
    space: str | None = None

    def __post_init__(self) -> None:
        """Fields have composed names (NFC), whoever types them."""
        object.__setattr__(self, "group_by", None if self.group_by is None else nfc(self.group_by))
        object.__setattr__(self, "fields", None if self.fields is None else tuple(map(nfc, self.fields)))

    @property
    def conditions(self) -> tuple[Condition | AnyOf, ...]:
        """Filters and groups, read. Raises FilterError."""
        groups = [parse_any_of(each) if isinstance(each, str) else each for each in self.any_of]
        return (*parse_all(self.filters), *groups)

    @property
    def last(self) -> int:
        """The last place of the ranking that is needed."""
        return self.offset + self.k

    def require_sane(self) -> None:
        """Raise UsageError for numbers that no answer can have, FilterError for filters that cannot be read."""
        if not 1 <= self.k <= MAX_RESULTS:
            raise UsageError(f"-k {self.k} cannot be answered: ask for 1 to {MAX_RESULTS:,} results")
        if not 0 <= self.offset <= MAX_RESULTS - self.k:
            raise UsageError(
                f"--offset {self.offset} cannot be answered: with -k {self.k} it may be 0 to {MAX_RESULTS - self.k:,}"
            )
        if self.min_score is not None and not math.isfinite(self.min_score):
            raise UsageError(f"--min-score {self.min_score} is not a score: give a number such as 0.8")
        if self.max_distance is not None and not 0 <= self.max_distance < math.inf:
            raise UsageError(f"--max-distance {self.max_distance} is not a distance: give a number such as 12.5")
        if not 0 <= self.diversity <= 1:
            raise UsageError(f"--diversity {self.diversity} is not between 0 and 1: give a number such as 0.3")
        if self.keep_own_group and self.group_by is None:
            raise UsageError("--keep-own-group needs --group-by: add --group-by FIELD")
        _ = self.conditions
