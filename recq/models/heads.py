"""What was learned of labels, applied to vectors: a trained space's numbers from the network's. In numpy alone.

A head takes vectors of length 1 in the space that it was learned in, and gives vectors of length 1 in its own. It is
made by `recq.learn`, and is small: it travels in the collection's metadata as JSON. Its arrays are stored as 16-bit
floats, and those are what it is: every consumer computes with the same numbers, and its digest names them.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from recq.errors import SpaceMismatch
from recq.space import EmbeddingSpace

Floats = npt.NDArray[np.float32]

_ROWS = 4_096
"""Vectors that are projected at a time: what a head makes on the way may be several times as long."""


class Head(Protocol):
    """A map from vectors of one space to those of another."""

    kind: ClassVar[str]

    @property
    def takes(self) -> int:
        """Numbers of the vectors that it takes."""

    @property
    def dim(self) -> int:
        """Numbers of the vectors that it gives."""

    def apply(self, vectors: Floats) -> Floats:
        """float32 (n, takes), rows of length 1 -> float32 (n, dim), rows of length 1."""

    def to_json(self) -> dict[str, Any]:
        """As plain JSON; `head_from_json` reads it back."""


@dataclass(frozen=True, eq=False)
class Projection:
    """How the vectors of a trained space are made: those of the network's own space `base`, put through `head`."""

    base: EmbeddingSpace
    head: Head

    def of(self, vector: Floats) -> Floats:
        """float32 (takes,) of length 1 -> float32 (dim,) of length 1, or of length 0 where the head gives nothing.

        One vector at a time: products of equal rows of a batch may differ in a last bit, and copies would have an
        order.
        """
        made: Floats = self.head.apply(vector[None])[0]
        return made


@dataclass(frozen=True, eq=False)
class Classifier:
    """One linear score for each class. `weights` (classes, takes), `bias` (classes,).

    The probabilities of the classes add up to 1, or where an item may have `several` of them, each stands for itself.
    """

    classes: tuple[str, ...]
    weights: Floats
    bias: Floats
    several: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", rounded(self.weights))
        object.__setattr__(self, "bias", np.asarray(self.bias, np.float32))

    def scores(self, vectors: Floats) -> Floats:
        """float32 (n, takes) -> (n, classes): logits, any size."""
        return np.asarray(vectors, np.float32) @ self.weights.T + self.bias

    def probabilities(self, vectors: Floats, temperature: float = 1.0) -> Floats:
        """float32 (n, takes) -> (n, classes): between 0 and 1.

        The scores are divided by `temperature` first (Guo et al., On Calibration of Modern Neural Networks, 2017).
        """
        return probabilities_of(self.scores(vectors), temperature, several=self.several)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "classes": list(self.classes),
            "several": self.several,
            "weights": _packed(self.weights),
            "bias": [float(f"{each:.9g}") for each in self.bias.tolist()],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` wrote."""
        bias = np.asarray(data["bias"], np.float32)
        return cls(tuple(data["classes"]), _unpacked(data["weights"]), bias, bool(data["several"]))


def probabilities_of(scores: Floats, temperature: float = 1.0, *, several: bool = False) -> Floats:
    """Scores (n, classes) -> probabilities: of one class each (softmax), or of each class for itself (sigmoid)."""
    scaled = np.asarray(scores, np.float32) / np.float32(temperature)
    if several:
        below = np.exp(-np.abs(scaled))  # never overflows
        return np.asarray(np.where(scaled >= 0, 1, below) / (1 + below), np.float32)
    raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)


@dataclass(frozen=True, eq=False)
class Joined:
    """The class probabilities of a vector, scaled to length `weight`, joined to the vector itself.

    What is near stays near for classes that the head has never seen, while known classes draw together: `weight` says
    how much. `projection` (classes + takes, dim) reduces the joined numbers, None leaves them.
    """

    classifier: Classifier
    weight: float
    projection: Floats | None = None
    kind: ClassVar[str] = "joined"

    def __post_init__(self) -> None:
        if self.projection is not None:
            object.__setattr__(self, "projection", rounded(self.projection))

    @property
    def takes(self) -> int:
        """Numbers of the vectors that it takes."""
        return int(self.classifier.weights.shape[1])

    @property
    def dim(self) -> int:
        """Numbers of the vectors that it gives."""
        if self.projection is not None:
            return int(self.projection.shape[1])
        return self.takes + len(self.classifier.classes)

    def apply(self, vectors: Floats) -> Floats:
        """float32 (n, takes), rows of length 1 -> float32 (n, dim), rows of length 1."""
        return _in_parts(vectors, self.dim, self._apply)

    def _apply(self, vectors: Floats) -> Floats:
        joined = join(self.classifier.probabilities(vectors), vectors, self.weight)
        return joined if self.projection is None else joined @ self.projection

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        projection = None if self.projection is None else _packed(self.projection)
        return {
            "kind": self.kind,
            "classifier": self.classifier.to_json(),
            "weight": self.weight,
            "projection": projection,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` wrote."""
        projection = data["projection"]
        return cls(
            Classifier.from_json(data["classifier"]),
            float(data["weight"]),
            None if projection is None else _unpacked(projection),
        )


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear map (takes, dim) of a vector less `centre` (takes,): a discriminant, or a plain reduction."""

    matrix: Floats
    centre: Floats | None = None
    kind: ClassVar[str] = "linear"

    def __post_init__(self) -> None:
        object.__setattr__(self, "matrix", rounded(self.matrix))
        if self.centre is not None:
            object.__setattr__(self, "centre", rounded(self.centre))

    @property
    def takes(self) -> int:
        """Numbers of the vectors that it takes."""
        return int(self.matrix.shape[0])

    @property
    def dim(self) -> int:
        """Numbers of the vectors that it gives."""
        return int(self.matrix.shape[1])

    def apply(self, vectors: Floats) -> Floats:
        """float32 (n, takes), rows of length 1 -> float32 (n, dim), rows of length 1."""
        return _in_parts(vectors, self.dim, self._apply)

    def _apply(self, vectors: Floats) -> Floats:
        beside: Floats = vectors if self.centre is None else vectors - self.centre
        return np.asarray(beside @ self.matrix, np.float32)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        centre = None if self.centre is None else _packed(self.centre)
        return {"kind": self.kind, "matrix": _packed(self.matrix), "centre": centre}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` wrote."""
        centre = data["centre"]
        return cls(_unpacked(data["matrix"]), None if centre is None else _unpacked(centre))


@dataclass(frozen=True, eq=False)
class RandomFeatures:
    """A linear map (count, dim) of `count` random features of a vector, max(0, its product with random signs).

    The signs come from the bits of a seeded generator, which are the same in every version of numpy, so that they need
    not be stored (McDonnell et al., RanPAC, 2023, draws them from a normal distribution).
    """

    count: int
    seed: int
    inputs: int
    matrix: Floats
    kind: ClassVar[str] = "random"

    def __post_init__(self) -> None:
        object.__setattr__(self, "matrix", rounded(self.matrix))

    @property
    def takes(self) -> int:
        """Numbers of the vectors that it takes."""
        return self.inputs

    @property
    def dim(self) -> int:
        """Numbers of the vectors that it gives."""
        return int(self.matrix.shape[1])

    def apply(self, vectors: Floats) -> Floats:
        """float32 (n, takes), rows of length 1 -> float32 (n, dim), rows of length 1."""
        signs = random_signs(self.inputs, self.count, self.seed)
        return _in_parts(vectors, self.dim, lambda part: np.maximum(part @ signs, 0) @ self.matrix)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "kind": self.kind,
            "count": self.count,
            "seed": self.seed,
            "inputs": self.inputs,
            "matrix": _packed(self.matrix),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` wrote."""
        return cls(int(data["count"]), int(data["seed"]), int(data["inputs"]), _unpacked(data["matrix"]))


@dataclass(frozen=True, eq=False)
class Residual:
    """A vector and what is added to it: v + gate * max(0, v `into`) `back`, of length 1, reduced by `projection`.

    `into` (takes, hidden), `back` (hidden, takes), `projection` (takes, dim).
    """

    into: Floats
    back: Floats
    gate: float
    projection: Floats
    kind: ClassVar[str] = "residual"

    def __post_init__(self) -> None:
        for name in ("into", "back", "projection"):
            object.__setattr__(self, name, rounded(getattr(self, name)))

    @property
    def takes(self) -> int:
        """Numbers of the vectors that it takes."""
        return int(self.into.shape[0])

    @property
    def dim(self) -> int:
        """Numbers of the vectors that it gives."""
        return int(self.projection.shape[1])

    def apply(self, vectors: Floats) -> Floats:
        """float32 (n, takes), rows of length 1 -> float32 (n, dim), rows of length 1."""
        return _in_parts(vectors, self.dim, lambda part: moved(part, self.into, self.back, self.gate) @ self.projection)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        packed = {name: _packed(getattr(self, name)) for name in ("into", "back", "projection")}
        return {"kind": self.kind, "gate": self.gate, **packed}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` wrote."""
        into, back, projection = (_unpacked(data[name]) for name in ("into", "back", "projection"))
        return cls(into, back, float(data["gate"]), projection)


_KINDS: dict[str, type[Joined] | type[Linear] | type[RandomFeatures] | type[Residual]] = {
    each.kind: each for each in (Joined, Linear, RandomFeatures, Residual)
}


def head_from_json(data: Mapping[str, Any]) -> Head:
    """The head that `to_json` wrote. Raises SpaceMismatch for one that this version of recq cannot read."""
    kind = _KINDS.get(str(data.get("kind")))
    if kind is None:
        raise SpaceMismatch(f"a trained space of the kind {data.get('kind')!r} was made by a newer recq: update recq")
    try:
        return kind.from_json(data)
    except (KeyError, TypeError, ValueError) as error:
        raise SpaceMismatch(
            f"a trained space cannot be read ({error}): it was changed by hand, train it again"
        ) from error


def digest_of(head: Head) -> str:
    """First 16 hex digits of the SHA-256 of a head's canonical JSON."""
    canonical = json.dumps(head.to_json(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def join(probabilities: Floats, vectors: Floats, weight: float) -> Floats:
    """Probabilities (n, classes), scaled to length `weight`, before vectors (n, d): float32 (n, classes + d)."""
    scaled = probabilities * (np.float32(weight) / np.linalg.norm(probabilities, axis=1, keepdims=True))
    return np.concatenate([scaled, vectors], axis=1, dtype=np.float32)


def moved(vectors: Floats, into: Floats, back: Floats, gate: float) -> Floats:
    """Vectors (n, d) and what a gated residual adds to them, float32 (n, d), not scaled."""
    return np.asarray(vectors + np.float32(gate) * (np.maximum(vectors @ into, 0) @ back), np.float32)


@lru_cache(maxsize=1)  # 26 MB of 1,280 x 5,000, which take longer to make than to apply
def random_signs(takes: int, count: int, seed: int) -> Floats:
    """float32 (takes, count) of +1 and -1, from the bits of a seeded PCG64."""
    drawn = np.random.PCG64(seed).random_raw((takes * count + 63) // 64)
    bits = np.unpackbits(np.ascontiguousarray(drawn, "<u8").view(np.uint8), bitorder="little")[: takes * count]
    return (bits.astype(np.float32) * 2 - 1).reshape(takes, count)


def rounded(array: npt.ArrayLike) -> Floats:
    """To what a 16-bit float holds, as float32: the numbers that are stored."""
    return np.asarray(array, np.float32).astype(np.float16).astype(np.float32)


def _in_parts(vectors: Floats, dim: int, step: Any) -> Floats:
    """`step` for some rows at a time, each row then scaled to length 1; a row of zeros stays one."""
    rows = np.asarray(vectors, np.float32)
    made = np.empty((len(rows), dim), np.float32)
    for start in range(0, len(rows), _ROWS):
        part = step(rows[start : start + _ROWS])
        length = np.linalg.norm(part, axis=1, keepdims=True)
        np.divide(part, np.where(length > 0, length, 1), out=made[start : start + _ROWS])
    return made


def _packed(array: Floats) -> dict[str, Any]:
    data = base64.b64encode(np.ascontiguousarray(array, "<f2").tobytes()).decode("ascii")
    return {"shape": list(array.shape), "f16": data}


def _unpacked(data: Mapping[str, Any]) -> Floats:
    flat = np.frombuffer(base64.b64decode(data["f16"], validate=True), "<f2")
    return flat.reshape(data["shape"]).astype(np.float32)
