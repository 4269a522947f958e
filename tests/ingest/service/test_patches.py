"""A patch is dropped into a watched folder, changed, renamed, taken away: metadata change, nothing is embedded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.eventually import eventually
from tests.ingest.pictures import put
from tests.ingest.running import Daemon, Place

COUNT = 24  # more than may lose metadata unasked


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path / "shop", tmp_path / "data", settings={"RECQ_SETTLE": "0.1"})
    for number in range(COUNT):
        put(place.root / f"{number}.jpg", number)
    write(place, "metadata.csv", "file,label,price", *(f"{number}.jpg,sofa,{number}" for number in range(COUNT)))
    return place


@pytest.fixture
def daemon(place: Place) -> Iterator[Daemon]:
    with place.daemon() as daemon:
        daemon.ready()
        eventually(lambda: metadata(place) == given(), within=60)
        yield daemon


def write(place: Place, name: str, *lines: str) -> None:
    (place.root / name).write_text("\n".join([*lines, ""]), "utf-8")


def metadata(place: Place) -> dict[str, Any]:
    return {path: dict(item.metadata) for path, item in place.items().items()}


def given(**changed: Any) -> dict[str, Any]:
    """What the table gives, with the fields that patches change in all items (None: takes away)."""
    changes = {field: value for field, value in changed.items() if value is not None}
    rows = {f"{number}.jpg": {"label": "sofa", "price": number, **changes} for number in range(COUNT)}
    return {path: {field: each for field, each in row.items() if field not in changed or changed[field] is not None}
            for path, row in rows.items()}  # fmt: skip


def embedded(place: Place, daemon: Daemon) -> tuple[int, dict[str, str | None], dict[str, np.ndarray]]:
    """All that an inference or a decoding would change."""
    took = sum(len(daemon.events(name)) for name in ("indexed", "reused", "failed"))
    return took, {path: item.file.ingested_at for path, item in place.items().items()}, place.vectors()


def test_a_patch_takes_effect_live_and_embeds_nothing(place: Place, daemon: Daemon) -> None:
    took, ingested, vectors = embedded(place, daemon)
    assert took == COUNT

    # dropped
    write(place, "metadata.audit.csv", "file,label,note", "1.jpg,chair,", "2.jpg,<remove>,seen", "3.jpg,,")
    patched = given()
    patched["1.jpg"]["label"] = "chair"
    patched["2.jpg"] = {"price": 2, "note": "seen"}
    eventually(lambda: metadata(place) == patched)
    daemon.said("metadata", path="2.jpg")
    assert {event["path"] for event in daemon.events("metadata")} == {"1.jpg", "2.jpg"}

    # a later one wins, over sidecars, too
    (place.root / "1.jpg.json").write_text('{"label": "bench", "note": "sidecar"}')
    patched["1.jpg"]["note"] = "sidecar"
    eventually(lambda: metadata(place) == patched)
    write(place, "metadata.review.csv", "file,label", "1.jpg,stool")
    patched["1.jpg"]["label"] = "stool"
    eventually(lambda: metadata(place) == patched)

    # changed, badly written, renamed
    write(place, "metadata.audit.csv", "file,label,note", "1.jpg,chair,audit", "2.jpg,<remove>,seen")
    patched["1.jpg"]["note"] = "audit"
    eventually(lambda: metadata(place) == patched)
    write(place, "metadata.audit.csv", "name,label", "2.jpg,bed")
    problem = daemon.said("problem", path="metadata.audit.csv")
    assert problem["detail"].startswith("metadata.audit.csv:1: no column 'file'")
    eventually(lambda: place.status()["sources"][0]["problem_counts"] == {"table": 1}, every=0.2)
    assert metadata(place) == patched
    write(place, "metadata.audit.csv", "file,label,note", "1.jpg,chair,audit", "2.jpg,<remove>,seen", "no.jpg,x,")
    eventually(lambda: place.status()["sources"][0]["problem_counts"] == {"row": 1}, every=0.2)
    (place.root / "metadata.audit.csv").rename(place.root / "metadata.z.csv")  # it wins over the review now
    patched["1.jpg"]["label"] = "chair"
    eventually(lambda: metadata(place) == patched)
    assert not daemon.events("held")

    # taken away
    for name in ("metadata.z.csv", "metadata.review.csv", "1.jpg.json"):
        (place.root / name).unlink()
    eventually(lambda: metadata(place) == given())
    eventually(lambda: place.status()["sources"][0]["problem_counts"] == {}, every=0.2)
    after = embedded(place, daemon)
    assert after[:2] == (took, ingested)
    assert all((after[2][path] == vector).all() for path, vector in vectors.items())


def test_a_patch_whose_loss_would_be_large_is_held_until_that_is_confirmed(place: Place, daemon: Daemon) -> None:
    took, ingested, _ = embedded(place, daemon)
    write(place, "metadata.audit.csv", "file,checked", *(f"{number}.jpg,true" for number in range(COUNT)))
    eventually(lambda: metadata(place) == given(checked=True))
    (place.root / "metadata.audit.csv").unlink()
    held = daemon.said("held")
    assert (held["what"], held["items"]) == ("metadata", COUNT)
    assert "metadata.audit.csv, which gave 0.jpg its checked, has gone" in held["detail"]
    assert metadata(place) == given(checked=True)
    assert place.command("confirm").returncode == 0
    eventually(lambda: metadata(place) == given())

    # so is what a patch takes away from many
    write(place, "metadata.audit.csv", "file,label", *(f"{number}.jpg,<remove>" for number in range(COUNT)))
    why = eventually(lambda: [each["detail"] for each in daemon.events("held") if each["detail"] != held["detail"]])
    assert "metadata.audit.csv:2 removes label from 0.jpg" in why[0]
    assert metadata(place) == given()
    assert place.command("confirm").returncode == 0
    eventually(lambda: metadata(place) == given(label=None))
    assert embedded(place, daemon)[:2] == (took, ingested)


def test_a_restart_finds_what_has_become_of_patches(place: Place) -> None:
    write(place, "metadata.audit.csv", "file,label", "1.jpg,chair", "2.jpg,bed")
    assert place.once().returncode == 0
    patched = given()
    patched["1.jpg"]["label"], patched["2.jpg"]["label"] = "chair", "bed"
    assert metadata(place) == patched
    write(place, "metadata.audit.csv", "nothing of a table")  # what it gave is not known any more
    done = place.once()
    assert done.returncode == 3
    assert "metadata.audit.csv:1: no column 'file'" in done.stderr
    assert metadata(place) == patched
    write(place, "metadata.audit.csv", "file,label", "2.jpg,bed", "3.jpg,desk")
    done = place.once()
    assert done.returncode == 0, done.stderr
    patched["1.jpg"]["label"], patched["3.jpg"]["label"] = "sofa", "desk"
    assert metadata(place) == patched
    assert done.stdout.startswith(f"{COUNT} items: 0 indexed, 2 updated, 0 deleted, 0 failed")
    (place.root / "metadata.audit.csv").unlink()
    assert place.once().returncode == 0
    assert metadata(place) == given()
    assert place.command("problems").stderr == "nothing is wrong\n"
