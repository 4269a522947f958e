"""The networks and trained spaces that there are: what `recq-ingest models` prints.

Networks are found on this machine; which catalogs use them, and the spaces that were trained in these, in the index.
Without an index, or where it does not answer, the networks alone are listed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from recq.errors import IndexError_, RecqError
from recq.models.inventory import LocalNetwork, local_networks
from recq.models.pixels import PREFIX as PIXELS
from recq.models.speed import Speeds
from recq.models.trained import trained_networks
from recq.progress import Progress, silent
from recq.settings import Settings
from recq.space import EmbeddingSpace

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from recq.index.candidates import Candidate
    from recq.index.catalog import Catalog

Kind = Literal["shipped", "cached", "own", "built-in", "missing", "trained"]


@dataclass(frozen=True)
class Model:
    """A network, or a trained space.

    `name` is what `--model` takes, or CATALOG@NAME of a trained space. `kind`: `shipped`, `cached` (a `keras:` or
    `file:` network, or another layer of a shipped one), `own` (`trained:NAME`), `built-in` (raw pixels), `missing`
    (a catalog uses it and it is not on this machine) or `trained`. `numbers` of a vector; `size` is pixels a side
    of what the network sees. `bytes` on disk, for a trained space in the collection. `speed`: pictures a second on
    this machine, None where that was not measured. `quality`: what was measured when the space was trained.
    `catalogs` use it, or have it.
    """

    name: str
    kind: Kind
    numbers: int
    fingerprint: str
    layer: str | None = None
    size: int | None = None
    precision: str | None = None
    bytes: int | None = None
    speed: float | None = None
    quality: Mapping[str, Any] | None = None
    catalogs: tuple[str, ...] = ()
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        """One element of the list that `--json` prints."""
        return {**asdict(self), "catalogs": list(self.catalogs)}


@dataclass(frozen=True)
class Models:
    """All of them. `problem`: why the index was not read, None where it was."""

    models: tuple[Model, ...]
    problem: str | None = None


@dataclass(frozen=True)
class _InIndex:
    """What an index has: the spaces of its catalogs by name, and the rows of trained spaces."""

    spaces: Mapping[str, EmbeddingSpace] = field(default_factory=dict)
    trained: Sequence[Model] = ()
    problem: str | None = None


def list_models(settings: Settings, *, measure: bool = False, progress: Progress = silent) -> Models:
    """The networks of this machine and the trained spaces of the index.

    With `measure` the speed of each network is measured now, for a second each; otherwise what was measured before is
    shown. An index that does not answer is no error.
    """
    there = _in_index(settings)
    networks = list(local_networks(settings))
    speeds = Speeds(settings)
    rows = []
    for number, each in enumerate(networks):
        problem = None
        if measure:
            progress("measuring", number, len(networks))
            try:
                speeds.measure(each.space)
            except RecqError as error:
                problem = str(error)
        rows.append(replace(_row(each, there.spaces), speed=speeds.kept(each.space), problem=problem))
    if measure:
        progress("measuring", len(networks), len(networks))
    own = _own(settings, there.spaces)
    named = {name for row in own for name in row.catalogs}
    listed = {row.name for row in own}
    rows = [row for row in rows if row.name not in listed]  # what it was exported to is the same network
    rest = {name: space for name, space in there.spaces.items() if name not in named}
    rows += [*own, *_without_files(networks, rest)]
    return Models((*rows, *there.trained), there.problem)


def _row(local: LocalNetwork, spaces: Mapping[str, EmbeddingSpace]) -> Model:
    network, space = local.network, local.space
    return Model(
        name=network.name,
        kind=local.origin,
        numbers=space.dim,
        fingerprint=space.fingerprint,
        layer=network.layer,
        size=network.size,
        precision=network.precision,
        bytes=local.bytes,
        catalogs=tuple(name for name, used in spaces.items() if local.makes(used)),
    )


def _own(settings: Settings, spaces: Mapping[str, EmbeddingSpace]) -> list[Model]:
    """The networks that were trained here or taken over; their numbers are known where a catalog has such vectors."""
    rows = []
    for network, path in trained_networks(settings):
        using = {
            name: space
            for name, space in spaces.items()
            if (space.model, space.weights) == (network.model, network.weights)
        }
        space = next(iter(using.values()), None)
        rows.append(
            Model(
                name=network.model,
                kind="own",
                numbers=0 if space is None else space.dim,
                fingerprint=network.weights if space is None else space.fingerprint,
                layer=network.layer,
                size=network.size,
                bytes=path.stat().st_size,
                catalogs=tuple(using),
            )
        )
    return rows


def _without_files(networks: Sequence[LocalNetwork], spaces: Mapping[str, EmbeddingSpace]) -> list[Model]:
    """What catalogs use and no file here makes: raw pixels, and networks of other machines."""
    found: dict[str, Model] = {}
    for name, space in spaces.items():
        if any(each.makes(space) for each in networks):
            continue
        row = found.get(space.fingerprint) or Model(
            name=space.model,
            kind="built-in" if space.model.startswith(PIXELS) else "missing",
            numbers=space.dim,
            fingerprint=space.fingerprint,
            layer=space.layer,
            size=space.size,
            precision=space.precision,
        )
        found[space.fingerprint] = replace(row, catalogs=(*row.catalogs, name))
    return list(found.values())


def _in_index(settings: Settings) -> _InIndex:
    from recq.index.connect import connect

    try:
        with connect(settings) as client:
            return _read(client)
    except IndexError_ as error:
        return _InIndex(problem=str(error))


def _read(client: QdrantClient) -> _InIndex:
    from recq.index.catalog import Catalog
    from recq.index.catalogs import names

    spaces: dict[str, EmbeddingSpace] = {}
    trained: list[Model] = []
    for name in names(client):
        try:
            catalog = Catalog.open(client, name)
            spaces[name] = catalog.space
            trained += [_trained(name, catalog, catalog.candidates.get(each)) for each in catalog.candidates.names()]
        except RecqError as error:  # made by a newer recq, or dropped since
            trained.append(Model(name, "trained", 0, "", catalogs=(name,), problem=str(error)))
    return _InIndex(spaces, trained)


def _trained(name: str, catalog: Catalog, candidate: Candidate) -> Model:
    stale = candidate.from_ != catalog.base.fingerprint
    fingerprint = candidate.from_ if stale else candidate.space(catalog.base).fingerprint
    return Model(
        name=f"{name}@{candidate.name}",
        kind="trained",
        numbers=candidate.head.dim,
        fingerprint=fingerprint,
        bytes=len(json.dumps(candidate.to_json())),
        quality=dict(candidate.quality) or None,
        catalogs=(name,),
        problem=f"learned from vectors of [{candidate.from_}]: train it again" if stale else None,
    )
