"""A look that goes on while pages ask how far it is: each page shows one moment of it."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, cast

import pytest

from recq.api.errors import Busy
from recq.errors import UsageError
from recq.page.looking import Looking, Looks
from recq.progress import Progress
from tests.eventually import eventually

if TYPE_CHECKING:
    from recq.api.service import Service


class Asked:
    """In place of a service: every question is asked of nothing."""

    def alone(self) -> nullcontext[None]:
        return nullcontext()

    def ask(self, _: str | None, question: Any) -> Any:
        return question(None)


def looks() -> Looks[str]:
    return Looks(cast("Service", Asked()))


def test_what_a_page_has_of_a_look_stays_as_it_was() -> None:
    """Else it would find nothing yet, then not running any more, and have nothing to show."""
    asked, halfway, on = looks(), threading.Event(), threading.Event()

    def ask(_: Any, progress: Progress) -> str:
        progress("halfway", 1, 2)
        halfway.set()
        assert on.wait(20)
        return "found"

    asked.begin("a", None, ask)
    assert halfway.wait(20)
    before = asked.at("a")
    on.set()
    eventually(lambda: asked.at("a") == Looking(found="found"), within=20)
    assert before == Looking("halfway", 1, 2)
    assert before.running


@pytest.mark.parametrize(
    ("error", "told"),
    [(UsageError("no such field"), "no such field"), (Busy(), "look again"), (ValueError("x"), "ended: ValueError")],
)
def test_a_look_that_fails_says_why(error: Exception, told: str) -> None:
    asked = looks()

    def ask(_: Any, __: Progress) -> str:
        raise error

    asked.begin("a", None, ask)
    eventually(lambda: not (asked.at("a") or Looking[str]()).running, within=20)
    ended = asked.at("a")
    assert ended is not None
    assert told in ended.failed
