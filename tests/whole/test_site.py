"""A site that `recq export --site` wrote, opened from its folder in a real browser, without any server."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import forked
from tests.browser import browser, violations, watched
from tests.ingest.running import NETWORK, Place, environment

ROOT = Path(__file__).resolve().parents[2]
SHOE = "running-shoe_runx.jpg"
EVIL = "<img src=x onerror=window.hit=1>\u2028'\"&.jpg"
MARKUP = "</script><script>window.hit=1</script><svg onload=window.hit=1>"
TRICKS = {
    "title": MARKUP,
    "category": "<b>Footwear</b>",
    "constructor": "__proto__",
    "hasOwnProperty": "polluted",
    "toString": ["a\u2028b", "${window.hit=1}"],
    "javascript:window.hit`1`": "');window.hit=1;('",
    "n": 9007199254740993,
}


def recq(place: Place, *arguments: str) -> str:
    """What a command prints."""
    done = forked.run("query.cli", [*arguments, *place.reached], environment(**place.settings), 120)
    assert done.returncode in (0, 3), done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The samples, a copy of one, a hostile one, one whose file goes, in an index."""
    folder = tmp_path_factory.mktemp("site")
    drop = folder / "drop"
    shutil.copytree(ROOT / "samples", drop)
    shutil.copy2(drop / "tent.jpg", drop / "another-tent.jpg")
    for name, source in ((EVIL, "orchid.jpg"), ("gone.jpg", "gaming-pc.jpg")):
        (drop / name).write_bytes((drop / source).read_bytes() + b"\0more")  # the picture in bytes of its own
    (drop / f"{EVIL}.json").write_text(json.dumps(TRICKS))
    place = Place(drop, folder / "data", model=NETWORK)
    done = place.once()
    assert done.returncode == 0, done.stderr
    (drop / "gone.jpg").unlink()
    return place


@pytest.fixture(scope="module")
def site(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "a site"
    said = json.loads(recq(place, "export", "--site", str(folder), "--title", "Samples", "--json"))
    assert said["items"] == 57
    assert [each["path"] for each in said["unpictured"]] == ["gone.jpg"]
    return folder


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@contextmanager
def opened(chromium: Browser, site: Path, **more: Any) -> Iterator[Page]:
    """The page of a site; no script fails, nothing is asked of any host, and nothing of what is hostile has run."""
    with watched(chromium, f"{site.as_uri()}/", **more) as page:
        page.goto("index.html")
        expect(page.locator(".tile").first).to_be_visible()
        yield page
        assert page.evaluate("[window.hit, ({}).polluted, typeof ({}).constructor]") == [None, None, "function"]


@pytest.fixture
def page(chromium: Browser, site: Path) -> Iterator[Page]:
    with opened(chromium, site) as shown:
        yield shown


def ids(page: Page) -> list[str]:
    """The ids of the pictures that are shown, in order."""
    links = page.locator("a.picture").evaluate_all("all => all.map(each => each.getAttribute('href'))")
    return [re.findall(r"item=([0-9a-f-]{36})", link)[0] for link in links]


def shown(page: Page, number: int) -> None:
    """Wait for so many tiles."""
    expect(page.locator(".tile")).to_have_count(number)


def similar(place: Place, target: str, *more: str, k: int = 10) -> list[dict[str, Any]]:
    answer = json.loads(recq(place, "similar", target, "-k", str(k), "--format", "json", *more))
    results: list[dict[str, Any]] = answer["results"]
    return results


def require_alike(place: Place, page: Page, number: int) -> None:
    """Of all of so many items, the page shows the ids, scores and percentiles that `recq similar` prints."""
    found = json.loads(recq(place, "search", "-k", "100", "--format", "json", "--keep-duplicates"))["results"]
    assert len(found) == number
    targets = place.data.with_name("targets.txt")
    targets.write_text("".join(f"{each['id']}\n" for each in found))
    printed = recq(place, "similar", "--targets", str(targets), "-k", "60", "--format", "jsonl").strip().split("\n")
    for target, line in zip(found, printed, strict=True):
        expected = json.loads(line)["results"]
        page.evaluate("like => { location.hash = like; }", f"#like={target['id']}")
        expect(page.locator(f"main[data-shown$='{target['id']}']")).to_have_count(1)
        assert ids(page) == [each["id"] for each in expected], target["path"]
        assert page.locator(".tile .score").all_inner_texts() == [f"{each['score']:.2f}" for each in expected]
        near = page.locator(".tile .near").all_inner_texts()
        if expected[0]["percentile"] is not None:
            shares = [float(re.findall(r"closer than ([\d.]+) %", each)[0]) for each in near]
            rounded = 0.1 + 0.01  # down to a tenth here, to the nearest hundredth there
            assert shares == pytest.approx([each["percentile"] for each in expected], abs=rounded)


def test_more_like_this_is_what_recq_similar_prints(place: Place, page: Page) -> None:
    require_alike(place, page, 57)


def test_more_like_this_by_distances(chromium: Browser, tmp_path: Path) -> None:
    """Of a network whose vectors are as long as they like, with ties: the same picture in other bytes."""
    place = Place(tmp_path / "drop", tmp_path / "data", model="pixels:8")
    for number, path in enumerate(sorted((ROOT / "samples").glob("*.jpg"))[:12]):
        shutil.copy2(path, place.root)
        (place.root / f"b{number % 3}-{path.name}").write_bytes(path.read_bytes() + b"\0")
    done = place.once("--distance", "euclid")
    assert done.returncode == 0, done.stderr
    recq(place, "export", "--site", str(tmp_path / "site"))
    with opened(chromium, tmp_path / "site") as page:
        require_alike(place, page, 24)


def test_more_like_this_under_a_filter(place: Place, page: Page) -> None:
    page.get_by_role("link", name=re.compile("^category Footwear")).click()
    shown(page, 6)
    page.get_by_role("link", name="more like this RunX Running Shoe").click()
    expect(page.locator(".chip.like")).to_contain_text("like RunX Running Shoe")
    shown(page, 5)
    assert ids(page) == [each["id"] for each in similar(place, SHOE, "--filter", "category=Footwear")]
    page.get_by_role("link", name="Remove: category is Footwear").click()
    shown(page, 55)
    page.go_back()
    shown(page, 5)
    page.reload()
    shown(page, 5)


def test_the_gallery_is_what_recq_search_prints(place: Place, page: Page) -> None:
    found = json.loads(recq(place, "search", "-k", "100", "--format", "json"))["results"]
    assert ids(page) == [each["id"] for each in found]
    assert page.locator(".tile", has_text="2 copies").count() == 1
    expect(page.locator(".place")).to_have_text("1 to 56 of 56, by path")


def test_values_ranges_words_and_not(place: Place, page: Page) -> None:
    def count(*filters: str) -> int:
        options = [word for each in filters for word in ("--filter", each)]
        return len(json.loads(recq(place, "search", "-k", "100", "--format", "json", *options))["results"])

    everything = page.locator(".tile").count()
    page.get_by_label("price from").fill("50")
    page.get_by_label("price to").fill("100")
    page.get_by_role("button", name="Show price").click()
    shown(page, count("price=50..100"))
    expect(page.locator("[aria-label='price to']")).to_have_value("100")
    page.get_by_role("link", name="not Footwear", exact=True).click()
    shown(page, count("price=50..100", "category!=Footwear"))
    expect(page.locator(".chip")).to_have_count(2)
    page.get_by_role("link", name="clear all").click()
    shown(page, everything)
    page.get_by_label("Words").fill("running shoe")
    shown(page, 4)
    expect(page.get_by_label("Words")).to_be_focused()
    page.get_by_label("Words").fill("RÚNNING rünx")
    shown(page, 1)
    page.get_by_label("Words").fill("nothingofthekind")
    expect(page.locator(".empty")).to_contain_text("No picture matches")


def test_what_is_hostile_is_text(page: Page, site: Path) -> None:
    page.get_by_label("Words").fill("script")
    shown(page, 1)
    expect(page.locator(".title")).to_have_text(MARKUP)
    assert (page.locator(".tile img").get_attribute("alt") or "").startswith(MARKUP)
    page.locator("a.picture").click()
    expect(page.locator("h2")).to_have_text(MARKUP)
    rows = dict(
        page.locator("tr").evaluate_all("all => all.map(each => [...each.children].map(one => one.textContent))")
    )
    assert (rows["constructor"], rows["hasOwnProperty"]) == ("__proto__", "polluted")
    assert rows["javascript:window.hit`1`"] == "');window.hit=1;('"
    assert rows["toString"] == "a\\u2028b, ${window.hit=1}"
    assert rows["n"] == "9007199254740993"
    assert rows["file.path"].startswith("<img src=x onerror")
    page.get_by_role("link", name=re.compile("^more like this")).click()
    page.get_by_role("link", name="Remove: words: script").click()
    shown(page, 55)
    assert page.locator("script:not([src])").count() == 0
    assert "window.hit" not in (site / "index.html").read_text()


def test_a_picture_that_could_not_be_read_has_a_placeholder(page: Page) -> None:
    page.get_by_label("Words").fill("gone")
    picture = page.get_by_alt_text(re.compile(r"\(its picture could not be read\)$"))
    expect(picture).to_be_visible()
    assert picture.evaluate("each => each.decode().then(() => each.naturalWidth)") > 0
    page.get_by_label("Words").fill("tent")
    shown(page, 1)
    assert page.locator(".tile img").evaluate("each => each.decode().then(() => each.naturalWidth)") == 320


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.long)])
def test_everybody_can_use_it(chromium: Browser, site: Path, scheme: str) -> None:
    with opened(chromium, site, scheme=scheme) as page:
        item = ids(page)[0]
        for where in ("#", f"#like={item}", f"#item={item}", "#words=nothing", "#page=9"):
            page.evaluate("hash => { location.hash = hash; }", where)
            expect(page.locator(f"main[data-shown='{where}']:not([aria-busy])")).to_have_count(1)
            assert violations(page, fetching=False) == [], where


def test_by_keyboard_alone(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the pictures")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".chip.like")).to_be_visible()
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".item h2")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text(page.locator(".item h2").inner_text())


def test_at_the_width_of_a_phone_and_on_paper(chromium: Browser, site: Path) -> None:
    with opened(chromium, site, width=360, height=740) as page:
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        page.locator("a.picture").first.click()
        expect(page.locator(".item")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        page.get_by_role("link", name=re.compile("^more like this")).click()
        expect(page.locator(".near").first).to_be_visible()
        page.set_viewport_size({"width": 718, "height": 1047})  # A4 with Chromium's margins
        page.emulate_media(media="print")
        ends = page.locator(".tile").evaluate_all("all => all.map(each => each.getBoundingClientRect().bottom)")
        assert sum(end < 1047 for end in ends) >= 20


def test_pages_of_pictures(chromium: Browser, place: Place, tmp_path: Path) -> None:
    """More items than a page holds: those of the catalog, and twice as many without a picture."""
    folder = tmp_path / "many"
    recq(place, "export", "--site", str(folder))
    (parts,) = folder.glob("parts-*")
    items = (parts / "items-0000.js").read_text()
    rows = json.loads(items.removeprefix('take("items",0,').removesuffix(");\n"))
    more = [[f"{number:08d}{row[0][8:]}", "", 57 + number, row[3]] for number, row in enumerate(rows * 2)]
    (parts / "items-0000.js").write_text(f'take("items",0,{json.dumps(rows + more)});\n')
    with opened(chromium, folder) as page:
        expect(page.locator(".place")).to_have_text("1 to 60 of 170, by path")
        page.get_by_role("link", name="next").click()
        expect(page.locator(".place")).to_have_text("61 to 120 of 170, by path")
        assert page.evaluate("scrollY") == 0
        page.get_by_role("link", name="next").click()
        shown(page, 50)
        page.get_by_role("link", name="before").click()
        expect(page.locator(".place")).to_have_text("61 to 120 of 170, by path")


def test_a_missing_part_is_told(chromium: Browser, site: Path, tmp_path: Path) -> None:
    folder = tmp_path / "torn"
    shutil.copytree(site, folder)
    next(folder.glob("parts-*/vectors-0000.js")).unlink()
    context = chromium.new_context()
    try:
        page = context.new_page()
        page.goto(f"{folder.as_uri()}/index.html")
        page.get_by_role("link", name="more like this RunX Running Shoe").click()
        expect(page.locator(".empty")).to_contain_text("a file of this page is missing")
    finally:
        context.close()
