"""Predictors: what gives an item labels from what is at hand of it: the stored vector, or what the network gives.

A predictor has the name of the field that it predicts (`predicted.NAME`), a fingerprint that changes with everything
that its predictions depend on, and a function from what is at hand to predictions. They are found here from what the
catalog is to predict (`recq.index.predicting_records`): a field by the space that was trained on it, `imagenet` by the
classes that the shipped networks were trained to name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from recq.catalog_names import IMAGENET
from recq.commands import command
from recq.errors import ModelUnavailable, SpaceError, SpaceMismatch, TargetNotFound, UsageError
from recq.index.field_types import FieldType
from recq.index.filters import known_name
from recq.index.predicted import Prediction, cannot_be_predicted
from recq.index.ranking import Own
from recq.index.schema import FILE_FIELDS, UNINDEXED_FIELDS, FileFacts, fits, nfc, parse_cell
from recq.learn.classifying import Classified, Classifying
from recq.learn.labelled import Labelled
from recq.models.imagenet import CONFIDENCE, ImageNet, of_one_pass
from recq.models.pooling import Floats

if TYPE_CHECKING:
    from recq.index.candidates import Candidate
    from recq.index.catalog import Catalog
    from recq.index.schema import Item
    from recq.models.embedder import Pass
    from recq.settings import Settings
    from recq.space import EmbeddingSpace

LIKELY = 0.5
"""Of items that may have several labels, those are predicted that are more probable than not, one at least."""


@dataclass(frozen=True, eq=False)
class AtHand:
    """What a predictor is given of an item: the facts of its file, its vector in the catalog's space, float32 (dim,),
    and all that the network gives of its picture, where that has just been read."""

    file: FileFacts
    vector: np.ndarray | None
    read: Pass | None = None


class Predictor(Protocol):
    """Predicts one field of items."""

    @property
    def name(self) -> str:
        """The field: predictions are stored as `predicted.NAME`, of items that have no value of people in it."""

    @property
    def fingerprint(self) -> str:
        """What its predictions carry: they are made anew where they carry another one."""

    @property
    def reads_pictures(self) -> bool:
        """Whether the stored vector is not enough: without a picture it says what is known of a copy, or nothing."""

    def type_in(self, catalog: Catalog) -> FieldType:
        """The type of its labels."""

    def load(self, catalog: Catalog) -> None:
        """Take the labels of people as they are now; called now and then, outside of any lock."""

    def note(self, items: Sequence[tuple[Item, Floats | None]]) -> None:
        """Items that have just been written, with their vectors where they have another one."""

    def predictions(self, catalog: Catalog, items: Sequence[AtHand]) -> Sequence[Prediction | None]:
        """Of each item, in order; None where what is at hand is not enough, and what is stored stays."""


@dataclass(frozen=True, eq=False)
class LabelPredictor:
    """Predicts the field that a trained space was learned of.

    `trained`: the catalog's vectors are those of that space. The classifier takes the network's own, which are at hand
    where a picture is read.
    """

    candidate: Candidate
    trained: bool = False
    _labelled: Labelled = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_labelled", Labelled(self.name))

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

    @property
    def reads_pictures(self) -> bool:
        """Where the stored vectors are not the network's own."""
        return self.trained

    def load(self, catalog: Catalog) -> None:
        """Read the vectors of what people have labelled."""
        self._labelled.load(catalog)

    def note(self, items: Sequence[tuple[Item, Floats | None]]) -> None:
        """What has a label now vouches for pictures that are like it."""
        self._labelled.note(items)

    def predictions(self, catalog: Catalog, items: Sequence[AtHand]) -> list[Prediction | None]:
        """From the vectors alone; copies of an item do not vouch for it."""
        made: dict[int, Prediction] = {}
        if at_hand := [n for n, each in enumerate(items) if self._own(each) is not None and each.vector is not None]:
            field_type = self.type_in(catalog)
            own, vectors = (
                [each for n in at_hand if (each := of(items[n])) is not None] for of in (self._own, _vector)
            )
            near = self._nearness(catalog, vectors, [items[n].file.sha256 for n in at_hand])
            found = self._classifying.classified(own, near)
            made = {n: self._prediction(each, field_type) for n, each in zip(at_hand, found, strict=True)}
        return _with_copies(catalog, self, items, made)

    def _own(self, item: AtHand) -> np.ndarray | None:
        """The network's own vector."""
        if item.read is not None:
            return item.read.own
        return None if self.trained else item.vector

    def _nearness(
        self, catalog: Catalog, vectors: Sequence[np.ndarray], digests: Sequence[str | None]
    ) -> Sequence[float]:
        found = self._labelled.nearness(catalog, vectors, digests)
        if found is not None:
            return found
        owns = [Own(digests=frozenset() if each is None else frozenset({each})) for each in digests]
        return self._classifying.nearness(catalog, vectors, owns)

    @cached_property
    def _classifying(self) -> Classifying:
        return Classifying.of(self.candidate, trained=self.trained)

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


@dataclass(frozen=True, eq=False)
class ImageNetPredictor:
    """Predicts which of ImageNet's classes a picture shows: the first one where it is sure, else `unknown`."""

    classifier: ImageNet

    name = IMAGENET
    reads_pictures = True

    @property
    def fingerprint(self) -> str:
        """That of the classifier: network, input, names, confidence."""
        return self.classifier.fingerprint

    def type_in(self, catalog: Catalog) -> FieldType:  # noqa: ARG002 - a predictor's signature
        """Names are text."""
        return FieldType.STRING

    def load(self, catalog: Catalog) -> None:
        """It knows no labels of people."""

    def note(self, items: Sequence[tuple[Item, Floats | None]]) -> None:
        """It knows no labels of people."""

    def predictions(self, catalog: Catalog, items: Sequence[AtHand]) -> list[Prediction | None]:
        """From the means of the map: of pictures that have just been read, and of what has copies that were."""
        means = {n: each.read.means for n, each in enumerate(items) if each.read and each.read.means is not None}
        made: dict[int, Prediction] = {}
        if means:
            found = self.classifier.first(np.stack(list(means.values())))
            for n, label in zip(means, found, strict=True):
                sure = self.classifier.is_sure(label)
                made[n] = Prediction(self.fingerprint, *(((label.name,), (label.probability,)) if sure else ()))
        return _with_copies(catalog, self, items, made)


def _vector(item: AtHand) -> np.ndarray | None:
    return item.vector


def _with_copies(
    catalog: Catalog, predictor: Predictor, items: Sequence[AtHand], made: Mapping[int, Prediction]
) -> list[Prediction | None]:
    """What was made, by number; of the others what the index has of the same bytes."""
    digests = {n: each.file.sha256 for n, each in enumerate(items) if n not in made and each.file.sha256 is not None}
    copies = catalog.ledger.predictions_by_sha256(set(digests.values()), predictor.name, predictor.fingerprint)
    return [made.get(n) or copies.get(digests.get(n, "")) for n in range(len(items))]


def predictors_of(catalog: Catalog, settings: Settings) -> tuple[list[Predictor], dict[str, str]]:
    """The predictors of the fields that the catalog is to predict; of the fields that have none, the reason."""
    found: list[Predictor] = []
    missing: dict[str, str] = {}
    for name, space in catalog.predicting.all().items():
        try:
            found.append(
                _imagenet(catalog, catalog.base, settings) if space == IMAGENET else _of_space(catalog, name, space)
            )
        except (TargetNotFound, UsageError, SpaceError) as error:
            missing[name] = str(error)
    return found, missing


def _imagenet(catalog: Catalog, base: EmbeddingSpace, settings: Settings) -> ImageNetPredictor:
    """Raises SpaceMismatch where the pass that gives the vectors of `base` does not give ImageNet's classes."""
    try:
        classifier = of_one_pass(settings, base)
    except ModelUnavailable as error:
        raise SpaceMismatch(f"--predict {IMAGENET}: {error}") from None
    if classifier is None:
        sizes: dict[str, dict[int, None]] = {}
        for model, _, size in CONFIDENCE:
            sizes.setdefault(model, {})[size] = None
        able = ", ".join(f"{model} of {' or '.join(map(str, each))} px" for model, each in sizes.items())
        named = command("recq", "predict", "TARGET", "--space", IMAGENET, catalog=catalog.name)
        raise SpaceMismatch(
            f"--predict {IMAGENET}: {base.label} has no classifier of ImageNet's classes; padded pictures and "
            f"{able} have; {named} names single pictures in any catalog"
        )
    return ImageNetPredictor(classifier)


def _of_space(catalog: Catalog, field: str, space: str) -> LabelPredictor:
    """Raises as `_candidate` and `_require_of` do, and SpaceMismatch for one of another embedding space."""
    candidate = _candidate(catalog, space)
    _require_of(candidate, field)
    candidate.space(catalog.base)
    trained = catalog.trained is not None
    Classifying.of(candidate, trained=trained)
    return LabelPredictor(candidate, trained)


def _candidate(catalog: Catalog, name: str) -> Candidate:
    """A trained space, of the catalog's own vectors or beside them. Raises TargetNotFound."""
    if catalog.trained is not None and catalog.trained.candidate.name == name:
        return catalog.trained.candidate
    return catalog.candidates.get(name)


def chosen_of(
    catalog: Catalog, asked: Sequence[str], settings: Settings, base: EmbeddingSpace | None = None
) -> Mapping[str, str]:
    """What predicts each field of `asked`: a trained space for `FIELD` or `FIELD=SPACE`, `IMAGENET` for itself.

    `base` is the network's space of the catalog that predicts, where this is another one than `catalog`.

    Raises TargetNotFound where none was trained, UsageError where the field cannot be predicted, where several spaces
    were trained on it or the named one on another, SpaceMismatch for one of another embedding space, and for
    ImageNet's classes of a network that has no classifier of them.
    """
    chosen: dict[str, str] = {}
    for each in asked:
        field, _, space = each.partition("=")
        field = nfc(field.strip())
        if each.strip() == IMAGENET:
            _imagenet(catalog, base or catalog.base, settings)
            chosen[IMAGENET] = IMAGENET
            continue
        if field in {**FILE_FIELDS, **UNINDEXED_FIELDS}:
            raise UsageError(f"--predict {each}: {field} is no metadata, so every item has it")
        if (why := cannot_be_predicted(field)) is not None:
            raise UsageError(f"--predict {each}: {field} cannot be predicted: {why}")
        name = space.strip() or _only_one(catalog, field)
        _of_space(catalog, field, name)
        chosen[field] = name
    return chosen


def _only_one(catalog: Catalog, field: str) -> str:
    """The space that was learned of a field: of several the one that has the field's name."""
    labels = catalog.candidates.labels()
    if catalog.trained is not None:
        labels[catalog.trained.candidate.name] = catalog.trained.candidate.label
    names = [name for name, label in labels.items() if nfc(label) == field]
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
    return field if field in names else names[0]


def _require_of(candidate: Candidate, field: str) -> None:
    if nfc(candidate.label) != field:
        raise UsageError(
            f"--predict {field}={candidate.name}: the trained space {candidate.name!r} was learned of "
            f"{candidate.label!r}, not of {field!r}"
        )
