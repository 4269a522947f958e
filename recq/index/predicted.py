"""Predictions: what a predictor says of an item, which stands beside what people say. Pure.

    predicted: {category: {label: "sofa", confidence: 0.97, by: "0f3a..."}}     a label, or a list of them
    predicted: {category: {unknown: true, by: "0f3a..."}}                       unlike everything that has a label

Filters and fields name them `predicted.category`, `predicted.category.confidence` and `predicted.category.unknown`.
Predictions are derived: of an item and of the predictor that `by` names. `recq.index.schema` sees to it that none is
stored of an item that failed, or whose label people gave.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

KEY = "predicted"
"""The payload's key of all predictions, by the field that they are of."""

LABEL = "label"
CONFIDENCE = "confidence"
UNKNOWN = "unknown"
BY = "by"
WORDS = "words"
"""The words of text labels, which `~` searches."""

SHOWN = (CONFIDENCE, UNKNOWN)
"""The members that filters name besides the label, which has no name of its own."""

_INDEXED = (LABEL, *SHOWN, BY, WORDS)
_DIGITS = 4

Scalar = bool | int | float | str


@dataclass(frozen=True)
class Prediction:
    """The `labels` that a predictor gives an item, most probable first, and how sure it is of each, from 0 to 1.

    Without any the item is unlike everything that the predictor knows. `by` is the predictor's fingerprint; `several`:
    items may have more than one label, so that lists are stored.
    """

    by: str
    labels: tuple[Scalar, ...] = ()
    confidences: tuple[float, ...] = ()
    several: bool = False

    @property
    def unknown(self) -> bool:
        """Whether the item is unlike everything that has a label."""
        return not self.labels

    @property
    def label(self) -> Scalar | list[Scalar] | None:
        """The value that filters find; None for an unknown item."""
        if not self.labels:
            return None
        return list(self.labels) if self.several else self.labels[0]

    def to_json(self) -> dict[str, Any]:
        """As it is stored, without the words."""
        found: dict[str, Any] = {LABEL: self.label} if self.labels else {}
        if self.confidences:
            sure = [round(each, _DIGITS) for each in self.confidences]
            found[CONFIDENCE] = sure if self.several else sure[0]
        return {**(found or {UNKNOWN: True}), BY: self.by}

    @classmethod
    def from_json(cls, data: object) -> Self | None:
        """What `to_json` wrote, or some members of it; None for anything else."""
        if not isinstance(data, Mapping) or not data:
            return None
        label, sure = data.get(LABEL), data.get(CONFIDENCE)
        several = isinstance(label, list) or isinstance(sure, list)
        return cls(str(data.get(BY, "")), _all_of(label), _all_of(sure), several)


def _all_of(value: Any) -> tuple[Any, ...]:
    return () if value is None else tuple(value) if isinstance(value, list) else (value,)


class Part(NamedTuple):
    """A member of the predictions of a field."""

    field: str
    member: str


def part_of(name: str) -> Part | None:
    """What a field's name names, `predicted.category.confidence` for example; None where it is no prediction."""
    if not name.startswith(f"{KEY}."):
        return None
    field = name.removeprefix(f"{KEY}.")
    before, dot, last = field.rpartition(".")
    return Part(before, last) if dot and last in SHOWN else Part(field, LABEL)


def name_of(part: Part) -> str:
    """The name that `part_of` reads."""
    return f"{KEY}.{part.field}" if part.member == LABEL else f"{KEY}.{part.field}.{part.member}"


def split_key(key: str) -> Part | None:
    """The field, quoted where it has to be, and the member that a payload key leads to; None for any other key."""
    inner, dot, member = key.removeprefix(f"{KEY}.").rpartition(".")
    return Part(inner, member) if key.startswith(f"{KEY}.") and dot and member in _INDEXED else None


def cannot_be_predicted(field: str) -> str | None:
    """Why a field cannot be predicted; None where it can."""
    last = field.rpartition(".")[2]
    return f"its name ends in .{last}, as a prediction's does" if "." in field and last in SHOWN else None
