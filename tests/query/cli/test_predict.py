"""`recq predict` in a catalog without a trained space: ImageNet's classes, read from pictures, on every engine."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import recq
from recq.errors import UsageError
from recq.index.candidates import require_name
from recq.learn.prediction import Prediction
from recq.search.many import FailedTarget
from recq.search.session import opened
from recq.settings import Settings
from tests.packs import ROOT
from tests.query.cli.test_space import NEW, carry, settings_of
from tests.query.conftest import CATALOG, FAILED, Reply, Shop

MOUSE, SOFA, BASKET = (
    ROOT / "samples" / f"{name}.jpg" for name in ("wireless-optical-mouse", "sofa_leather", "basketball")
)
"""The network is sure of the first two, with 0.98 and 0.96, and right but not sure of the last, with 0.4."""


def predictions(reply: Reply) -> list[dict[str, Any]]:
    assert reply.code == 0, reply.err
    found: list[dict[str, Any]] = json.loads(reply.out)
    return found


def test_photographs_are_named(any_shop: Shop) -> None:
    found = predictions(any_shop.ask("predict", str(MOUSE), str(SOFA), str(BASKET), "--format", "json"))
    assert [each["text"] for each in found] == [str(MOUSE), str(SOFA), str(BASKET)]
    assert [each["guesses"][0]["label"] for each in found] == ["computer mouse", "couch", "basketball"]
    for each in found:
        assert (each["field"], each["space"], each["known"]) == ("imagenet", "imagenet", None)
        chances = [guess["probability"] for guess in each["guesses"]]
        assert len(chances) == 3
        assert 1 >= chances[0] >= chances[1] >= chances[2] >= 0
    assert [each["unknown"] for each in found] == [False, False, True]
    assert [each["labels"] for each in found] == [["computer mouse"], ["couch"], []]


def test_the_table_says_what_is_unsure(shop: Shop) -> None:
    reply = shop.ask("predict", str(MOUSE), str(BASKET), "--top", "2")
    header, first, second = reply.lines
    assert header.split() == ["file", "imagenet", "%", "then"]
    assert first.removeprefix(str(MOUSE)).split()[:2] == ["computer", "mouse"]
    assert second.removeprefix(str(BASKET)).split()[:3] == ["unsure", "perhaps", "basketball"]
    assert second.count(",") == 1, "two guesses"
    rows = list(csv.DictReader(io.StringIO(shop.ask("predict", str(BASKET), "--format", "csv").text)))
    assert [(row["rank"], row["unknown"], row["known"]) for row in rows] == [(n, "true", "") for n in "123"]


def test_a_picture_on_standard_input(shop: Shop) -> None:
    (found,) = predictions(shop.ask("predict", "-", "--format", "json", stdin=MOUSE.read_bytes()))
    assert found["text"] == "-"
    assert found["labels"] == ["computer mouse"]


def test_of_an_indexed_item_the_picture_is_read(any_shop: Shop) -> None:
    asked = ("three.png", str(any_shop.root / "beds/three.png"))
    by_name, by_file = predictions(any_shop.ask("predict", *asked, "--space", "imagenet", "--format", "json"))
    assert [each["text"] for each in (by_name, by_file)] == [*asked]
    assert by_name["guesses"] == by_file["guesses"]


def test_an_item_whose_file_is_gone_cannot_be_named(shop: Shop, tmp_path: Path) -> None:
    three = shop.root / "beds/three.png"
    three.rename(tmp_path / "three.png")
    try:
        gone = shop.ask("predict", "three.png", str(MOUSE), "--format", "jsonl")
    finally:
        (tmp_path / "three.png").rename(three)
    assert gone.code == 3
    assert json.loads(gone.text)["labels"] == ["computer mouse"], "the other target is answered"
    assert (
        "its file is not on this machine, or was deleted, and ImageNet's classes are read from the picture" in gone.err
    )
    assert "1 of 2 targets have no answer" in gone.err


def test_what_cannot_be_named_is_one_line_each(shop: Shop) -> None:
    reply = shop.ask("predict", FAILED, "nowhere.png", "--format", "jsonl")
    assert (reply.code, reply.out) == (3, b"")
    assert [line for line in reply.err.splitlines() if FAILED in line]
    assert [line for line in reply.err.splitlines() if "nowhere.png" in line]


def test_the_face(shop: Shop) -> None:
    with recq.open(CATALOG, data_dir=shop.options[1]) as catalog:
        vector = np.ones(catalog.space.dim, np.float32)
        named, refused = catalog.predict([MOUSE.read_bytes(), vector], top=1)
        assert isinstance(named, Prediction)
        assert (named.labels, named.known, named.unknown) == (("computer mouse",), None, False)
        assert isinstance(refused, FailedTarget)
        assert "ImageNet's classes are read from a picture" in refused.error
        assert catalog.embed("two.png").shape == (1280,), "the catalog's own network is another"


def test_beside_trained_spaces_it_is_asked_for_by_name(shop: Shop) -> None:
    others = (NEW, replace(NEW, name="other"))
    carry(shop, *others)
    try:
        several = shop.ask("predict", str(MOUSE))
        (found,) = predictions(shop.ask("predict", str(MOUSE), "--space", "imagenet", "--format", "json"))
    finally:
        with opened(Settings(catalog=CATALOG, **settings_of(shop))) as catalog:
            for each in others:
                catalog.candidates.forget(each.name)
    assert several.code == 2
    assert "choose with --space by-category, or --space imagenet for ImageNet's classes" in several.err
    assert found["labels"] == ["computer mouse"]


def test_tab_offers_it(tab: Callable[[str, list[str]], Reply], shop: Shop) -> None:
    assert tab("predict --space ima", [*shop.options, "--catalog", CATALOG]).lines == ["imagenet"]
    assert tab("similar --space ima", [*shop.options, "--catalog", CATALOG]).text.strip() == ""


def test_no_trained_space_has_that_name() -> None:
    with pytest.raises(UsageError, match="--name imagenet cannot be used: 'recq predict TARGET --space imagenet"):
        require_name("imagenet")
