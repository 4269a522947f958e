"""The page in a real browser, on an index of the samples and a daemon at work."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.browser import browser, served_page, violations, watched
from tests.eventually import eventually
from tests.ingest.pictures import put
from tests.ingest.running import NETWORK, Place, environment

ROOT = Path(__file__).resolve().parents[2]
SHOE = "running-shoe_runx.jpg"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The samples, a copy of one and a small form of another, and a file that is no picture, with a daemon."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(ROOT / "samples", folder / "drop")
    for name in ("tent", "tripod"):
        shutil.copy2(folder / f"drop/{name}.jpg", folder / f"drop/another-{name}.jpg")
    with Image.open(folder / "drop/basketball.jpg") as ball:
        ball.resize((ball.width // 2, ball.height // 2)).save(folder / "drop/ball-small.jpg")
    (folder / "drop/broken.jpg").write_bytes((folder / "drop" / SHOE).read_bytes()[:100])
    place = Place(folder / "drop", folder / "data", model=NETWORK)
    with place.daemon() as daemon:
        daemon.ready()
        yield place


@pytest.fixture(scope="module")
def address(place: Place) -> Iterator[str]:
    """`recq serve` on it."""
    with served_page(environment(**place.settings), "--data-dir", str(place.data)) as found:
        yield found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    with watched(chromium, address) as shown:
        yield shown


def titles(page: Page) -> list[str]:
    return page.locator(".tile .title").all_inner_texts()


def test_shoes_only_more_like_this_and_a_dislike_in_an_address_that_can_be_shared(
    page: Page, chromium: Browser, address: str
) -> None:
    page.goto("/")
    page.get_by_role("link", name=re.compile("^category Footwear")).click()
    expect(page.locator(".tile")).to_have_count(6)
    page.get_by_role("link", name="more like this RunX Running Shoe").click()
    expect(page.locator(".chip.like")).to_contain_text("RunX Running Shoe")
    expect(page.locator(".tile")).to_have_count(5)
    expect(page.locator(".tile .near").first).to_contain_text(re.compile(r"closer than [\d.]+ % of pairs 0\.\d\d"))
    before = titles(page)
    page.get_by_role("link", name=f"not this {before[0]}").click()
    expect(page.locator(".chip.dislike")).to_contain_text(before[0])
    assert before[0] not in titles(page)
    with watched(chromium, address) as other:
        other.goto(page.url)
        assert titles(other) == titles(page)
    page.go_back()
    expect(page.locator(".chip.dislike")).to_have_count(0)
    eventually(lambda: titles(page) == before)
    page.get_by_role("link", name="Remove: category=Footwear").click()
    expect(page.locator(".tile")).to_have_count(54)  # all but the liked one; the copy is folded


def test_a_picture_of_ones_own(page: Page) -> None:
    page.goto("/")
    page.set_input_files("input[type=file]", ROOT / "samples" / SHOE)
    expect(page.locator(".chip.picture")).to_be_visible()
    expect(page.locator(".tile .title").first).to_have_text("RunX Running Shoe")
    page.get_by_role("link", name=re.compile("^category Equipment")).click()
    expect(page.locator(".tile")).to_have_count(8)
    expect(page.locator(".chip.picture")).to_be_visible()
    assert "/look?filters=category%3DEquipment" in page.url
    page.reload()
    expect(page.get_by_text("Choose it again")).to_be_visible()


def test_a_region_by_keyboard(page: Page) -> None:
    page.goto("/")
    page.get_by_role("link", name=re.compile("^Allstar Sneakers")).click()
    frame = page.get_by_role("group", name=re.compile("arrow keys"))
    expect(frame).to_be_visible()
    expect(page.locator("#main")).to_be_focused()  # as soon as a page is whole: it would take the focus from the frame
    frame.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.get_by_label("from the left")).to_have_value("24")
    expect(page.get_by_label("from above")).to_have_value("26")
    expect(page.get_by_label("wide")).to_have_value("51")
    page.get_by_label("high").fill("60")
    assert page.locator("[data-region] rect").get_attribute("height") == "60"
    page.get_by_role("button", name="More like this part").press("Enter")
    expect(page.locator(".chip.like")).to_contain_text("the part 24%,26%,51%,60%")
    expect(page.locator(".tile").first).to_be_visible()


def test_a_region_by_mouse(page: Page) -> None:
    page.goto("/")
    page.get_by_role("link", name=re.compile("^Allstar Sneakers")).click()
    page.locator("[data-region] img").evaluate("picture => picture.decode()")
    box = page.locator("[data-region]").bounding_box()
    assert box is not None
    at = {name: box["x"] + share * box["width"] for name, share in (("from", 0.05), ("to", 0.2))}
    down = {name: box["y"] + share * box["height"] for name, share in (("from", 0.05), ("to", 0.3))}
    page.mouse.move(at["from"], down["from"])
    page.mouse.down()
    page.mouse.move(at["to"], down["to"])
    page.mouse.up()
    assert float(page.get_by_label("from the left").input_value()) == pytest.approx(5, abs=1)
    assert float(page.get_by_label("wide").input_value()) == pytest.approx(15, abs=1)
    assert float(page.get_by_label("high").input_value()) == pytest.approx(25, abs=1)


def test_a_failed_file_and_its_retry(page: Page, place: Place) -> None:
    broken = place.root / "broken.jpg"
    before = broken.read_bytes()
    page.goto("/status")
    expect(page.get_by_role("row", name=re.compile("broken.jpg"))).to_be_visible()
    try:
        put(broken, 7)  # like no other
        page.get_by_role("button", name="Try all of them again").click()
        expect(page.get_by_role("status").filter(has_text="tried again")).to_be_visible()
        eventually(lambda: place.items()["broken.jpg"].error is None)
        page.goto("/status")
        expect(page.get_by_text("None.").first).to_be_visible()
    finally:
        broken.write_bytes(before)
        eventually(lambda: place.items()["broken.jpg"].error is not None)


def test_duplicates_are_decided_by_keyboard_and_stay_decided(page: Page) -> None:
    page.goto("/duplicates")
    page.get_by_role("button", name="Look for duplicates").press("Enter")
    expect(page.get_by_role("heading", name="Group 1 of 3")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("button", name="Keep what is ticked")).to_be_focused()
    expect(page.locator("[name=keep]:checked")).to_have_count(1)
    page.keyboard.press("1")
    page.keyboard.press("2")
    kept = page.locator(".tile", has=page.locator("[name=keep]:checked")).locator(".title").inner_text()
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 of 3 groups decided; 1 files are not to be kept")).to_be_visible()
    listed = page.request.get("/duplicates/superfluous.txt").text().splitlines()
    assert len(listed) == 1
    assert Path(listed[0]).name != kept
    script = page.request.get("/duplicates/superfluous.sh").text()
    assert f"rm -- {listed[0]}  # {Path(listed[0]).name}: the same picture as {kept}" in script
    assert Path(listed[0]).exists()
    page.get_by_role("button", name="Look again").click()
    expect(page.get_by_text("1 of 3 groups decided")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("button", name="Keep what is ticked")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Group 3 of 3")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Every group is decided.")).to_be_visible()
    for left in ("2 of 3", "1 of 3", "0 of 3"):
        page.get_by_role("button", name="Take the last decision back").click()
        expect(page.get_by_text(f"{left} groups decided")).to_be_visible()


def test_at_the_width_of_a_phone_and_in_the_dark(chromium: Browser, address: str) -> None:
    with watched(chromium, address, width=360, height=740, scheme="dark") as page:
        page.goto("/?filters=category%3DFootwear")
        expect(page.locator(".tile").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert dark == "rgb(22, 24, 27)"


def test_what_is_shown_stays_where_no_page_comes(chromium: Browser, address: str) -> None:
    """A proxy answers in the service's place, or nobody does; and it is over when a page comes."""
    context = chromium.new_context(base_url=address)
    try:
        page = context.new_page()
        page.goto("/")
        shown = titles(page)
        said = page.locator("#said")
        link = page.get_by_role("link", name="Status", exact=True)
        page.route("**/status", lambda asked: asked.fulfill(status=502, body="<html><body>bad gateway</body></html>"))
        link.click()
        expect(said).to_have_text("The service gave no page")
        assert said.bounding_box()["height"] > 10  # type: ignore[index]
        page.unroute("**/status")
        page.route("**/status", lambda asked: asked.abort())
        link.click()
        expect(said).to_have_text("The service does not answer")
        assert titles(page) == shown
        page.unroute("**/status")
        link.click()
        expect(page.get_by_role("heading", name="Status")).to_be_visible()
        expect(said).to_have_text("")
    finally:
        context.close()


def test_without_javascript(chromium: Browser, address: str) -> None:
    context = chromium.new_context(base_url=address, java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto("/")
        page.get_by_role("link", name=re.compile("^category Footwear")).click()
        page.get_by_role("link", name="more like this RunX Running Shoe").click()
        expect(page.locator(".tile")).to_have_count(5)
        page.get_by_label("Words").fill("basketball")
        page.get_by_role("button", name="Show").click()
        expect(page.locator(".tile .title")).to_have_text(["Hi-Top Basketball Shoe"])
        page.goto("/duplicates")
        page.get_by_role("button", name=re.compile("^Look")).click()
        group = page.get_by_role("heading", name=re.compile("^Group 1 of"))
        expect(page.locator("#looking").or_(group)).to_be_visible()
        eventually(lambda: bool(page.reload()) and group.is_visible())  # nothing comes by itself without scripts
    finally:
        context.close()


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.long)])
def test_everybody_can_use_it(chromium: Browser, address: str, scheme: str) -> None:
    with watched(chromium, address, scheme=scheme) as page:
        page.goto("/")
        nearer = page.locator(".steer a").first.get_attribute("href")
        item = page.locator("a.picture").first.get_attribute("href")
        assert nearer is not None
        assert item is not None
        pages = [
            "/",
            nearer,
            f"{nearer}&page=9",
            "/?text=nothingofthekind",
            item,
            "/duplicates",
            "/status",
            "/look",
            "/login",
        ]
        for where in pages if scheme == "light" else [nearer, item]:  # only colours differ
            page.goto(where)
            assert violations(page) == [], where


def test_by_keyboard_alone(page: Page) -> None:
    """A shoe under 100, then one more like it and not like another, then why."""
    page.goto("/")
    reach(page, "link", "^category Footwear")
    page.keyboard.press("Enter")
    expect(page.locator(".tile")).to_have_count(6)
    reach(page, "searchbox", "Words")
    page.keyboard.press("Tab")
    page.keyboard.type("price<=100")
    page.keyboard.press("Enter")
    expect(page.locator(".chip.filter")).to_have_count(2)
    expect(page.locator(".tile")).to_have_count(4)
    reach(page, "link", "^more like this RunX")
    page.keyboard.press("Enter")
    expect(page.locator(".tile")).to_have_count(3)
    reach(page, "link", "^not this Ultraboost")
    page.keyboard.press("Enter")
    expect(page.locator(".chip.dislike")).to_be_visible()
    reach(page, "link", "^why")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=re.compile("^Why .* is like RunX"))).to_be_visible()
    page.locator("img.why").evaluate("picture => picture.decode()")


def test_the_region_that_agrees_most_is_one_link_away(chromium: Browser, address: str) -> None:
    context = chromium.new_context(base_url=address, java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto("/?filters=category%3DFootwear")
        page.get_by_role("link", name="more like this RunX Running Shoe").click()
        page.get_by_role("link", name=re.compile("^why")).first.click()
        warmest = page.get_by_role("link", name="More like the warmest part of RunX Running Shoe")
        region = re.search(r"region=([^&]+)", warmest.get_attribute("href") or "")
        assert region is not None
        sides = [float(each.rstrip("%")) for each in unquote(region[1]).split(",")]
        assert len(sides) == 4
        assert all(15 <= side <= 100 for side in sides[2:])
        assert sides[0] + sides[2] <= 100
        assert sides[1] + sides[3] <= 100
        warmest.click()
        expect(page.locator(".chip.like")).to_contain_text("RunX Running Shoe (the part")
        expect(page.locator(".chip.filter")).to_have_count(1)  # filters stay
        expect(page.locator(".tile")).to_have_count(5)
    finally:
        context.close()


def test_percentiles_stand_in_front_where_several_steer(page: Page) -> None:
    page.goto("/?filters=category%3DFootwear")
    page.get_by_role("link", name="more like this RunX Running Shoe").click()
    page.get_by_role("link", name=re.compile("^like, too Allstar")).click()
    expect(page.locator(".chip.like")).to_have_count(2)
    near = page.locator(".tile .near").all_inner_texts()
    assert len(near) == 4
    for each in near:
        assert re.fullmatch(r"closer to (RunX Running Shoe|Allstar Sneakers) than [\d.]+ % of pairs 0\.\d\d", each)
    page.set_input_files("input[type=file]", ROOT / "samples" / SHOE)
    expect(page.locator(".chip.picture")).to_be_visible()
    page.get_by_role("link", name=re.compile("^not this Hi-Top")).click()
    expect(page.locator(".chip.dislike")).to_be_visible()
    expect(page.locator(".tile .near").first).to_contain_text(re.compile("^closer than"))
    page.get_by_role("link", name=re.compile("^like, too RunX")).click()
    expect(page.locator(".tile .near").first).to_contain_text(
        re.compile("^closer to (your picture|RunX Running Shoe) ")
    )


def test_ranges_are_typed_without_a_script(chromium: Browser, address: str) -> None:
    context = chromium.new_context(base_url=address, java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto("/?filters=category%3DFootwear")
        page.get_by_label("price from").fill("50")
        page.get_by_label("price to").fill("100")
        page.get_by_role("button", name="only these of price").click()
        chips = page.locator(".chip.filter > span")
        expect(chips).to_have_text(["category=Footwear", "price>=50", "price<=100"])
        expect(page.get_by_label("price from")).to_have_value("50")
        few = page.locator(".tile").count()
        page.get_by_label("price to").fill("")
        page.get_by_label("price from").fill("")
        page.get_by_label("price to").fill("1000")
        page.get_by_role("button", name="only these of price").click()
        expect(chips).to_have_text(["category=Footwear", "price<=1000"])
        expect(page.locator(".tile")).to_have_count(6)
        assert 0 < few < 6
    finally:
        context.close()


def test_a_reader_of_the_screen_hears_the_page_in_its_order(page: Page) -> None:
    """As assistive technology has it: the accessibility tree, not the markup."""
    page.goto("/?filters=category%3DFootwear")
    page.get_by_role("link", name="more like this RunX Running Shoe").click()
    expect(page.locator(".tile")).to_have_count(5)
    heard = spoken(page)
    wanted = [
        ("link", "Skip to the results"),
        ("navigation", "Pages"),
        ("main", ""),
        ("heading", "Pictures that look alike"),
        ("searchbox", "Words"),
        ("list", "What steers the answer"),
        ("complementary", "Narrow down"),
        ("region", "Results"),
        ("navigation", "Pages of results"),
    ]
    places = [heard.index(each) for each in wanted]
    assert places == sorted(places)
    pictures = [name for role, name in heard[places[-2] : places[-1]] if role == "image"]
    assert len(pictures) == 5
    for number, name in enumerate(pictures):
        title = titles(page)[number]
        assert re.fullmatch(rf"{re.escape(title)}, Footwear, closer than [\d.]+ % of pairs", name)
        after = heard.index(("image", name))
        assert ("link", f"more like this {title}") in heard[after : after + 12]


def spoken(page: Page) -> list[tuple[str, str]]:
    """Role and name of everything that is not ignored, in the order of the tree."""
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    nodes = {node["nodeId"]: node for node in tree}
    heard: list[tuple[str, str]] = []

    def walk(number: str) -> None:
        node = nodes.get(number)
        if node is None:
            return
        if not node.get("ignored") and node["role"]["value"] not in ("StaticText", "InlineTextBox"):
            heard.append((node["role"]["value"], node.get("name", {}).get("value", "")))
        for child in node.get("childIds", []):
            walk(child)

    walk(tree[0]["nodeId"])
    return heard


def test_twenty_presses_of_page_down_move_twenty_screens(chromium: Browser, address: str) -> None:
    with watched(chromium, address, width=360, height=480) as page:
        page.goto("/?size=l")
        page.locator("body").click(position={"x": 2, "y": 2})
        screens = page.evaluate("document.documentElement.scrollHeight / window.innerHeight")
        assert screens > 21
        # A press in the last moments of a scroll's animation is lost to Chromium, whatever the page does.
        page.evaluate("document.addEventListener('scrollend', () => (window.ended = (window.ended ?? 0) + 1))")
        before = page.evaluate("scrollY")
        for number in range(20):
            page.keyboard.press("PageDown")
            page.wait_for_function("number => window.ended > number", arg=number)
            assert page.evaluate("scrollY") > before + 0.8 * 480
            before = page.evaluate("scrollY")
        assert page.evaluate("document.documentElement.scrollHeight / window.innerHeight") == screens  # nothing came


def test_a_printed_page_holds_twenty_tiles(page: Page) -> None:
    page.goto("/")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 718, "height": 1047})  # A4 at 96 dots an inch, without margins of 1 cm
    expect(page.locator("header")).to_be_hidden()
    ends = page.locator(".tile").evaluate_all("tiles => tiles.map((each) => each.getBoundingClientRect().bottom)")
    assert sum(end <= 1047 for end in ends) >= 20
    assert page.evaluate("document.documentElement.scrollWidth <= 718")


def test_three_duplicates_are_reviewed_by_keyboard_alone(page: Page) -> None:
    """The pictures are decided by digits and Enter, wherever the keyboard is."""
    page.goto("/duplicates")
    button = page.get_by_role("button", name=re.compile("^Look"))
    button.press("Enter")
    expect(page.get_by_role("button", name="Keep what is ticked")).to_be_focused(timeout=60_000)
    expect(page.get_by_role("heading", name="Group 1 of 3")).to_be_visible()
    page.locator("h1").click()  # the keyboard is nowhere
    page.keyboard.press("2")
    expect(page.locator("[name=keep]:checked")).to_have_count(2)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Group 2 of 3")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Group 3 of 3")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Every group is decided.")).to_be_visible()
    for left in ("2 of 3", "1 of 3", "0 of 3"):
        reach(page, "button", "Take the last decision back")
        page.keyboard.press("Enter")
        expect(page.get_by_text(f"{left} groups decided")).to_be_visible()


def reach(page: Page, role: str, name: str) -> None:
    """Press Tab until an element has the focus."""
    wanted = page.get_by_role(role, name=re.compile(name)).first  # type: ignore[arg-type]
    expect(wanted).to_be_visible()
    for _ in range(200):
        if wanted.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{name} is not reached")
