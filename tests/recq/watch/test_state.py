"""What a watch remembers: in one step, bounded, for one process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recq.errors import UsageError
from recq.watch import state as remembered
from recq.watch.sending import backoff
from recq.watch.state import Delivery, Place, State

PLACE = Place("abc.0.0", 5)


def delivery(number: int, rule: str = "r") -> Delivery:
    return Delivery(f"{rule}.{number}", rule, "{}")


def test_what_was_made_is_not_made_again(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        assert state.place("r") is None
        assert state.record("r", PLACE, [delivery(1), delivery(2), delivery(1)]) == [delivery(1), delivery(2)]
        first = state.due("r", 1.0)
        assert first == delivery(1)
        state.done(first, 1.0)
    with State(tmp_path) as state:
        assert state.place("r") == PLACE
        assert state.record("r", PLACE, [delivery(1), delivery(2)]) == []
        assert state.due("r", 1.0) == delivery(2)
        assert state.waiting("r") == 1
        assert state.due("other", 1.0) is None


def test_one_that_failed_lets_others_go_first(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        state.record("r", PLACE, [delivery(1), delivery(2)])
        state.failed(delivery(1), due=10.0)
        assert state.due("r", 1.0) == delivery(2)
        state.done(delivery(2), 1.0)
        assert (state.due("r", 1.0), state.next_due("r")) == (None, 10.0)
        assert state.due("r", 10.0) == Delivery("r.1", "r", "{}", attempts=1, due=10.0)
        state.hurry("r")
        assert state.next_due("r") == 0


def test_an_interrupted_step_is_none(tmp_path: Path) -> None:
    def broken() -> Iterator[Delivery]:
        yield delivery(2)
        raise RuntimeError

    with State(tmp_path) as state:
        state.record("r", PLACE, [delivery(1)])
        with pytest.raises(RuntimeError):
            state.record("r", Place("later", 5), broken())
        assert (state.place("r"), state.waiting("r")) == (PLACE, 1)


def test_what_was_made_is_remembered_up_to_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "REMEMBERED", 3)
    with State(tmp_path) as state:
        state.record("r", PLACE, [delivery(number) for number in range(6)])
        for number in range(5):
            state.done(delivery(number), float(number))
        again = [delivery(number) for number in range(6)]
        assert [each.id for each in state.record("r", PLACE, again)] == ["r.0", "r.1"]


def test_one_process_uses_it_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    with State(tmp_path / "data") as state:
        state.record("r", PLACE, [delivery(1)])
        with pytest.raises(UsageError, match="another watch uses"), State(tmp_path / "data"):
            pass
        with State(tmp_path / "data", dry=True) as dry:
            assert dry.place("r") == PLACE
            dry.record("r", Place("later", 5), [delivery(2)])
        assert (state.place("r"), state.waiting("r")) == (PLACE, 1)
    for name in ("watch.sqlite3", "watch.lock"):
        assert (tmp_path / "data" / name).stat().st_mode & 0o777 == 0o600
    with State(tmp_path / "none", dry=True):
        pass
    assert not (tmp_path / "none").exists()


def test_waits_grow_and_end() -> None:
    waits = [backoff(attempts) for attempts in (0, 3, 8, 100_000)]
    assert all(low <= wait <= high for wait, low, high in zip(waits, (0.5, 4, 128, 150), (1, 8, 256, 300), strict=True))
