"""A column of the catalogue becomes labels: lists written with commas, many raw values folded into few. Pure."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recq.errors import UsageError

SMALLEST = 5
"""Items that a class needs at least: of fewer nothing can be held back and learned as well."""


@dataclass(frozen=True)
class LabelRules:
    """How an item's values become its labels.

    A text is `split` at a separator; each value is replaced by what `mapping` has for it (nothing: it is dropped); of
    the labels only those in `keep` stay; with `drop_small` classes of fewer than `SMALLEST` items go.
    """

    split: str | None = None
    keep: frozenset[str] | None = None
    mapping: Mapping[str, str] | None = None
    drop_small: bool = False

    def labels_of(self, values: Sequence[str]) -> tuple[str, ...]:
        """The labels of an item with these values, in their order, each once."""
        parts = values if self.split is None else [part for value in values for part in value.split(self.split)]
        stripped = [part.strip() for part in parts]
        mapped = stripped if self.mapping is None else [self.mapping.get(part, part) for part in stripped]
        kept = [label for label in mapped if label and (self.keep is None or label in self.keep)]
        return tuple(dict.fromkeys(kept))

    def usable(self, labels: Sequence[tuple[str, ...]], field: str) -> list[tuple[str, ...]]:
        """The labels of all items without small classes. Raises UsageError where nothing can be learned of them.

        That is a field of one value, and a class of fewer than `SMALLEST` items unless those are dropped.
        """
        counts = Counter(label for each in labels for label in each)
        small = sorted(label for label, count in counts.items() if count < SMALLEST)
        if small and not self.drop_small:
            named = ", ".join(f"{label!r} ({counts[label]})" for label in small[:_NAMED])
            more = f" and {len(small) - _NAMED} more" if len(small) > _NAMED else ""
            raise UsageError(
                f"{field}: {'classes have' if len(small) > 1 else 'a class has'} fewer than {SMALLEST} items: "
                f"{named}{more}: leave them out with --drop-small, or choose with --keep"
            )
        left = counts.keys() - set(small)
        if len(left) < 2:
            what = f"only the value {next(iter(left))!r}" if left else f"no value with {SMALLEST} items or more"
            raise UsageError(f"{field}: there is {what} to learn from: at least 2 different labels are needed")
        return [tuple(label for label in each if label in left) for each in labels]


_NAMED = 5  # small classes that a message names


def read_mapping(path: Path) -> dict[str, str]:
    """A CSV file of two columns, a value and its label; a blank label drops the value. Raises UsageError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"--map {path} cannot be read: {error}") from error
    wrong = next((number for number, row in enumerate(rows, 1) if len(row) != 2), None)
    if wrong is not None or not rows:
        where = "it is empty" if not rows else f"row {wrong} has {len(rows[wrong - 1])} columns"  # type: ignore[operator]
        raise UsageError(f"--map {path}: {where}: two columns are needed, a value and its label, as in Rom-Com,Comedy")
    return {value.strip(): label.strip() for value, label in rows}
