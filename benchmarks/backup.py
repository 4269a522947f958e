"""What a backup costs: the first one, one after nothing or a hundredth has changed, a check of it, and a restore.

    python benchmarks/backup.py [--smoke | --short | --full]

An embedded index of many items with vectors of recq's default network (smoke 600, short 10,000, full 100,000). `export`
of the same catalog is the other side: JSON lines, not compressed, and always all of it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import generated
from benchmarks.measure import Ratio, Report, Section, parser_of, progress
from recq.index.catalog import Catalog
from recq.index.connect import connect
from recq.search.session import Session
from recq.settings import Settings
from recq.transfer.backup import back_up
from recq.transfer.backup_check import check_backup
from recq.transfer.restore import restore
from recq.transfer.transfer import export_catalog

ITEMS = {"smoke": 600, "short": 10_000, "full": 100_000}
CHANGED = 100
"""One of so many items gets other metadata before the last backup."""

T = TypeVar("T")


def main() -> None:
    """Measure and keep."""
    asked = parser_of(__doc__).parse_args()
    report = Report(asked)
    report.section("embedded", partial(measured, ITEMS[asked.size]))


def measured(items: int) -> Section:
    """All of it, once each: seconds are told, and bytes are exact."""
    seconds: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], T]) -> T:
        progress(f"    {name}")
        began = time.monotonic()
        done = work()
        seconds[name] = [time.monotonic() - began]
        return done

    with tempfile.TemporaryDirectory() as temporary:
        there = Path(temporary)
        with generated.folder(items, there) as settings:
            with connect(settings) as client:  # what is kept of earlier runs may be of an older schema
                Catalog.open(client, settings.catalog).upgrade()
            with Session(settings) as session:
                timed("export", lambda: export_catalog(session, there / "export.jsonl"))
            whole = (there / "export.jsonl").stat().st_size
            folder = there / "backup"
            first = timed("first backup", lambda: back_up(settings, folder))
            same = timed("nothing changed", lambda: back_up(settings, folder))
            change(settings, items)
            changed = timed("a hundredth changed", lambda: back_up(settings, folder))
            checked = timed("check", lambda: check_backup(settings, folder))
            assert checked.is_well, checked
            back = Settings(data_dir=there / "back", catalog=settings.catalog)
            restored = timed("restore", lambda: restore(back, folder))
            assert restored.restored == items, restored
            assert check_backup(back, folder).is_well
    ratios = [
        _ratio("seconds of an export / first backup", seconds["export"][0], seconds["first backup"][0]),
        _ratio("seconds, nothing changed / first", seconds["nothing changed"][0], seconds["first backup"][0]),
        _ratio("bytes, first backup / export", first.bytes, whole),
        _ratio("bytes, nothing changed / first", same.bytes, first.bytes, at_most=0.02),
        _ratio("bytes, a hundredth changed / first", changed.bytes, first.bytes, at_most=0.05),
        _ratio("items, written / changed", changed.written, len(range(0, items, CHANGED)), at_most=1.0),
    ]
    figures = {"bytes an item": first.bytes / items, "bytes an item, export": whole / items}
    return Section(f"embedded, {items:,} items: backups", "s", seconds, ratios, figures, items=items)


def change(settings: Settings, items: int) -> None:
    """Other metadata for a hundredth of the items."""
    with connect(settings) as client:
        catalog = Catalog.open(client, settings.catalog)
        known = catalog.ledger.get_many([generated.item(number).id for number in range(0, items, CHANGED)])
        catalog.writes.replace_metadata(
            [type(item)(item.file, {**item.metadata, "price": 5_000}) for item in known.values()]
        )


def _ratio(name: str, above: float, below: float, at_most: float | None = None) -> Ratio:
    return Ratio(name, above / below, above / below, above / below, None, at_most)


if __name__ == "__main__":
    main()
