"""When failed items are tried again: the decision, and the schedule of a running daemon."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ingest.events.retry import FIRST, LONGEST, Retries, delay, is_due
from ingest.source.files import Key
from recq.errors import Reason
from recq.index.schema import ItemError

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def error(reason: Reason = Reason.IO_ERROR, *, age: float = 0.0, attempts: int = 1, retry: bool = False) -> ItemError:
    return ItemError(reason, "", (NOW - timedelta(seconds=age)).isoformat(), attempts, retry)


def test_each_attempt_waits_twice_as_long_up_to_an_hour() -> None:
    assert [delay(attempts) for attempts in (1, 2, 3)] == [FIRST, 2 * FIRST, 4 * FIRST]
    assert delay(12) == delay(10**6) == LONGEST


@pytest.mark.parametrize(
    ("failure", "due"),
    [
        (error(age=FIRST), True),
        (error(age=FIRST - 1), False),
        (error(Reason.PERMISSION, age=FIRST), True),
        (error(age=2 * FIRST - 1, attempts=2), False),
        (error(age=LONGEST, attempts=10**6), True),
        (error(age=-3600), True),  # the clock was set back
        (error(Reason.CORRUPT, age=10**9), False),
        (error(Reason.TIMEOUT, age=10**9), False),
        (error(Reason.CORRUPT, retry=True), True),
    ],
)
def test_is_due(failure: ItemError, due: bool) -> None:
    assert is_due(failure, NOW) is due


def test_a_schedule_forgets_what_succeeded_or_waits_for_its_file() -> None:
    retries = Retries()
    assert retries.next_deadline() == float("inf")
    a, b, c = (Key("s", name) for name in "abc")
    retries.failed(a, error(), 100.0)
    retries.failed(b, error(attempts=2), 100.0)
    retries.failed(c, error(Reason.CORRUPT), 100.0)
    assert retries.next_deadline() == 100.0 + FIRST
    assert retries.take(100.0 + FIRST - 0.1) == []
    assert retries.take(100.0 + FIRST) == [a]
    retries.failed(b, None, 101.0)  # its file changed, and it was embedded
    assert retries.next_deadline() == float("inf")
    retries.failed(a, error(attempts=2), 200.0)
    assert retries.take(1e9) == [a]
    assert retries.next_deadline() == float("inf")
