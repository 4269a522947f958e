"""From a name to a network and to the embedding space of its vectors.

Names: `efficientnet_lite2` (the default) and `mobilenet_v2` are shipped; `keras:NAME` is any network of
`keras.applications`.
"""

from __future__ import annotations

from dataclasses import fields
from difflib import get_close_matches

from recq.errors import ModelUnavailable, SpaceMismatch
from recq.models.applications import APPLICATIONS
from recq.models.export import ensure_exported
from recq.models.pooling import dimensions, require_pooling
from recq.models.weights import Network, bundled, bundled_manifest, exports
from recq.settings import Settings
from recq.space import EmbeddingSpace, Resize

DEFAULT_MODEL = "efficientnet_lite2"
"""Best of those measured, see docs/models.md: padded to a square of 260 pixels, gem pooling, 1280 numbers."""

PRECISION = "f32"
"""The arithmetic. Never left to OpenVINO: on some processors it would choose bfloat16, and other vectors with it."""

_KERAS = "keras:"


def find_network(name: str, settings: Settings, size: int | None = None) -> Network:
    """The network of that name for pictures of `size` pixels a side (its own size where None).

    A `keras:` network is built and exported when it is not in the cache yet. Raises ModelUnavailable.
    """
    if size is not None and size < 1:
        raise ModelUnavailable(f"a picture of {size} pixels a side is none: choose a larger size")
    if name in bundled_manifest():
        return bundled(name, size)
    application = APPLICATIONS.get(name.removeprefix(_KERAS)) if name.startswith(_KERAS) else None
    if application is None:
        raise ModelUnavailable(_unknown(name))
    return ensure_exported(application.name, size or application.size, settings.weights, settings.cache_dir)


def describe_space(
    name: str,
    settings: Settings,
    *,
    pooling: str | None = None,
    size: int | None = None,
    resize: Resize | None = None,
) -> EmbeddingSpace:
    """The space of the vectors that `name` makes. Reads a manifest only, except for a `keras:` network's first time.

    Raises ModelUnavailable, or DimensionTooLarge when `flatten` gives more numbers than an index takes.
    """
    if pooling is not None:
        require_pooling(pooling)
    return network_space(find_network(name, settings, size), pooling, resize)


def network_space(network: Network, pooling: str | None, resize: Resize | None) -> EmbeddingSpace:
    """The space of `network`'s vectors under a pooling and a way to make pictures square."""
    chosen = require_pooling(pooling or network.pooling)
    return EmbeddingSpace(
        model=network.name,
        weights=network.weights[:16],
        layer=network.layer,
        pooling=chosen,
        size=network.size,
        resize=resize or "pad",
        preprocessing=network.preprocessing,
        precision=PRECISION,
        dim=dimensions(chosen, network.side, network.channels),
    )


def network_of(space: EmbeddingSpace, settings: Settings) -> Network:
    """The local network that makes vectors of `space`.

    Raises ModelUnavailable when it is not to be had, SpaceMismatch when what is here gives other vectors.
    """
    for network in exports(settings.cache_dir):  # a weights file need be named only once
        if (network.name, network.weights[:16], network.size) == (space.model, space.weights, space.size):
            break
    else:
        network = find_network(space.model, settings, space.size)
    local = network_space(network, space.pooling, space.resize)
    names = [field.name for field in fields(space) if field.name != "distance"]  # how vectors are compared, not made
    differences = [
        f"{name} is {getattr(local, name)!r} here and {getattr(space, name)!r} there"
        for name in names
        if getattr(local, name) != getattr(space, name)
    ]
    if differences:
        raise SpaceMismatch(
            f"the local {space.model} does not make the vectors of {space.label}: {'; '.join(differences)}. "
            "Use the recq version or the weights file that made the index, or 'recq-ingest rebuild'"
        )
    return network


def _unknown(name: str) -> str:
    names = [*bundled_manifest(), *(f"{_KERAS}{application}" for application in APPLICATIONS)]
    folded = {known.lower(): known for known in names} | {known.lower(): f"{_KERAS}{known}" for known in APPLICATIONS}
    near = get_close_matches(name.lower(), bundled_manifest(), n=1) or get_close_matches(name.lower(), folded, n=1)
    hint = f"did you mean {folded[near[0]]}?" if near else f"use {', '.join(bundled_manifest())} or keras:NAME"
    return f"unknown model {name!r}: {hint}"
