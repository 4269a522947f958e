"""The trained spaces that a collection carries: candidates, which answer only where they are asked for by name, and the
one that the collection's own vectors are of, if they are no network's.

They are in the collection's metadata, one key each, so that every consumer of the index has them and two trainings
never overwrite each other's.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Self

from qdrant_client import QdrantClient

from recq.catalog_names import IMAGENET, SPACE_NAME
from recq.commands import command
from recq.errors import SpaceMismatch, TargetNotFound, UsageError
from recq.index.errors import translated
from recq.models.heads import Classifier, Head, Joined, Projection, digest_of, head_from_json
from recq.space import EmbeddingSpace
from recq.spelling import nearest

PREFIX = "candidate:"
"""Collection-metadata keys of candidates."""

TRAINED_KEY = "trained"
"""Collection-metadata key of the trained space that the collection's own vectors are of."""


@dataclass(frozen=True)
class Candidate:
    """A trained space: its `head`, the `label` it was learned of, and the fingerprint of the space it starts `from_`.

    `closed_set`: pictures of classes that were not among the labels are found worse than before. `calibration` is what
    `classifier`'s scores are worth (`recq.learn.calibration`), as plain JSON; so is `quality`, how well held-out items
    are found `before` and `after` (`recq.learn.training.Quality`). `made_at` is ISO 8601 UTC.

    `near`: of one that was carried along into the space of another one, how near labelled items lie to each other there
    (`recq.learn.carrying`). There it predicts, and orders nothing: the vectors that its head takes are not stored.
    """

    name: str
    label: str
    head: Head
    classifier: Classifier
    from_: str
    made_at: str
    closed_set: bool = False
    calibration: Mapping[str, Any] = field(default_factory=dict)
    quality: Mapping[str, Any] = field(default_factory=dict)
    near: tuple[float, ...] = ()

    def space(self, base: EmbeddingSpace) -> EmbeddingSpace:
        """The embedding space of its vectors. Raises SpaceMismatch where it was learned in another than `base`."""
        if base.fingerprint != self.from_:
            raise SpaceMismatch(
                f"the trained space {self.name!r} was learned from vectors of [{self.from_}], not of {base.label}: "
                "train it again"
            )
        return replace(base, dim=self.head.dim, projection=f"{self.label}:{digest_of(self.head)}")

    def to_json(self) -> dict[str, Any]:
        """The value stored with the collection."""
        return {
            "label": self.label,
            "head": self.head.to_json(),
            "classifier": None if isinstance(self.head, Joined) else self.classifier.to_json(),  # a joined head has it
            "from": self.from_,
            "made_at": self.made_at,
            "closed_set": self.closed_set,
            "calibration": dict(self.calibration),
            "quality": dict(self.quality),
            **({"near": list(self.near)} if self.near else {}),
        }

    @classmethod
    def from_json(cls, name: str, data: Mapping[str, Any]) -> Self:
        """The value that `to_json` wrote. Raises SpaceMismatch for one of a newer version."""
        head = head_from_json(data["head"])
        return cls(
            name,
            data["label"],
            head,
            head.classifier if isinstance(head, Joined) else Classifier.from_json(data["classifier"]),
            data["from"],
            data["made_at"],
            bool(data["closed_set"]),
            data.get("calibration", {}),
            data.get("quality", {}),
            tuple(data.get("near", ())),
        )


@dataclass(frozen=True)
class TrainedSpace:
    """A trained space that vectors are stored in: the candidate that it was, and the network's space `base` of the
    vectors that its head takes."""

    candidate: Candidate
    base: EmbeddingSpace

    @property
    def space(self) -> EmbeddingSpace:
        """The embedding space of the stored vectors."""
        return self.candidate.space(self.base)

    @property
    def projection(self) -> Projection:
        """What makes its vectors."""
        return Projection(self.base, self.candidate.head)

    def to_json(self) -> dict[str, Any]:
        """The value stored with the collection."""
        return {"name": self.candidate.name, "base": self.base.to_json(), **self.candidate.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The value that `to_json` wrote. Raises SpaceMismatch for one of a newer version."""
        return cls(Candidate.from_json(data["name"], data), EmbeddingSpace.from_json(data["base"]))


def trained_in(metadata: Mapping[str, Any], space: EmbeddingSpace, catalog: str) -> TrainedSpace | None:
    """What a collection's metadata say of its trained `space`; None for a network's own space.

    Raises SpaceMismatch where the head of the space is missing or another one: nothing but it makes vectors that may be
    compared with those that are stored.
    """
    if space.projection is None:
        return None
    data, found = metadata.get(TRAINED_KEY), None
    with suppress(KeyError, TypeError, ValueError):
        found = None if data is None else TrainedSpace.from_json(data)
    if found is None or found.space != space:
        what = "is missing" if data is None else "was changed by hand"
        raise SpaceMismatch(
            f"catalog {catalog!r} was made with {space.label}, whose head {what}: go back to the network's own vectors "
            f"with {command('recq-ingest', 'rollback', catalog=catalog)}, or with "
            f"{command('recq-ingest', 'rebuild', '--model', space.model, catalog=catalog)}"
        )
    return found


def require_name(name: str) -> str:
    """A name that a candidate may have. Raises UsageError."""
    if name == IMAGENET:
        named = command("recq", "predict", "TARGET", "--space", name)
        raise UsageError(f"--name {name} cannot be used: {named} answers in ImageNet's classes")
    if not SPACE_NAME.fullmatch(name):
        raise UsageError(
            f"--name {name!r} cannot be used: take letters, digits, '.', '_' and '-', such as --name by-category"
        )
    return name


class Candidates:
    """The candidates of one collection, of the catalog `catalog`. Methods raise only errors of `recq.errors`."""

    def __init__(self, client: QdrantClient, collection: str, catalog: str) -> None:
        self._client = client
        self._collection = collection
        self._catalog = catalog

    @translated
    def names(self) -> list[str]:
        """The names of all candidates, sorted."""
        return [key.removeprefix(PREFIX) for key in sorted(self._metadata()) if key.startswith(PREFIX)]

    @translated
    def labels(self) -> dict[str, str]:
        """The names of all candidates, sorted, with the field that each was learned of."""
        return {
            key.removeprefix(PREFIX): str(data.get("label"))
            for key, data in sorted(self._metadata().items())
            if key.startswith(PREFIX)
        }

    @translated
    def get(self, name: str) -> Candidate:
        """One candidate. Raises TargetNotFound, which names those that there are; SpaceMismatch."""
        metadata = self._metadata()
        data = metadata.get(PREFIX + name)
        if data is None:
            known = [key.removeprefix(PREFIX) for key in sorted(metadata) if key.startswith(PREFIX)]
            raise TargetNotFound(self._missing(name, known))
        return Candidate.from_json(name, data)

    @translated
    def write(self, candidate: Candidate) -> None:
        """Store a candidate in place of that of its name."""
        key = PREFIX + require_name(candidate.name)
        self._client.update_collection(self._collection, metadata={key: candidate.to_json()})

    @translated
    def forget(self, name: str) -> None:
        """Remove a candidate; an unknown name is no error."""
        self._client.update_collection(self._collection, metadata={PREFIX + name: None})

    def _metadata(self) -> Mapping[str, Any]:
        metadata = self._client.get_collection(self._collection).config.metadata or {}
        return {key: value for key, value in metadata.items() if value is not None}

    def _missing(self, name: str, known: list[str]) -> str:
        meant = nearest(name, known, alike=0.6)
        if meant:
            return f"catalog {self._catalog!r} has no trained space {name!r}: did you mean {meant[0]!r}?"
        if known:
            return f"catalog {self._catalog!r} has no trained space {name!r} (there is: {', '.join(known)})"
        train = command("recq-ingest", "train", "--label", "FIELD", catalog=self._catalog)
        return f"catalog {self._catalog!r} has no trained space {name!r}, it has none yet: {train} makes one"
