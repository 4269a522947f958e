"""What a picture is, in the labels that a trained space was learned from; or that it is of none of their kinds.

for found in predict(session, ["mine.jpg"]):
    found.guesses[0].label, found.guesses[0].probability, found.unknown
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recq import paths
from recq.commands import command
from recq.errors import RecqError, TargetError, TargetNotFound, UsageError
from recq.index.parameters import Parameters
from recq.learn.calibration import UNKNOWN
from recq.learn.classifying import Classified, Classifying
from recq.search.many import CHUNK, FailedTarget
from recq.search.own_group import own_of
from recq.search.target import Given, Target, resolve, text_of
from recq.space import EmbeddingSpace, require_same

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
        base = catalog.space
        candidate.space(base)
    predictor = _Predictor(Classifying.of(candidate), top)
    chunks = (targets[start : start + CHUNK] for start in range(0, len(targets), CHUNK))
    return (each for chunk in chunks for each in _attempted(session, chunk, base, predictor))


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
    session: Session, targets: Sequence[Given], space: EmbeddingSpace, predictor: _Predictor
) -> list[Prediction | FailedTarget]:
    """The index is released while pictures are read and embedded."""
    found: list[tuple[Target, str] | TargetError] = []
    with session.opened() as catalog:
        for each in targets:
            try:
                found.append((resolve(catalog.lookups, each), text_of(each)))
            except TargetError as error:
                found.append(error)
    resolved = [each for each in found if not isinstance(each, TargetError)]
    prepared = iter(session.preparer(space).prepare_many(resolved))
    made = [each if isinstance(each, TargetError) else next(prepared) for each in found]
    with session.opened() as catalog:
        require_same(catalog.space, space, catalog.name)  # rebuilt meanwhile?
        predictions = iter(predictor.predictions(catalog, [each for each in made if not isinstance(each, RecqError)]))
        return [
            FailedTarget(text_of(target), str(each)) if isinstance(each, RecqError) else next(predictions)
            for target, each in zip(targets, made, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class _Predictor:
    """What a candidate knows, and how many guesses are wanted."""

    known_of: Classifying
    top: int

    def predictions(self, catalog: Catalog, queries: Sequence[Query]) -> list[Prediction | FailedTarget]:
        """Of each query, in order; a FailedTarget for an item that was deleted meanwhile."""
        if not queries:
            return []
        stored = catalog.items.vectors([each.example for each in queries if isinstance(each.example, str)])
        there = [each for each in queries if not isinstance(each.example, str) or each.example in stored]
        vectors = [stored[each.example] if isinstance(each.example, str) else each.example for each in there]
        owns = [own_of(Parameters(), [each]) for each in there]
        found = self.known_of.classified(catalog, vectors, [each.example for each in there], owns)
        made = {id(query): self._prediction(query, each) for query, each in zip(there, found, strict=True)}
        return [made.get(id(each)) or FailedTarget(each.text, "the item has just been deleted") for each in queries]

    def _prediction(self, query: Query, found: Classified) -> Prediction:
        candidate, least = self.known_of.candidate, self.known_of.calibration.least
        guesses = tuple(Guess(label, probability) for label, probability in found.ranked[: self.top])
        likely = tuple(label for label, probability in found.ranked if probability >= least)
        return Prediction(query.text, candidate.label, candidate.name, guesses, likely, found.known)
