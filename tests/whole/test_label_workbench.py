"""The label workbench in a real browser, by keyboard alone, with a daemon that reads what is placed.

It takes longer than 3 s, since 62 pictures are embedded once, and both programs are started as people start them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import browser, served_page, violations, watched
from tests.eventually import eventually
from tests.ingest.running import NETWORK, Place, environment
from tests.whole.test_label_patches import KINDS, picture

ROOT = Path(__file__).resolve().parents[2]
EACH = 20
PLANTED = {"across/05.jpg": "down", "checks/11.jpg": "down"}
BARE = ("down/90.jpg", "checks/91.jpg")
"""Without a kind."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Patterns with their kinds, two of which are wrong, and a daemon that watches them."""
    folder = tmp_path_factory.mktemp("workbench")
    place = Place(folder / "shop", folder / "data", model=NETWORK)
    given = {f"{kind}/{n:02}.jpg": kind for kind in KINDS for n in range(EACH)} | PLANTED
    for number, path in enumerate([*given, *BARE]):
        (place.root / path).parent.mkdir(exist_ok=True)
        picture(path.partition("/")[0], number).save(place.root / path, quality=90)
    with (place.root / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("file", "kind"), *given.items()])
    with place.daemon() as daemon:
        daemon.ready()
        eventually(lambda: len(place.items()) == len(given) + len(BARE), within=60)
        yield place


@pytest.fixture(scope="module")
def address(place: Place) -> Iterator[str]:
    """`recq serve` on it, which may place patches."""
    with served_page(environment(**place.settings, RECQ_PLACE_PATCHES="true"), "--data-dir", str(place.data)) as found:
        yield found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    with watched(chromium, address) as shown:
        yield shown


def reach(page: Page, role: str, name: str) -> None:
    """Press Tab until an element has the focus."""
    wanted = page.get_by_role(role, name=re.compile(name)).first  # type: ignore[arg-type]
    expect(wanted).to_be_visible()
    for _ in range(200):
        if wanted.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{name} is not reached")


def place_patch(page: Page, rows: int) -> None:
    reach(page, "button", "Place the patch")
    page.keyboard.press("Enter")
    expect(
        page.get_by_text(re.compile(rf"metadata\.labels-[\d-]+\.csv is in the folder of shop, with {rows} rows"))
    ).to_be_visible()
    expect(page.get_by_text("None yet.")).to_be_visible()


def test_five_are_tagged_by_keyboard_alone_and_the_daemon_takes_it(page: Page, place: Place) -> None:
    page.goto("/?filters=kind%3Dchecks")
    reach(page, "link", "^01")
    page.keyboard.press("Enter")
    reach(page, "link", "^Label it and its like")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Field")).to_be_focused()
    page.keyboard.type("season")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("winter 25")  # digits that are typed tick nothing
    page.keyboard.press("Tab")
    for digit in "2345":
        page.keyboard.press(digit)
    expect(page.locator("[name=tick]:checked")).to_have_count(5)
    page.keyboard.press("Enter")
    expect(page.get_by_text("tagged: winter 25")).to_have_count(5)
    page.reload()
    expect(page.get_by_text("tagged: winter 25")).to_have_count(5)
    reach(page, "link", "^what is collected")
    page.keyboard.press("Enter")
    expect(page.get_by_text("5 pictures would be changed")).to_be_visible()
    place_patch(page, 5)
    eventually(lambda: sum(item.metadata.get("season") == "winter 25" for item in place.items().values()) == 5)
    page.goto("/?filters=season%3Dwinter%2025")
    expect(page.locator(".tile")).to_have_count(5)


def test_likely_mistakes_are_decided_by_keyboard_and_the_facets_change(page: Page, place: Place) -> None:
    page.goto("/?text=nothing")
    for text in ("across 19", "checks 19", "down 22"):
        expect(page.get_by_role("link", name=f"kind {text}")).to_be_visible()
    page.goto("/labels")
    reach(page, "combobox", "^Field")
    page.keyboard.type("kind")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Likely mistakes in kind")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("button", name="Tag what is ticked")).to_be_focused()
    shown = page.locator("form[data-keys] .tile")
    for number in range(shown.count()):  # what is no mistake is right: its digit unticks it
        path = shown.nth(number).locator(".fact").first.inner_text()
        if path not in PLANTED:
            page.keyboard.press(str(number + 1))
    expect(page.locator("[name=tick]:checked")).to_have_count(2)
    page.keyboard.press("Enter")
    expect(page.get_by_text("2 pictures would be changed")).to_be_visible()
    expect(
        page.get_by_text("All of them are decided.").or_(page.get_by_role("button", name="Tag what is"))
    ).to_be_visible()
    patch = page.request.get(page.get_by_role("link", name="download the patch").get_attribute("href") or "")
    assert patch.text().splitlines()[1:] == ["across/05.jpg,across", "checks/11.jpg,checks"]
    page.goto("/labels")
    place_patch(page, 2)
    eventually(lambda: place.items()["across/05.jpg"].metadata["kind"] == "across")
    eventually(lambda: place.items()["checks/11.jpg"].metadata["kind"] == "checks")
    page.goto("/?text=nothing")
    for kind in KINDS:
        expect(page.get_by_role("link", name=f"kind {kind} 20")).to_be_visible()


def test_what_to_label_first_is_mended_and_ticked(page: Page) -> None:
    page.goto("/labels?field=kind")
    page.get_by_role("button", name="What to label first").press("Enter")
    expect(page.get_by_text("2 items without kind; 2 to decide")).to_be_visible(timeout=60_000)
    expect(page.locator("[name=tick]:checked")).to_have_count(0)
    page.get_by_label("kind of 90.jpg").fill("stripes")
    page.keyboard.press("Enter")
    expect(page.get_by_text("2 items without kind; 1 to decide")).to_be_visible()
    expect(page.get_by_label("kind of 91.jpg")).not_to_have_value("")
    expect(page.get_by_role("button", name="Tag what is ticked")).to_be_focused()
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(page.get_by_text("All of them are decided.")).to_be_visible()
    expect(page.get_by_role("row", name="kind stripes 1")).to_be_visible()
    for left in (1, 0):
        page.get_by_role("button", name="Take the last ones back").click()
        expect(page.get_by_text("2 items without kind; " + str(2 - left))).to_be_visible()


@pytest.mark.parametrize(("scheme", "width"), [pytest.param("light", 1280, marks=pytest.mark.long), ("dark", 360)])
def test_everybody_can_use_the_workbench(
    chromium: Browser, address: str, place: Place, scheme: str, width: int
) -> None:
    item = place.items()["checks/02.jpg"].id
    with watched(chromium, address, scheme=scheme, width=width) as page:
        page.goto(f"/labels/near?item={item}&field=kind")
        page.get_by_label("Value").fill("chequered")
        page.get_by_role("button", name="Tag what is ticked").click()
        expect(page.get_by_text("tagged: chequered")).to_have_count(1)
        page.goto("/labels?field=kind")
        page.get_by_role("button", name="Likely mistakes").click()
        expect(page.get_by_role("heading", name="Likely mistakes in kind")).to_be_visible(timeout=60_000)
        for where in (page.url, f"/labels/near?item={item}&field=kind", "/labels"):
            page.goto(where)
            assert violations(page) == [], where
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), where
        page.get_by_role("button", name="Take the last ones back").click()
        expect(page.get_by_text("chequered")).to_have_count(0)
