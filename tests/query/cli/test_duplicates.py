"""The same picture several times is found: candidates by their vectors, what they are by the pictures themselves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from recq.display.layout import layout
from recq.display.table import duplicates_table
from recq.duplicates.groups import LEAST_COSINE, Duplicates, Group, Why
from recq.duplicates.groups import duplicates as find
from recq.duplicates.kinds import Kind
from recq.duplicates.thumbnails import Thumbnails
from recq.images.indexed_files import Place, Unread
from recq.index.catalog import Catalog
from recq.index.connect import own_folder
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item
from recq.search import vector_file
from recq.search.results import Result
from recq.search.session import Session
from recq.search.vector_file import VectorFile
from recq.settings import Settings
from recq.space import Distance, EmbeddingSpace
from tests.query.conftest import CATALOG, Reply, Shop
from tests.recq.duplicates import scenes
from tests.recq.duplicates.scenes import Change, cut, resized, scene

Ask = Callable[..., Reply]

USUAL = frozenset({Kind.COPY, Kind.CROP})

SPACE = EmbeddingSpace(
    model="test", weights="0", layer="top", pooling="mean", size=8, resize="pad",
    preprocessing="none", precision="f32", dim=6,
)  # fmt: skip


@pytest.mark.parametrize("limit", [None, 0.8])
@pytest.mark.parametrize("distance", ["Cosine", "Euclid"])
def test_neighbours_are_those_of_all_pairs(
    distance: Distance, limit: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_file, "_BLOCK", 7 * 6 * 4)
    monkeypatch.setattr(vector_file, "_PAIRED", 11)
    rows = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
    rows[40] = rows[3] * 1.001  # nearly a copy
    rows[40, 0] += 0.01
    limit = limit if distance == "Cosine" or limit is None else 1.5
    with VectorFile(6, distance) as file:
        file.append(rows[:25])
        file.append(rows[25:])
        found = {row: set(near.tolist()) for row, near in file.neighbours(4, limit)}
        score = file.score(2, 50)
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    apart = -(units @ units.T) if distance == "Cosine" else np.linalg.norm(rows[:, np.newaxis] - rows, axis=2)
    assert score == pytest.approx(abs(apart[2, 50]) if distance == "Euclid" else -apart[2, 50], abs=1e-3)
    np.fill_diagonal(apart, np.inf)
    worst = np.inf if limit is None else -limit if distance == "Cosine" else limit
    near = {
        row: {int(other) for other in np.argsort(apart[row])[:4] if apart[row, other] <= worst} for row in range(60)
    }
    assert 0 < sum(map(len, near.values())) < 60 * 4 or limit is None
    assert found == {row: others for row, others in near.items() if others}


def test_fewer_rows_than_neighbours_are_no_trouble() -> None:
    with VectorFile(2, "Cosine") as file:
        file.append(np.array([[1, 0], [0.9, 0.1]], np.float32))
        assert [(row, near.tolist()) for row, near in file.neighbours(12)] == [(0, [1]), (1, [0])]


# -- thumbnails -------------------------------------------------------------------------------------------------------


def place(path: Path) -> Place:
    return Place(path, hashlib.sha256(path.read_bytes()).hexdigest())


def test_a_file_is_read_where_it_is_what_was_indexed(tmp_path: Path) -> None:
    wide, other, broken = tmp_path / "wide.png", tmp_path / "other.png", tmp_path / "broken.png"
    Image.new("RGB", (400, 100), (10, 200, 30)).save(wide)
    Image.new("RGB", (50, 80), (10, 20, 30)).save(other)
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and then nothing sensible")
    changed = Place(other, "0" * 64)
    gone = Place(tmp_path / "gone.png", "0" * 64)
    with Thumbnails(Settings(workers=2)) as thumbnails:
        thumbnails.read(
            [
                (7, [Place(None, "0" * 64), gone, changed, place(wide)]),
                (3, [place(other)]),
                (4, [gone]),
                (5, [changed]),
                (6, [place(broken)]),
                (8, [Place(None, "0" * 64)]),
            ]
        )
        assert [row for row in range(10) if row in thumbnails] == [3, 7]
        assert thumbnails.rgb(7).shape == (48, 192, 3)
        assert thumbnails.rgb(7)[20, 100].tolist() == [10, 200, 30]
        assert thumbnails.rgb(3).shape == (192, 120, 3)
        assert thumbnails.unread == {Unread.GONE: 2, Unread.CHANGED: 1, Unread.UNREADABLE: 1}


# -- whole catalogs ---------------------------------------------------------------------------------------------------


def put(root: Path, name: str, im: Image.Image, **options: int) -> None:
    """A picture's file."""
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    im.save(root / name, **options)  # type: ignore[arg-type]


def coarse(path: Path) -> np.ndarray:
    """A vector of which colours lie about where: copies are near, and so is much else."""
    return np.asarray(Image.open(path).convert("RGB").resize((4, 4))).astype(np.float32).ravel() / 255 + 0.5


@contextmanager
def indexed(data: Path, root: Path, vector: Callable[[Path], np.ndarray] = coarse) -> Iterator[Catalog]:
    """A catalog of the files below `root` as the daemon would make it, with vectors of the test's own."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    vectors = [vector(path) for path in files]
    space = EmbeddingSpace(**{**SPACE.to_json(), "dim": len(vectors[0])})
    with own_folder(Settings(data_dir=data)) as owned:
        catalog = Catalog.create(owned.client, "images", space)
        source = catalog.sources.register(root)
        catalog.writes.upsert(
            [ItemVector(item(source, root, path), each) for path, each in zip(files, vectors, strict=True)]
        )
        yield catalog


class Opened(Session):
    """A session whose catalog is open already."""

    def __init__(self, catalog: Catalog, settings: Settings) -> None:
        super().__init__(settings)
        self._catalog = catalog

    @contextmanager
    def opened(self) -> Iterator[Catalog]:
        yield self._catalog


def duplicates(catalog: Catalog, settings: Settings, *, kinds: Collection[Kind] = USUAL, **more: Any) -> Duplicates:
    return find(Opened(catalog, settings), kinds=kinds, **more)


def item(source: str, root: Path, path: Path) -> Item:
    with Image.open(path) as im:
        size, form = im.size, im.format
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    facts = FileFacts(source, path.relative_to(root).as_posix(), path.stat().st_size, 1, digest, form, size[0], size[1])
    return Item(facts, {"folder": path.parent.name})


def told(found: Duplicates) -> list[list[tuple[str, str]]]:
    """Path and kind of each result of each group."""
    return [
        [(result.within, str(kind)) for result, kind in zip(group.results, group.kinds, strict=True)]
        for group in found.groups
    ]


KINDS: dict[str, Change] = {
    "half.jpg": resized(0.5),
    "q60.jpg": lambda im: im,
    "other.webp": lambda im: im,
    "crop5.png": cut(0.05, 0.05, 0.05, 0.05),
    "mirror.png": scenes.mirror,
    "recoloured.png": scenes.recoloured,
    "lettered.png": scenes.lettered,
}


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes, one of them in many ways, and strangers."""
    root = tmp_path_factory.mktemp("copies")
    original = scene(1)
    put(root, "a/original.png", original)
    put(root, "b/again.png", original)
    (root / "b/same.png").write_bytes((root / "a/original.png").read_bytes())
    put(root, "b/again.png", original, compress_level=1)
    for name, change in KINDS.items():
        put(root, f"c/{name}", change(original), **({"quality": 60} if name == "q60.jpg" else {}))
    for number in range(2, 6):
        put(root, f"d/{number}.png", scene(number))
    return root


def test_groups_hold_what_is_the_same_picture(copies: Path, tmp_path: Path) -> None:
    with indexed(tmp_path, copies) as catalog:
        settings = Settings(data_dir=tmp_path, workers=1)
        found = duplicates(catalog, settings)
        (group,) = told(found)
        assert group[0] == ("b/again.png", "exact")  # the same pixels in more bytes
        assert dict(group[1:]) == {
            "a/original.png": "copy", "b/same.png": "copy", "c/other.webp": "copy", "c/q60.jpg": "copy",
            "c/half.jpg": "copy", "c/crop5.png": "crop",
        }  # fmt: skip
        assert found.groups[0].why is Why.BYTES
        assert not found.groups[0].exact
        assert (found.items, found.superfluous, found.limit) == (14, 6, LEAST_COSINE)
        assert found.unread == {}
        assert all(0.9 < (result.score or 0) < 1.0001 for result in found.groups[0].results)


@pytest.mark.parametrize(
    ("kinds", "names"),
    [
        ({Kind.COPY}, {"a/original.png", "b/same.png", "c/other.webp", "c/q60.jpg", "c/half.jpg"}),
        ({Kind.CROP}, {"c/crop5.png"}),
        ({Kind.MIRROR}, {"c/mirror.png"}),
    ],
)
def test_only_the_kinds_that_are_asked_for_are_found(
    copies: Path, tmp_path: Path, kinds: set[Kind], names: set[str]
) -> None:
    with indexed(tmp_path, copies) as catalog:
        found = duplicates(catalog, Settings(data_dir=tmp_path, workers=1), kinds=kinds)
        group = next(group for group in told(found) if group[0][0] == "b/again.png")
        assert {path for path, _ in group[1:]} == names
        # The same bytes are always the same picture.
        together = [{path for path, _ in group} for group in told(found)]
        assert any({"a/original.png", "b/same.png"} <= paths for paths in together)


def test_bytes_alone_need_no_pictures(copies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recq.duplicates.thumbnails.Thumbnails.__init__", None)
    with indexed(tmp_path, copies) as catalog:
        found = duplicates(catalog, Settings(data_dir=tmp_path), kinds=())
        assert told(found) == [[("a/original.png", "exact"), ("b/same.png", "exact")]]
        assert found.groups[0].why is Why.PATH
        assert found.groups[0].exact
        assert found.limit is None


def test_what_is_filtered_out_changes_nothing(copies: Path, tmp_path: Path) -> None:
    """A catalog full of near-identical scans has another scale, and other nearest ones."""
    root = tmp_path / "root"
    for path in copies.rglob("*.*"):
        put_bytes = root / path.relative_to(copies)
        put_bytes.parent.mkdir(parents=True, exist_ok=True)
        put_bytes.write_bytes(path.read_bytes())
    for number in range(80):
        scan = np.array(scene(1).resize((60, 45)))
        scan[:20, :20] = number
        put(root, f"scans/{number}.png", Image.fromarray(scan))
    settings = Settings(data_dir=tmp_path / "all", workers=1)
    with indexed(tmp_path / "all", root) as catalog:
        filtered = duplicates(catalog, settings, filters=["folder!=scans"])
    with indexed(tmp_path / "few", copies) as catalog:
        alone = duplicates(catalog, settings)
    assert told(filtered) == told(alone)
    assert filtered.limit == alone.limit
    assert filtered.items == alone.items


def test_many_copies_are_one_group(tmp_path: Path) -> None:
    """More than the nearest that are looked for: copies of copies lead to them."""
    root = tmp_path / "root"
    original = scene(3)
    for number in range(40):
        put(root, f"{number:02}.png", resized(0.5 + number / 100)(original))
    with indexed(tmp_path / "data", root) as catalog:
        (group,) = duplicates(catalog, Settings(workers=1)).groups
    assert len(group.results) == 40
    assert group.results[0].within == "39.png"
    assert group.why is Why.PIXELS


def test_the_uncropped_picture_is_kept(tmp_path: Path) -> None:
    root = tmp_path / "root"
    original = scene(4)
    put(root, "enlarged-crop.png", cut(0.1, 0.1, 0.1, 0.1)(original).resize((560, 420)))
    put(root, "original.png", original)
    with indexed(tmp_path / "data", root) as catalog:
        (group,) = duplicates(catalog, Settings(workers=1)).groups
    assert [result.within for result in group.results] == ["original.png", "enlarged-crop.png"]
    assert (group.why, group.kinds) == (Why.UNCROPPED, (Kind.EXACT, Kind.CROP))


def test_a_picture_in_few_colours_is_not_kept_for_its_bytes(tmp_path: Path) -> None:
    root = tmp_path / "root"
    photograph = Image.effect_noise((300, 200), 20).convert("RGB").resize((600, 400), Image.Resampling.BICUBIC)
    put(root, "photograph.jpg", photograph)
    put(root, "heavy.gif", photograph)
    assert (root / "heavy.gif").stat().st_size > (root / "photograph.jpg").stat().st_size
    with indexed(tmp_path / "data", root) as catalog:
        (group,) = duplicates(catalog, Settings(workers=1)).groups
    assert (group.results[0].within, group.why) == ("photograph.jpg", Why.COLOURS)


def test_what_cannot_be_read_here_is_compared_by_its_bytes_and_counted(copies: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("a/original.png", "b/same.png", "c/half.jpg", "c/crop5.png", "c/other.webp"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes((copies / name).read_bytes())
    with indexed(tmp_path / "data", root) as catalog:
        (root / "a/original.png").unlink()  # its copy is still there
        (root / "c/half.jpg").unlink()
        (root / "c/crop5.png").write_bytes(b"another file by now")
        found = duplicates(catalog, Settings(workers=1))
        assert told(found) == [[("a/original.png", "exact"), ("b/same.png", "exact"), ("c/other.webp", "copy")]]
        assert found.unread == {Unread.GONE: 1, Unread.UNREADABLE: 1}
        assert found.to_json()["unread"] == 2


def test_distances_are_compared_as_well(copies: Path, tmp_path: Path) -> None:
    files = sorted(path for path in copies.rglob("*") if path.is_file())
    settings = Settings(data_dir=tmp_path, workers=1)
    with own_folder(settings) as owned:
        space = EmbeddingSpace(**{**SPACE.to_json(), "dim": 48, "distance": "Euclid"})
        catalog = Catalog.create(owned.client, "images", space)
        source = catalog.sources.register(copies)
        catalog.writes.upsert([ItemVector(item(source, copies, path), coarse(path)) for path in files])
        found = duplicates(catalog, settings)
        assert len(found.groups[0].results) == 7
        assert found.limit is None
        assert found.groups[0].results[1].score == pytest.approx(0, abs=0.1)
        assert duplicates(catalog, settings, max_distance=1e-9).superfluous < 6


def test_the_index_is_free_while_pictures_are_compared(copies: Path, tmp_path: Path) -> None:
    with indexed(tmp_path, copies):
        pass
    settings = Settings(data_dir=tmp_path, workers=1, lock_wait=0)
    asked: list[str] = []

    def progress(what: str, done: int, of: int) -> None:
        if what == "comparing pictures" and what not in asked:
            with own_folder(settings) as owned:  # raises where somebody has it
                assert owned.client is not None
        asked.append(what)

    assert len(find(Session(settings), kinds=USUAL, progress=progress).groups) == 1
    assert list(dict.fromkeys(asked)) == [
        "reading items", "reading vectors", "comparing vectors", "reading pictures", "comparing pictures",
    ]  # fmt: skip


def test_the_shop_has_twins(any_shop: Shop) -> None:
    reply = any_shop.ask("duplicates", "--format", "json")
    assert reply.code == 0
    document = json.loads(reply.text)
    assert document["items"] == 8
    (group,) = document["groups"]
    assert [(result["name"], result["kind"]) for result in group["results"]] == [
        ("twin-a.png", "kept"),
        ("twin-b.png", "copy"),
    ]
    assert (group["exact"], group["reason"]) == (False, "most bytes")
    assert [result["pixels"] for result in group["results"]] == [48 * 32] * 2
    assert group["results"][0]["bytes"] > group["results"][1]["bytes"]
    assert "1 of 8 items not the first of theirs (same bytes, copy, crop)" in reply.err
    # That one of the shop's files is not what was indexed is told, not passed over.
    assert document["unread"] == 1
    assert "of 1 picture only the bytes were compared: 1 changed since they were indexed" in reply.err


def test_every_format_tells_of_the_groups(shop: Shop) -> None:
    table = shop.ask("duplicates").lines
    assert table[0].split() == ["group", "kind", "pixels", "bytes", "file"]
    assert table[1].split()[:5] == ["1", "keep:", "most", "bytes", "48x32"]
    assert table[2].split()[:3] == ["copy", "1.000", "48x32"]
    lines = shop.ask("duplicates", "--format", "jsonl").lines
    assert [len(json.loads(line)["results"]) for line in lines] == [2]
    assert shop.ask("duplicates", "--format", "csv").lines[0].startswith("group,kind,pixels,bytes,rank,score,id")
    assert shop.ask("duplicates", "--format", "csv").lines[1].startswith("1,kept,1536,")
    paths = shop.ask("duplicates", "--format", "paths").out
    assert shop.ask("duplicates", "--format", "paths", "-0").out == paths.replace(b"\n", b"\0")
    assert paths.count(b"png\n") == 1
    first, *others = (result["path"] for result in json.loads(lines[0])["results"])
    assert first.encode() + b"\n" not in paths
    assert others[0].encode() + b"\n" in paths


def test_kinds_are_asked_for_by_name(shop: Shop) -> None:
    reply = shop.ask("duplicates", "--kind", "mirror", "--kind", "crop", "--format", "json")
    assert json.loads(reply.text)["kinds"] == ["exact", "crop", "mirror"]
    assert json.loads(shop.ask("duplicates", "--exact", "--format", "json").text)["kinds"] == ["exact"]
    reply = shop.ask("duplicates", "--kind", "turned")
    assert reply.code == 2
    assert "copy" in reply.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--max-distance", "3"], "compares by Cosine: give --min-score, not --max-distance"),
        (["--min-score", "nan"], "is no limit"),
        (["--min-score", "2"], "--min-score 2 cannot be reached: a cosine is at most 1"),
        (["--exact", "--kind", "crop"], "--exact compares only bytes"),
        (["--filter", "colour=red"], "colour"),
    ],
)
def test_what_cannot_be_asked_is_told(shop: Shop, arguments: list[str], said: str) -> None:
    reply = shop.ask("duplicates", *arguments)
    assert reply.code == 2
    assert said in reply.err
    assert reply.err.count("\n") == 1


def test_no_item_to_look_at_is_explained(shop: Shop) -> None:
    reply = shop.ask("duplicates", "--filter", "category=nothing")
    assert (reply.code, reply.text) == (0, "")
    assert reply.err.startswith("recq: nothing matches: no item has category=nothing")


def test_long_paths_leave_the_other_columns_on_a_terminal() -> None:
    """Numbers whole, the end of a path, and a remark where even a short one has no room."""
    file = {"size": 42_992, "width": 480, "height": 320}
    results = [
        Result(n, 0.99, str(n), "shop", Path(path).name, path, None, {"file": file})
        for n, path in enumerate(["deep/" * 30 + "chair.jpg", "chair-copy.jpg"], start=1)
    ]
    group = Group(tuple(results), (Kind.EXACT, Kind.COPY), Why.PATH)
    table = duplicates_table(Duplicates(SPACE, (group,), 2, frozenset({Kind.COPY}), 0.6, 1.0))
    fits = layout(table, 80)
    assert (fits.width, fits.hidden) == (80, ())
    assert dict(zip(table.header, fits.widths, strict=True)) == {
        "group": 5,
        "kind": 19,
        "pixels": 7,
        "bytes": 6,
        "file": 35,
    }
    assert table.one_line


def test_nothing_twice_is_an_answer(shop: Shop, ask: Ask) -> None:
    reply = shop.ask("duplicates", "--filter", "category=bed", "--filter", "price>100")
    assert (reply.code, reply.out) == (0, b"")
    assert "no duplicates among 1 item" in reply.err
    settings = Settings.load(catalog=CATALOG, data_dir=Path(shop.options[1]))
    assert find(Session(settings), kinds=USUAL, filters=["category=bed", "price>100"]).groups == ()
