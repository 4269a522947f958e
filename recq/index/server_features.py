"""What a Qdrant server can do since which version: one table, and the refusal where a setting needs a newer one.

An older server ignores fields and headers that it does not know in silence, so what needs a version is asked about
before it is used. docs/operations.md has the table for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from qdrant_client import QdrantClient

from recq.errors import IndexRefused
from recq.index.server_version import numbers_of, server_version


class Feature(StrEnum):
    """What not every server can do."""

    METADATA = "collection metadata"  # has the space's fingerprint: recq cannot do without it
    ACORN = "ACORN"
    TWO_BITS = "binary quantisation with two bits"
    TURBO_QUANT = "TurboQuant"
    ROUTE_AFFINITY = "route affinity"


SINCE: Mapping[Feature, tuple[int, int]] = {
    Feature.METADATA: (1, 16),
    Feature.ACORN: (1, 16),
    Feature.TWO_BITS: (1, 15),
    Feature.TURBO_QUANT: (1, 18),
    Feature.ROUTE_AFFINITY: (1, 19),
}
"""Major and minor version of the first server that can."""


AFFINITY_HEADER = "X-Qdrant-Route-Affinity"
"""Reads with the same value go to the same copy of a shard, so that what was seen once is seen again."""


def since(feature: Feature) -> str:
    """The first version that can, as people write it."""
    return ".".join(map(str, SINCE[feature]))


def can(version: str, feature: Feature) -> bool:
    """Whether a server of that version can."""
    return numbers_of(version) >= SINCE[feature]


def require_feature(client: QdrantClient, feature: Feature, wanted_by: str) -> None:
    """Raise IndexRefused where the server is older; `wanted_by` is the option or setting that needs the feature.

    Raises the client's errors.
    """
    version = server_version(client)
    if not can(version, feature):
        raise IndexRefused(
            f"{wanted_by} needs {feature}, which Qdrant has since {since(feature)}, and the server is version "
            f"{version}: update the server, or leave it out"
        )
