"""A daemon that is told to stop while the engine is busy for longer than that may take."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx

from recq.index.edge import read_address
from tests.eventually import eventually
from tests.ingest.pictures import put
from tests.ingest.running import Place

VALUES = 3_000_000  # of one condition, which are not bounded: half a minute, in which the engine holds the interpreter


def test_sigterm_ends_the_daemon_in_five_seconds_whatever_the_engine_does(tmp_path: Path) -> None:
    """What was acknowledged is there afterwards."""
    place = Place(tmp_path / "shop", tmp_path / "data")
    for number in range(3):
        put(place.root / f"{number}.jpg", number)
    values = ",".join(f'"{number:08d}"' for number in range(VALUES))
    body = f'{{"filter": {{"must": [{{"key": "file.path", "match": {{"any": [{values}]}}}}]}}}}'.encode()
    answered: list[int] = []
    with place.daemon() as daemon:
        daemon.ready()
        eventually(lambda: len(place.items()) == 3)
        address = read_address(place.data)
        assert address is not None
        path = f"{address.url}/collections/images/points/count"

        def ask() -> None:
            with suppress(httpx.HTTPError):
                headers = {"api-key": address.key}
                answered.append(
                    httpx.post(path, content=body, headers=headers, trust_env=False, timeout=60).status_code
                )

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(1)  # the engine is at it by now; where it is not, this test finds nothing
        started = time.monotonic()
        daemon.process.send_signal(signal.SIGTERM)
        code = daemon.process.wait(30)
        took = time.monotonic() - started
        asking.join(30)
    assert took < 8, "five seconds, and what a busy machine adds"
    assert code in (0, -signal.SIGKILL)
    assert answered in ([], [200])
    assert len(place.items()) == 3
