"""The moment of a move in which one daemon goes on in place of another: somebody beats, and both may still work."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

from ingest.service.switching import Move
from recq.heartbeat import SILENT, Heartbeat


class Exchange:
    """A move that is to switch from `old` to `new`; `beating` is whether the new daemon beats, at each step."""

    def __init__(self) -> None:
        self.beating: dict[str, bool] = {}
        self.heartbeat = Heartbeat({})
        self.daemon = SimpleNamespace(
            heartbeat=SILENT,
            woken=False,
            wake=self._wake,
            is_settled=lambda _: self._step("catches up"),
            adopt=lambda: self._step("adopt"),
            tally=SimpleNamespace(doubts=dict[str, str]()),
        )
        predicting = SimpleNamespace(all=lambda: self._step("predicting"))
        catalog = SimpleNamespace(predicting=predicting, finish_rebuild=lambda: self._step("finish_rebuild"))
        ended = SimpleNamespace(wait=lambda: self._step("old.ended"))
        self.old = SimpleNamespace(catalog=catalog, sources={}, retire=lambda: None, ended=ended)
        self.new = SimpleNamespace(
            catalog=catalog,
            sources={"s": SimpleNamespace(held=0)},
            daemon=self.daemon,
            retrier=lambda asked, *given: asked(*given),
            explain=None,
            stop=threading.Event(),
            show=lambda: self._step("show"),
        )
        self.move = move = cast(Any, Move.__new__(Move))
        move._session = SimpleNamespace(heartbeat=self.heartbeat, reporter=SimpleNamespace(stage=lambda *_: None))
        move._old, move._beside, move._total = self.old, SimpleNamespace(adopted=False), 0

    def _wake(self) -> None:
        self.daemon.woken = True

    def _step(self, name: str) -> bool:
        self.beating[name] = self.daemon.heartbeat is self.heartbeat and self.daemon.woken
        return True


def test_somebody_beats_while_the_exchange_waits() -> None:
    """systemd ends a service that does not, and the index may be away for longer than that."""
    exchange = Exchange()
    exchange.move._switch(exchange.new)
    assert exchange.move.adopted
    steps = ["old.ended", "catches up", "predicting", "finish_rebuild", "adopt", "show"]
    assert exchange.beating == dict.fromkeys(steps, True)


def test_doubts_may_come_while_they_are_gone_through() -> None:
    """The loop of the new daemon notes them in its own thread."""
    exchange = Exchange()
    doubts = exchange.daemon.tally.doubts
    doubts.update(s="could not be read", t="could not be read either")

    class Meanwhile(dict[str, Any]):
        def __contains__(self, name: object) -> bool:
            doubts.setdefault(f"after {name}", "another")
            return False

    exchange.old.sources = Meanwhile()
    assert exchange.move._doubts(exchange.new) == {"s": "could not be read", "t": "could not be read either"}
