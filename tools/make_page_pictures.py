"""Make the pictures of the page in docs/page.md, docs/site.md and README.md: the samples, in a real browser.

    python tools/make_page_pictures.py

Needs Chromium (Debian: apt install chromium). The index is a temporary one; what is not the page's own (times, paths of
this machine) is on none of the pictures.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser import browser, served_page, watched
from tests.ingest.running import environment

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
COLOURS = 192
"""Of the palette that each picture is reduced to: photographs stay photographs, and files small."""


def main() -> None:
    """Index the samples, show them, take the pictures."""
    with tempfile.TemporaryDirectory(prefix="recq-pictures-") as folder:
        settings = environment(RECQ_DATA_DIR=f"{folder}/data", RECQ_CACHE_DIR=f"{folder}/cache")
        ingest = [sys.executable, "-m", "ingest.cli", "run", str(ROOT / "samples"), "--once"]
        subprocess.run(ingest, check=True, cwd=ROOT, env=settings, capture_output=True)
        with served_page(settings) as address:
            take(address, SHOTS)
        site = Path(folder) / "site"
        export = [sys.executable, "-m", "query.cli", "export", "--site", str(site), "--title", "Samples"]
        subprocess.run(export, check=True, cwd=ROOT, env=settings, capture_output=True)
        take(f"{site.as_uri()}/", [("site", "light", (1180, 640), in_a_folder)])


def take(address: str, shots: Sequence[Shot]) -> None:
    """Pictures of the page at an address."""
    with browser() as opened:
        for name, scheme, size, steps in shots:
            with watched(opened, address, width=size[0], height=size[1], scheme=scheme) as page:
                steps(page)
                page.wait_for_load_state("networkidle")
                picture = (
                    Image.open(BytesIO(page.screenshot())).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
                )
                picture.save(DOCS / f"{name}.png", optimize=True)


def gallery(page: Page) -> None:
    """Plants, at the width of a phone."""
    page.goto("/?filters=category%3DPlants")
    expect(page.locator(".tile").first).to_be_visible()


def steered(page: Page) -> None:
    """More like a shoe, and not like another."""
    page.goto("/")
    page.get_by_role("link", name="more like this RunX Running Shoe").click()
    expect(page.locator(".chip")).to_have_count(1)
    page.get_by_role("link", name="not this Ultraboost Running Shoe").click()
    expect(page.locator(".chip")).to_have_count(2)


def part(page: Page) -> None:
    """A part of a picture."""
    page.goto("/")
    page.get_by_role("link", name=re.compile("^Bedside Table")).click()
    for name, value in (("from the left", "48"), ("from above", "14"), ("wide", "42"), ("high", "52")):
        page.get_by_label(name, exact=True).fill(value)


def labelled(page: Page) -> None:
    """A picture and its like, some of which are ticked."""
    page.goto("/")
    page.get_by_role("link", name=re.compile("^Bedside Table")).click()
    page.get_by_role("link", name="Label it and its like").click()
    expect(page.locator(".tile").first).to_be_visible()
    page.get_by_label("Field", exact=True).fill("room")
    page.get_by_label("Value", exact=True).fill("living room")
    page.locator("h1").click()
    for digit in "234":
        page.keyboard.press(digit)
    page.evaluate("document.activeElement.blur()")


def in_a_folder(page: Page) -> None:
    """More like a shoe, in a site."""
    page.goto("index.html")
    page.get_by_role("link", name="more like this RunX Running Shoe").click()
    expect(page.locator(".near").first).to_be_visible()


Shot = tuple[str, str, tuple[int, int], Callable[[Page], None]]
"""The picture's name, light or dark, its size, and what to do before."""

SHOTS: Sequence[Shot] = (
    ("page-light", "light", (1180, 760), steered),
    ("page-dark", "dark", (1180, 760), part),
    ("page-phone", "light", (390, 760), gallery),
    ("page-labels", "light", (1180, 760), labelled),
)


if __name__ == "__main__":
    main()
