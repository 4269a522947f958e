"""A daemon that is killed while the service asks it: the service opens the folder, and the client has its answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recq.index.connect import connect
from recq.settings import Settings
from tests.recq.api.serving import served
from tests.recq.face.test_killed_daemon import dying, folder

__all__ = ["folder"]

QUESTIONS: list[tuple[str, str, str, dict[str, Any]]] = [
    ("/points/query", "GET", "/similar", {"target": "1.jpg"}),
    ("/points/query/batch", "POST", "/similar/batch", {"targets": ["1.jpg", "2.jpg"]}),
    ("/points/scroll", "GET", "/search", {"k": 3}),
    ("/points/count", "GET", "/catalogs", {}),
]
"""The request that is not answered, and the question."""


@pytest.mark.parametrize(("fatal", "method", "route", "asked"), QUESTIONS, ids=[each[2] for each in QUESTIONS])
def test_the_answer_comes_from_the_folder(
    folder: Path, tmp_path: Path, fatal: str, method: str, route: str, asked: dict[str, Any]
) -> None:
    settings = Settings(data_dir=folder, cache_dir=tmp_path, workers=1)
    with dying(folder, fatal) as daemon, served(settings) as api:
        replies = [api.get(route, **asked) if method == "GET" else api.post(route, **asked) for _ in range(2)]
        assert daemon.wait(20) == -9, "it was asked something else"
        with connect(Settings(data_dir=folder, lock_wait=5)):
            pass  # the folder is handed over again to whoever waits for it
    assert [reply.status_code for reply in replies] == [200, 200], replies[0].text
    first, again = (reply.json() for reply in replies)
    assert without_time(first) == without_time(again)


def without_time(found: Any) -> Any:
    """An answer without how long it took."""
    if isinstance(found, list):
        return [without_time(each) for each in found]
    return {key: value for key, value in found.items() if key != "took_ms"}
