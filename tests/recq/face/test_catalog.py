"""`recq.open` and what it returns: every target, every question, who holds the index, and no error but recq's own."""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import recq
from recq.errors import (
    IndexBusy,
    IndexUnreachable,
    RecqError,
    SpaceMismatch,
    TargetError,
    TargetNotFound,
    UsageError,
)
from recq.evaluate.judgements import Judgement
from recq.index.connect import own_folder
from recq.index.edge import LoopbackServer
from recq.json_text import json_text
from recq.search.many import FailedTarget
from recq.settings import Settings
from recq.waiting import REPORTED_AFTER
from tests.query.conftest import CATALOG, FAILED, GOODS, WAITING, shop_root, stocked

__all__ = ["shop_root"]


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest, shop_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("data")
    with stocked("embedded", place, shop_root, request):
        yield place


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RECQ_URL", "RECQ_DATA_DIR", "RECQ_CATALOG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def catalog(folder: Path) -> Iterator[recq.ImageCatalog]:
    with recq.open(CATALOG, data_dir=folder) as opened:
        yield opened


@pytest.fixture(scope="module")
def shared(folder: Path) -> Iterator[recq.ImageCatalog]:
    """One catalog for the many questions that all fail."""
    with recq.open(CATALOG, data_dir=folder) as opened:
        yield opened


OPEN: Any = recq.open  # for arguments that the types forbid
SETTINGS: Any = recq.Settings


def paths(answer: Any) -> list[str]:
    return [result.within for result in answer]


# -- import ------------------------------------------------------------------------------------------------------------


def test_importing_recq_loads_the_standard_library_alone() -> None:
    program = (
        "import sys; before = set(sys.modules); import recq; dir(recq); "
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert set(said) <= {"recq"} | sys.stdlib_module_names


def test_only_what_is_public_is_offered() -> None:
    assert dir(recq) == sorted(recq.__all__)
    for name in recq.__all__:
        assert getattr(recq, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'similar'"):
        _ = recq.similar
    public = [name for name in dir(recq.ImageCatalog) if not name.startswith("_")]
    assert "similar" in public
    assert all(getattr(recq.ImageCatalog, name).__doc__ for name in public)


def test_the_package_says_that_it_is_typed() -> None:
    for package in ("recq", "ingest", "query"):
        assert (Path(recq.__file__).parents[1] / package / "py.typed").exists()


# -- opening -----------------------------------------------------------------------------------------------------------


def test_what_cannot_be_opened_is_told_with_what_to_do(folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    with pytest.raises(TargetNotFound, match="did you mean 'shop'"):
        recq.open("shpo", data_dir=folder)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "samples").mkdir()
    for place in (tmp_path, str(tmp_path), "samples/", "./samples", Path("samples"), "."):
        with pytest.raises(UsageError, match=r"is a folder, not a catalog.*recq-ingest run .*then call recq\.open"):
            OPEN(place, data_dir=folder)
    with pytest.raises(UsageError, match=r"'samples' is a folder.*'recq-ingest run samples"):
        recq.open("samples", data_dir=folder)
    for name, call in (("a.jpg", "similar"), ("all.jsonl", "import_catalog")):
        (tmp_path / name).touch()
        for place in (Path(name), f"./{name}", name):
            with pytest.raises(UsageError, match=rf"'.*{name}' is a file, not a catalog's name: call recq\..*{call}"):
                OPEN(place, data_dir=folder)
    for place in ("./nope", Path("nope"), "/no/such", "~", "a\0/b"):
        monkeypatch.setenv("HOME", "/no/such")
        with pytest.raises(UsageError, match=r"no such file or folder exists: name a catalog, as in name='images'"):
            OPEN(place, data_dir=folder)
    with pytest.raises(IndexUnreachable, match="there is no index in"):
        recq.open(data_dir=tmp_path / "nothing")
    with pytest.raises(UsageError, match=r"open\(\) has settings= and url=, which both name the index"):
        recq.open(settings=Settings(data_dir=folder), url="http://x")
    with pytest.raises(UsageError, match="a name is needed of letters"):
        recq.open("my shop", data_dir=folder)


@pytest.mark.parametrize("ask", [recq.open, recq.catalogs, partial(recq.import_catalog, "shop.jsonl")])
def test_arguments_that_name_two_indexes_are_refused(ask: Any, folder: Path) -> None:
    with pytest.raises(UsageError, match=r"^(open|catalogs|import_catalog)\(\) has url= and data_dir=.* give url= "):
        ask(url="http://127.0.0.1:9", data_dir=folder)
    for place in ({}, {"data_dir": folder}):
        with pytest.raises(UsageError, match="has api_key=, but no server to use it at: give url="):
            ask(api_key="secret", **place)


def test_settings_may_hold_both_and_an_argument_takes_precedence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECQ_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("RECQ_API_KEY", "secret")
    monkeypatch.setenv("RECQ_DATA_DIR", str(folder))
    monkeypatch.setenv("RECQ_CONNECT_TIMEOUT", "0.1")
    with recq.open(CATALOG, data_dir=folder) as catalog:
        assert len(catalog) == len(GOODS)
    for key in (None, "other"):
        with pytest.raises(IndexUnreachable, match=r"no Qdrant server answers at http://127\.0\.0\.1:9"):
            recq.open(CATALOG, api_key=key)


@pytest.mark.parametrize("content", [[], ["photo.jpg"], ["lock"]])
def test_a_folder_that_is_not_recqs_is_named_and_left_as_it_is(content: list[str], tmp_path: Path) -> None:
    for name in content:
        (tmp_path / name).write_bytes(b"")
    for ask in (recq.open, recq.catalogs):
        with pytest.raises(IndexUnreachable, match=r"is no data folder of recq: make one there with 'recq-ing"):
            ask(data_dir=tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == content
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(IndexUnreachable, match="is a file, not a data folder"):
        recq.open(data_dir=file)


def test_several_threads_ask_one_catalog(catalog: recq.ImageCatalog) -> None:
    """An embedded folder is theirs in turns."""
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: paths(catalog.similar("two.png", k=2)), range(8)))
    assert found == [["sofas/one.png", "beds/three.png"]] * 8


def test_threads_that_wait_for_each_other_report_no_wait(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(data_dir=folder, catalog=CATALOG, lock_wait=2 * REPORTED_AFTER)
    with recq.open(settings=settings) as catalog, ThreadPoolExecutor(2) as threads, catalog.held():
        waiting = [threads.submit(catalog.count) for _ in range(2)]
        for each in waiting:
            with pytest.raises(IndexBusy, match="in use by another thread of this process: ask again"):
                each.result()
    assert caplog.messages == []


def test_settings_are_taken_as_they_are(folder: Path) -> None:
    opened = recq.open(settings=Settings(data_dir=folder, catalog=CATALOG))
    assert opened.name == CATALOG
    assert repr(opened) == "<recq catalog 'shop'>"
    assert (bool(opened), len(opened), opened.count(filters=["category=bed"])) == (True, len(GOODS), 2)
    opened.close()
    for ask in (opened.count, lambda: opened.similar("two.png"), lambda: opened.space):
        with pytest.raises(UsageError, match="has been closed"):
            ask()


def test_nobody_is_kept_from_the_folder_between_two_questions(folder: Path) -> None:
    """A daemon may begin and end meanwhile; the next question meets whoever is there."""
    settings = Settings(data_dir=folder, lock_wait=0)
    with recq.open(CATALOG, settings=settings) as catalog:
        before = paths(catalog.similar("two.png"))
        with own_folder(settings) as owned:
            with pytest.raises(IndexBusy):
                catalog.count()
            with LoopbackServer(folder, owned.engine):
                assert paths(catalog.similar("two.png")) == before
        assert paths(catalog.similar("two.png")) == before
        with catalog.held():
            assert paths(catalog.similar("two.png")) == before
            assert catalog.facets("category").total == 6
            with pytest.raises(IndexBusy), own_folder(settings):
                pass
        with own_folder(settings):
            pass


def test_the_folder_is_free_while_a_picture_is_embedded_and_the_network_is_kept(
    folder: Path, shop_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recq import models

    settings = Settings(data_dir=folder, lock_wait=0)
    made = models.open_embedder
    loads = []

    def load(*arguments: Any, **options: Any) -> Any:
        with own_folder(settings):  # raises where somebody has it
            loads.append(arguments)
        return made(*arguments, **options)

    monkeypatch.setattr(models, "open_embedder", load, raising=False)
    with recq.open(CATALOG, settings=settings) as catalog:
        picture = (shop_root / WAITING).read_bytes()
        for _ in range(2):
            assert len(catalog.similar(picture)) == 5
        assert len(catalog.similar_many([picture, shop_root / WAITING])) == 2
    assert len(loads) == 1


# -- targets -----------------------------------------------------------------------------------------------------------


def test_every_way_to_give_a_picture_is_the_same_question(catalog: recq.ImageCatalog, shop_root: Path) -> None:
    file = shop_root / WAITING
    with Image.open(file) as image:
        pixels = np.asarray(image.convert("RGB"))
        given: list[Any] = [str(file), file, file.read_bytes(), bytearray(file.read_bytes()), image, pixels]
        vectors = [catalog.embed(each) for each in given]
        answers = [catalog.similar(each, k=3) for each in [*given, vectors[0], 5 * vectors[0].astype(np.float64)]]
    for vector in vectors:
        assert vector.dtype == np.float32
        assert vector.shape == (catalog.space.dim,)
        np.testing.assert_allclose(vector, vectors[0], atol=1e-6)
    for answer in answers:
        assert paths(answer) == paths(answers[0])
        assert [r.score for r in answer] == pytest.approx([r.score for r in answers[0]], abs=1e-5)
    assert [answer.target.name for answer in answers if answer.target is not None] == [
        WAITING, WAITING, "the picture given", "the picture given", WAITING, "the pixels given", "the vector given",
        "the vector given",
    ]  # fmt: skip


def test_a_vectors_length_says_nothing_where_cosines_are_compared(catalog: recq.ImageCatalog) -> None:
    vector = catalog.embed("two.png")
    expected = catalog.similar(vector, k=3)
    for scale in (1e-30, 1e-20, 1e20, 1e30):  # whose squares are beyond float32
        answer = catalog.similar(vector * np.float32(scale), k=3)
        assert paths(answer) == paths(expected)
        assert [r.score for r in answer] == pytest.approx([r.score for r in expected], abs=1e-5)
    with pytest.raises(UsageError, match="not finite"):
        catalog.similar(vector.astype(np.float64) * 1e300)


@pytest.mark.parametrize(
    ("mode", "kind", "white"),
    [("I", "<i4", 65_535), ("F", "<f4", 1), ("I;16", "<u2", 65_535), ("I;16B", ">u2", 65_535)],
)
def test_deep_samples_keep_the_scale_that_their_file_has(
    catalog: recq.ImageCatalog, mode: str, kind: str, white: int, tmp_path: Path
) -> None:
    grey = np.ascontiguousarray(np.asarray(Image.linear_gradient("L")).T)
    deep = (grey * (white / 255)).astype(kind)
    image = Image.frombytes(mode, deep.shape, deep.tobytes())
    image.save(tmp_path / "deep.tif")
    for asked in (Image.fromarray(grey), tmp_path / "deep.tif"):
        np.testing.assert_allclose(catalog.embed(image), catalog.embed(asked), atol=2e-3)


@pytest.mark.parametrize(("mode", "plain"), [("PA", "RGBA"), ("RGBa", "RGBA"), ("La", "LA")])
def test_transparency_counts_in_modes_that_no_file_has(catalog: recq.ImageCatalog, mode: str, plain: str) -> None:
    clear = Image.new("RGBA", (60, 40), (0, 0, 0, 0))
    clear.paste((200, 200, 200, 255), (10, 10, 30, 30))
    expected = clear.convert(plain)
    np.testing.assert_allclose(catalog.embed(expected.convert(mode)), catalog.embed(expected), atol=1e-3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I;16", "F"])
def test_an_image_of_any_mode_is_a_picture(catalog: recq.ImageCatalog, mode: str) -> None:
    plain = Image.linear_gradient("L")
    image = plain.convert("RGB").convert(mode) if mode != "I;16" else plain.convert("I").convert("I;16")
    assert catalog.embed(image).shape == (catalog.space.dim,)


def test_orientation_counts_and_transparency_is_laid_over_white(catalog: recq.ImageCatalog) -> None:
    upright = Image.linear_gradient("L").convert("RGB").crop((0, 0, 256, 120))
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.rotate(90, expand=True).save(stream, "PNG", exif=exif)
    turned = Image.open(io.BytesIO(stream.getvalue()))
    np.testing.assert_allclose(catalog.embed(turned), catalog.embed(upright), atol=1e-5)
    clear = Image.new("RGBA", (60, 40), (0, 0, 0, 0))
    clear.paste((200, 30, 30, 255), (10, 10, 30, 30))
    white = Image.new("RGB", (60, 40), "white")
    white.paste((200, 30, 30), (10, 10, 30, 30))
    np.testing.assert_allclose(catalog.embed(clear), catalog.embed(white), atol=1e-5)


def test_results_items_and_stored_vectors_are_targets(catalog: recq.ImageCatalog) -> None:
    by_name = catalog.similar("two.png", k=3)
    (result,) = catalog.search(filters=["file.name=two.png"])
    for target in (result, catalog.show("two.png"), catalog.show(result)):
        assert paths(catalog.similar(target, k=3)) == paths(by_name)
    ids, vectors = catalog.vectors()
    assert paths(catalog.similar(vectors[ids.index(result.id)], k=4)) == ["sofas/two.png", *paths(by_name)]
    np.testing.assert_array_equal(catalog.embed("two.png"), vectors[ids.index(result.id)])


def test_a_path_is_always_the_file(catalog: recq.ImageCatalog, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (20, 20), "red").save("two.png")
    with pytest.raises(RecqError, match="both indexed and a file here"):
        catalog.similar("two.png")
    answer = catalog.similar(Path("two.png"), k=1)
    assert answer.target is not None
    assert (answer.target.id, answer.target.location) == (None, tmp_path / "two.png")


# -- questions ---------------------------------------------------------------------------------------------------------


def test_options_mean_what_they_mean_on_the_command_line(catalog: recq.ImageCatalog) -> None:
    def asked(**options: Any) -> list[str]:
        return paths(catalog.similar("sofas/one.png", **options))

    assert asked(k=2) == ["sofas/two.png", "beds/three.png"]
    assert asked(k=np.int64(1), offset=1) == asked(k=1, page=2) == ["beds/three.png"]
    assert asked(filters=("category=bed",)) == ["beds/three.png", "beds/one.png"]
    assert asked(any_of=["category=sofa || price>200"]) == ["sofas/two.png", "beds/three.png"]
    assert asked(min_score=0.96) == ["sofas/two.png", "beds/three.png"]
    assert asked(group_by="category", k=3) == ["beds/three.png", "twin-a.png", asked(group_by="category", k=3)[2]]
    assert asked(filters=["category=bed"], sort="price") == ["beds/one.png", "beds/three.png"]
    (first,) = catalog.similar("sofas/one.png", k=1, fields=["price"])
    assert first.metadata == {"price": 49.5}
    assert paths(catalog.search(sort="price:desc", k=2)) == ["beds/three.png", "sofas/one.png"]
    assert catalog.search(filters=["category=nothing"]).no_results is not None


def test_recommend_many_compare_and_explain(catalog: recq.ImageCatalog, folder: Path, shop_root: Path) -> None:
    liked = catalog.recommend(like=["sofas/one.png", "sofas/two.png"], dislike=["twin-a.png"], strategy="best", k=2)
    assert liked.examples is not None
    assert (paths(liked)[0], liked.examples.strategy) == ("beds/three.png", "best")
    told: list[tuple[str, int, int]] = []
    many = catalog.similar_many(
        ["two.png", "nowhere.png", shop_root / FAILED, catalog.show("twin-a.png")], k=1,
        progress=lambda *step: told.append(step),
    )  # fmt: skip
    assert told[-1] == ("asking", 4, 4)
    assert [isinstance(each, FailedTarget) for each in many] == [False, True, True, False]
    assert [each.text for each in many.failed] == ["nowhere.png", str(shop_root / FAILED)]
    assert many.to_pandas()["target"].tolist()[0] == "two.png"
    assert next(iter(catalog.iter_similar(["two.png"], k=1))).to_json()["results"] == many[0].to_json()["results"]
    with pytest.raises(UsageError, match="two different catalogs"):
        catalog.compare("two.png", [CATALOG])
    explained = catalog.explain(shop_root / WAITING, (shop_root / WAITING).read_bytes())
    assert explained.score == pytest.approx(1.0, abs=1e-5)
    assert "<img" in explained._repr_html_()
    with pytest.raises(UsageError, match="a vector has no regions"):
        catalog.explain("two.png", catalog.embed("two.png"))


def test_what_there_is(catalog: recq.ImageCatalog, folder: Path) -> None:
    assert [each.name for each in catalog.fields()][:3] == ["category", "in_stock", "labels"]
    facets = catalog.facets("category")
    assert dict(facets) == {"bed": 2, "sofa": 2, "twin": 2}
    assert facets.to_pandas()["filter"].tolist() == ["category=bed", "category=sofa", "category=twin"]
    item = catalog.show(FAILED)
    assert item.error.reason == "corrupt"
    assert (item.name, item.source, item.metadata) == (FAILED, "shop", {"category": "sofa"})
    assert [each.name for each in recq.catalogs(data_dir=folder)] == [CATALOG]
    ids, vectors = catalog.vectors(filters=["category=bed"])
    assert (len(ids), vectors.shape, str(vectors.dtype)) == (2, (2, catalog.space.dim), "float32")
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert catalog.vectors(filters=["category=none"])[1].shape == (0, catalog.space.dim)


def test_measured_and_carried(catalog: recq.ImageCatalog, tmp_path: Path) -> None:
    evaluation = catalog.evaluate("category", ks=[1])
    assert evaluation.to_pandas()["precision@1"].tolist() == [evaluation.to_json()["precision"]["1"]]
    assert "by class" in str(evaluation)
    judged = catalog.evaluate_judgements([Judgement("two.png", "three.png", 1.0)], ks=[1])
    assert judged.to_pandas()["queries"].tolist() == [1]
    assert "1 query, 1 like and 0 dislikes" in str(judged)
    index = catalog.evaluate_index(sample=3, k=2, filters=["category=bed"])
    assert index.to_pandas()["recall"].tolist() == [1.0] * len(index.shapes)
    assert "exact by construction" in str(index)
    found = catalog.duplicates(exact=True)
    assert (len(found), len(found.to_pandas()), found.items) == (0, 0, len(GOODS))
    done = catalog.export(tmp_path / "shop.jsonl", filters=["category=bed"])
    assert done.items == 2
    again = recq.import_catalog(tmp_path / "shop.jsonl", "beds", data_dir=tmp_path / "data")
    assert again.items == 2
    with recq.open("beds", data_dir=tmp_path / "data") as copied:
        assert len(copied) == 2
    with pytest.raises(UsageError, match="not export: name it"):
        catalog.export("x.csv")


def test_an_empty_list_of_filters_is_no_filter(catalog: recq.ImageCatalog, tmp_path: Path) -> None:
    given: list[list[str] | None] = [None, []]
    for number, filters in enumerate(given):
        done = catalog.export(tmp_path / f"{number}.jsonl", filters=filters)
        assert (done.items, done.failed) == (len(GOODS) + 1, 1)
        assert len((tmp_path / f"{number}.jsonl").read_text().splitlines()) == len(GOODS) + 3


def test_an_export_to_standard_output_is_bytes_or_an_error(
    catalog: recq.ImageCatalog, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook's standard output takes text alone."""
    with open(1, "w", closefd=False) as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert catalog.export("-").items == len(GOODS) + 1
    head, *items, end = map(json.loads, capfdbinary.readouterr().out.splitlines())
    assert (head["recq"]["catalog"], len(items), end) == (CATALOG, len(GOODS) + 1, {"recq_end": len(GOODS) + 1})
    for stream in (io.StringIO(), None):
        monkeypatch.setattr(sys, "stdout", stream)
        with pytest.raises(UsageError, match="standard output takes no bytes here: name a file"):
            catalog.export("-")
        monkeypatch.setattr(sys, "stdin", stream)
        with pytest.raises(UsageError, match="standard input has no data"):
            recq.import_catalog("-", settings=catalog.settings)
        with pytest.raises(UsageError, match="standard input has no data"):
            catalog.similar("-")


# -- errors ------------------------------------------------------------------------------------------------------------

WRONG: list[tuple[Callable[[Any], Any], str]] = [
    (lambda c: c.similar(), r"similar\(\) needs target"),
    (lambda c: c.similar("a", 5), r"takes only target without a name"),
    (lambda c: c.similar("two.png", filter=[]), "no argument 'filter': did you mean 'filters'"),
    (lambda c: c.similar("two.png", target="two.png"), "given 'target' twice"),
    (lambda c: c.similar("two.png", zzz=1), "no argument 'zzz': it takes target, k,"),
    (lambda c: c.fields(zzz=1), r"fields\(\) has no argument 'zzz': it takes no arguments"),
    (lambda c: c.fields(1), r"fields\(\) takes no arguments, and was given 1"),
    (lambda c: c.similar("two.png", k=0), "-k 0 cannot be answered"),
    (lambda c: c.similar("two.png", k="5"), "k='5': a whole number is needed, as in k=5"),
    (lambda c: c.similar("two.png", k=True), "k=True: a whole number"),
    (lambda c: c.similar("two.png", k=None), "k=None: a whole number"),
    (lambda c: c.similar("two.png", filters="price<=50"), r"filters='price<=50': a list is needed, as in .*\['price"),
    (lambda c: c.similar("two.png", filters=[5]), r"filters=\[5\]: a list of texts"),
    (lambda c: c.similar("two.png", filters=["price"]), "price"),
    (lambda c: c.similar("two.png", filters=["nothing=1"]), "nothing"),
    (lambda c: c.similar("two.png", min_score="much"), "a number or 'auto' is needed"),
    (lambda c: c.similar("two.png", min_score=float("nan")), "is not a score"),
    (lambda c: c.similar("two.png", max_distance=3), "max-distance"),
    (lambda c: c.similar("two.png", diversity=2), "between 0 and 1"),
    (lambda c: c.similar("two.png", sort=""), "names no field"),
    (lambda c: c.similar("two.png", fields="price"), r"fields='price': a list"),
    (lambda c: c.similar("two.png", group_by=["sku"]), "a text is needed"),
    (lambda c: c.similar("two.png", offset=1, page=2), "give one of them"),
    (lambda c: c.similar("two.png", page=0), "the first page is 1"),
    (lambda c: c.similar("two.png", keep_duplicates="yes"), "True or False is needed"),
    (lambda c: c.similar(""), "TARGET is empty"),
    (lambda c: c.similar(5), r"target=5: a name \(str\), a pathlib.Path, .* is needed, as in target='sofa_226.jpg'"),
    (lambda c: c.similar(None), r"target=None: a name \(str\)"),
    (lambda c: c.similar(b""), "cannot be compared, empty"),
    (lambda c: c.similar(b"no picture"), "cannot be compared, not-an-image"),
    (lambda c: c.similar(Path("nowhere.png")), "nowhere.png"),
    (lambda c: c.similar(Path()), "is a folder"),
    (lambda c: c.similar(np.zeros((4, 4), np.uint8)), r"target=<ndarray uint8 \(4, 4\)>: pixels, uint8 \(height"),
    (lambda c: c.similar(np.zeros((4, 4, 3), np.float32)), r"<ndarray float32 \(4, 4, 3\)>: pixels, uint8"),
    (lambda c: c.similar(np.zeros((0, 4, 3), np.uint8)), r"<ndarray uint8 \(0, 4, 3\)>: pixels, uint8"),
    (lambda c: c.similar(np.zeros(1408, np.float32)), "nothing but zeros"),
    (lambda c: c.similar(np.full(1408, np.nan, np.float32)), "not finite"),
    (lambda c: c.similar(np.ones(3, np.float32)), r"has the shape \(\d+,\), the given one has \(3,\)"),
    (
        lambda c: c.similar_many("two.png"),
        r"targets='two.png': a list of targets is needed, as in targets=\['two.png'\]",
    ),
    (lambda c: c.similar_many(5), "targets=5: a list of targets is needed"),
    (lambda c: c.iter_similar(["two.png"], k=0), "-k 0"),
    (lambda c: c.recommend("two.png"), r"like='two.png': a list of targets is needed"),
    (lambda c: c.recommend([]), "nothing is liked"),
    (lambda c: c.recommend(["two.png"], strategy="bst"), "did you mean 'best'"),
    (lambda c: c.search("leather"), r"search\(\) takes no argument without a name"),
    (lambda c: c.recommend(["two.png", 5]), r"like\[1\]=5: a name"),
    (lambda c: c.search(min_score=1), "no argument 'min_score'"),
    (lambda c: c.facets(), r"facets\(\) needs field"),
    (lambda c: c.facets("category", limit=0), "--limit 0"),
    (lambda c: c.facets("nothing"), "nothing"),
    (lambda c: c.compare("two.png", "other"), "against='other': a list"),
    (lambda c: c.show(b"x"), "is not in the index"),
    (lambda c: c.evaluate("category", ks="1,5"), "a list of whole numbers"),
    (lambda c: c.evaluate("category", ks=[0]), "cannot be measured"),
    (lambda c: c.evaluate("category", sample=0), "--sample 0"),
    (lambda c: c.evaluate("category", seed=-1), "--seed -1"),
    (lambda c: c.evaluate("category", progress=3), "a function is needed"),
    (lambda c: c.evaluate_index(k=0), "-k 0 cannot be measured"),
    (lambda c: c.evaluate_index(sample=1), "--sample 1"),
    (lambda c: c.evaluate_index(seed=-1), "--seed -1"),
    (lambda c: c.evaluate_index(filters="x=1"), "a list is needed"),
    (lambda c: c.duplicates(kinds="copy"), "a list is needed"),
    (lambda c: c.duplicates(kinds=["copies"]), "did you mean 'copy'"),
    (lambda c: c.duplicates(kinds=5), r"kinds=5: a list is needed, as in kinds=\['copy'\]"),
    (lambda c: c.duplicates(kinds=None), "a list is needed"),
    (lambda c: c.duplicates(min_score="auto"), "takes a number"),
    (lambda c: c.vectors(filters="x=1"), "a list is needed"),
    (lambda c: c.export(""), "a path is needed"),
    (lambda c: c.export("a\0.jsonl"), "a path is needed"),
    (lambda c: c.explain("two.png", "three.png").save(), r"save\(\) needs path"),
    (lambda c: c.explain("two.png", "three.png").save(5), "a path is needed"),
    (lambda c: c.similar("\udcff.png"), "nothing is indexed as"),
    (lambda c: c.similar("\ud800.jpg"), "is no name and no path"),
    (lambda c: c.show(Path("\ud800.jpg")), "is no name and no path"),
    (lambda c: c.recommend(["two.png"], ["\ud800"]), "is no name and no path"),
    (lambda c: c.similar(recq.Part("\ud800", (0, 0, 1, 1))), "is no name and no path"),
    (lambda c: c.similar(recq.Part("a", (10**400, 0, 1, 1))), "target.region=<tuple>: x,y,w,h of a region"),
    (lambda c: c.similar(recq.Part("a", (0, 0, 10**5000, 1))), "target.region=<tuple>: x,y,w,h of a region"),
    (lambda c: c.similar(recq.Part("two.png", f"0%,0%,{'9' * 308}%,0%")), "has no area"),
    (lambda c: recq.open("my shop", settings=c.settings), "--catalog 'my shop': a name is needed of letters"),
    (lambda c: recq.open("", settings=c.settings), "--catalog '': a name is needed of letters"),
    (lambda c: recq.import_catalog("x.jsonl", "my shop", settings=c.settings), "a name is needed of letters"),
    (lambda _: recq.import_catalog("a\0.jsonl"), "a path is needed"),
    (lambda c: c.export("x", form="csv"), "'jsonl' or 'parquet' is needed"),
    (lambda _: OPEN(5), "a catalog's name is needed"),
    (lambda _: OPEN("images", catalog="x"), r"open\(\) has no argument 'catalog'"),
    (lambda _: OPEN("images", settings={}), "a recq.Settings is needed"),
    (lambda _: OPEN("images", data_dir=5), "a path is needed"),
    (lambda _: OPEN("images", url=5), "a text is needed"),
    (lambda _: SETTINGS(foo=1), "unknown setting .foo."),
    (lambda _: SETTINGS(workers="many"), "setting .workers.: "),
    (lambda _: SETTINGS(catalog="my shop"), "my shop"),
]


NO_WHOLE = ("5", 1.5, True, [1], b"1", object(), np.array([1, 2]), 2**63, -(10**400), 10**5000)
NO_NUMBER = ("much", True, [0.5], b"1", object(), 1j, 10**400, -(10**5000))
NO_TEXT = (5, b"sku", ["sku"], True, Path("sku"), object())
NO_LIST = ("price<=50", b"x", 5, [5], {"price": 50}, object(), np.array(5))
NO_FLAG: tuple[Any, ...] = ("yes", 1, [], object())
NO_PATH = (5, "", b"x.jsonl", "a\0b", "\ud800.jsonl", Path("\ud800"), ["x"], object())
NO_TARGET = (5, None, True, 1.5, ["two.png"], {"a": 1}, {"two.png"}, object(), np.ones((2, 2)), np.array("x"), print)
NO_TARGETS = ("two.png", b"x", 5, None, Path("two.png"), {"a": 1}, object(), np.array(5), bytearray(b"x"))
KINDS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("k", "offset", "page", "limit", "sample", "seed", "top", "thumbnail"), NO_WHOLE),
    **dict.fromkeys(("min_score", "max_distance", "diversity"), NO_NUMBER),
    **dict.fromkeys(("group_by", "sort", "field", "since", "label", "space", "title", "url", "api_key"), NO_TEXT),
    **dict.fromkeys(("filters", "any_of", "fields", "without", "against", "query_filters", "gallery_filters"), NO_LIST),
    **dict.fromkeys(("keep_own_group", "keep_duplicates", "exact"), NO_FLAG),
    **dict.fromkeys(("path", "data_dir"), NO_PATH),
    **dict.fromkeys(("target", "image", "result"), NO_TARGET),
    **dict.fromkeys(("like", "dislike", "targets"), NO_TARGETS),
    "name": (5, b"images", ["images"], object()),
    "settings": (5, {}, "recq.toml", object()),
    "strategy": ("bst", 5, ["best"], object()),
    "form": ("csv", 5, object()),
    "kinds": ("copy", 5, ["copies"], [5], {"copy": 1}, object(), np.array(5)),
    "ks": ("1,5", 5, ["1"], [True], [1.5], {1: 1}, object(), np.array(5), [1, 10**5000]),
    "judgements": (5, "", b"x.jsonl", [], [5], [""], {"a": 1}, object(), np.array(5)),
    "rules": (5, "a,b", {"split": ","}, object()),
    "progress": (3, "print", [print], object()),
}
"""Values of kinds that an argument cannot have, by the argument's name."""

RIGHT: dict[str, Any] = {
    **{"target": "two.png", "image": "two.png", "result": "two.png", "targets": ["two.png"], "like": ["two.png"]},
    **{"against": ["beds"], "field": "category", "label": "category", "path": "x.jsonl", "judgements": "likes.jsonl"},
}
"""What the arguments without a default are given while another is wrong."""

FUNCTIONS = {
    **{f"recq.{name}": getattr(recq, name) for name in ("open", "catalogs", "import_catalog")},
    **{name: each for name, each in vars(recq.ImageCatalog).items() if name[0] != "_" and hasattr(each, "__wrapped__")},
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_wrong_kind_is_refused_by_the_arguments_name_with_what_was_given_and_what_is_needed(
    shared: recq.ImageCatalog, name: str
) -> None:
    function = FUNCTIONS[name]
    parameters = inspect.signature(function).parameters
    needed = {each: RIGHT[each] for each, about in parameters.items() if about.default is about.empty and each in RIGHT}
    for argument in parameters.keys() - {"self"}:
        for value in KINDS[argument]:
            with pytest.raises(UsageError) as caught:
                function(*([shared] if "self" in parameters else []), **(needed | {argument: value}))
            text = str(caught.value)
            said = re.match(rf"{argument}(?:\[\d+\])?=(<[\w ,()]+>|.{{1,60}}): .* (?:is|are) needed", text)
            assert said, (value, text)
            assert said[1].startswith("<") or said[1] in repr(value)
            assert "\n" not in text
            assert len(text) < 400


def test_a_secret_of_the_wrong_kind_is_not_in_the_message() -> None:
    with pytest.raises(UsageError, match=r"api_key=<bytes>: a text is needed") as caught:
        OPEN("images", url="http://x", api_key=b"hidden")
    assert "hidden" not in str(caught.value)


def test_every_public_argument_has_wrong_kinds_in_this_table() -> None:
    public = {argument for function in FUNCTIONS.values() for argument in inspect.signature(function).parameters}
    assert public - {"self"} == set(KINDS)


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_every_wrong_argument_is_one_of_recqs_own_errors(shared: recq.ImageCatalog, number: int) -> None:
    ask, says = WRONG[number]
    with pytest.raises(RecqError, match=says) as caught:
        ask(shared)
    assert "\n" not in str(caught.value)


ANY_TEXT = st.text(st.characters(categories=["Cs", "Lo", "Nd", "Cc", "Po"]), max_size=12)
ANY_NUMBER = st.floats() | st.integers(-(10**400), 10**400) | st.integers(-3, 3)


@settings(max_examples=25, deadline=None)
@given(ANY_TEXT, st.lists(ANY_NUMBER, max_size=5), ANY_NUMBER, ANY_NUMBER)
def test_whatever_is_asked_no_other_error_comes(
    shared: recq.ImageCatalog, name: str, region: list[Any], number: Any, score: Any
) -> None:
    asks: list[Callable[[], Any]] = [
        lambda: shared.show(name),
        lambda: shared.similar(recq.Part("nothing.png", region)),
        lambda: shared.search(k=number, offset=number),
        lambda: shared.similar("two.png", min_score=score, k=1),
        lambda: shared.search(filters=[f"category={name}"], group_by=name),
    ]
    with shared.held():
        for ask in asks:
            with contextlib.suppress(RecqError):
                ask()


def test_a_broken_image_is_told(catalog: recq.ImageCatalog, shop_root: Path, tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.effect_noise((200, 200), 50).convert("RGB").save(whole, "JPEG")
    cut = Image.open(io.BytesIO(whole.getvalue()[:2000]))
    with pytest.raises(TargetError, match="the picture given cannot be read: image file is truncated"):
        catalog.similar(cut)
    closed = Image.open(shop_root / WAITING)
    closed.close()
    with pytest.raises(TargetError, match="cannot be read"):
        catalog.similar(closed)
    assert issubclass(SpaceMismatch, RecqError)


def test_what_cannot_be_a_target_fails_alone_among_many(catalog: recq.ImageCatalog, shop_root: Path) -> None:
    closed = Image.open(shop_root / WAITING)
    closed.close()
    wrong: list[tuple[Any, str, str]] = [
        (closed, WAITING, "cannot be read"),
        (None, "None", r"targets[2]=None: a name (str), "),
        (5, "5", r"targets[3]=5: a name (str), "),
        (np.full(1408, np.nan, np.float32), "the vector given", "not finite"),
        (np.zeros(1408, np.float32), "the vector given", "nothing but zeros"),
        (np.ones(3, np.float32), "the vector given", "has the shape"),
        (np.ones((3, 3)), "the pixels given", "<ndarray float64 (3, 3)>: pixels, uint8"),
        (["two.png"], "['two.png']", "is needed"),
        ("\ud800.jpg", "\ud800.jpg", "is no name and no path"),
        (Path("\ud800.jpg"), str(Path("\ud800.jpg").absolute()), "is no name and no path"),
        (recq.Part("two.png", (10**400, 0, 1, 1)), "'two.png'", "targets[11].region=<tuple>"),
    ]
    answers = catalog.similar_many([wrong[0][0], "two.png", *(target for target, _, _ in wrong[1:])], k=1)
    assert [isinstance(each, FailedTarget) for each in answers] == [True, False, *[True] * (len(wrong) - 1)]
    for failed, (_, text, says) in zip(answers.failed, wrong, strict=True):
        assert failed.text == text
        assert says in failed.error
        assert json.loads(json_text(failed.to_json()).encode("utf-8"))["error"] == failed.error


def test_an_item_of_another_catalog_is_named_with_both(
    catalog: recq.ImageCatalog, folder: Path, tmp_path: Path
) -> None:
    catalog.export(tmp_path / "beds.jsonl", filters=["category=bed"])
    recq.import_catalog(tmp_path / "beds.jsonl", "beds", data_dir=tmp_path / "data")
    (bed,) = catalog.search(filters=["file.name=three.png"])
    (sofa,) = catalog.search(filters=["file.name=two.png"])
    assert (bed.catalog, catalog.show(bed).catalog, catalog.similar(bed)[0].catalog) == (CATALOG,) * 3
    with recq.open("beds", data_dir=tmp_path / "data") as beds:
        assert paths(beds.similar(bed)) == ["beds/one.png"]
        both = r"'sofas/two.png' \(id [0-9a-f-]+\) belongs to catalog 'shop', not to catalog 'beds': ask 'shop'"
        for target in (sofa, catalog.show(sofa)):
            for ask in (beds.similar, beds.show, beds.embed):
                with pytest.raises(TargetNotFound, match=both):
                    ask(target)
        (failed,) = beds.similar_many([sofa]).failed
        assert "belongs to catalog 'shop'" in failed.error
    recq.import_catalog(tmp_path / "beds.jsonl", CATALOG, data_dir=tmp_path / "data")
    with (
        recq.open(CATALOG, data_dir=tmp_path / "data") as again,
        pytest.raises(TargetNotFound, match=r"not in catalog 'shop': it was deleted .* or it belongs to a catalog of"),
    ):
        again.similar(sofa)


def test_a_catalog_that_is_not_there_leaves_no_connection_open(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    monkeypatch.setattr(recq.ImageCatalog, "close", lambda catalog: closed.append(catalog.name))
    with pytest.raises(TargetNotFound):
        recq.open("nothing", data_dir=folder)
    assert closed == ["nothing"]


# -- answers -----------------------------------------------------------------------------------------------------------


def test_an_answer_shows_itself(catalog: recq.ImageCatalog) -> None:
    answer = catalog.similar("two.png", k=3, filters=["category=bed|sofa"])
    assert len(answer) == 3
    assert answer[0] is answer.results[0]
    assert answer[-1:] == answer.results[-1:]
    assert [r.path for r in answer] == [str(r.location) for r in answer.results]
    lines = repr(answer).splitlines()
    assert lines[0] == "like two.png"
    assert lines[1].split()[:3] == ["#", "score", "file"]
    assert lines[2].split()[:3] == ["1", "0.995", "sofas/one.png"]
    html = answer._repr_html_()
    assert html.count("<img") == 4
    assert html.count("data:image/webp;base64,") == 4
    assert "one.png" in html
    assert "0.99" in html
    assert json.loads(json.dumps(answer.to_json()))["results"][0]["name"] == "one.png"
    frame = answer.to_pandas()
    assert frame["rank"].tolist() == [1, 2, 3]
    assert frame["path"].tolist() == [r.path for r in answer]
    assert frame["category"].tolist() == ["sofa", "bed", "bed"]
    nothing = catalog.similar("two.png", filters=["category=none"])
    assert len(nothing) == 0
    assert "no item has category=none" in str(nothing)
    assert "no item has category=none" in nothing._repr_html_()


def test_names_that_are_not_harmless_stay_text(catalog: recq.ImageCatalog) -> None:
    from recq.display.html_element import element, markup

    answer = catalog.search(k=20)
    assert "\x1b" not in repr(answer) + answer._repr_html_()
    assert "&lt;b&gt;" in markup(element("td", "<b>"))


@pytest.mark.parametrize(
    "what", ["fields", "facets", "show", "evaluate", "judged", "index", "duplicates", "catalogs", "many"]
)
def test_everything_shows_itself(catalog: recq.ImageCatalog, folder: Path, what: str) -> None:
    made: dict[str, Callable[[], Any]] = {
        "fields": catalog.fields,
        "facets": lambda: catalog.facets("category"),
        "show": lambda: catalog.show("two.png"),
        "evaluate": lambda: catalog.evaluate("category"),
        "judged": lambda: catalog.evaluate_judgements([Judgement("two.png", "three.png", 1.0)]),
        "index": lambda: catalog.evaluate_index(sample=2, k=2),
        "duplicates": lambda: catalog.duplicates(kinds=["copy"]),
        "catalogs": lambda: recq.catalogs(data_dir=folder),
        "many": lambda: catalog.similar_many(["two.png", "three.png"], k=2),
    }
    found = made[what]()
    assert repr(found) == str(found) != ""
    assert found._repr_html_().startswith("<div")
    json.dumps(found.to_json())
    assert len(found.to_pandas()) > 0 or what == "duplicates"


def test_pandas_is_asked_for_where_it_is_missing(catalog: recq.ImageCatalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="pip install pandas"):
        catalog.search().to_pandas()
