"""What becomes of a path, decided afresh: a rule that ignores an item has to hold twice before the item goes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.events.pending import PendingPath
from ingest.events.stability import completed, observe
from ingest.pipeline.verdict import Fate, Verdict, verdicts
from ingest.source.files import FileState, Key
from ingest.source.ignore_files import IGNORE_FILE
from ingest.source.watched_source import WatchedSource
from recq.errors import Reason
from recq.images.revision import DECODER_REVISION
from recq.index.schema import FileFacts, Item, ItemError
from tests.ingest.pictures import put
from tests.ingest.unreadable import CODES, unreadable


class Known:
    """An index that has one item."""

    def __init__(self, item: Item) -> None:
        self._items = {item.id: item}

    def known(self, ids: Sequence[str]) -> Mapping[str, Item]:
        return {each: self._items[each] for each in ids if each in self._items}

    get_many = known

    def scan(self, source: str) -> Iterator[Item]:
        yield from self._items.values()

    def size(self, source: str) -> int:
        return len(self._items)


def test_what_a_comparison_found_ignored_goes_when_the_rule_still_holds_after_the_wait(tmp_path: Path) -> None:
    """A comparison may have met a file of rules that was half written."""
    state = FileState.of(put(tmp_path / "a.jpg", 1).stat())
    watched = WatchedSource("s", tmp_path, table_path=None, types=dict, say=lambda *_: None, ignore=[".*"])
    facts = FileFacts(
        "s", "a.jpg", state.size, state.mtime_ns, sha256="0" * 64, ctime_ns=state.ctime_ns, decoder=DECODER_REVISION,
        format="JPEG", metadata_digest=watched.describe("a.jpg").digest,
    )  # fmt: skip
    index, key = Known(Item(facts, {})), Key("s", "a.jpg")
    (tmp_path / IGNORE_FILE).write_text("*")

    def fate(entry: PendingPath, now: float) -> Fate:
        (verdict,) = verdicts([entry], {"s": watched}, index, now)
        return verdict.fate

    found = PendingPath(key, completed(None, 0.0), fresh=False, known=True)  # as `gone` tells it
    assert fate(found, 0.0) is Fate.SETTLING
    waited = PendingPath(key, observe(found.observation, state, 0.0, 0.5), fresh=False, known=True)
    assert fate(waited, 0.4) is Fate.SETTLING
    assert fate(waited, 0.5) is Fate.DELETE
    (tmp_path / IGNORE_FILE).write_text("*.png\n")
    assert fate(waited, 0.5) is Fate.NOTHING


class Photo:
    """An item whose name does not tell that it is a picture, and which nobody can read while its bytes are asked."""

    def __init__(self, root: Path, name: str = "photo") -> None:
        self.path, self.name = put(root / name, 1), name
        self.watched = WatchedSource("s", root, table_path=None, types=dict, say=lambda *_: None, ignore=[".*"])
        state = FileState.of(self.path.stat())
        self.item = Item(
            FileFacts(
                "s", name, state.size, state.mtime_ns, sha256="0" * 64, ctime_ns=state.ctime_ns,
                decoder=DECODER_REVISION, format="JPEG", metadata_digest=self.watched.describe(name).digest,
            )
        )  # fmt: skip

    def verdict(self, *, known: bool) -> Verdict:
        """What becomes of it now."""
        other = Item(FileFacts("s", "other", 1, 1))
        entry = PendingPath(Key("s", self.name), completed(FileState.of(self.path.stat()), 0.0), fresh=True)
        (verdict,) = verdicts([entry], {"s": self.watched}, Known(self.item if known else other), 0.0)
        return verdict


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(
    ("change", "fate", "bare"),
    [("none", Fate.NOTHING, Fate.EMBED), ("chmod", Fate.COMPARE, Fate.EMBED), ("touch", Fate.EMBED, Fate.EMBED)],
)
def test_a_file_without_an_extension_that_cannot_be_read_is_no_file_without_an_image(
    tmp_path: Path, code: int, change: str, fate: Fate, bare: Fate
) -> None:
    """The item goes where one with an image's name goes; of a new file nothing is known, and nothing remembered."""
    photo, named = Photo(tmp_path, "photo"), Photo(tmp_path, "photo.jpg")
    for each in (photo, named):
        if change == "chmod":
            each.item = replace(each.item, file=replace(each.item.file, ctime_ns=1))
        if change == "touch":
            os.utime(each.path, ns=(1, 1))
    with unreadable("photo", code):
        found = photo.verdict(known=True)
        assert (found.fate, found.state) == (fate, FileState.of(photo.path.stat()))
        assert named.verdict(known=True).fate is fate
        assert photo.verdict(known=False).fate is Fate.UNCERTAIN
    assert len(photo.watched.ignored) == 0
    assert photo.verdict(known=True).fate is fate
    assert photo.verdict(known=False).fate is bare, "the error has passed, and nothing about the file has changed"


def test_a_sidecar_that_cannot_be_read_belongs_to_its_picture(tmp_path: Path) -> None:
    sidecar = Photo(tmp_path, "photo.jpg.json")
    with unreadable(".json", errno.EACCES):
        found = sidecar.verdict(known=False)
    assert (found.fate, found.picture) == (Fate.SIDECAR, "photo.jpg")


def test_what_is_no_image_is_remembered_and_goes(tmp_path: Path) -> None:
    photo = Photo(tmp_path)
    photo.path.write_text("not a picture")
    assert photo.verdict(known=True).fate is Fate.DELETE
    with unreadable("photo", errno.EIO):
        assert photo.verdict(known=True).fate is Fate.DELETE, "it is not read again"


def test_an_item_is_read_for_its_prediction_only_as_it_is_known(tmp_path: Path) -> None:
    """Together with another reason that reason decides, but for metadata, which is written afterwards."""
    state = FileState.of(put(tmp_path / "a.jpg", 1).stat())
    watched = WatchedSource("s", tmp_path, table_path=None, types=dict, say=lambda *_: None, ignore=[".*"])
    facts = FileFacts(
        "s", "a.jpg", state.size, state.mtime_ns, sha256="0" * 64, ctime_ns=state.ctime_ns, decoder=DECODER_REVISION,
        format="JPEG", metadata_digest=watched.describe("a.jpg").digest,
    )  # fmt: skip
    entry = PendingPath(Key("s", "a.jpg"), completed(state, 0.0), fresh=False, known=True, unpredicted=True)

    def fate(item: Item, entry: PendingPath = entry) -> tuple[Fate, bool]:
        (verdict,) = verdicts([entry], {"s": watched}, Known(item), 0.0)
        return verdict.fate, verdict.described

    assert fate(Item(facts)) == (Fate.PREDICT, True)
    assert fate(Item(facts), replace(entry, unpredicted=False)) == (Fate.NOTHING, True)
    assert fate(Item(replace(facts, metadata_digest="another"))) == (Fate.PREDICT, False)
    assert fate(Item(replace(facts, size=1)))[0] is Fate.EMBED
    assert fate(Item(facts, error=ItemError(Reason.CORRUPT, "", "2026-01-01T00:00:00+00:00", 1)))[0] is Fate.NOTHING
    assert fate(Item(facts), replace(entry, altered=True))[0] is Fate.EMBED
    assert replace(entry, unpredicted=False).after(entry).unpredicted, "it is not forgotten while it waits"
