"""Where two pictures agree: the maps add up to the score, lie over the picture, and are drawn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recq.display.explanation import draw, overlaid
from recq.images.resize import placement
from recq.search.explain import Side, explain
from recq.search.results import score_text
from recq.search.session import Session
from recq.settings import Settings
from recq.space import InputSpec, Resize
from tests.query.conftest import CATALOG, FAILED, WAITING, Shop


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0.0 % of pairs"),
        (0.997, "99.7 % of pairs"),
        (0.99699, "99.6 % of pairs"),
        (0.9989, "99.8 % of pairs"),
        (0.9995, "99.95 % of pairs"),
        (1.0, "all pairs"),
    ],
)
def test_a_share_is_rounded_down(share: float, text: str) -> None:
    assert score_text(0.934, share) == f"0.93 · closer than {text}"
    assert score_text(0.934, None) == "0.93"


@pytest.mark.parametrize("resize", ["pad", "stretch", "crop"])
def test_the_map_lies_over_what_the_network_saw(resize: Resize) -> None:
    place = placement(200, 100, InputSpec(64, resize))
    added = np.zeros((4, 4), np.float32)
    added[1:3, 0] = 1.0  # the left edge of the input, in the middle
    side = Side("a", "a", np.full((100, 200, 3), 200, np.uint8), place, 64, added)
    assert side.seen().shape == ((32, 64) if resize == "pad" else (64, 64))
    colours = np.asarray(overlaid(side, float(side.seen().max()))).astype(int)
    coloured = (colours.max(axis=2) - colours.min(axis=2)) > 30
    found = np.flatnonzero(coloured[50])
    assert found[0] == (50 if resize == "crop" else 0)  # a crop begins where it begins in the picture
    assert found[-1] < (80 if resize == "crop" else 70)


def test_what_lies_beside_the_picture_is_told() -> None:
    place = placement(200, 100, InputSpec(64, "pad"))
    added = np.zeros((4, 4), np.float32)
    added[0] = 1.0  # the white above
    side = Side("a", "a", np.zeros((100, 200, 3), np.uint8), place, 64, added)
    assert side.beside > 0.8


def test_pictures_are_explained_and_drawn(shop: Shop, tmp_path: Path) -> None:
    out = tmp_path / "why.png"
    reply = shop.ask("explain", "sofas/one.png", "beds/three.png", "--out", str(out), "--format", "json")
    assert reply.code == 0
    assert f"picture written to {out}" in reply.err
    assert "'sofas/one.png' has changed since it was indexed" in reply.err
    document = json.loads(reply.text)
    assert document["percentile"] is None  # too few items
    for role, name in (("target", "one.png"), ("result", "three.png")):
        assert document[role]["name"] == name
        assert np.sum(document[role]["added"]) == pytest.approx(document["score"], abs=1e-3)
    with Image.open(out) as drawn:
        assert drawn.format == "PNG"
        assert drawn.width > 900


def test_a_picture_is_all_of_itself_and_a_picture_outside_the_index_will_do(shop: Shop, shop_root: Path) -> None:
    settings = Settings.load(catalog=CATALOG, data_dir=Path(shop.options[1]))
    found = explain(Session(settings), str(shop_root / WAITING), str(shop_root / WAITING))
    assert found.score == pytest.approx(1.0, abs=1e-5)
    assert found.target.added.sum() == pytest.approx(1.0, abs=1e-4)
    assert np.asarray(draw(found)).std() > 10


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["sofas/one.png", "nothing.png"], 3, "nothing.png"),
        (["sofas/one.png", FAILED], 3, "cannot be explained"),
        (["sofas/one.png", "beds/one.png", "--out", "why.jpg"], 2, "the picture is a PNG"),
        (["sofas/one.png", "beds/one.png", "--out", "nowhere/why.png"], 2, "there is no folder nowhere"),
    ],
)
def test_what_cannot_be_explained_is_told_in_one_line(shop: Shop, arguments: list[str], code: int, said: str) -> None:
    reply = shop.ask("explain", *arguments)
    assert (reply.code, reply.out) == (code, b"")
    assert said in reply.err
    assert reply.err.count("\n") == 1


def test_a_picture_that_is_elsewhere_cannot_be_explained(shop: Shop, shop_root: Path) -> None:
    moved = shop_root / "beds-elsewhere"
    (shop_root / "beds").rename(moved)
    try:
        reply = shop.ask("explain", "sofas/one.png", "beds/one.png")
    finally:
        moved.rename(shop_root / "beds")
    assert reply.code == 3
    assert "its file is not on this machine, or was deleted" in reply.err
