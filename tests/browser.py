"""A real browser for the tests: Debian's Chromium, by Playwright; and axe, which checks a page's accessibility in it.

Where it is not installed and may be (root on Debian), it is installed once. Where it cannot be had the test is skipped
and says why; in CI it fails instead.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from filelock import FileLock
from playwright.sync_api import Browser, Page, sync_playwright

from tests.debian import CACHE, program
from tests.packs import ROOT

NAMES = ("chromium", "chromium-browser", "google-chrome")

AXE = "axe-core@4.14.1"
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"]
"""What axe calls the success criteria of levels A and AA of the Web Content Accessibility Guidelines up to 2.2."""


def unavailable(reason: str) -> NoReturn:
    """Skip the test, or fail it where the tests of the page must run."""
    if os.environ.get("CI"):
        pytest.fail(f"no browser for the tests: {reason}", pytrace=False)
    pytest.skip(f"no browser for the tests: {reason}")


def chromium() -> str:
    """The path of Chromium; installed once, whatever number of test processes ask for it at the same time."""
    return program(NAMES, "chromium", unavailable)


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser without a window, for the length of the block."""
    path = chromium()
    with sync_playwright() as playwright:
        # As root there is no sandbox; containers have little /dev/shm.
        options = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        opened = playwright.chromium.launch(executable_path=path, args=options)
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def served_page(env: Mapping[str, str], *options: str) -> Iterator[str]:
    """The address for people of a `recq serve` as a process of its own, for the length of the block."""
    command = [sys.executable, "-m", "query.cli", "serve", "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env, cwd=ROOT) as process:
        assert process.stderr is not None
        try:
            said = process.stderr.readline()
            found = re.search(r"for people at (http://\S+?)/$", said.strip())
            assert found is not None, said + process.stderr.read()
            yield found[1]
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def watched(
    opened: Browser, base_url: str, *, width: int = 1280, height: int = 900, scheme: str = "light"
) -> Iterator[Page]:
    """A page in a profile of its own. Fails where a script fails, or where anything is asked of another host."""
    context = opened.new_context(
        base_url=base_url,
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(f"a script failed: {error}"))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on(
        "request", lambda asked: None if asked.url.startswith((base_url, "blob:", "data:")) else wrong.append(asked.url)
    )
    try:
        yield page
    finally:
        context.close()
    assert wrong == []


def axe() -> str:
    """The source of axe, fetched from npm once and checked."""
    CACHE.mkdir(parents=True, exist_ok=True)
    kept = CACHE / f"{AXE.replace('@', '-')}.js"
    with FileLock(CACHE / "axe-lock"):
        if not kept.is_file() or _digest(kept) != AXE_SHA256:
            _fetch_axe(kept)
    return kept.read_text("utf-8")


def _fetch_axe(kept: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        unavailable("npm is not installed")
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", folder, AXE]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=240)
        except subprocess.TimeoutExpired:
            unavailable(f"npm did not fetch {AXE} within 4 minutes")
        fetched = Path(folder) / "node_modules/axe-core/axe.min.js"
        if done.returncode or not fetched.is_file():
            unavailable(f"npm could not fetch {AXE}")
        if _digest(fetched) != AXE_SHA256:
            pytest.fail(f"{AXE} is not what was checked: its SHA-256 differs", pytrace=False)
        fetched.replace(kept)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def violations(page: Page, *, fetching: bool = True) -> list[str]:
    """What axe finds wrong with a page: the rule, and the first place. Style sheets are not read again where a page
    forbids `fetching`."""
    page.evaluate(axe())
    found = page.evaluate(f"axe.run(document, {{runOnly: {RULES}, preload: {str(fetching).lower()}}})")
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found["violations"]]
