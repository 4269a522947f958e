"""The networks of this machine: those that are shipped, and those in the cache folder. Reads manifests only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from recq.models.weights import Network, bundled, bundled_manifest, exports, int8_manifest
from recq.models.zoo import network_space
from recq.settings import Settings
from recq.space import EmbeddingSpace

Origin = Literal["shipped", "cached"]


@dataclass(frozen=True)
class LocalNetwork:
    """A network whose files are here, `bytes` of them, and the space of its vectors with all that is its default."""

    network: Network
    origin: Origin
    bytes: int

    @property
    def space(self) -> EmbeddingSpace:
        """Its vectors' space by default."""
        return network_space(self.network)

    def makes(self, space: EmbeddingSpace) -> bool:
        """Whether vectors of `space` are made by this network, pooled and resized in whatever way.

        Shipped networks take pictures of any size. What is made in f16 is the network in f32.
        """
        own = self.network
        precision = "f32" if space.precision == "f16" else space.precision
        same = (own.name, own.weights[:16], own.layer, own.preprocessing, own.precision) == (
            space.model, space.weights, space.layer, space.preprocessing, precision
        )  # fmt: skip
        return same and (self.origin == "shipped" or own.size == space.size)


def local_networks(settings: Settings) -> Iterator[LocalNetwork]:
    """The shipped networks in their order, each in 8 bits and in floats, then those in the cache folder by name."""
    for name in bundled_manifest():
        if name in int8_manifest():
            quantised = bundled(name, None, int8=True)
            yield LocalNetwork(quantised, "shipped", _bytes_of(quantised, archive=False))
        floats = bundled(name, None)
        yield LocalNetwork(floats, "shipped", _bytes_of(floats, archive=True))
    for network in exports(settings.cache_dir):
        yield LocalNetwork(network, "cached", _bytes_of(network, archive=True))


def _bytes_of(network: Network, *, archive: bool) -> int:
    """What its files take; those of 8 bits have no archive of their own."""
    files = [network.ir, network.ir.with_suffix(".bin")] if network.ir is not None else []
    if archive and network.archive is not None:
        files.append(network.archive)
    return sum(file.stat().st_size for file in files if file.is_file())
