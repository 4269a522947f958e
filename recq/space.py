"""The identity of a vector: everything that decides what its numbers mean, and a short fingerprint of it.

Two vectors may be compared only when their spaces have the same fingerprint. The fingerprint is stored with every
collection; a query made in another space is an error that names both, never a silent wrong answer.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, cast

from recq.commands import command
from recq.errors import DimensionTooLarge, SpaceMismatch

Resize = Literal["pad", "stretch", "crop"]
Pooling = Literal["gem", "mean", "max", "rmac", "centre", "flatten", "none"]
Preprocess = Literal["own", "unit", "tf", "caffe", "torch", "none"]
Precision = Literal["int8", "f32", "f16"]
"""The arithmetic of inference: 8-bit integers, 32-bit floats, or 16-bit floats (made by Keras alone)."""
Preset = Literal["fast", "fine", "finest"]
"""Named sets of options that were measured to work well together (`recq.models.options.PRESETS`)."""
Distance = Literal["Cosine", "Euclid"]
DistanceName = Literal["cosine", "euclid"]
"""A distance as the command line spells it."""

MAX_DIMENSIONS = 65_536
"""A Qdrant server refuses longer vectors (the embedded engine would take them: recq refuses on every engine)."""


@dataclass(frozen=True)
class InputSpec:
    """What the network sees: an 8-bit RGB square of `size` pixels a side, and how a picture becomes one."""

    size: int
    resize: Resize = "pad"


@dataclass(frozen=True)
class EmbeddingSpace:
    """Everything that decides what a vector means.

    `model` is the zoo's name (`efficientnet_lite2`, `mobilenet_v2`, `keras:ResNet50`), `weights` the SHA-256 of the
    weights (first 16 hex digits), `layer` the layer that is read, `pooling` how its map becomes one vector,
    `preprocessing` the arithmetic between 8-bit RGB and the first layer, `precision` the inference arithmetic.
    Vectors compared by their cosine have length 1, those compared by their Euclidean distance are as the network gives
    them. `projection` names the trained head that the network's vectors are put through, LABEL:DIGEST
    (`recq.index.candidates`); None: they are the network's own.
    """

    model: str
    weights: str
    layer: str
    pooling: Pooling
    size: int
    resize: Resize
    preprocessing: str
    precision: Precision
    dim: int
    distance: Distance = "Cosine"
    projection: str | None = None

    def __post_init__(self) -> None:
        if self.dim > MAX_DIMENSIONS:
            way_out = "an earlier layer" if self.pooling == "none" else "--pooling gem, mean, max, rmac or centre"
            raise DimensionTooLarge(
                f"{self.model} at layer {self.layer} gives {self.dim:,} numbers per image, more than "
                f"{MAX_DIMENSIONS:,}, the most that an index takes: use {way_out}, or a smaller --size"
            )

    @property
    def input(self) -> InputSpec:
        """What the network sees."""
        return InputSpec(self.size, self.resize)

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher score means a nearer neighbour: true for cosines, false for distances."""
        return self.distance == "Cosine"

    @property
    def distance_name(self) -> DistanceName:
        """The distance as the command line spells it."""
        return cast(DistanceName, self.distance.lower())

    @property
    def trained_on(self) -> str | None:
        """The label that it was trained on; None for a network's own space."""
        return None if self.projection is None else self.projection.rpartition(":")[0]

    @property
    def fingerprint(self) -> str:
        """First 12 hex digits of the SHA-256 of the space's canonical JSON."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    @property
    def label(self) -> str:
        """One readable line for tables and messages."""
        how = self.layer if self.pooling == "none" else self.pooling
        precision = "" if self.precision == "f32" else f" {self.precision}"
        distance = "" if self.distance == "Cosine" else f" {self.distance_name}"
        trained = "" if self.trained_on is None else f" trained on {self.trained_on}"
        return (
            f"{self.model}{precision} {self.size}px {self.resize} {how} {self.dim}-d{distance}{trained} "
            f"[{self.fingerprint}]"
        )

    def summary(self) -> dict[str, Any]:
        """As plain JSON, the parts that answers and statuses show; `to_json` has all parts."""
        return {"model": self.model, "dim": self.dim, "distance": self.distance, "fingerprint": self.fingerprint}

    def to_json(self) -> dict[str, Any]:
        """As plain JSON; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The space that `to_json` wrote. Raises TypeError on unknown or missing keys."""
        return cls(**data)


def require_same(stored: EmbeddingSpace, asked: EmbeddingSpace, catalog: str) -> None:
    """Raise SpaceMismatch, naming both and what differs, unless vectors of the two spaces may be compared."""
    if stored.fingerprint == asked.fingerprint:
        return
    if stored.model != asked.model:
        raise SpaceMismatch(
            f"catalog {catalog!r} was made with {stored.label}, not with {asked.label}: "
            "query it with its own model, or move it with "
            + command("recq-ingest", "rebuild", "--model", asked.model, catalog=catalog)
        )
    parts = "; ".join(f"{name} is {there!r}, not {here!r}" for name, there, here in differences(stored, asked))
    raise SpaceMismatch(
        f"catalog {catalog!r} was made with {stored.label}, not with {asked.label} ({parts}): "
        "leave that option out to use the catalog as it is, or move it with "
        f"{command('recq-ingest', 'rebuild', catalog=catalog)} and this option"
    )


def differences(one: EmbeddingSpace, other: EmbeddingSpace) -> list[tuple[str, Any, Any]]:
    """The parts in which two spaces differ: the name, its value in `one`, and in `other`."""
    names = [field.name for field in fields(one)]
    return [(name, a, b) for name in names if (a := getattr(one, name)) != (b := getattr(other, name))]
