"""What a picture is, in the labels that a trained space was learned from; or that it is of none of their kinds.

for found in predict(session, ["mine.jpg"]):
    found.guesses[0].label, found.guesses[0].probability, found.unknown
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recq import paths
from recq.commands import command
from recq.errors import TargetError, TargetNotFound, UsageError
from recq.index.grammar import Condition
from recq.index.operators import Op
from recq.index.parameters import Parameters
from recq.learn.calibration import NEIGHBOURS, UNKNOWN, Calibration
from recq.search.many import FailedTarget
from recq.search.own_group import own_of
from recq.search.target import Given, text_of

if TYPE_CHECKING:
    from recq.index.candidates import Candidate
    from recq.index.catalog import Catalog
    from recq.search.prepare import Query
    from recq.search.session import Session


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
    """

    text: str
    field: str
    space: str
    guesses: tuple[Guess, ...]
    labels: tuple[str, ...]
    known: float

    @property
    def unknown(self) -> bool:
        """Whether the target is unlike everything that has a label."""
        return self.known < UNKNOWN

    def to_json(self) -> dict[str, Any]:
        """One line of jsonl."""
        return {
            "text": paths.to_text(self.text)[0],
            "field": self.field,
            "space": self.space,
            "unknown": self.unknown,
            "known": round(self.known, 4),
            "guesses": [each.to_json() for each in self.guesses],
            "labels": list(self.labels),
        }


def predict(
    session: Session, targets: Sequence[Given], *, space: str | None = None, top: int = 3
) -> Iterator[Prediction | FailedTarget]:
    """The prediction of each target, in order; a target that cannot be read becomes a `FailedTarget`.

    `space` names the trained space, which may be left out where there is one. Raises TargetNotFound for an unknown
    one and where none was trained, UsageError where there are several, SpaceMismatch where it is of another space.
    """
    if top < 1:
        raise UsageError(f"--top {top} cannot be answered: ask for 1 or more")
    with session.opened() as catalog:
        candidate = _candidate(catalog, space)
        candidate.space(catalog.space)
    calibration = Calibration.from_json(candidate.calibration)
    return (_attempted(session, each, candidate, calibration, top) for each in targets)


def _candidate(catalog: Catalog, name: str | None) -> Candidate:
    if name is not None:
        return catalog.candidates.get(name)
    names = catalog.candidates.names()
    if not names:
        train = command("recq-ingest", "train", "--label", "FIELD", catalog=catalog.name)
        raise TargetNotFound(f"catalog {catalog.name!r} has no trained space to predict with: {train} makes one")
    if len(names) > 1:
        raise UsageError(f"catalog {catalog.name!r} has several trained spaces: choose with --space {names[0]}")
    return catalog.candidates.get(names[0])


def _attempted(
    session: Session, target: Given, candidate: Candidate, calibration: Calibration, top: int
) -> Prediction | FailedTarget:
    try:
        with session.prepared([target], lambda _: None) as (catalog, (query,)):
            candidate.space(catalog.space)  # rebuilt meanwhile?
            return _predicted(catalog, query, candidate, calibration, top)
    except TargetError as error:
        return FailedTarget(text_of(target), str(error))


def _predicted(catalog: Catalog, query: Query, candidate: Candidate, calibration: Calibration, top: int) -> Prediction:
    classifier = candidate.classifier
    scores = classifier.scores(_vector(catalog, query)[None])
    probabilities = calibration.probabilities(scores, several=classifier.several)[0]
    order = np.argsort(-probabilities, kind="stable")
    guesses = tuple(Guess(classifier.classes[n], float(probabilities[n])) for n in order[:top].tolist())
    likely = tuple(classifier.classes[n] for n in order.tolist() if probabilities[n] >= calibration.least)
    labelled = Parameters(k=NEIGHBOURS, filters=(Condition(candidate.label, Op.EXISTS),))
    near = catalog.finder.rank(query.example, labelled, own=own_of(labelled, [query])).hits
    nearness = float(np.mean([hit.score for hit in near])) if near else -1.0
    known = calibration.known(nearness)
    return Prediction(query.text, candidate.label, candidate.name, guesses, likely, known)


def _vector(catalog: Catalog, query: Query) -> np.ndarray:
    """The query's vector, float32 (dim,)."""
    if not isinstance(query.example, str):
        return query.example
    stored = catalog.items.vectors([query.example]).get(query.example)
    if stored is None:
        raise TargetNotFound(f"item {query.example} has just been deleted")
    return stored
