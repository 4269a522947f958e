"""What a picture is, as an answer: guesses with their probabilities. Records alone, which need no numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recq import paths

UNKNOWN = 0.05
"""A picture is called unknown where fewer of the labelled items lie so far from their neighbours."""


@dataclass(frozen=True)
class Guess:
    """A label and its calibrated probability."""

    label: str
    probability: float

    def to_json(self) -> dict[str, Any]:
        """One element of `guesses`."""
        return {"label": self.label, "probability": round(self.probability, 4)}


@dataclass(frozen=True)
class Prediction:
    """What a target is, in values of `field`.

    `guesses` are the most probable labels. `labels` is the set that has the true one nine times out of ten, for
    pictures of the labelled kinds. `known` is the share of labelled items that lie no nearer to others than the target
    does to them; where it is below 5 % the target is `unknown`: it is of another kind, and the guesses mean nothing.

    Of ImageNet's classes (`field` and `space` are "imagenet") `known` is None. The target is `unknown` where the first
    guess is not right nine times out of ten; else that guess is the only one of `labels`.
    """

    text: str
    field: str
    space: str
    guesses: tuple[Guess, ...]
    labels: tuple[str, ...]
    known: float | None

    @property
    def unknown(self) -> bool:
        """Whether the target is unlike everything that has a label; of ImageNet's classes, whether none is sure."""
        return not self.labels if self.known is None else self.known < UNKNOWN

    def to_json(self) -> dict[str, Any]:
        """One line of jsonl."""
        return {
            "text": paths.to_text(self.text)[0],
            "field": self.field,
            "space": self.space,
            "unknown": self.unknown,
            "known": None if self.known is None else round(self.known, 4),
            "guesses": [each.to_json() for each in self.guesses],
            "labels": list(self.labels),
        }
