"""All catalogs of an index: lists them, finds the collections of each, drops one.

A catalog is an alias and the collections that are named after it: the current one, the one that it has replaced, and
what a killed rebuild has left.
Raises the client's errors, except where a docstring names others.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from qdrant_client import QdrantClient, models

from recq.errors import IndexRefused, TargetNotFound
from recq.index.collection import PREVIOUS_KEY, behind, others, previous, space_in
from recq.index.errors import translated
from recq.index.filters import NO_FILE
from recq.index.kept import Kept
from recq.index.schema import METADATA_KEY

_BYTES = 4
"""Of a number of a vector."""


@dataclass(frozen=True)
class Holdings:
    """The collections of a catalog. `current` is the collection of the alias; None where there is no alias (yet).

    `kept` is the one that `current` has replaced, `left` are its other collections, of a rebuild that is running or was
    killed. `also` are aliases of other programs for one of them. A `current` that is named after another catalog is not
    `own`.
    """

    name: str
    current: str | None
    left: tuple[str, ...]
    also: tuple[str, ...]
    own: bool
    kept: str | None = None


@translated
def names(client: QdrantClient) -> list[str]:
    """The catalogs that recq made, alphabetically; aliases of other programs are left out."""
    aliases = client.get_aliases().aliases
    return sorted(alias.alias_name for alias in aliases if _is_ours(client, alias.collection_name))


@translated
def holdings(client: QdrantClient, name: str) -> Holdings:
    """The collections of a catalog.

    Raises TargetNotFound, with a similar name, and IndexRefused for an alias that is not recq's.
    """
    current = behind(client, name)
    if current is not None and not _is_ours(client, current):
        raise IndexRefused(
            f"{name!r} is an alias of the collection {current!r}, which recq did not make: "
            "choose another name with --catalog"
        )
    ours = [each for each in others(client, name, current or "") if _is_ours(client, each)]
    before = previous(client, current) if current is not None else None
    replaced = next((each for each in ours if before is not None and each == before[0]), None)
    left = tuple(each for each in ours if each != replaced)
    if current is None and not left:
        raise TargetNotFound(missing(name, names(client)))
    own = current is not None and current.startswith(f"{name}--")
    known = {*ours, *([current] if own else [])}
    also = [
        alias.alias_name
        for alias in client.get_aliases().aliases
        if alias.collection_name in known and alias.alias_name != name
    ]
    return Holdings(name, current, left, tuple(sorted(also)), own, replaced)


@translated
def kept(client: QdrantClient, name: str) -> Kept | None:
    """The collection that the last rebuild of a catalog replaced; None where none is kept.

    Raises IndexRefused or SpaceMismatch for one that this recq cannot read.
    """
    current = behind(client, name)
    before = previous(client, current) if current is not None else None
    if before is None:
        return None
    collection, at = before
    info = client.get_collection(collection)
    space = space_in(info, collection)
    items = client.count(collection, count_filter=models.Filter(must_not=[NO_FILE]), exact=True).count
    return Kept(collection, at, space, items, items * space.dim * _BYTES)


@translated
def prune(client: QdrantClient, name: str, collection: str) -> None:
    """Delete the collection that the catalog has kept. It can be repeated after an interruption."""
    client.delete_collection(collection)
    current = behind(client, name)
    if current is not None:
        client.update_collection(current, metadata={PREVIOUS_KEY: None})


@translated
def drop(client: QdrantClient, held: Holdings) -> None:
    """Remove a catalog: its other collections, the alias, the collection. It can be repeated after an interruption."""
    for each in (*held.left, *([] if held.kept is None else [held.kept])):
        client.delete_collection(each)
    if held.current is None:
        return
    gone = models.DeleteAlias(alias_name=held.name)
    client.update_collection_aliases([models.DeleteAliasOperation(delete_alias=gone)])
    if held.own:
        client.delete_collection(held.current)


def missing(name: str, known: Sequence[str]) -> str:
    """The message for an unknown catalog, with a similar name, else with the names of all catalogs."""
    lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.7)
    if near:
        return f"catalog {name!r} does not exist here: did you mean {lower[near[0]]!r}?"
    return f"catalog {name!r} does not exist here" + (f" (there is: {', '.join(known)})" if known else "")


def _is_ours(client: QdrantClient, collection: str) -> bool:
    return METADATA_KEY in (client.get_collection(collection).config.metadata or {})
