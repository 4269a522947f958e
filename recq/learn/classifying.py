"""What a trained space's classifier makes of vectors: the probability of each label, and whether it knows its kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from recq.errors import SpaceMismatch
from recq.index.filters import known_name
from recq.index.grammar import Condition
from recq.index.operators import Op
from recq.index.parameters import Parameters
from recq.index.schema import FILE_FIELDS
from recq.learn.calibration import NEIGHBOURS, UNKNOWN, Calibration
from recq.learn.labelled import FARTHEST

if TYPE_CHECKING:
    from recq.index.candidates import Candidate
    from recq.index.catalog import Catalog
    from recq.index.ranking import Own
    from recq.index.similarity import Example


@dataclass(frozen=True)
class Classified:
    """All labels with their calibrated probabilities, `ranked` from the most probable on.

    `known` is the share of labelled items that lie no nearer to others than this one does (`Calibration.known`).
    """

    ranked: tuple[tuple[str, float], ...]
    known: float

    @property
    def unknown(self) -> bool:
        """Whether it is unlike everything that has a label."""
        return self.known < UNKNOWN


@dataclass(frozen=True, eq=False)
class Classifying:
    """A candidate's classifier, and what its scores are worth. `trained`: the catalog is in a trained space, the
    candidate's own or one beside which it was carried along."""

    candidate: Candidate
    calibration: Calibration
    trained: bool = False

    @classmethod
    def of(cls, candidate: Candidate, *, trained: bool = False) -> Self:
        """Of a trained space. Raises SpaceMismatch where nobody measured what is near in it."""
        calibration = Calibration.from_json(candidate.calibration)
        if trained and candidate.near:
            calibration = replace(calibration, trained=np.asarray(candidate.near, np.float32))
        if trained and not calibration.trained.size:
            raise SpaceMismatch(f"the trained space {candidate.name!r} was made by an older recq: train it again")
        return cls(candidate, calibration, trained)

    def classified(self, vectors: Sequence[np.ndarray], nearness: Sequence[float]) -> list[Classified]:
        """Of each vector, float32 (dim,), which is the network's own, and its `nearness`."""
        if not vectors:
            return []
        classifier = self.candidate.classifier
        scores = classifier.scores(np.stack(vectors))
        probabilities = self.calibration.probabilities(scores, several=classifier.several)
        return [
            Classified(
                tuple((classifier.classes[n], float(row[n])) for n in np.argsort(-row, kind="stable").tolist()),
                self.calibration.known(near, trained=self.trained),
            )
            for row, near in zip(probabilities, nearness, strict=True)
        ]

    def nearness(self, catalog: Catalog, examples: Sequence[Example], owns: Sequence[Own]) -> list[float]:
        """`nearness_in` of its label."""
        return nearness_in(catalog, self.candidate.label, examples, owns)


def nearness_in(catalog: Catalog, label: str, examples: Sequence[Example], owns: Sequence[Own]) -> list[float]:
    """The mean cosine of each, an item by its id or a vector, to the items of the catalog with a `label` that are
    nearest to it, but for what is its own."""
    label = known_name(label, catalog.fields.types())
    if label not in {**catalog.fields.types(), **FILE_FIELDS}:  # the sources that had labels were forgotten
        return [FARTHEST] * len(examples)
    labelled = Parameters(k=NEIGHBOURS, filters=(Condition(label, Op.EXISTS),))
    found = catalog.finder.rank_many(list(examples), labelled, own=list(owns))
    return [float(np.mean([hit.score for hit in each.hits])) if each.hits else FARTHEST for each in found]
