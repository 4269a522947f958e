"""A call that waits in the middle until a test lets it go on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


class HeldCall:
    """Stands in for the function or method `name` of `owner`: counts its calls, and each waits until it may go on."""

    def __init__(self, patch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        self.begun, self.may_go_on = threading.Event(), threading.Event()
        self.times = 0
        real = getattr(owner, name)

        def call(*given: Any, **more: Any) -> Any:
            self.times += 1
            self.begun.set()
            assert self.may_go_on.wait(60)
            return real(*given, **more)

        patch.setattr(owner, name, call)


@contextmanager
def held(patch: pytest.MonkeyPatch, owner: Any, name: str) -> Iterator[HeldCall]:
    """One that may go on at the end of the block at the latest."""
    call = HeldCall(patch, owner, name)
    try:
        yield call
    finally:
        call.may_go_on.set()
