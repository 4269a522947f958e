"""What Prometheus reads: counts that add up, base units, labels that no client chooses."""

from __future__ import annotations

import re
import socket

from recq.api.metrics import BUCKETS, Metrics
from recq.operate.status import SourceStatus, Status
from recq.settings import Settings
from tests.recq.api.serving import served

LINE = re.compile(r'^(\w+)(?:\{((?:\w+="(?:[^"\\\n]|\\.)*",?)*)\})? (\S+)$')
STATUS = Status(
    "shop",
    "embedded",
    None,
    running=True,
    pid=1,
    state="idle",
    detail=None,
    sources=(
        SourceStatus("a", "/a", 10, 7, 2, ignored=3, pending=1, held=4, oldest_pending_seconds=2.5),
        SourceStatus("idle", "/b", 1, 1, 0, ignored=0, pending=0),
        SourceStatus('odd "name"\n\\', None, 0, 0, 0, ignored=0, pending=None),
    ),
)


def values(text: str) -> dict[tuple[str, str], float]:
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = LINE.match(line)
            assert match is not None, line
            found[match[1], match[2] or ""] = float(match[3])
    return found


def test_answers_are_counted_by_route_and_status() -> None:
    metrics = Metrics()
    for seconds in (0.001, 0.005, 0.3, 60.0):
        metrics.observe("GET", "/api/v1/similar", 200, seconds)
    metrics.observe("BREW", "none", 404, 0.001)
    found = values(metrics.text("shop", STATUS))
    assert found["recq_http_requests_total", 'method="GET",route="/api/v1/similar",status="200"'] == 4
    assert found["recq_http_requests_total", 'method="other",route="none",status="404"'] == 1
    name, route = "recq_http_request_duration_seconds", 'route="/api/v1/similar"'
    counts = [found[f"{name}_bucket", f'{route},le="{bound}"'] for bound in (*map(str, BUCKETS), "+Inf")]
    assert counts == [2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4]
    assert (found[f"{name}_count", route], found[f"{name}_sum", route]) == (4, 60.306)


def test_what_the_catalog_holds() -> None:
    found = values(Metrics().text("shop", STATUS))
    told = {name: value for (name, labels), value in found.items() if labels == 'catalog="shop",source="a"'}
    assert told == {
        "recq_items_indexed": 7,
        "recq_items_failed": 2,
        "recq_files_ignored": 3,
        "recq_files_pending": 1,
        "recq_items_held": 4,
        "recq_items_metadata_held": 0,
        "recq_oldest_pending_seconds": 2.5,
    }
    assert found["recq_oldest_pending_seconds", 'catalog="shop",source="idle"'] == 0
    odd = r'catalog="shop",source="odd \"name\"\n\\"'
    assert found["recq_items_indexed", odd] == 0
    for unknown in ("recq_files_pending", "recq_oldest_pending_seconds"):
        assert (unknown, odd) not in found, "no daemon knows"
    assert found["recq_indexes_waiting", 'catalog="shop"'] == 0
    assert found["recq_daemon_running", 'catalog="shop"'] == 1
    assert found["recq_index_up", 'catalog="shop"'] == 1


def test_without_an_index_the_answers_are_counted_still() -> None:
    metrics = Metrics()
    metrics.observe("GET", "/api/v1/similar", 503, 0.1)
    found = values(metrics.text("shop", None))
    assert found["recq_http_requests_total", 'method="GET",route="/api/v1/similar",status="503"'] == 1
    assert found["recq_index_up", 'catalog="shop"'] == 0
    assert not [name for name, _ in found if name.startswith(("recq_items", "recq_files", "recq_daemon"))]


def test_every_series_is_described() -> None:
    metrics = Metrics()
    metrics.observe("GET", "/x", 200, 0.1)
    text = metrics.text("shop", STATUS)
    described = set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))
    series = {re.sub(r"_(bucket|sum|count)$", "", name) for name, _ in values(text)}
    assert series == described == set(re.findall(r"^# HELP (\w+) ", text, re.MULTILINE))


def test_a_service_without_its_index_tells_just_that() -> None:
    with socket.socket() as taken:  # bound and not listening: nobody answers there
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with served(Settings(url=url, catalog="shop", connect_timeout=0.1, request_timeout=1)) as api:
            assert api.get("/fields").status_code == 503
            answer = api.get("/metrics")
            assert answer.status_code == 200
            found = values(answer.text)
    assert found["recq_index_up", 'catalog="shop"'] == 0
    assert found["recq_http_requests_total", 'method="GET",route="/api/v1/fields",status="503"'] == 1
