"""How a collection lies on the nodes of a server: shards, copies of each, and how many of them a write waits for.

It is decided when a collection is made and stays with the catalog: what a rebuild or a switch makes lies as what it
replaces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from qdrant_client import models

from recq.errors import UsageError
from recq.settings import Settings

_SERVER = "is of a Qdrant server: the embedded engine has one shard, once"


@dataclass(frozen=True)
class Placement:
    """`shards` are the parts of a collection, `replicas` how many nodes hold each, `write_consistency` how many of
    these must have written before a write is acknowledged. None: as the server decides."""

    shards: int | None = None
    replicas: int | None = None
    write_consistency: int | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """That of a new catalog. Raises UsageError for one that cannot be had."""
        made = cls(settings.shards, settings.replicas, settings.write_consistency)
        if settings.url is None:
            for name, value in asdict(made).items():
                if value is not None:
                    raise UsageError(f"setting {name!r} {_SERVER}")
        if (made.write_consistency or 1) > (made.replicas or 1):
            raise UsageError(
                f"setting 'write_consistency': a write cannot wait for {made.write_consistency} copies where "
                f"'replicas' is {made.replicas or 1}"
            )
        return made

    @classmethod
    def of(cls, info: models.CollectionInfo) -> Self:
        """That of a collection, as it was described."""
        config = info.config.params
        return cls(config.shard_number, config.replication_factor, config.write_consistency_factor)

    def given(self) -> dict[str, Any]:
        """Arguments of `create_collection`."""
        names = {"shards": "shard_number", "replicas": "replication_factor"}
        names["write_consistency"] = "write_consistency_factor"
        return {names[name]: value for name, value in asdict(self).items() if value is not None}

    def to_json(self) -> dict[str, Any]:
        """As the status has it."""
        return asdict(self)


def placement_text(placed: Mapping[str, Any]) -> str:
    """In words: "3 shards, 2 copies of each, a write waits for 1"."""
    shards, replicas = placed["shards"] or 1, placed["replicas"] or 1
    parts = f"{shards} shard{'' if shards == 1 else 's'}"
    if replicas == 1:
        return parts
    return f"{parts}, {replicas} copies of each, a write waits for {placed['write_consistency'] or 1}"
