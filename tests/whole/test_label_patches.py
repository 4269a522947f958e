"""From planted mistakes to right labels and back: an audit's patch in the source's root; no picture is embedded again.

It takes longer than 3 s, since both programs are started as people start them, and 72 pictures are embedded once.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.ingest.running import NETWORK, Place, environment

KINDS = ("across", "checks", "down")
EACH = 24
PLANTED = {"across/05.jpg": "down", "checks/11.jpg": "across", "down/17.jpg": "checks"}


def picture(kind: str, seed: int) -> Image.Image:
    """A pattern in two colours, of any width and with some noise."""
    random = np.random.default_rng(seed)
    first, second = random.integers(0, 256, (2, 3))
    width = int(random.integers(6, 24))
    down, across = np.indices((96, 96)) // width % 2
    mask = {"across": down, "down": across, "checks": down ^ across}[kind]
    pixels = np.where(mask[:, :, None] == 1, first, second) + random.normal(0, 12, (96, 96, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def once(place: Place) -> dict[str, Any]:
    """`run --once`: what its last event says was done."""
    done = place.once("--log-format", "json")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines() + done.stderr.splitlines() if line.startswith("{")]
    (stopped,) = [event for event in events if event["event"] == "stopped"]
    return dict(stopped)


def kinds(place: Place) -> dict[str, Any]:
    """The labels in the index."""
    return {path: item.metadata["kind"] for path, item in place.items().items()}


@pytest.mark.long
def test_a_patch_of_an_audit_takes_effect_and_is_taken_back(tmp_path: Path) -> None:
    place = Place(tmp_path / "shop", tmp_path / "data", model=NETWORK)
    right = {f"{kind}/{n:02}.jpg": kind for kind in KINDS for n in range(EACH)}
    given = right | PLANTED
    for number, path in enumerate(given):
        target = place.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        picture(right[path], number).save(target, quality=90)
    with (place.root / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("file", "kind"), *given.items()])
    assert once(place)["indexed"] == len(given)
    assert kinds(place) == given
    vectors = place.vectors()

    patch = place.data.with_name("metadata.audit.csv")
    audit = [sys.executable, "-m", "query.cli", "labels", "audit", "kind", "--limit", str(len(PLANTED))]
    done = subprocess.run(
        [*audit, "--patch", str(patch), *place.reached], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {line.split()[1] for line in done.stdout.splitlines()[1:]} == set(PLANTED)

    patch.rename(place.root / patch.name)
    stopped = once(place)
    assert (stopped["indexed"], stopped["reused"], stopped["metadata"]) == (0, 0, len(PLANTED))
    assert kinds(place) == right
    assert place.command("problems").stdout == ""

    (place.root / patch.name).unlink()
    stopped = once(place)
    assert (stopped["indexed"], stopped["reused"], stopped["metadata"]) == (0, 0, len(PLANTED))
    assert kinds(place) == given
    after = place.vectors()
    assert all(np.array_equal(vectors[path], after[path]) for path in vectors)
