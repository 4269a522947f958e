"""Waiting for what another process does: look again until it holds, never sleep for a time that should be enough."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(look: Callable[[], T], *, within: float = 30.0, every: float = 0.02) -> T:
    """The first truthy result of `look`; fails with the last one, or the last error, after `within` seconds.

    It rests as long as a look took, up to half a second: whoever is waited for needs the processor.
    """
    deadline = time.monotonic() + within
    while True:
        began = time.monotonic()
        try:
            last: object = look()
            if last:
                return last  # type: ignore[return-value]
        except AssertionError as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s; last: {last!r}")
        time.sleep(max(every, min(time.monotonic() - began, 0.5)))
