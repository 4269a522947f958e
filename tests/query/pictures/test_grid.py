"""The picture grid: every tile in its place, a frame around the target, placeholders that say why."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from query.pictures.grid import require_writable, write_grid
from query.pictures.grid_png import MOST_TILES
from query.pictures.grid_png import draw as drawn
from recq.display import typeface
from recq.display.grid_sheet import Card, Drawable, sheet_of
from recq.display.grid_tiles import thumbnail
from recq.display.typeface import bundled, lettering, shorten
from recq.errors import UsageError
from recq.images import Limits
from recq.index.similarity import Metric
from recq.search.results import Answer, Asked, Result
from recq.settings import Settings
from recq.space import EmbeddingSpace
from tests.query.conftest import Shop, picture
from tests.recq.images.encoded import heif

SPACE = EmbeddingSpace("test", "0", "top", "mean", 8, "pad", "none", "f32", 8)
COSINE = Metric("cosine", higher_is_better=True)
LIMITS = Limits(10_000_000, 10_000_000)
RED, GREEN, BLUE = (200, 20, 30), (20, 180, 40), (30, 40, 210)
FRAME = (217, 72, 15)
COLOURS = [((40 * n) % 256, (90 * n) % 256, 200) for n in range(12)]


def result(rank: int, location: Path | None, name: str = "a.png") -> Result:
    return Result(rank, 1 - rank / 100, "id", "shop", name, name, location, {"file": {}})


def answer(target: Path | bytes | None, *results: Result, filters: tuple[str, ...] = ()) -> Answer:
    asked = None
    if isinstance(target, bytes):
        asked = Asked("-", "standard input", content=target)
    elif target is not None:
        asked = Asked("a.png", "a.png", "id", "shop", target)
    return Answer(SPACE, results, 1.0, asked, filters, metric=COSINE if asked is not None else None)


def draw(shown: Drawable, limits: Limits) -> Image.Image:
    return drawn(sheet_of(shown), limits).image


def colour_at(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    pixel = image.getpixel((x, y))
    assert isinstance(pixel, tuple)
    return pixel


def blocks(image: Image.Image, colour: tuple[int, int, int], least: int = 100) -> list[tuple[int, int]]:
    """Top left corners of runs of a colour that are at least `least` pixels wide, one for each column of them."""
    found: list[tuple[int, int]] = []
    for y in range(0, image.height, 4):
        x = 0
        while x + least <= image.width:
            if all(colour_at(image, x + step, y) == colour for step in (0, least // 2, least - 1)):
                if not any(abs(x - other) < least and y - below < 260 for other, below in found):
                    found.append((x, y))
                x += least
            else:
                x += 4
    return found


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{n}.png" for n in range(12)]
    for path, colour in zip(paths, COLOURS, strict=True):
        picture(path, colour, (300, 200))
    return paths


def test_target_left_and_five_neighbours_in_a_row(tmp_path: Path, photos: list[Path]) -> None:
    picture(tmp_path / "target.png", RED, (200, 300))
    image = draw(answer(tmp_path / "target.png", *(result(n + 1, path) for n, path in enumerate(photos))), LIMITS)
    ((target_x, target_y),) = blocks(image, RED)
    places = [blocks(image, colour)[0] for colour in COLOURS]
    assert all(x > target_x + 150 for x, _ in places)
    rows = [places[0:5], places[5:10], places[10:12]]
    for row in rows:
        assert [x for x, _ in row] == sorted(x for x, _ in row)
        assert len({y for _, y in row}) == 1
    assert rows[0][0][1] < rows[1][0][1] < rows[2][0][1]
    assert [x for x, _ in rows[0]] == [x for x, _ in rows[1]]
    assert abs(target_y - rows[0][0][1]) < 100


def test_only_the_target_has_a_frame_and_pictures_keep_their_aspect(tmp_path: Path) -> None:
    picture(tmp_path / "wide.png", GREEN, (400, 100))
    picture(tmp_path / "high.png", BLUE, (100, 400))
    image = draw(answer(tmp_path / "wide.png", result(1, tmp_path / "high.png")), LIMITS)
    colours = {colour: count for count, colour in image.getcolors(image.width * image.height) or []}
    wide, high = colours[GREEN], colours[BLUE]
    assert wide == pytest.approx(high, rel=0.02)
    framed = [x for x in range(image.width) if colour_at(image, x, 60) == FRAME]
    assert len(framed) == 10  # five pixels left of the target, five right of it
    assert max(framed) < image.width // 2


def test_what_cannot_be_read_gets_a_placeholder(tmp_path: Path, photos: list[Path]) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "cut.png").write_bytes(photos[0].read_bytes()[:-40])
    (tmp_path / "text.png").write_text("milk")
    bad = ["gone.png", "empty.png", "cut.png", "text.png"]
    results = [result(n + 1, tmp_path / name) for n, name in enumerate(bad)]
    image = draw(answer(photos[1], *results, result(5, None)), LIMITS)
    tiles = [image.crop((x, 32, x + 232, 264)) for x in range(32 + 272, image.width - 32, 252)]
    assert len(tiles) == 5
    assert len({tile.tobytes() for tile in tiles}) == 5  # each says something else
    assert all(min(colour_at(tile, 10, 10)) > 235 for tile in tiles)


def test_a_heic_file_is_drawn_or_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    content = heif(Image.new("RGB", (64, 64), RED))
    card = Card("target", "-", None, content)
    tile, _ = thumbnail(card, LIMITS, 32)
    assert tile is not None
    assert np.abs(np.asarray(tile, np.int16) - RED).max() < 12
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert thumbnail(card, LIMITS, 32) == (None, "needs recq[heic]")


def test_the_target_may_be_bytes_that_no_file_holds(photos: list[Path]) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), RED).save(buffer, "PNG")
    assert blocks(draw(answer(buffer.getvalue(), result(1, photos[1])), LIMITS), RED)


def test_no_results_and_many_results_are_drawn_too(photos: list[Path]) -> None:
    nothing = draw(answer(photos[0]), LIMITS)
    assert nothing.width > 400
    full = draw(answer(photos[0], *(result(n + 1, photos[1]) for n in range(MOST_TILES))), LIMITS)
    more = draw(answer(photos[0], *(result(n + 1, photos[1]) for n in range(MOST_TILES + 9))), LIMITS)
    assert more.size == full.size
    assert more.tobytes() != full.tobytes()  # "9 more not drawn"


def test_the_caption_names_filters_and_space(photos: list[Path]) -> None:
    plain = draw(answer(photos[0], result(1, photos[1])), LIMITS)
    filtered = draw(answer(photos[0], result(1, photos[1]), filters=("category=sofa",)), LIMITS)
    above = (0, 0, plain.width, plain.height - 60)
    assert plain.crop(above).tobytes() == filtered.crop(above).tobytes()
    assert plain.tobytes() != filtered.tobytes()


def test_names_are_shortened_in_the_middle() -> None:
    font = bundled(16)
    long = "a very long product name that nobody would shorten by hand.jpg"
    short = shorten(long, 200, font)
    assert font.getlength(short) <= 200
    head, tail = short.split("…")
    assert long.startswith(head)
    assert long.endswith(tail)
    assert abs(len(head) - len(tail)) <= 1
    assert shorten("sofa.jpg", 200, font) == "sofa.jpg"
    assert shorten("sofa.jpg", 1, font) == "…"


def test_plain_names_look_the_same_on_every_machine() -> None:
    assert lettering("sofa.jpg", 16) == ("sofa.jpg", bundled(16))
    assert lettering("a…b", 16) == ("a…b", bundled(16))


def test_other_letters_use_the_systems_typefaces_or_lose_their_accents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typeface, "_wider", lambda size: ())
    assert lettering("canapé.jpg", 16) == ("canape.jpg", bundled(16))
    wider = bundled(99)  # stands for a font of the system
    monkeypatch.setattr(typeface, "_wider", lambda size: (wider,))
    monkeypatch.setattr(typeface, "_covers", lambda font, text: font is wider)
    assert lettering("диван.jpg", 16) == ("диван.jpg", wider)


@pytest.mark.parametrize("name", ["grid.jpg", "grid", "folder.png", "no/such/grid.png"])
def test_where_no_grid_can_be_written(tmp_path: Path, name: str, photos: list[Path]) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UsageError, match="--grid"):
        require_writable(tmp_path / name)
    with pytest.raises(UsageError, match="--grid"):
        write_grid(answer(photos[0]), tmp_path / name, Settings())


def test_the_file_is_replaced_as_a_whole(tmp_path: Path, photos: list[Path]) -> None:
    path = tmp_path / "out" / "grid.PNG"
    path.parent.mkdir()
    path.write_bytes(b"the one before")
    write_grid(answer(photos[0], result(1, photos[1])), path, Settings())
    with Image.open(path) as image:
        assert image.format == "PNG"
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o044 == 0o044 & ~_umask()


def _umask() -> int:
    import os

    current = os.umask(0)
    os.umask(current)
    return current


def test_the_command_writes_the_grid_and_says_where_on_standard_error(shop: Shop, tmp_path: Path) -> None:
    grid = tmp_path / "grid.png"
    reply = shop.ask("similar", "two.png", "--grid", str(grid), "--format", "jsonl")
    assert reply.code == 0
    assert len(reply.lines) == 5
    assert reply.err == f"recq: picture grid written to {grid}\n"
    with Image.open(grid) as image:
        assert image.width > 1500
