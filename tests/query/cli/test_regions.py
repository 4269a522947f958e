"""`--region`: a part of a picture answers as the file of that part would, in every command that compares pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import recq
from recq.errors import TargetError, TargetNotFound, UsageError
from tests.ingest.running import Place
from tests.query.conftest import CATALOG, FAILED, WAITING, Reply, Shop

LEFT, RIGHT = "0,0,120,160", "120,0,120,160"
BESIDE = "240,0,10,10"


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Two textures side by side, 240 x 160 as seen; stored lying on its side, as cameras do."""
    numbers = np.random.default_rng(5)
    left = numbers.integers(0, 256, (160, 120, 3), np.uint8)
    right = np.kron(numbers.integers(0, 256, (16, 12, 3), np.uint8), np.ones((10, 10, 1), np.uint8))
    for name, pixels in (("left", left), ("right", right)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees to be seen upright
    stored = Image.fromarray(np.hstack([left, right])).transpose(Image.Transpose.ROTATE_90)
    stored.save(tmp_path / "scene.png", exif=exif)
    return tmp_path / "scene.png"


@pytest.fixture(scope="module")
def textures(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """An index of twelve textures, whose vectors are their pixels."""
    folder = tmp_path_factory.mktemp("textures")
    place = Place(folder / CATALOG, folder / "data")
    place.root.mkdir(exist_ok=True)
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(np.kron(pixels, np.ones((8, 8, 1), np.uint8))).save(place.root / f"{number}.png")
    done = place.command("run", str(place.root), "--once", "--model", "pixels:8", "--catalog", CATALOG)
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture
def market(textures: Place, ask: Callable[..., Reply]) -> Shop:
    """`recq` on that index."""
    return Shop(textures.root, ["--data-dir", str(textures.data)], ask)


def document(shop: Shop, *arguments: str, stdin: bytes | None = None) -> Any:
    reply = shop.ask(*arguments, "--format", "json", stdin=stdin)
    assert reply.code == 0, reply.err
    return json.loads(reply.out)


def scores(answer: Any) -> list[tuple[str, float]]:
    return [(result["id"], result["score"]) for result in answer["results"]]


def beside(scene: Path, name: str) -> str:
    return str(scene.with_name(f"{name}.png"))


@pytest.mark.parametrize(
    ("region", "name"), [(LEFT, "left"), ("50%,0%,50%,100%", "right"), ("120,-9,999,999", "right")]
)
def test_a_region_answers_as_its_own_file_does(market: Shop, scene: Path, region: str, name: str) -> None:
    answer = document(market, "similar", str(scene), "--region", region)
    assert scores(answer) == scores(document(market, "similar", beside(scene, name)))
    assert scores(answer) != scores(document(market, "similar", str(scene)))
    assert (answer["target"]["name"], answer["target"]["path"]) == ("scene.png", str(scene))
    assert answer["target"]["region"] == region
    piped = document(market, "similar", "-", "--region", region, stdin=scene.read_bytes())
    assert scores(piped) == scores(answer)


def test_each_picture_has_its_own_region(market: Shop, scene: Path) -> None:
    both = document(
        market, "recommend", "--like", str(scene), "--dislike", str(scene), "--region", LEFT, "--region", RIGHT
    )
    files = document(market, "recommend", "--like", beside(scene, "left"), "--dislike", beside(scene, "right"))
    assert scores(both) == scores(files)
    assert [each["region"] for role in ("like", "dislike") for each in both["examples"][role]] == [LEFT, RIGHT]
    second = document(market, "recommend", "--like", beside(scene, "left"), "--dislike", str(scene), "--region", "all",
                      "--region", RIGHT)  # fmt: skip
    assert scores(second) == scores(files)
    reply = market.ask("similar", str(scene), str(scene), "--region", LEFT, "--region", RIGHT, "--format", "jsonl")
    answers = [json.loads(line) for line in reply.lines]
    wanted = [document(market, "similar", beside(scene, name)) for name in ("left", "right")]
    assert list(map(scores, answers)) == list(map(scores, wanted))


def test_explain_and_predict_see_the_region_alone(shop: Shop, scene: Path) -> None:
    mine = document(shop, "explain", str(scene), str(scene), "--region", LEFT, "--region", RIGHT)
    files = document(shop, "explain", beside(scene, "left"), beside(scene, "right"))
    assert mine["score"] == files["score"]
    assert mine["target"]["added"] == files["target"]["added"]
    (guessed,) = document(shop, "predict", str(scene), "--region", LEFT)
    (wanted,) = document(shop, "predict", beside(scene, "left"))
    assert guessed["guesses"] == wanted["guesses"]


def test_compare_takes_a_region_as_well(shop: Shop, scene: Path) -> None:
    with recq.open(CATALOG, data_dir=shop.options[1]) as catalog:
        with pytest.raises(TargetNotFound, match="nowhere"):
            catalog.compare(recq.Part(str(scene), LEFT), ["nowhere"])
        with pytest.raises(UsageError, match="two different catalogs"):
            catalog.compare(recq.Part("-", LEFT), [])


@pytest.mark.parametrize("keep", [False, True])
def test_an_item_is_not_among_the_results_of_its_own_region(market: Shop, keep: bool) -> None:
    options = ["--keep-duplicates"] if keep else []
    answer = document(market, "similar", "3.png", "--region", "0,0,20,20", "-k", "50", *options)
    assert answer["target"]["id"] == market.id("3.png")
    found = [identity for identity, _ in scores(answer)]
    assert found
    assert market.id("3.png") not in found


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (["similar", WAITING, "--region", "1,2,3"], "is no region", 2),
        (["similar", WAITING, "--region", LEFT, "--region", RIGHT], "given 2 times, and 1 picture is named", 2),
        (["similar", "--region", LEFT], "given 1 times, and no picture is named", 2),
        (["similar", WAITING, "--region", "48,0,5,5"], "has no region 48,0,5,5: it is 48 x 32 pixels", 3),
        (["similar", FAILED, "--region", "0,0,5,5"], "cannot be compared", 3),
        (["explain", WAITING, WAITING, "--region", "900,0,5,5"], "has no region", 3),
    ],
)
def test_what_is_wrong_with_a_region_is_told_in_a_line(shop: Shop, arguments: list[str], says: str, code: int) -> None:
    placed = [str(shop.root / each) if each == WAITING else each for each in arguments]
    reply = shop.ask(*placed)
    assert says in reply.err
    assert reply.code == code
    assert len(reply.err.splitlines()) == 1


def test_python_takes_a_part_wherever_it_takes_a_target(market: Shop, scene: Path) -> None:
    with recq.open(CATALOG, data_dir=market.options[1]) as catalog:
        by_text = catalog.similar(recq.Part(scene, LEFT))
        with Image.open(scene) as picture:
            picture.load()
            others = [recq.Part(picture, (0, 0, 120, 160)), recq.Part(scene.read_bytes(), [0, 0, 120, 160.0])]
            assert [[each.id for each in catalog.similar(other)] for other in others] == [
                [each.id for each in by_text]
            ] * 2
        first = by_text[0]
        assert first.id not in [each.id for each in catalog.similar(recq.Part(first, "0%,0%,50%,50%"), k=50)]
        assert np.array_equal(catalog.embed(recq.Part(scene, LEFT)), catalog.embed(scene.with_name("left.png")))
        for wrong in ("x", (1, 2, 3), (1, 2, 3, "4"), 5, None, {1: 2}, (0, 0, 0, 5), (0, 0, float("nan"), 5)):
            with pytest.raises(UsageError) as caught:
                catalog.similar(recq.Part(scene, wrong))  # type: ignore[arg-type]
            assert "\n" not in str(caught.value)
        vector = np.ones(catalog.space.dim, np.float32)
        for whole in (vector, recq.Part(scene, LEFT)):
            with pytest.raises(UsageError, match="a picture is needed"):
                catalog.similar(recq.Part(whole, LEFT))
        failed = catalog.similar_many([recq.Part(scene, BESIDE), recq.Part(scene, LEFT)])
        assert [type(each).__name__ for each in failed] == ["FailedTarget", "Answer"]
        with pytest.raises(TargetError, match="has no region"):
            catalog.embed(recq.Part(scene, BESIDE))
