"""The same REST request to several engines: equal answers, or a list of those that are not.

What may differ: times, numbers of operations and versions, the wording of an error (not its status), the order of
what has none (groups with the same best point among it), and whether a server is optimising a collection just now. A
server's facets also have values that no point has any more, counted 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from tests.contract.engine import Engine

ASIDE = ("time", "operation_id", "version", "segments_count", "update_queue")
Ask = tuple[str, str, Any]


def compare(engines: list[Engine], asks: Iterable[Ask]) -> None:
    """Ask the first engine and then the others; fail with every answer that is not the first one's."""
    real, *others = engines
    different = []
    for method, path, body in asks:
        expected = _comparable(real.ask(method, path, body))
        for other in others:
            answer = _comparable(other.ask(method, path, body))
            if answer != expected:
                different.append(
                    f"{method} {path} {str(body)[:300]}\n  {real.name}: {expected}\n  {other.name}: {answer}"
                )
    assert not different, f"{len(different)} answers differ:\n" + "\n".join(different)[:8000]


def _comparable(answer: tuple[int, Any]) -> tuple[int, Any]:
    status, content = answer
    if status >= 400:
        assert content["status"]["error"], "a refusal says why"
        return status, None
    return status, _plain(content)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        if isinstance(value.get("params"), dict):  # of an index: what was not said is null or absent
            value = {**value, "params": {key: one for key, one in value["params"].items() if one is not None}}
        if value.get("status") in ("yellow", "grey"):
            value = {**value, "status": "green"}
        if isinstance(value.get("hits"), list):
            value = {**value, "hits": [hit for hit in value["hits"] if hit.get("count", 1)]}
        if isinstance(value.get("groups"), list):
            value = {**value, "groups": _in_one_order(value["groups"])}
        return {key: _plain(one) for key, one in sorted(value.items()) if key not in ASIDE}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return round(value, 4) + 0.0  # -0.0 is 0.0
    return value


def _in_one_order(groups: list[Any]) -> list[Any]:
    """As they come, best first; those whose best points are equally good by their values."""

    def best(group: Any) -> float:
        return round(group["hits"][0]["score"], 4) if group["hits"] else 0.0

    alike = [sorted(some, key=lambda group: str(group["id"])) for _, some in itertools.groupby(groups, best)]
    return [group for some in alike for group in some]
