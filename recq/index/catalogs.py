"""All catalogs of an index: lists them, finds the collections of each, drops one.

A catalog is an alias and the collections that are named after it: the current one, and what a killed rebuild has left.
Raises the client's errors, except where a docstring names others.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from qdrant_client import QdrantClient, models

from recq.errors import IndexRefused, TargetNotFound
from recq.index.collection import behind, others
from recq.index.errors import translated
from recq.index.schema import METADATA_KEY


@dataclass(frozen=True)
class Holdings:
    """The collections of a catalog. `current` is the collection of the alias; None where there is no alias (yet).

    `left` are its other collections, of a rebuild that is running or was killed. `also` are aliases of other
    programs for one of them. A `current` that is named after another catalog is not `own`.
    """

    name: str
    current: str | None
    left: tuple[str, ...]
    also: tuple[str, ...]
    own: bool


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
    left = tuple(each for each in others(client, name, current or "") if _is_ours(client, each))
    if current is None and not left:
        raise TargetNotFound(missing(name, names(client)))
    own = current is not None and current.startswith(f"{name}--")
    ours = {*left, *([current] if own else [])}
    also = [
        alias.alias_name
        for alias in client.get_aliases().aliases
        if alias.collection_name in ours and alias.alias_name != name
    ]
    return Holdings(name, current, left, tuple(sorted(also)), own)


@translated
def drop(client: QdrantClient, held: Holdings) -> None:
    """Remove a catalog: leftover collections, the alias, the collection. It can be repeated after an interruption."""
    for each in held.left:
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
