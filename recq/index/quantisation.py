"""How a server keeps vectors small: numbers of a few bits in memory, the originals on its disk. Mostly pure.

A search compares the small vectors, and asks the originals about `oversampling` times as many as are wanted, so that
its answer has exact scores and only the choice of candidates is approximate (rescoring). Exact searches read the
originals alone. What the collection is like stands in its configuration; by how much is oversampled, and what was
measured before it was switched on (`recq.operate.quantise`), in its metadata under `KEY`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any, Self

from qdrant_client import QdrantClient, models

from recq.index.errors import translated
from recq.index.schema import VECTOR
from recq.index.server_features import Feature, require_feature

KEY = "quantised"
"""Collection-metadata key of the record."""

FULL_BITS = 32
"""Of a number that is not quantised."""


class Kind(StrEnum):
    """What a number becomes."""

    INT8 = "int8"
    TURBO = "turbo"
    PRODUCT = "product"
    BINARY = "binary"


@dataclass(frozen=True)
class _Method:
    bits: int  # of memory for each number
    oversampling: float  # enough for 0.99 of the true ten nearest, of vectors as recq's networks make them
    needs: Feature | None = None


METHODS: Mapping[Kind, _Method] = {
    Kind.INT8: _Method(8, 3.0),
    Kind.TURBO: _Method(4, 4.0, Feature.TURBO_QUANT),
    Kind.PRODUCT: _Method(2, 6.0),
    Kind.BINARY: _Method(2, 12.0, Feature.TWO_BITS),
}
"""One bit alone is not offered: networks whose numbers are never negative have nearly the same sign everywhere, and 0.4
of the true ten nearest were found (oversampling 3)."""

_QUANTILE = 0.99
"""Of the numbers, those that eight bits are laid over; the few beyond are cut off (Qdrant's own advice)."""


@dataclass(frozen=True)
class Measured:
    """What was measured of the catalog's own vectors before it was switched on: recall at `k`, its interval, of how
    many `queries`; `at` is an ISO 8601 time."""

    k: int
    recall: float
    low: float
    high: float
    queries: int
    at: str

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self | None:
        """What a record says; None where it lacks something. What a newer recq has added is left out."""
        names = [each.name for each in fields(cls)]
        return cls(**{name: record[name] for name in names}) if all(name in record for name in names) else None


@dataclass(frozen=True)
class Quantised:
    """How the vectors of a collection are quantised.

    `on_disk` says whether the originals are left to the disk; `measured` is None where nobody measured it in this
    embedding space.
    """

    kind: Kind
    oversampling: float
    on_disk: bool = True
    measured: Measured | None = None

    @classmethod
    def of_kind(cls, kind: Kind, oversampling: float | None = None, *, on_disk: bool = True) -> Self:
        """With the kind's own oversampling unless given."""
        return cls(kind, METHODS[kind].oversampling if oversampling is None else oversampling, on_disk)

    @classmethod
    def of(cls, info: models.CollectionInfo) -> Self | None:
        """That of a collection, as it was described, whoever has switched it on; None where it has none."""
        vectors = info.config.params.vectors
        params = vectors.get(VECTOR) if isinstance(vectors, dict) else None
        if params is None:
            return None
        kind = _kind_of(params.quantization_config or info.config.quantization_config)
        if kind is None:
            return None
        record = (info.config.metadata or {}).get(KEY) or {}
        measured = record.get("measured")
        return cls(
            kind,
            float(record.get("oversampling", METHODS[kind].oversampling)),
            bool(params.on_disk),
            None if measured is None else Measured.of(measured),
        )

    @property
    def bits(self) -> int:
        """Of a number in memory, the original where it stays there included."""
        return METHODS[self.kind].bits + (0 if self.on_disk else FULL_BITS)

    @property
    def elsewhere(self) -> Self:
        """The same for another embedding space, where nothing was measured."""
        return replace(self, measured=None)

    def params(self) -> dict[str, Any]:
        """Arguments of `VectorParams` and `VectorParamsDiff`."""
        return {"on_disk": self.on_disk, "quantization_config": _config(self.kind)}

    def record(self) -> dict[str, Any]:
        """The collection's metadata."""
        measured = None if self.measured is None else asdict(self.measured)
        return {KEY: {"oversampling": self.oversampling, "measured": measured}}

    def to_json(self) -> dict[str, Any]:
        """As the status has it."""
        return asdict(self)


@translated
def require_quantising(client: QdrantClient, kind: Kind) -> None:
    """Raise IndexRefused where the server is too old for that kind, and the errors of an index."""
    needs = METHODS[kind].needs
    if needs is not None:
        require_feature(client, needs, f"--kind {kind}")


@translated
def quantise(client: QdrantClient, collection: str, wanted: Quantised | None) -> None:
    """Have the server quantise the vectors of a collection, or (None) keep them as they are, in memory.

    It answers at once and goes on answering questions while it does that; its status tells when it has. The record is
    first, so that no search after the change lacks it. Raises IndexRefused, and the errors of an index.
    """
    if wanted is None:
        params = models.VectorParamsDiff(on_disk=False, quantization_config=models.Disabled.DISABLED)
        client.update_collection(collection, vectors_config={VECTOR: params})
        client.update_collection(collection, metadata={KEY: None})
        return
    require_quantising(client, wanted.kind)
    client.update_collection(collection, metadata=wanted.record())
    client.update_collection(collection, vectors_config={VECTOR: models.VectorParamsDiff(**wanted.params())})


def quantised_text(found: Mapping[str, Any]) -> str:
    """In words: "int8, originals on disk, recall@10 0.998 when it was switched on"."""
    parts = [str(found["kind"]), "originals on disk" if found["on_disk"] else "originals in memory"]
    measured = found["measured"]
    if measured is None:
        parts.append("recall not measured in this space")
    else:
        parts.append(f"recall@{measured['k']} {measured['recall']:.4f} when it was measured")
    return ", ".join(parts)


def _config(kind: Kind) -> models.QuantizationConfig:
    if kind is Kind.INT8:
        scalar = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=_QUANTILE, always_ram=True)
        return models.ScalarQuantization(scalar=scalar)
    if kind is Kind.TURBO:
        turbo = models.TurboQuantQuantizationConfig(bits=models.TurboQuantBitSize.BITS4, always_ram=True)
        return models.TurboQuantization(turbo=turbo)
    if kind is Kind.PRODUCT:
        product = models.ProductQuantizationConfig(compression=models.CompressionRatio.X16, always_ram=True)
        return models.ProductQuantization(product=product)
    binary = models.BinaryQuantizationConfig(
        encoding=models.BinaryQuantizationEncoding.TWO_BITS,
        query_encoding=models.BinaryQuantizationQueryEncoding.SCALAR8BITS,
        always_ram=True,
    )
    return models.BinaryQuantization(binary=binary)


def _kind_of(config: models.QuantizationConfig | None) -> Kind | None:
    match config:
        case models.ScalarQuantization():
            return Kind.INT8
        case models.TurboQuantization():
            return Kind.TURBO
        case models.ProductQuantization():
            return Kind.PRODUCT
        case models.BinaryQuantization():
            return Kind.BINARY
        case _:
            return None
