"""What a picture is, in the labels that a trained space was learned from; or that it is of none of their kinds.

for found in predict(session, ["mine.jpg"]):
    found.guesses[0].label, found.guesses[0].probability, found.unknown
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recq import paths
from recq.commands import command
from recq.errors import RecqError, SpaceMismatch, TargetError, TargetNotFound, UsageError
from recq.index.grammar import Condition
from recq.index.operators import Op
from recq.index.parameters import Parameters
from recq.learn.calibration import NEIGHBOURS, UNKNOWN, Calibration
from recq.search.many import CHUNK, FailedTarget
from recq.search.own_group import own_of
from recq.search.target import FileTarget, Given, IndexedTarget, Target, describe, require_embedded, resolve, text_of
from recq.space import EmbeddingSpace, require_same

if TYPE_CHECKING:
    from recq.index.candidates import Candidate
    from recq.index.catalog import Catalog
    from recq.models.heads import Projection
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
        candidate.space(catalog.base)
        stored = catalog.space
        projection = catalog.projection
    calibration = Calibration.from_json(candidate.calibration)
    if projection is not None and not calibration.trained.size:
        raise SpaceMismatch(f"the trained space {candidate.name!r} was made by an older recq: train it again")
    predictor = _Predictor(candidate, calibration, top, projection)
    chunks = (targets[start : start + CHUNK] for start in range(0, len(targets), CHUNK))
    return (each for chunk in chunks for each in _attempted(session, chunk, stored, predictor))


def _candidate(catalog: Catalog, name: str | None) -> Candidate:
    if catalog.trained is not None and name in (None, catalog.trained.candidate.name):
        return catalog.trained.candidate
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
    """The index is released while pictures are read and embedded.

    In a trained space the pictures of indexed items are read as well: a classifier takes the network's own vectors.
    """
    found: list[_Asked | TargetError] = []
    with session.opened() as catalog:
        for each in targets:
            try:
                target = resolve(catalog.lookups, each)
                read = target if predictor.projection is None else _file_of(catalog, target)
                found.append(_Asked(text_of(each), target, read))
            except TargetError as error:
                found.append(error)
        preparer = session.preparer(catalog, base=True)
    resolved = [(each.read, each.text) for each in found if not isinstance(each, TargetError)]
    prepared = iter(preparer.prepare_many(resolved))
    made = [each if isinstance(each, TargetError) else each.answered(next(prepared)) for each in found]
    with session.opened() as catalog:
        require_same(catalog.space, space, catalog.name)  # rebuilt meanwhile?
        predictions = iter(predictor.predictions(catalog, [each for each in made if not isinstance(each, RecqError)]))
        return [
            FailedTarget(text_of(target), str(each)) if isinstance(each, RecqError) else next(predictions)
            for target, each in zip(targets, made, strict=True)
        ]


@dataclass(frozen=True)
class _Asked:
    """A target, and what is read for it: the picture of an item whose stored vector is of a trained space."""

    text: str
    target: Target
    read: Target

    def answered(self, query: Query | RecqError) -> Query | RecqError:
        """The query, of the target that was asked for."""
        return query if isinstance(query, RecqError) else replace(query, target=self.target)


def _file_of(catalog: Catalog, target: Target) -> Target:
    """The picture of an item. Raises TargetError where it is not on this machine."""
    if not isinstance(target, IndexedTarget):
        return target
    require_embedded(target.item)
    location = catalog.sources.path_of(target.item)
    if location is None or not location.exists():
        raise TargetError(
            f"{describe(target)} cannot be predicted: its file is not on this machine, or was deleted, and the catalog "
            "has no vector of the network's own"
        )
    return FileTarget(location)


@dataclass(frozen=True, eq=False)
class _Predictor:
    """A candidate's classifier, what its scores are worth, and how many guesses are wanted.

    `projection` is that of a catalog in a trained space.
    """

    candidate: Candidate
    calibration: Calibration
    top: int
    projection: Projection | None

    def predictions(self, catalog: Catalog, queries: Sequence[Query]) -> list[Prediction | FailedTarget]:
        """Of each query, in order; a FailedTarget for an item that was deleted meanwhile."""
        if not queries:
            return []
        stored = catalog.items.vectors([each for query in queries if (each := _indexed(query)) is not None])
        there = [query for query in queries if (each := _indexed(query)) is None or each in stored]
        vectors = [stored[each.example] if isinstance(each.example, str) else each.example for each in there]
        labelled = Parameters(k=NEIGHBOURS, filters=(Condition(self.candidate.label, Op.EXISTS),))
        near = catalog.finder.rank_many(
            [self._example(each) for each in there], labelled, own=[own_of(labelled, [each]) for each in there]
        )
        made = {
            id(query): self._prediction(query, vector, [hit.score for hit in found.hits])
            for query, vector, found in zip(there, vectors, near, strict=True)
        }
        return [made.get(id(each)) or FailedTarget(each.text, "the item has just been deleted") for each in queries]

    def _example(self, query: Query) -> str | np.ndarray:
        """What the catalog is asked with."""
        indexed = _indexed(query)
        if indexed is not None or self.projection is None or isinstance(query.example, str):
            return indexed or query.example
        return self.projection.of(query.example)

    def _prediction(self, query: Query, vector: np.ndarray, near: Sequence[float]) -> Prediction:
        classifier, candidate = self.candidate.classifier, self.candidate
        scores = classifier.scores(vector[None])
        probabilities = self.calibration.probabilities(scores, several=classifier.several)[0]
        order = np.argsort(-probabilities, kind="stable").tolist()
        guesses = tuple(Guess(classifier.classes[n], float(probabilities[n])) for n in order[: self.top])
        likely = tuple(classifier.classes[n] for n in order if probabilities[n] >= self.calibration.least)
        known = self.calibration.known(float(np.mean(near)) if near else -1.0, trained=self.projection is not None)
        return Prediction(query.text, candidate.label, candidate.name, guesses, likely, known)


def _indexed(query: Query) -> str | None:
    """The id of the item that is asked about."""
    return query.target.item.id if isinstance(query.target, IndexedTarget) else None
