"""What becomes of a path, decided afresh: a rule that ignores an item has to hold twice before the item goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ingest.events.pending import PendingPath
from ingest.events.stability import completed, observe
from ingest.pipeline.verdict import Fate, verdicts
from ingest.source.files import FileState, Key
from ingest.source.ignore_files import IGNORE_FILE
from ingest.source.watched_source import WatchedSource
from recq.errors import Reason
from recq.images.revision import DECODER_REVISION
from recq.index.schema import FileFacts, Item, ItemError
from tests.ingest.pictures import put


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
