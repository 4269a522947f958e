"""Makes one delivery: a program with the event on its standard input, or a POST of it. Nothing else is ever asked for.

The receiver has it when the program ends with 0, or the answer is a 2xx: redirects are not followed, answers not read.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import tempfile
from contextlib import suppress
from threading import Event

import httpx

from recq.watch.rules import Rule
from recq.watch.state import Delivery

HEADER = "Recq-Delivery"
VARIABLE = "RECQ_DELIVERY"

_FIRST_WAIT = 1.0  # seconds; doubled with each attempt, up to
_LONGEST_WAIT = 300.0
_POLL = 0.1  # seconds between two looks whether a program has ended, or is to be


class Undelivered(Exception):
    """An attempt that failed; the text has no secret."""


def backoff(attempts: int) -> float:
    """Seconds until the next attempt after so many: doubled, with jitter, so that receivers are not met in step. They
    have to outlast this process, so that no loop of a library can keep them."""
    return min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(attempts, 16)) * random.uniform(0.5, 1.0)


def deliver(rule: Rule, delivery: Delivery, stop: Event) -> None:
    """Make it. Raises Undelivered, also where `stop` is set meanwhile."""
    if rule.post is not None:
        _post(rule.post, rule.timeout, delivery)
    else:
        _run(rule, delivery, stop)


def _post(address: str, timeout: float, delivery: Delivery) -> None:
    headers = {"Content-Type": "application/json", HEADER: delivery.id}
    try:
        with (
            httpx.Client(follow_redirects=False, timeout=timeout) as client,
            client.stream("POST", address, content=delivery.event.encode(), headers=headers) as response,
        ):
            status = response.status_code
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise Undelivered(f"no answer ({type(error).__name__})") from None  # its text may have the address
    if not 200 <= status < 300:
        raise Undelivered(f"the answer was {status}")


def _run(rule: Rule, delivery: Delivery, stop: Event) -> None:
    try:
        # A file, not a pipe: it has all of the event before the program begins to read, however long that takes it.
        with tempfile.TemporaryFile() as event:
            event.write(delivery.event.encode())
            event.seek(0)
            process = subprocess.Popen(
                rule.run,
                stdin=event,
                stdout=subprocess.DEVNULL,
                env={**os.environ, VARIABLE: delivery.id},
                start_new_session=True,
            )
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "its arguments cannot be used"
        raise Undelivered(f"the program cannot be run: {why}") from None
    left: float = rule.timeout
    while True:
        try:
            process.wait(_POLL)
            break
        except subprocess.TimeoutExpired:
            left -= _POLL
            if left > 0 and not stop.is_set():
                continue
            _end(process)
            raise Undelivered("it was ended" if stop.is_set() else f"it took {rule.timeout:g} s") from None
    if process.returncode != 0:
        raise Undelivered(f"the program ended with {process.returncode}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it has started."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()  # alone, where a system knows no groups
    process.wait()
