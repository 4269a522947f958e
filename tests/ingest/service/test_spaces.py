"""The options that decide an embedding space, from the command line to the stored vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recq.search.prepare import Preparer
from recq.search.target import ContentTarget
from recq.settings import Settings
from tests.ingest.pictures import put
from tests.ingest.running import NETWORK, Place

OPTIONS = ["--model", NETWORK, "--pooling", "rmac", "--size", "96", "--resize", "stretch"]


def embedded(preparer: Preparer, content: bytes) -> np.ndarray:
    found = preparer.prepare(ContentTarget(content), "").example
    assert not isinstance(found, str)
    return found


def test_a_catalog_keeps_its_space_until_it_is_rebuilt(tmp_path: Path) -> None:
    place = Place(tmp_path / "shop", tmp_path / "data")
    picture = put(place.root / "a.jpg", 1)
    done = place.command("run", str(place.root), "--once", *OPTIONS)
    assert done.returncode == 0, done.stderr
    with place.catalog() as catalog:
        made = catalog.space
    assert (made.model, made.pooling, made.size, made.resize, made.distance) == (
        NETWORK,
        "rmac",
        96,
        "stretch",
        "Cosine",
    )

    place.settings["RECQ_POOLING"] = "rmac"  # what is said agrees, what is not said is the catalog's own
    other = place.command("run", str(place.root), "--once", "--distance", "euclid")
    assert other.returncode == 5
    assert "(distance is 'Cosine', not 'Euclid')" in other.stderr
    assert f"{NETWORK} int8 96px stretch rmac 1280-d [" in other.stderr
    assert f"{NETWORK} int8 96px stretch rmac 1280-d euclid [" in other.stderr
    assert other.stderr.count("\n") == 1

    place.settings["RECQ_POOLING"] = "mean"
    rebuilt = place.command("rebuild", "--distance", "euclid")
    assert rebuilt.returncode == 0, rebuilt.stderr
    with place.catalog() as catalog:
        assert (catalog.space.pooling, catalog.space.size, catalog.space.distance) == ("mean", 96, "Euclid")
        with Preparer(catalog.space, Settings()) as preparer:
            queried = embedded(preparer, picture.read_bytes())  # as `recq similar FILE` makes it
    (stored,) = place.vectors().values()
    assert np.linalg.norm(stored) > 2
    np.testing.assert_allclose(queried, stored, rtol=1e-4, atol=1e-4)


def test_a_pooling_that_gives_too_many_numbers_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    place = Place(tmp_path / "shop", tmp_path / "data")
    put(place.root / "a.jpg", 1)
    done = place.command("run", str(place.root), "--once", "--pooling", "flatten")
    assert (done.returncode, done.stderr.count("\n")) == (5, 1)
    assert "128,000 numbers per image" in done.stderr
    assert "--pooling gem, mean, max, rmac or centre" in done.stderr
    assert not (place.data / "edge").exists()


def test_a_preset_says_what_is_not_said_in_the_daemon_and_for_the_query(tmp_path: Path) -> None:
    place = Place(tmp_path / "shop", tmp_path / "data")
    picture = put(place.root / "a.jpg", 1)
    done = place.command("run", str(place.root), "--once", "--preset", "fine", "--size", "96")
    assert done.returncode == 0, done.stderr
    with place.catalog() as catalog:
        space = catalog.space
        with Preparer(space, Settings()) as preparer:
            queried = embedded(preparer, picture.read_bytes())
    assert (space.model, space.pooling, space.size, space.resize) == ("efficientnet_lite2", "centre", 96, "pad")
    (stored,) = place.vectors().values()
    assert float(stored @ queried) > 0.999999


def test_a_preset_goes_on_with_what_it_made_before_int8(tmp_path: Path) -> None:
    place = Place(tmp_path / "shop", tmp_path / "data")
    put(place.root / "a.jpg", 1)
    small = ["--preset", "fine", "--size", "96"]
    assert place.command("run", str(place.root), "--once", *small, "--precision", "f32").returncode == 0
    put(place.root / "b.jpg", 2)
    for options in ([], small):
        done = place.command("run", str(place.root), "--once", *options)
        assert done.returncode == 0, done.stderr
    with place.catalog() as catalog:
        assert catalog.space.precision == "f32"
    other = place.command("run", str(place.root), "--once", "--precision", "int8")
    assert other.returncode == 5
    assert "precision is 'f32', not 'int8'" in other.stderr
