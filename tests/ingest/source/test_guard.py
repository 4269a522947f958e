"""How many items may go, or lose metadata, at once."""

from __future__ import annotations

import pytest

from ingest.source.guard import FEW, Guard, LossGuard


@pytest.mark.parametrize(
    ("items", "losing", "confirmed", "blind", "may"),
    [
        (1_000, 0, None, False, True),
        (1_000, 0, None, True, True),
        (10, 10, None, False, True),  # few are never too many
        (100, 50, None, False, True),
        (100, 51, None, False, False),
        (361, 361, None, False, False),
        (361, 361, 361, False, True),
        (361, 361, 300, False, False),  # much more than was confirmed
        (100, 1, None, True, False),  # what the table says is not known
        (100, 100, 100, True, True),
    ],
)
def test_how_many_may_lose_metadata(items: int, losing: int, confirmed: int | None, blind: bool, may: bool) -> None:
    guard = LossGuard(0.5)
    assert not guard.decided
    guard.begin(items, confirmed)
    assert guard.decide(losing, blind=blind) is may
    assert (guard.decided, guard.held) == (True, not may)
    if may:
        assert guard.takes(losing)


def test_what_is_held_stays_so_until_a_comparison_finds_otherwise() -> None:
    guard = LossGuard(0.5)
    guard.begin(100)
    guard.decide(90, blind=False)
    guard.begin(100)  # the next comparison is under way
    assert (guard.decided, guard.held) == (True, True)
    guard.suspect()  # there is another table
    assert (guard.decided, guard.held) == (False, True)
    assert guard.decide(0, blind=False)
    assert (guard.decided, guard.held) == (True, False)
    guard.grown(1_000)
    assert guard.left == 500 > FEW


@pytest.mark.parametrize("kind", [Guard, LossGuard])
def test_a_share_of_all_holds_nothing_however_often_it_goes(kind: type[Guard]) -> None:
    """Within one pass an item may come and go again, or lose what each of several tables gave it."""
    guard = kind(1.0)
    guard.begin(0)
    guard.grown(30)
    assert all(guard.takes(30) for _ in range(10))
    assert guard.left > 30
    assert guard.allows(1_000, 30)
    guard.resume(None)
    if isinstance(guard, LossGuard):
        guard.met(30)
        assert guard.decide(30, blind=False)
        assert not guard.decide(1, blind=True), "what the table says is not known"


def test_deletions_go_on_after_some_were_held() -> None:
    """What is held waits for a comparison; what goes besides, little by little, does not wait for it."""
    guard = Guard(0.5)
    guard.begin(100)
    assert guard.takes(10)
    assert not guard.takes(60)
    assert guard.takes(1)


def test_a_pass_that_goes_on_has_lost_what_it_has_lost() -> None:
    """A comparison that looks at a doubted verdict again counts neither anew: what was taken meanwhile stays taken."""
    guard = LossGuard(0.5)
    guard.begin(0)
    guard.met(60)
    assert guard.takes(25)  # judged by events, while the comparison counted them as well
    assert not guard.decide(30, blind=False)
    guard.suspect()
    guard.resume(None)
    guard.met(60)
    assert guard.decide(5, blind=False)
    guard.resume(None)
    assert not guard.decide(6, blind=False)
    guard.resume(6)
    assert guard.confirmed
    assert guard.decide(6, blind=True)
