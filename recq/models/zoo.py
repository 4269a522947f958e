"""From a name to a network and to the embedding space of its vectors.

Names: `efficientnet_lite2` (the default) and `mobilenet_v2` are shipped; `keras:NAME` is any network of
`keras.applications`.
"""

from __future__ import annotations

from difflib import get_close_matches

from recq.errors import ModelUnavailable, SpaceMismatch
from recq.models.applications import APPLICATIONS
from recq.models.export import ensure_exported
from recq.models.options import ModelOptions
from recq.models.pooling import dimensions, require_pooling
from recq.models.weights import Network, bundled, bundled_manifest, exports
from recq.settings import Settings
from recq.space import EmbeddingSpace, differences

DEFAULT_MODEL = "efficientnet_lite2"
"""Best of those measured, see docs/models.md: padded to a square of 260 pixels, gem pooling, 1280 numbers."""

PRECISION = "f32"
"""The arithmetic. Never left to OpenVINO: on some processors it would choose bfloat16, and other vectors with it."""

_KERAS = "keras:"


def find_network(asked: ModelOptions, settings: Settings, weights: str | None = None) -> Network:
    """The network that is asked for, the default model's where none is named.

    A `keras:` network is built and exported when it is not in the cache yet; with `weights`, the first digits of their
    SHA-256, any export that has them will do, whatever file they came from. Raises ModelUnavailable.
    """
    name = asked.model or DEFAULT_MODEL
    if name in bundled_manifest():
        return bundled(name, asked.size)
    application = APPLICATIONS.get(name.removeprefix(_KERAS)) if name.startswith(_KERAS) else None
    if application is None:
        raise ModelUnavailable(_unknown(name))
    size = asked.size or application.size
    if weights is not None:  # a weights file need be named only once
        for network in exports(settings.cache_dir):
            if (network.name, network.weights[: len(weights)], network.size) == (name, weights, size):
                return network
    return ensure_exported(application.name, size, settings.weights, settings.cache_dir)


def describe_space(asked: ModelOptions | str, settings: Settings) -> EmbeddingSpace:
    """The space of the vectors that are asked for; a name alone stands for everything else as the network's own.

    Reads a manifest only, except for a `keras:` network's first time. Raises ModelUnavailable, or DimensionTooLarge
    when `flatten` gives more numbers than an index takes.
    """
    asked = ModelOptions(asked) if isinstance(asked, str) else asked
    return network_space(find_network(asked, settings), asked)


def describe_variant(space: EmbeddingSpace, asked: ModelOptions, settings: Settings) -> EmbeddingSpace:
    """The space that is asked for where what is not said is as in `space`, unless another model is named.

    Raises as `describe_space`.
    """
    if asked.model not in (None, space.model):
        return describe_space(asked, settings)
    completed = asked.completed(space)
    weights = space.weights if settings.weights is None else None
    return network_space(find_network(completed, settings, weights), completed)


def network_space(network: Network, asked: ModelOptions = ModelOptions()) -> EmbeddingSpace:
    """The space of `network`'s vectors under the pooling, the resize and the distance that are asked for."""
    pooling = require_pooling(asked.pooling or network.pooling)
    return EmbeddingSpace(
        model=network.name,
        weights=network.weights[:16],
        layer=network.layer,
        pooling=pooling,
        size=network.size,
        resize=asked.resize or "pad",
        preprocessing=network.preprocessing,
        precision=PRECISION,
        dim=dimensions(pooling, network.side, network.channels),
        distance="Euclid" if asked.distance == "euclid" else "Cosine",
    )


def network_of(space: EmbeddingSpace, settings: Settings) -> Network:
    """The local network that makes vectors of `space`.

    Raises ModelUnavailable when it is not to be had, SpaceMismatch when what is here gives other vectors.
    """
    asked = ModelOptions().completed(space)
    network = find_network(asked, settings, space.weights)
    local = network_space(network, asked)
    if local != space:
        parts = "; ".join(
            f"{name} is {here!r} here and {there!r} there" for name, here, there in differences(local, space)
        )
        raise SpaceMismatch(
            f"the local {space.model} does not make the vectors of {space.label}: {parts}. "
            "Use the recq version or the weights file that made the index, or 'recq-ingest rebuild'"
        )
    return network


def _unknown(name: str) -> str:
    names = [*bundled_manifest(), *(f"{_KERAS}{application}" for application in APPLICATIONS)]
    folded = {known.lower(): known for known in names} | {known.lower(): f"{_KERAS}{known}" for known in APPLICATIONS}
    near = get_close_matches(name.lower(), bundled_manifest(), n=1) or get_close_matches(name.lower(), folded, n=1)
    hint = f"did you mean {folded[near[0]]}?" if near else f"use {', '.join(bundled_manifest())} or keras:NAME"
    return f"unknown model {name!r}: {hint}"
