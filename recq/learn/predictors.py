"""Predictors: what gives an item labels from what is at hand of it, the stored vector for example.

A predictor has the name of the field that it predicts (`predicted.NAME`), a fingerprint that changes with everything
that its predictions depend on, and a function from what is at hand to predictions. Those of trained spaces are found
here from what the catalog is to predict (`recq.index.predicting_records`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from recq.commands import command
from recq.errors import SpaceError, TargetNotFound, UsageError
from recq.index.field_types import FieldType
from recq.index.filters import known_name
from recq.index.predicted import Prediction, cannot_be_predicted
from recq.index.ranking import Own
from recq.index.schema import FILE_FIELDS, UNINDEXED_FIELDS, FileFacts, fits, nfc, parse_cell
from recq.learn.classifying import Classified, Classifying

if TYPE_CHECKING:
    from recq.index.candidates import Candidate
    from recq.index.catalog import Catalog

LIKELY = 0.5
"""Of items that may have several labels, those are predicted that are more probable than not, one at least."""


@dataclass(frozen=True, eq=False)
class AtHand:
    """What a predictor is given of an item: the facts of its file, and its vector, float32 (dim,)."""

    file: FileFacts
    vector: np.ndarray


class Predictor(Protocol):
    """Predicts one field of items."""

    @property
    def name(self) -> str:
        """The field: predictions are stored as `predicted.NAME`, of items that have no value of people in it."""

    @property
    def fingerprint(self) -> str:
        """What its predictions carry: they are made anew where they carry another one."""

    def type_in(self, catalog: Catalog) -> FieldType:
        """The type of its labels."""

    def predictions(self, catalog: Catalog, items: Sequence[AtHand]) -> Sequence[Prediction | None]:
        """Of each item, in order; None where what is at hand is not enough, and what is stored stays."""


@dataclass(frozen=True, eq=False)
class LabelPredictor:
    """Predicts the field that a trained space was learned of."""

    candidate: Candidate

    @property
    def name(self) -> str:
        """The field."""
        return nfc(self.candidate.label)

    @cached_property
    def fingerprint(self) -> str:
        """First 16 hex digits of the SHA-256 of classifier and calibration: one that was trained again on the same
        labels has the same."""
        parts = [self.name, self.candidate.from_, self.candidate.classifier.to_json(), self.candidate.calibration]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=dict).encode()).hexdigest()[:16]

    def type_in(self, catalog: Catalog) -> FieldType:
        """That of the field, where all labels are of it: values may have been folded into others (`train --map`)."""
        known = catalog.fields.types().get(known_name(self.name, catalog.fields.types()), FieldType.STRING)
        classes = self.candidate.classifier.classes
        return known if all(fits(parse_cell(each, known), known) for each in classes) else FieldType.STRING

    def predictions(self, catalog: Catalog, items: Sequence[AtHand]) -> list[Prediction | None]:
        """From the vectors alone; copies of an item do not vouch for it."""
        field_type = self.type_in(catalog)
        vectors = [each.vector for each in items]
        digests = [each.file.sha256 for each in items]
        owns = [Own(digests=frozenset() if each is None else frozenset({each})) for each in digests]
        found = self._classifying.classified(catalog, vectors, vectors, owns)
        return [self._prediction(each, field_type) for each in found]

    @cached_property
    def _classifying(self) -> Classifying:
        return Classifying.of(self.candidate)

    def _prediction(self, found: Classified, field_type: FieldType) -> Prediction:
        if found.unknown:
            return Prediction(self.fingerprint)
        several = self.candidate.classifier.several
        first, *others = found.ranked
        likely = [first, *(each for each in others if several and each[1] >= LIKELY)]
        return Prediction(
            self.fingerprint,
            tuple(parse_cell(label, field_type) for label, _ in likely),
            tuple(probability for _, probability in likely),
            several,
        )


def predictors_of(catalog: Catalog) -> tuple[list[Predictor], dict[str, str]]:
    """The predictors of the fields that the catalog is to predict; of the fields that have none, the reason."""
    found: list[Predictor] = []
    missing: dict[str, str] = {}
    for field, space in catalog.predicting.all().items():
        try:
            candidate = catalog.candidates.get(space)
            _require_of(candidate, field)
            candidate.space(catalog.space)
        except (TargetNotFound, UsageError, SpaceError) as error:
            missing[field] = str(error)
        else:
            found.append(LabelPredictor(candidate))
    return found, missing


def chosen_of(catalog: Catalog, asked: Sequence[str]) -> Mapping[str, str]:
    """The trained space for each field of `asked`, `FIELD` or `FIELD=SPACE`.

    Raises TargetNotFound where none was trained, UsageError where the field cannot be predicted, where several spaces
    were trained on it or the named one on another, SpaceMismatch for one of another embedding space.
    """
    chosen: dict[str, str] = {}
    for each in asked:
        field, _, space = each.partition("=")
        field = nfc(field.strip())
        if field in {**FILE_FIELDS, **UNINDEXED_FIELDS}:
            raise UsageError(f"--predict {each}: {field} is no metadata, so every item has it")
        if (why := cannot_be_predicted(field)) is not None:
            raise UsageError(f"--predict {each}: {field} cannot be predicted: {why}")
        candidate = catalog.candidates.get(space.strip()) if space.strip() else _only_one(catalog, field)
        _require_of(candidate, field)
        candidate.space(catalog.space)
        chosen[field] = candidate.name
    return chosen


def _only_one(catalog: Catalog, field: str) -> Candidate:
    """The candidate that was learned of a field: of several the one that has the field's name."""
    names = [name for name, label in catalog.candidates.labels().items() if nfc(label) == field]
    if not names:
        train = command("recq-ingest", "train", "--label", field or "FIELD", catalog=catalog.name)
        raise TargetNotFound(
            f"--predict {field}: catalog {catalog.name!r} has no space that was trained on {field!r}: {train} makes one"
        )
    if len(names) > 1 and field not in names:
        raise UsageError(
            f"--predict {field}: several spaces were trained on it ({', '.join(names)}): "
            f"choose with --predict {field}={names[0]}"
        )
    return catalog.candidates.get(field if field in names else names[0])


def _require_of(candidate: Candidate, field: str) -> None:
    if nfc(candidate.label) != field:
        raise UsageError(
            f"--predict {field}={candidate.name}: the trained space {candidate.name!r} was learned of "
            f"{candidate.label!r}, not of {field!r}"
        )
