"""What a picture is, in the labels that a trained space was learned from; or that it is of none of their kinds.

for found in predict(session, ["mine.jpg"]):
    found.guesses[0].label, found.guesses[0].probability, found.unknown

Without a trained space the answer is one of ImageNet's 1,000 classes, which the shipped networks were trained to name.
These are read from the picture, never from a stored vector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from recq.catalog_names import IMAGENET
from recq.errors import RecqError, SpaceMismatch, TargetError, UsageError
from recq.index.parameters import Parameters
from recq.learn.classifying import Classified, Classifying
from recq.learn.prediction import Guess, Prediction
from recq.search.many import CHUNK, FailedTarget
from recq.search.own_group import own_of
from recq.search.target import (
    Given,
    IndexedTarget,
    Target,
    VectorTarget,
    describe,
    picture_of,
    read_once,
    require_embedded,
    resolve,
    text_of,
)
from recq.space import EmbeddingSpace

if TYPE_CHECKING:
    from recq.index.candidates import Candidate
    from recq.index.catalog import Catalog
    from recq.models.heads import Projection
    from recq.models.imagenet import ImageNet
    from recq.search.prepare import Preparer, Query
    from recq.search.session import Session


def predict(
    session: Session, targets: Sequence[Given], *, space: str | None = None, top: int = 3
) -> Iterator[Prediction | FailedTarget]:
    """The prediction of each target, in order; a target that cannot be read becomes a `FailedTarget`.

    `space` names the trained space, which may be left out where there is one; `IMAGENET` stands for ImageNet's classes,
    as nothing does where none was trained. Raises TargetNotFound for an unknown one, UsageError where there are
    several, SpaceMismatch where it is of another space, ModelUnavailable for ImageNet's classes on a runtime that
    cannot give them.
    """
    if top < 1:
        raise UsageError(f"--top {top} cannot be answered: ask for 1 or more")
    way = _way(session, space, top)
    return _in_chunks(session, targets, way, lambda: _way(session, space, top))


_Answer = list[Prediction | FailedTarget]
_Way = Callable[[Sequence[Given]], "_Answer | _Moved"]
"""Answers some targets in the spaces that a catalog had."""


@dataclass(frozen=True)
class _Moved:
    """The catalog has moved to another space meanwhile; `targets` are to be asked for again."""

    targets: Sequence[Given]


def _in_chunks(
    session: Session, targets: Sequence[Given], way: _Way, anew: Callable[[], _Way]
) -> Iterator[Prediction | FailedTarget]:
    """The answers, some targets at a time; where the catalog moves meanwhile, these once more from the beginning.

    Raises SpaceMismatch where it moves once more."""
    for start in range(0, len(targets), CHUNK):
        found = way(targets[start : start + CHUNK])
        if isinstance(found, _Moved):
            way = anew()
            found = way(found.targets)
        if isinstance(found, _Moved):
            raise SpaceMismatch(
                f"catalog {session.settings.catalog!r} moves to another space again and again: ask again"
            )
        yield from found


def _way(session: Session, space: str | None, top: int) -> _Way:
    with session.opened() as catalog:
        candidate = _candidate(catalog, space)
        stored, base, projection = catalog.space, catalog.base, catalog.projection
        if candidate is not None:
            candidate.space(base)
    if candidate is None:
        from recq.models.imagenet import imagenet

        classifier = imagenet(session.settings, base)
        return lambda chunk: _named(session, chunk, classifier, top)
    predictor = _Predictor(Classifying.of(candidate, trained=projection is not None), top, projection)
    return lambda chunk: _attempted(session, chunk, stored, predictor)


def _candidate(catalog: Catalog, name: str | None) -> Candidate | None:
    """The trained space to predict with; None for ImageNet's classes."""
    if catalog.trained is not None and name in (None, catalog.trained.candidate.name):
        return catalog.trained.candidate
    if name is not None:
        return None if name == IMAGENET else catalog.candidates.get(name)
    names = catalog.candidates.names()
    if len(names) > 1:
        raise UsageError(
            f"catalog {catalog.name!r} has several trained spaces: choose with --space {names[0]}, or --space "
            f"{IMAGENET} for ImageNet's classes"
        )
    return catalog.candidates.get(names[0]) if names else None


def _named(session: Session, targets: Sequence[Given], classifier: ImageNet, top: int) -> _Answer:
    """What each target is of ImageNet's classes."""
    queries = _queries(session, targets, _picture, lambda _: session.preparer_in(classifier.space))
    return [
        FailedTarget(text_of(target), str(each)) if isinstance(each, RecqError) else _of_imagenet(classifier, each, top)
        for target, each in zip(targets, queries, strict=True)
    ]


def _picture(catalog: Catalog, target: Target) -> Target:
    """What is read for a target. Raises TargetError for an item whose file is not here, and for a vector."""
    if isinstance(target, VectorTarget):
        raise TargetError(f"{describe(target)} cannot be named: ImageNet's classes are read from a picture")
    why = ", and ImageNet's classes are read from the picture, not from the stored vector"
    return picture_of(catalog, target, "named", why)


def _of_imagenet(classifier: ImageNet, query: Query, top: int) -> Prediction:
    assert not isinstance(query.example, str), "a picture has been read"
    first, *others = classifier.labels(query.example, top)
    guesses = tuple(Guess(each.name, each.probability) for each in (first, *others))
    sure = (first.name,) if classifier.is_sure(first) else ()
    return Prediction(query.text, IMAGENET, IMAGENET, guesses, sure, None)


def _attempted(
    session: Session, targets: Sequence[Given], space: EmbeddingSpace, predictor: _Predictor
) -> _Answer | _Moved:
    """What a classifier says of each target. It takes the network's own vectors: in a trained space the pictures of
    indexed items are read as well."""
    read = _as_it_is if predictor.projection is None else _file_of
    made = _queries(session, targets, read, lambda catalog: session.preparer(catalog, base=True))
    with session.opened() as catalog:
        if catalog.space.fingerprint != space.fingerprint:
            contents = [None if isinstance(each, RecqError) else each.content for each in made]
            return _Moved([read_once(*each) for each in zip(targets, contents, strict=True)])
        predictions = iter(predictor.predictions(catalog, [each for each in made if not isinstance(each, RecqError)]))
        return [
            FailedTarget(text_of(target), str(each)) if isinstance(each, RecqError) else next(predictions)
            for target, each in zip(targets, made, strict=True)
        ]


def _queries(
    session: Session,
    targets: Sequence[Given],
    read: Callable[[Catalog, Target], Target],
    preparer_of: Callable[[Catalog], Preparer],
) -> list[Query | RecqError]:
    """The query of each target, made from what `read` says, or why there is none.

    The index is released while pictures are read and embedded.
    """
    found: list[_Asked | TargetError] = []
    with session.opened() as catalog:
        for each in targets:
            try:
                target = resolve(catalog.lookups, each)
                found.append(_Asked(text_of(each), target, read(catalog, target)))
            except TargetError as error:
                found.append(error)
        preparer = preparer_of(catalog)
    resolved = [(each.read, each.text) for each in found if not isinstance(each, TargetError)]
    prepared = iter(preparer.prepare_many(resolved))
    return [each if isinstance(each, TargetError) else each.answered(next(prepared)) for each in found]


@dataclass(frozen=True)
class _Asked:
    """A target, and what is read for it: the picture of an item whose stored vector is of a trained space."""

    text: str
    target: Target
    read: Target

    def answered(self, query: Query | RecqError) -> Query | RecqError:
        """The query, of the target that was asked for."""
        return query if isinstance(query, RecqError) else replace(query, target=self.target)


def _as_it_is(_: Catalog, target: Target) -> Target:
    """The target itself: an item's stored vector serves."""
    return target


def _file_of(catalog: Catalog, target: Target) -> Target:
    """The picture of an item; a vector is one of the network's own. Raises TargetError where it is not here."""
    if isinstance(target, VectorTarget):
        return target
    if isinstance(target, IndexedTarget):
        require_embedded(target.item)
    return picture_of(catalog, target, "predicted", ", and the catalog has no vector of the network's own")


@dataclass(frozen=True, eq=False)
class _Predictor:
    """What a candidate knows, and how many guesses are wanted. `projection` is that of a catalog in a trained space."""

    known_of: Classifying
    top: int
    projection: Projection | None

    def predictions(self, catalog: Catalog, queries: Sequence[Query]) -> list[Prediction | FailedTarget]:
        """Of each query, in order; a FailedTarget for an item that was deleted meanwhile."""
        if not queries:
            return []
        stored = catalog.items.vectors([each for query in queries if (each := _indexed(query)) is not None])
        there = [query for query in queries if (each := _indexed(query)) is None or each in stored]
        vectors = [stored[each.example] if isinstance(each.example, str) else each.example for each in there]
        owns = [own_of(Parameters(), [each]) for each in there]
        near = self.known_of.nearness(catalog, [self._example(each) for each in there], owns)
        found = self.known_of.classified(vectors, near)
        made = {id(query): self._prediction(query, each) for query, each in zip(there, found, strict=True)}
        return [made.get(id(each)) or FailedTarget(each.text, "the item has just been deleted") for each in queries]

    def _example(self, query: Query) -> str | np.ndarray:
        """What the catalog is asked with."""
        indexed = _indexed(query)
        if indexed is not None or self.projection is None or isinstance(query.example, str):
            return indexed or query.example
        return self.projection.of(query.example)

    def _prediction(self, query: Query, found: Classified) -> Prediction:
        candidate, least = self.known_of.candidate, self.known_of.calibration.least
        guesses = tuple(Guess(label, probability) for label, probability in found.ranked[: self.top])
        likely = tuple(label for label, probability in found.ranked if probability >= least)
        return Prediction(query.text, candidate.label, candidate.name, guesses, likely, found.known)


def _indexed(query: Query) -> str | None:
    """The id of the item that is asked about."""
    return query.target.item.id if isinstance(query.target, IndexedTarget) else None
