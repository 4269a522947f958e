"""What the service has answered and what the catalog holds, in Prometheus' text format.

Names and units are those of https://prometheus.io/docs/practices/naming/: base units, totals of counters end in
`_total`. A path is never a label: routes are, with the names of their parameters.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from threading import Lock
from typing import TYPE_CHECKING

from recq.api.rates import Why

if TYPE_CHECKING:
    from recq.operate.status import Status

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds, those of Prometheus' own clients."""

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counts answers. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._answers: defaultdict[tuple[str, str, int], int] = defaultdict(int)
        self._times: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(BUCKETS) + 1))
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._refused = dict.fromkeys(Why, 0)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer of a route, which is named by its path with the names of its parameters."""
        known = method if method in ("GET", "POST", "OPTIONS", "HEAD") else "other"
        with self._lock:
            self._answers[known, route, status] += 1
            self._times[route][bisect_left(BUCKETS, seconds)] += 1
            self._seconds[route] += seconds

    def refuse(self, why: Why) -> None:
        """Count a request that came too soon."""
        with self._lock:
            self._refused[why] += 1

    def text(self, catalog: str, status: Status | None) -> str:
        """All of it, and what a catalog holds; None: its index does not answer."""
        up = _about("recq_index_up", "gauge", "Whether the index answers.")
        lines = [*self._of_answers(), *up, f"recq_index_up{_labels(catalog=catalog)} {int(status is not None)}"]
        lines += [] if status is None else _of_catalog(status)
        return "".join(f"{line}\n" for line in lines)

    def _of_answers(self) -> Iterable[str]:
        with self._lock:
            answers, times = dict(self._answers), {route: list(counts) for route, counts in self._times.items()}
            seconds, refused = dict(self._seconds), dict(self._refused)
        yield from _about("recq_http_requests_total", "counter", "Answers, by route and status.")
        for (method, route, code), count in sorted(answers.items()):
            labels = _labels(method=method, route=route, status=str(code))
            yield f"recq_http_requests_total{labels} {count}"
        about = "Requests that came too soon: more than the rate of a client, or after too many wrong tokens."
        yield from _about("recq_http_requests_refused_total", "counter", about)
        for why, count in refused.items():
            yield f"recq_http_requests_refused_total{_labels(reason=why)} {count}"
        yield from _about("recq_http_request_duration_seconds", "histogram", "Time to the end of an answer, by route.")
        for route, counts in sorted(times.items()):
            total = 0
            for bound, count in zip((*map(str, BUCKETS), "+Inf"), counts, strict=True):
                total += count
                yield f"recq_http_request_duration_seconds_bucket{_labels(route=route, le=bound)} {total}"
            yield f"recq_http_request_duration_seconds_sum{_labels(route=route)} {seconds[route]:.6f}"
            yield f"recq_http_request_duration_seconds_count{_labels(route=route)} {total}"


def _of_catalog(status: Status) -> Iterable[str]:
    told = (
        ("recq_items_indexed", "Items that have a vector.", "indexed"),
        ("recq_items_failed", "Items that could not be embedded.", "failed"),
        ("recq_files_ignored", "Files that are skipped.", "ignored"),
        ("recq_files_pending", "Files that wait or are under way; absent where no daemon runs here.", "pending"),
        ("recq_items_held", "Items whose deletion waits to be confirmed.", "held"),
        ("recq_items_metadata_held", "Items that keep metadata until its loss is confirmed.", "held_metadata"),
    )
    for name, about, attribute in told:
        yield from _about(name, "gauge", about)
        for source in status.sources:
            value = getattr(source, attribute)
            if value is not None:
                yield f"{name}{_labels(catalog=status.catalog, source=source.name)} {value}"
    yield from _about(
        "recq_oldest_pending_seconds",
        "gauge",
        "For how long the file that came first waits or is under way, 0 where none does; absent without a daemon.",
    )
    for source in status.sources:
        if source.pending is not None:
            labels = _labels(catalog=status.catalog, source=source.name)
            yield f"recq_oldest_pending_seconds{labels} {source.oldest_pending_seconds or 0.0}"
    yield from _about("recq_indexes_waiting", "gauge", "Indexes of new fields that are still to be made.")
    yield f"recq_indexes_waiting{_labels(catalog=status.catalog)} {status.indexes_waiting}"
    yield from _about("recq_daemon_running", "gauge", "Whether a daemon works on the catalog on this machine.")
    yield f"recq_daemon_running{_labels(catalog=status.catalog)} {int(status.running)}"


def _about(name: str, kind: str, text: str) -> Iterable[str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"


def _labels(**labels: str) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    plain = value.encode("utf-8", "backslashreplace").decode("utf-8")
    return plain.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
