"""Whether a rebuild has seen all of its sources: the last question before the old vectors are given up.

A rebuilt collection holds what the folders showed while it was filled. A disk that was away for that time leaves it
empty without any error, and finishing would throw the old items away: where anything is in doubt, the old ones stay.
"""

from __future__ import annotations

from collections.abc import Mapping

from ingest.watched import Watched
from recq.errors import TargetError
from recq.index.catalog import Catalog
from recq.paths import printable


def require_whole(old: Catalog, new: Catalog, sources: Mapping[str, Watched], doubts: Mapping[str, str]) -> None:
    """Raise TargetError unless `new` may take the place of `old`.

    `doubts`: what could not be read of a source, or was held back in it, by the source's name.
    """
    for name, watched in sources.items():
        doubt = doubts.get(name)
        if doubt is None and not watched.is_same_root():
            doubt = f"{printable(str(watched.root))} has gone or was replaced meanwhile"
        if doubt is None and not _size(new, name) and (before := _size(old, name)):
            items = "its 1 item is" if before == 1 else f"all of its {before:,} items are"
            doubt = f"{items} missing from {printable(str(watched.root))}"
        if doubt is not None:
            raise TargetError(
                f"source {name!r} could not be read whole: {doubt}. Nothing was replaced, the old vectors still "
                f"answer: mount or repair it and run the same rebuild again, or 'recq-ingest forget {printable(name)}'"
            )


def _size(catalog: Catalog, source: str) -> int:
    """Items of a source, failed ones included."""
    return catalog.count(source=source) + catalog.count_failed(source=source)
