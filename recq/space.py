"""The identity of a vector: everything that decides what its numbers mean, and a short fingerprint of it.

Two vectors may be compared only when their spaces have the same fingerprint. The fingerprint stands with every
collection; a query made in another space is an error that names both, never a silent wrong answer.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from recq.errors import DimensionTooLarge, SpaceMismatch

Resize = Literal["pad", "stretch", "crop"]
Distance = Literal["Cosine", "Euclid"]

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
    weights file (first 16 hex digits), `layer` the layer that is read, `pooling` how its map becomes one vector,
    `preprocessing` the arithmetic between 8-bit RGB and the first layer, `precision` the inference arithmetic.
    """

    model: str
    weights: str
    layer: str
    pooling: str
    size: int
    resize: Resize
    preprocessing: str
    precision: str
    dim: int
    distance: Distance = "Cosine"
    projection: str | None = None

    def __post_init__(self) -> None:
        if self.dim > MAX_DIMENSIONS:
            raise DimensionTooLarge(
                f"{self.model} at layer {self.layer} gives {self.dim:,} numbers per image, more than "
                f"{MAX_DIMENSIONS:,}: use --pooling gem, mean or max"
            )

    @property
    def input(self) -> InputSpec:
        """What the network sees."""
        return InputSpec(self.size, self.resize)

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher score is a nearer neighbour: so with cosines, not with distances."""
        return self.distance == "Cosine"

    @property
    def fingerprint(self) -> str:
        """First 12 hex digits of the SHA-256 of the space's canonical JSON."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    @property
    def label(self) -> str:
        """One readable line for tables and messages."""
        return f"{self.model} {self.size}px {self.resize} {self.pooling} {self.dim}-d [{self.fingerprint}]"

    def to_json(self) -> dict[str, Any]:
        """As plain JSON; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The space that `to_json` wrote. Raises TypeError on unknown or missing keys."""
        return cls(**data)


def require_same(stored: EmbeddingSpace, asked: EmbeddingSpace, catalog: str) -> None:
    """Raise SpaceMismatch, naming both, unless vectors of the two spaces may be compared."""
    if stored.fingerprint != asked.fingerprint:
        raise SpaceMismatch(
            f"catalog {catalog!r} was made with {stored.label}, not with {asked.label}: "
            f"query it with its own model, or move it with 'recq-ingest rebuild --model {asked.model}'"
        )
