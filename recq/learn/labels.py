"""A column of the catalogue becomes labels: lists written with commas, many raw values folded into few. Pure."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

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

    @classmethod
    def read(
        cls, *, split: str | None = None, keep: str | None = None, mapping: Path | None = None, drop_small: bool = False
    ) -> Self:
        """The rules as options give them: labels between commas, the file of a mapping. Raises UsageError."""
        kept = None if keep is None else frozenset(part.strip() for part in keep.split(","))
        return cls(split, kept, None if mapping is None else read_mapping(mapping), drop_small)

    def labels_of(self, values: Sequence[str]) -> tuple[str, ...]:
        """The labels of an item with these values, in their order, each once."""
        parts = values if self.split is None else [part for value in values for part in value.split(self.split)]
        stripped = [part.strip() for part in parts]
        mapped = stripped if self.mapping is None else [self.mapping.get(part, part) for part in stripped]
        kept = [label for label in mapped if label and (self.keep is None or label in self.keep)]
        return tuple(dict.fromkeys(kept))

    def value_of(self, label: str) -> str:
        """What stands for a label in the column: itself, or the first value that the mapping turns into it."""
        if self.mapping is None or self.mapping.get(label, label) == label:
            return label
        return next((value for value, folded in self.mapping.items() if folded == label), label)

    def revised(self, values: Sequence[str], removed: Collection[str], added: Sequence[str]) -> tuple[str, ...]:
        """The values of an item that loses some labels and gets others, the new ones where the first old one stood.

        Values that are no label stay as they are, and so do the others of a text that is split.
        """
        new = [self.value_of(label) for label in added]
        if self.split is None:
            return tuple(self._exchanged(values, removed, new))
        values = values or [""]
        parts = [value.split(self.split) for value in values]
        lost = (n for n, each in enumerate(parts) if any(self._is_one_of(part, removed) for part in each))
        at = next(lost, len(parts) - 1)
        left = [self._exchanged(each, removed, new if n == at else []) for n, each in enumerate(parts)]
        texts = [
            value if after == before else self._joined(after, like=value)
            for value, before, after in zip(values, parts, left, strict=True)
        ]
        return tuple(text for text in texts if text.strip())

    def _exchanged(self, parts: Sequence[str], removed: Collection[str], new: Sequence[str]) -> list[str]:
        found: list[str] = []
        at: int | None = None
        for part in parts:
            if self._is_one_of(part, removed):
                at = len(found) if at is None else at
            else:
                found.append(part)
        at = len(found) if at is None else at
        return [*found[:at], *new, *found[at:]]

    def _is_one_of(self, part: str, labels: Collection[str]) -> bool:
        return not set(labels).isdisjoint(self.labels_of([part]))

    def _joined(self, parts: Sequence[str], *, like: str) -> str:
        """One text, with a space after each separator unless the text that it is to be `like` has none."""
        separator = self.split or ""
        close = separator in like and f"{separator} " not in like
        return (separator if close else f"{separator} ").join(part.strip() for part in parts if part.strip())

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
