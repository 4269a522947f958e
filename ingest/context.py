"""What all parts of the daemon share."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from ingest.loop import Loop
from ingest.report import Say
from ingest.source.held import Held
from ingest.source.sources import Sources
from recq.settings import Settings


@dataclass(frozen=True)
class Context:
    """The settings, the sources, the deciding thread, and `say`, which reports an event.

    With `live` the sources are watched, and compared again every `rescan` seconds; otherwise the daemon ends when all
    is done. `stop` is set when it ends.
    """

    settings: Settings
    sources: Sources
    loop: Loop
    say: Say
    stop: threading.Event
    live: bool

    def report_held(self, held: Held) -> None:
        """Report what is held of a source, unless that was reported before and has not changed since."""
        if self.sources[held.source].held_reports.is_news(held):
            what = {"what": "metadata"} if held.metadata else {}
            self.say("held", source=held.source, items=held.items, **what, detail=held.detail)
