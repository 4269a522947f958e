"""What the embedded folder holds: its collections and aliases, as one value and one file.

`edge/manifest.json` is the only truth about which collections exist. It is replaced in one step (written beside,
synced, renamed), so that each change is made whole or not at all, whenever the process dies. All changes are pure
functions from one `Manifest` to the next.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from qdrant_client.http import models as rest

from recq.errors import RecqError
from recq.index.edge.convert import VectorSpec
from recq.index.edge.hashed_index import NarrowFields
from recq.index.edge.problem import already_exists, not_found, wrong_input
from recq.private_files import open_private

_log = logging.getLogger(__name__)
FORMAT = 2
"""1 has no narrow indexes; one without any is still written as 1, so that an older recq can read it."""


@dataclass(frozen=True)
class ShardEntry:
    """One collection: its folder's name below `edge/`, and the parameters that it was made with.

    `vectors` is the REST API's `{name: {"size", "distance"}}`; `options` are hints that are kept and
    reported only, `narrow` are the keyword indexes with `on_disk`.
    """

    folder: str
    vectors: Mapping[str, Mapping[str, Any]]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    narrow: NarrowFields = field(default_factory=NarrowFields)

    @property
    def specs(self) -> dict[str, VectorSpec]:
        """The named vectors."""
        return {name: VectorSpec(one["size"], rest.Distance(one["distance"])) for name, one in self.vectors.items()}


@dataclass(frozen=True)
class Manifest:
    """All collections by name, and all aliases with the collection they stand for."""

    collections: Mapping[str, ShardEntry] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)

    def resolve(self, name: str) -> tuple[str, ShardEntry]:
        """The collection with the name or alias `name`. Raises Problem 404."""
        real = self.aliases.get(name, name)
        if real not in self.collections:
            raise not_found(f"Collection `{name}` doesn't exist!")
        return real, self.collections[real]

    def with_collection(self, name: str, entry: ShardEntry) -> Manifest:
        """A new collection. Raises Problem 409 where it exists, 400 where an alias has the name."""
        if name in self.collections:
            raise already_exists(name)
        if name in self.aliases:
            raise wrong_input(f"Can't create collection with name {name}. Alias with the same name already exists")
        return replace(self, collections={**self.collections, name: entry})

    def with_entry(self, name: str, entry: ShardEntry) -> Manifest:
        """The existing collection `name`, changed."""
        return replace(self, collections={**self.collections, name: entry})

    def without_collection(self, name: str) -> Manifest:
        """The same without the collection and its aliases."""
        return Manifest(
            {key: entry for key, entry in self.collections.items() if key != name},
            {alias: target for alias, target in self.aliases.items() if target != name},
        )

    def with_aliases_changed(self, actions: Sequence[rest.AliasOperations]) -> Manifest:
        """All `actions` in order, or none: raises Problem 404 or 409 (a server keeps those before the bad one)."""
        aliases = dict(self.aliases)
        for action in actions:
            match action:
                case rest.CreateAliasOperation():
                    created = action.create_alias
                    if created.collection_name not in self.collections:
                        raise not_found(f"Collection `{created.collection_name}` doesn't exist!")
                    if created.alias_name in self.collections:
                        raise already_exists(created.alias_name)
                    aliases[created.alias_name] = created.collection_name
                case rest.DeleteAliasOperation():
                    aliases.pop(action.delete_alias.alias_name, None)
                case rest.RenameAliasOperation():
                    renamed = action.rename_alias
                    if renamed.old_alias_name not in aliases:
                        raise not_found(f"Alias {renamed.old_alias_name} does not exists!")
                    if renamed.new_alias_name in self.collections:
                        raise already_exists(renamed.new_alias_name)
                    aliases[renamed.new_alias_name] = aliases.pop(renamed.old_alias_name)
        return replace(self, aliases=aliases)


def merged_metadata(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Collection metadata as a 1.17 server merges it: top-level keys replaced whole, a null removes its key."""
    return {key: value for key, value in {**old, **new}.items() if value is not None}


def read(path: Path) -> Manifest | None:
    """The manifest in the file `path`; None where there is none. Raises RecqError when it cannot be read."""
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise RecqError(f"{path} is damaged ({error}): move the folder {path.parent} away and index again") from error
    if not isinstance(data, dict) or data.get("format") not in (1, FORMAT):
        raise RecqError(f"{path} was written by another version of recq: use that version, or another --data-dir")
    try:
        return Manifest({name: _entry(entry) for name, entry in data["collections"].items()}, dict(data["aliases"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecqError(f"{path} is damaged ({error!r}): move the folder {path.parent} away and index again") from error


def _entry(data: Mapping[str, Any]) -> ShardEntry:
    return ShardEntry(**{**data, "narrow": NarrowFields.from_json(data.get("narrow", {}))})


def write(path: Path, manifest: Manifest) -> None:
    """Replace the file `path` in one step that survives a power cut. Where it raises, nothing has changed."""
    data = {
        "format": FORMAT if any(entry.narrow.fields for entry in manifest.collections.values()) else 1,
        "collections": {
            name: {
                "folder": entry.folder,
                "vectors": {key: dict(spec) for key, spec in entry.vectors.items()},
                "metadata": dict(entry.metadata),
                "options": dict(entry.options),
                **({"narrow": entry.narrow.to_json()} if entry.narrow.fields else {}),
            }
            for name, entry in manifest.collections.items()
        },
        "aliases": dict(manifest.aliases),
    }
    beside = path.with_name(f"{path.name}.new")
    with open(beside, "w", encoding="utf-8", opener=open_private) as file:
        json.dump(data, file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    try:
        sync_folder(path.parent)
    except OSError as error:  # the change is made: a caller that got an error would undo half of it
        _log.warning("%s may not survive a power cut now: %s", path, error.strerror)


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a power cut, on systems that can be told to."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows opens no folder
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
