"""What questions share: where few may wait for a turn, all others are answered meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice
from pathlib import Path

import pytest

from recq.api import service as service_module
from recq.api.access import Gatekeeper
from recq.api.errors import Busy
from recq.api.server import AT_ONCE
from recq.api.service import MOST_WAIT_FOR_IT, Service
from recq.page.routes import Pages
from recq.settings import Settings
from tests.recq.api.serving import Api, served


@pytest.fixture(scope="module")
def api(settings: Settings) -> Iterator[Api]:
    """The API and the page."""
    with served(settings, Gatekeeper(), Pages) as made:
        yield made


EXPLAINED: dict[str, Callable[[Api], int]] = {
    "a program's": lambda api: api.post("/explain", target="none", result="nor this").status_code,
    "the page's": lambda api: api.client.get("/why.png?target=none&result=neither").status_code,
}
"""The status of an explanation, which finds nothing once it has its turn."""


@pytest.mark.parametrize("whose", EXPLAINED)
def test_explanations_that_wait_leave_threads_for_all_else(
    api: Api, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    monkeypatch.setattr(service_module, "EXPLAINED_WITHIN", 100.0)
    with ThreadPoolExecutor(AT_ONCE) as clients:
        with api.service.explaining():
            asked = [clients.submit(EXPLAINED[whose], api) for _ in range(AT_ONCE)]
            refused = list(islice(as_completed(asked, timeout=30), AT_ONCE - MOST_WAIT_FOR_IT))
            assert {each.result() for each in refused} == {503}
            assert api.get("/fields").status_code == 200
        assert [each.result(30) for each in asked if each not in refused] == [404] * MOST_WAIT_FOR_IT
    assert EXPLAINED[whose](api) == 404


def test_every_end_of_an_explanation_lets_another_one_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "EXPLAINED_WITHIN", 0.01)
    with Service(Settings(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache", workers=1)) as service:
        with service.explaining():
            for _ in range(2 * MOST_WAIT_FOR_IT):  # each waits in vain
                with pytest.raises(Busy), service.explaining():
                    pass
        for _ in range(2 * MOST_WAIT_FOR_IT):
            with pytest.raises(ZeroDivisionError), service.explaining():
                raise ZeroDivisionError
        with service.explaining():
            pass
