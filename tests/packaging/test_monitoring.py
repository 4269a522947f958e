"""Prometheus rules and the Grafana dashboard: they ask for metrics and labels that `recq serve` really has."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from recq.api.metrics import Metrics
from recq.operate.status import SourceStatus, Status
from tests.packaging.building import ROOT

RULES = yaml.safe_load((ROOT / "deploy/prometheus/recq.rules.yml").read_text("utf-8"))
DASHBOARD = json.loads((ROOT / "deploy/grafana/recq.json").read_text("utf-8"))
OUTSIDE = {"up": {"job", "instance"}}
"""What Prometheus itself has of a target, and the labels that it gives everything."""

_SERIES = re.compile(r"\b(recq_\w+|up)\b(?:\{([^}]*)\})?")


def emitted() -> dict[str, set[str]]:
    """Each metric with its labels, as a service emits them that has answered and a daemon that works."""
    metrics = Metrics()
    metrics.observe("GET", "/api/v1/similar", 200, 0.2)
    source = SourceStatus("shop", "/srv", 3, 2, 1, 0, 4, oldest_pending_seconds=1.5)
    status = Status("images", "embedded", None, running=True, pid=1, state="idle", detail=None, sources=(source,))
    found: dict[str, set[str]] = {}
    for line in metrics.text("images", status).splitlines():
        if line.startswith("#"):
            continue
        name, labels = re.fullmatch(r"(\w+)(?:\{(.*)\})? \S+", line).groups()  # type: ignore[union-attr]
        found[name] = set(re.findall(r'(\w+)="', labels or ""))
    return found


def expressions() -> dict[str, str]:
    """Everything that is asked of Prometheus, by where."""
    rules = {rule["alert"]: rule["expr"] for group in RULES["groups"] for rule in group["rules"]}
    panels = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    }
    variables = {each["name"]: each["query"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query"}
    return rules | panels | variables


@pytest.mark.parametrize(("where", "expression"), expressions().items())
def test_only_what_is_emitted_is_asked_for(where: str, expression: str) -> None:
    there = emitted() | OUTSIDE
    series = _SERIES.findall(expression)
    assert series
    for name, matchers in series:
        assert name in there, f"{where}: nothing emits {name}"
        named = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
        assert named <= there[name] | {"job", "instance"}, f"{where}: {name} has no such label"
    for grouped in re.findall(r"by \(([^)]*)\)", expression):
        known = set().union(*(there[name] for name, _ in series), {"job", "instance"})
        assert {each.strip() for each in grouped.split(",")} <= known


def test_everything_that_is_emitted_is_shown() -> None:
    """A metric that no rule and no panel uses is one that nobody will look at."""
    asked = {name for expression in expressions().values() for name, _ in _SERIES.findall(expression)}
    assert emitted().keys() <= asked


def test_rules_are_whole() -> None:
    rules = [rule for group in RULES["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "action"}
        assert rule["expr"].count("(") == rule["expr"].count(")")


def test_actions_name_commands_that_exist() -> None:
    from ingest.cli.main import app

    names = {each.name or (each.callback.__name__ if each.callback else "") for each in app.registered_commands}
    for group in RULES["groups"]:
        for rule in group["rules"]:
            action = rule["annotations"]["action"]
            assert set(re.findall(r"recq-ingest ([a-z]+)", action)) <= names, action


def test_labels_in_summaries_are_kept_by_the_expression() -> None:
    for group in RULES["groups"]:
        for rule in group["rules"]:
            used = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
            grouped = re.findall(r"by \(([^)]*)\)", rule["expr"])
            left = [{each.strip() for each in one.split(",")} - {"le"} for one in grouped] or [
                (emitted() | OUTSIDE)[name] | {"job", "instance"} for name, _ in _SERIES.findall(rule["expr"])
            ]
            assert all(used <= each for each in left), rule["alert"]


def test_panels_are_distinct_and_lie_side_by_side() -> None:
    panels: list[dict[str, Any]] = DASHBOARD["panels"]
    assert len({each["id"] for each in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for each in panels:
        place = each["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
