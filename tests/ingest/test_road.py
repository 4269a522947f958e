"""The road of an image is read front to back: docs/architecture.md's steps are modules, none knows one before it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.test_layers import ROOT, graph

QUEUE = "ingest.events.queue"


def steps() -> list[tuple[str, str]]:
    """Title of each step and the first place that it names."""
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    road = text.partition("## The road of one image")[2].partition("\n## ")[0]
    numbered = re.findall(r"^\d\. \*\*(.+?)\*\*(.+?)(?=^\d\. |\Z|^\w)", road, re.MULTILINE | re.DOTALL)
    return [(title.rstrip("."), re.findall(r"`((?:ingest|query|recq)/[\w/.]*)`", rest)[0]) for title, rest in numbered]


def test_the_steps_of_the_document_are_seven_places_in_the_code() -> None:
    found = steps()
    assert [title for title, _ in found] == [
        "A hint or the truth", "The queue of what is due", "Examine", "Decode", "Embed", "Commit", "Found",
    ]  # fmt: skip
    assert [place for _, place in found if not (ROOT / place).exists()] == []
    assert len({place for _, place in found}) == 7


def test_no_stage_knows_one_that_comes_before_it() -> None:
    """But for the queue: what has to be looked at again goes in there."""
    road = [str(Path(place).with_suffix("")).replace("/", ".") for _, place in steps()[:6]]
    assert road[1] == QUEUE
    imported = graph()
    backwards = {
        f"{stage} -> {before}"
        for number, stage in enumerate(road)
        for before in road[:number]
        if before in imported[stage] and before != QUEUE
    }
    assert backwards == set()
    for stage in (*road, "ingest.pipeline.removal", "ingest.pipeline.losses", "ingest.reconcile.walks"):
        assert "ingest.daemon" not in imported[stage]
    fills = [road[0], "ingest.reconcile.schedule", "ingest.reconcile.walks", "ingest.reconcile.disks"]
    assert [each for each in fills if QUEUE not in imported[each]] == []
    assert imported[QUEUE] & {*fills, *road[2:]} == set()
