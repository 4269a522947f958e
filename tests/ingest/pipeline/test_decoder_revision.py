"""After an upgrade: what an older decoder may have seen otherwise is decoded again, by itself, once."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from recq.errors import Reason
from recq.images.revision import DECODER_REVISION
from recq.index.catalog import Catalog
from recq.index.points import ItemVector
from recq.index.schema import Item, ItemError
from tests.asking import stored_vector
from tests.ingest.running import Place
from tests.recq.images.encoded import encode, scene
from tests.recq.images.icc import PROPHOTO, rgb_profile
from tests.recq.images.tiffs import Kind, made
from tests.reliability.rights import like_everybody

WRONG = {"wide.png", "negative.tif"}
FAILED = {"deep.jpg": Reason.CORRUPT, "alpha.tif": Reason.CORRUPT, "nothing.jpg": Reason.EMPTY}


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A folder of pictures of every kind, as the present recq indexes it."""
    folder = tmp_path_factory.mktemp("revision")
    place = Place(folder / "photos", folder / "data")
    pictures = {
        "plain.jpg": encode(scene(), "JPEG"),
        "plain.png": encode(scene().rotate(90), "PNG"),
        "wide.png": encode(scene().rotate(180), "PNG", icc_profile=rgb_profile(PROPHOTO)),
        "negative.tif": tiff(Kind("miniswhite", "u16")),
        "alpha.tif": tiff(Kind("minisblack", "u16", alpha="unassalpha")),
        "deep.jpg": bytes(imagecodecs.jpeg8_encode(np.asarray(scene()).astype(np.uint16) * 16, bitspersample=12)),
        "nothing.jpg": b"",
    }
    for name, data in pictures.items():
        (place.root / name).write_bytes(data)
    assert run(place)[1] == {
        "indexed": {*WRONG, "plain.jpg", "plain.png", "alpha.tif"},
        "failed": {"deep.jpg", "nothing.jpg"},
    }
    return place


@pytest.fixture
def place(indexed: Place, tmp_path: Path) -> Place:
    """The same, with what an older recq would have left."""
    shutil.copytree(indexed.data, tmp_path / "data")
    copy = Place(indexed.root, tmp_path / "data")
    with copy.catalog() as catalog:
        entries = []
        for item in copy_items(catalog):
            name, vector = item.file.path, stored_vector(catalog, item.id)
            file = replace(item.file, decoder=None)
            if name in FAILED:
                error = ItemError(FAILED[name], "it begins like a picture", "2026-01-01T00:00:00+00:00")
                entries.append(ItemVector(replace(item, file=replace(file, format=None), error=error), None))
            else:
                assert vector is not None
                entries.append(ItemVector(replace(item, file=file), vector[::-1] if name in WRONG else vector))
        catalog.writes.upsert(entries)
    return copy


def tiff(kind: Kind) -> bytes:
    file = made(kind)
    assert file is not None
    return file[0]


def copy_items(catalog: Catalog) -> list[Item]:
    ids = [item.id for name in catalog.sources.all() for item in catalog.ledger.scan(name)]
    return list(catalog.ledger.get_many(ids).values())


def run(place: Place) -> tuple[int, dict[str, set[str]]]:
    """The exit code of `run --once`, and what became of which pictures."""
    done = place.once("--log-format", "json")
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    names = ("indexed", "reused", "failed", "deleted", "metadata")
    found = {name: {event["path"] for event in events if event["event"] == name} for name in names}
    return done.returncode, {name: paths for name, paths in found.items() if paths}


def test_what_may_differ_is_decoded_again_once(indexed: Place, place: Place) -> None:
    right = indexed.vectors()
    code, events = run(place)
    assert events == {"indexed": {*WRONG, "alpha.tif"}, "reused": {"plain.jpg", "plain.png"}, "failed": {"deep.jpg"}}
    assert code == 3
    assert place.vectors().keys() == right.keys()
    for name, vector in place.vectors().items():
        assert np.allclose(vector, right[name], atol=1e-6), name
    items = place.items()
    revisions = {name: item.file.decoder for name, item in items.items() if name != "nothing.jpg"}
    assert set(revisions.values()) == {DECODER_REVISION}
    error = items["deep.jpg"].error
    assert error is not None
    assert (error.reason, error.attempts) == (Reason.UNSUPPORTED, 2)
    assert error.detail == "a JPEG of 12 bits a sample, which recq cannot read"
    assert run(place) == (3, {}), "a second run decodes nothing"


def test_a_dry_run_says_so(place: Place) -> None:
    done = place.command("reconcile", "--dry-run", "--json")
    steps = {step["path"]: step["step"] for step in json.loads(done.stdout)}
    assert steps == dict.fromkeys([*WRONG, "plain.jpg", "plain.png", "alpha.tif", "deep.jpg"], "re-decode")


def test_what_cannot_be_read_just_now_keeps_its_vector(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    like_everybody(monkeypatch)
    before, file = place.vectors()["plain.jpg"], place.root / "plain.jpg"
    mode = file.stat().st_mode
    try:
        file.chmod(0)
        assert "plain.jpg" not in set().union(*run(place)[1].values())
        assert np.array_equal(place.vectors()["plain.jpg"], before)
    finally:
        file.chmod(mode)
    assert run(place) == (3, {"reused": {"plain.jpg"}})
