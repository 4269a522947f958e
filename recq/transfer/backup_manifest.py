"""The manifest of a backup, `backup.json`: what makes a folder of parts a backup. It is written last, in one step."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from recq.errors import BackupDamaged, UsageError
from recq.index.schema import SCHEMA_VERSION
from recq.transfer.archive import Head
from recq.transfer.backup_list import VERSION

_KEY = "recq_backup"
_LIST = re.compile(r"list-\d+\.jsonl")
_SHA256 = "sha256"  # of all the rest, as canonical JSON


@dataclass(frozen=True)
class Manifest:
    """What a backup is of, and which list counts.

    `head` is the catalog's, as of an export without its trained space; `records` are those of
    `recq.index.carried_records`, and the trained space under `TRAINED_KEY`; those in `blobs` by the SHA-256 of a file
    beside the parts. `aliases` are other names of the collection. Of the file `list_name` the
    first `list_bytes` count, whose SHA-256 is `list_sha256`. Everything that was written before `began_at` is in it,
    nothing that was written after `made_at` (both ISO 8601, UTC); `began` is `began_at` in microseconds since 1970.
    """

    head: Head
    began: int
    began_at: str
    made_at: str
    failed: int
    list_name: str
    list_bytes: int
    list_sha256: str
    records: Mapping[str, Any] = field(default_factory=dict)
    blobs: Mapping[str, str] = field(default_factory=dict)
    aliases: Sequence[str] = ()

    def to_text(self) -> str:
        """The file's text."""
        document = {
            _KEY: VERSION,
            "head": self.head.to_json(),
            "began": self.began,
            "began_at": self.began_at,
            "made_at": self.made_at,
            "failed": self.failed,
            "list": {"name": self.list_name, "bytes": self.list_bytes, "sha256": self.list_sha256},
            "records": dict(self.records),
            "blobs": dict(self.blobs),
            "aliases": list(self.aliases),
        }
        return json.dumps({**document, _SHA256: _digest(document)}, indent=1, ensure_ascii=True) + "\n"

    @classmethod
    def from_text(cls, text: bytes, file: str) -> Self:
        """The manifest of a file's bytes; `file` is its name in messages.

        Raises BackupDamaged, UsageError for one of a newer recq or of no backup.
        """
        try:
            document = json.loads(text)
        except ValueError as error:
            raise BackupDamaged(f"{file} is damaged: it is no JSON any more ({error})") from error
        if not isinstance(document, dict) or not isinstance(document.get(_KEY), int):
            raise UsageError(f"{file} is no manifest of a backup of recq")
        head = document.get("head")
        if document[_KEY] > VERSION or (isinstance(head, Mapping) and _schema(head) > SCHEMA_VERSION):
            raise UsageError(f"{file} was written by a newer recq: update recq")
        if document.pop(_SHA256, None) != _digest(document):
            raise BackupDamaged(f"{file} is damaged: its content has another checksum than it says")
        try:
            named = document["list"]
            if not _LIST.fullmatch(named["name"]):
                raise ValueError(f"{named['name']!r} is no list")
            return cls(
                Head.from_json(head, file),
                int(document["began"]),
                str(document["began_at"]),
                str(document["made_at"]),
                int(document["failed"]),
                str(named["name"]),
                int(named["bytes"]),
                str(named["sha256"]),
                dict(document["records"]),
                dict(document["blobs"]),
                tuple(document["aliases"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BackupDamaged(f"{file} is damaged: {error!r}") from error


def _schema(head: Mapping[str, Any]) -> int:
    return head["schema"] if isinstance(head.get("schema"), int) else 0


def _digest(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
