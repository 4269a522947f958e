"""When a file is complete: rules of time, with the clock in the test's hand."""

from __future__ import annotations

import pytest

from ingest.events.hints import Mark, observation_of
from ingest.events.stability import (
    COARSE,
    DOUBTFUL,
    WRITING,
    Observation,
    completed,
    is_complete,
    observe,
    quiet_when_found,
)
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


CLOCK, SECOND = 1_000_000.0, 10**9
NOW_NS = int(CLOCK) * SECOND
LONG = int(WRITING * SETTLE * SECOND)


@pytest.mark.parametrize(
    ("state", "quiet"),
    [
        (None, 0.0),
        (FileState(10, NOW_NS - LONG, NOW_NS - LONG), 0.0),
        (FileState(10, NOW_NS - LONG, NOW_NS - LONG + SECOND), SETTLE),  # `cp -p`: an old time, written a moment ago
        (FileState(10, NOW_NS - LONG + SECOND, NOW_NS - LONG), SETTLE),
        (FileState(10, NOW_NS + SECOND, NOW_NS - LONG), SETTLE),  # a time in the future tells nothing
        (FileState(10, NOW_NS - LONG, NOW_NS + SECOND), SETTLE),  # the clock was set back
        (FileState(10, NOW_NS - 100 * LONG, None), SETTLE),  # a polled folder: another machine's clock, or none
    ],
)
def test_what_a_walk_finds_waits_unless_its_own_ctime_shows_that_it_is_complete(
    state: FileState | None, quiet: float
) -> None:
    assert quiet_when_found(state, SETTLE, CLOCK) == quiet


def test_however_short_the_wait_a_ctime_tells_no_shorter_age() -> None:
    young, old = (FileState(10, 0, NOW_NS - int(age * SECOND)) for age in (COARSE - 0.1, COARSE))
    assert quiet_when_found(young, 0.05, CLOCK) == 0.05
    assert quiet_when_found(old, 0.05, CLOCK) == 0.0
