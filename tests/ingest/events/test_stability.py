"""When a file is complete: rules of time, with the clock in the test's hand."""

from __future__ import annotations

from ingest.events.hints import Mark, observation_of
from ingest.events.stability import DOUBTFUL, WRITING, Observation, completed, is_complete, observe
from ingest.source.files import FileState

SMALL, GROWN = FileState(10, 1), FileState(20, 2)
SETTLE = 0.5


def test_unchanged_for_settle_is_complete() -> None:
    seen = observe(None, SMALL, 100.0, SETTLE)
    assert seen.due == 100.5
    assert not is_complete(seen, SMALL, 100.4)
    assert is_complete(seen, SMALL, 100.5)


def test_a_change_starts_over() -> None:
    seen = observe(None, SMALL, 100.0, SETTLE)
    assert not is_complete(seen, GROWN, 200.0)
    assert observe(seen, GROWN, 100.3, SETTLE).due == 100.8


def test_seeing_it_unchanged_does_not_start_over() -> None:
    seen = observe(None, SMALL, 100.0, SETTLE)
    assert observe(seen, SMALL, 100.4, SETTLE).due == 100.5


def test_the_longer_wait_holds() -> None:
    seen = observe(None, SMALL, 100.0, WRITING * SETTLE)
    assert observe(seen, SMALL, 101.0, SETTLE).due == 105.0
    assert observe(observe(None, SMALL, 100.0, SETTLE), SMALL, 100.5, DOUBTFUL * SETTLE).due == 102.0


def test_the_end_of_writing_counts_at_once() -> None:
    assert is_complete(completed(SMALL, 100.0), SMALL, 100.0)
    assert is_complete(completed(None, 100.0), None, 100.0)


def test_a_write_after_the_close_is_noticed() -> None:
    assert not is_complete(completed(SMALL, 100.0), GROWN, 100.1)


def test_what_events_mean() -> None:
    def after(mark: Mark, before: Observation | None = None) -> float:
        return observation_of(before, SMALL, 100.0, mark, SETTLE).due - 100.0

    assert after(Mark.CLOSED) == 0.0
    assert after(Mark.GONE) == 0.0
    assert after(Mark.TOUCHED) == 0.0
    assert after(Mark.APPEARED) == SETTLE
    assert after(Mark.MISSING) == SETTLE
    assert after(Mark.WRITING) == WRITING * SETTLE
    writing = observe(None, SMALL, 100.0, WRITING * SETTLE)
    assert after(Mark.TOUCHED, writing) == WRITING * SETTLE  # a change of mode says nothing about the writer
    assert after(Mark.CLOSED, writing) == 0.0
