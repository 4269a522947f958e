"""What a site costs to export and to open, and whether its "more like this" is what the command line answers.

    python benchmarks/site.py [--smoke | --short | --full]

5,000 pictures (smoke: 150) are indexed: those of all packs and parts of them. Chromium opens the site from its folder.

export     seconds of `recq export --site`: into a new folder, and once more into the same
open       milliseconds from the address until 60 tiles and the first 24 pictures are there, each time in a new profile;
           until a value has narrowed the pictures down; and of "more like this", the first of which loads the vectors
agreement  of 200 items the ten that the page's own code finds, beside `recq similar -k 10`; and what 8 bits alone find
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks import pictures
from benchmarks.measure import PROGRAMS, Ratio, Report, Section, median, parser_of, ran

K = 10
NEAR = 1e-6
"""Scores that differ by less are in an order of their own on each engine: sums of 32-bit floats."""


@dataclass(frozen=True)
class Amount:
    """Pictures, targets that are compared, and how often the page is opened."""

    items: int
    targets: int
    opened: int


AMOUNTS = {"smoke": Amount(150, 20, 1), "short": Amount(5_000, 200, 5), "full": Amount(5_000, 1_000, 20)}

LIKE = """async ([ids, k]) => {
  const found = [];
  const blocks = await nearest.blocks();
  for (const id of ids) {
    const target = items.find((each) => each.id === id);
    const began = performance.now();
    const near = await nearest.like(target, items, k);
    const took = performance.now() - began;
    const question = await nearest.exact(blocks, target.number);
    const others = items.filter((each) => each.same !== target.same);
    const { values, errors } = nearest.bounds(blocks, question, others);
    const least = atLeast(others, values, errors, k);
    const rough = nearest.folded(others.map((item, at) => ({ item, value: values[at] }))
      .sort((one, other) => other.value - one.value || one.item.number - other.item.number)).slice(0, k);
    found.push({
      ids: near.map((each) => each.item.id), scores: near.map((each) => each.score), took,
      rough: rough.map((each) => each.item.id),
      candidates: values.reduce((sum, value, at) => sum + (value + errors[at] >= least ? 1 : 0), 0),
    });
  }
  return found;
}"""
"""The page's own code, asked as its links ask it; and what its coarse vectors alone would say."""

READY = """() => [...document.images].slice(0, 24).every((each) => each.complete && each.naturalWidth)
  && document.querySelectorAll('.tile').length > 0"""


_HREFS = "all => all.map((each) => each.getAttribute('href'))"

_GONE = """async (link) => {
  const began = performance.now();
  location.hash = link;
  const main = document.querySelector("main");
  while (main.dataset.shown !== link) await new Promise((done) => requestAnimationFrame(done));
  return performance.now() - began;
}"""
"""Milliseconds until what a link leads to is shown."""


def main() -> None:
    """Measure what was asked for."""
    asked = parser_of(__doc__ or "").parse_args()
    report = Report(asked)
    amount = AMOUNTS[report.size]
    with tempfile.TemporaryDirectory() as folder:
        data, site = Path(folder) / "data", Path(folder) / "site"
        source = pictures.varied(amount.items)
        _describe(source)
        ran([str(PROGRAMS / "recq-ingest"), "run", str(source), "--once", "--data-dir", str(data)])
        report.section("export", lambda: exported(data, site))
        if not site.exists():
            ran(_export(data, site))
        report.section("open", lambda: opening(site, amount))
        report.section("agreement", lambda: agreement(data, site, amount))


def _describe(source: Path) -> None:
    """A title, one of forty categories and a price for each picture."""
    names = sorted(each.relative_to(source).as_posix() for each in source.rglob("*.jpg"))
    rows = [f"{name},Picture {n} of the collection,kind {n % 40},{n % 997 + 0.5}" for n, name in enumerate(names)]
    (source / "metadata.csv").write_text("\n".join(["file,title,category,price", *rows, ""]), "utf-8")


def _export(data: Path, site: Path) -> list[str]:
    return [str(PROGRAMS / "recq"), "export", "--site", str(site), "--data-dir", str(data)]


def exported(data: Path, site: Path) -> Section:
    """Seconds and megabytes."""
    sides = {name: [ran(_export(data, site)).seconds] for name in ("into a new folder", "into the same again")}
    kinds: dict[str, Callable[[Path], bool]] = {
        "pictures": lambda each: each.suffix == ".jpg",
        "8-bit vectors": lambda each: each.name.startswith("vectors-"),
        "rests of the vectors": lambda each: each.name.startswith("rests-"),
        "metadata": lambda each: each.name.startswith("items-"),
    }
    files = [each for each in site.rglob("*") if each.is_file()]
    figures = {f"MB of {name}": sum(f.stat().st_size for f in files if of(f)) / 1e6 for name, of in kinds.items()}
    return Section("Exporting a site", "s", sides, figures=figures | {"files": float(len(files))})


@contextmanager
def _browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        raise SystemExit("install chromium (Debian: apt install chromium)")
    with sync_playwright() as playwright:
        options = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        browser = playwright.chromium.launch(executable_path=path, args=options)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def _opened(browser: Browser, site: Path) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    try:
        page = context.new_page()
        page.goto((site / "index.html").as_uri())
        page.wait_for_function(READY)
        yield page
    finally:
        context.close()


def opening(site: Path, amount: Amount) -> Section:
    """Milliseconds of the page."""
    sides: dict[str, list[float]] = {"opening": [], "a value": [], "more like this, first": [], "more like this": []}
    with _browser() as browser:
        for _ in range(amount.opened):
            with _opened(browser, site) as page:
                sides["opening"].append(page.evaluate("performance.now()"))
                values = page.locator("aside a.value").evaluate_all(_HREFS)
                likes = page.locator(".steer a").evaluate_all(_HREFS)
                for link in values[:1]:
                    sides["a value"].append(page.evaluate(_GONE, link))
                sides["more like this, first"].append(page.evaluate(_GONE, likes[0]))
                sides["more like this"] += [page.evaluate(_GONE, link) for link in likes[1:11]]
    return Section("Using a site in Chromium", "ms", {name: each for name, each in sides.items() if each})


def agreement(data: Path, site: Path, amount: Amount) -> Section:
    """How many answers are those of the command line."""
    with _browser() as browser, _opened(browser, site) as page:
        everything: list[str] = page.evaluate("items.map((each) => each.id)")
        step = max(1, len(everything) // amount.targets)
        targets = everything[::step][: amount.targets]
        found: list[dict[str, Any]] = page.evaluate(LIKE, [targets, K])
    command = [str(PROGRAMS / "recq"), "similar", "--targets", "-", "-k", str(K), "--format", "jsonl"]
    answers = ran([*command, "--data-dir", str(data)], given="\n".join(targets) + "\n").output.splitlines()
    expected = [json.loads(each)["results"] for each in answers]
    assert len(expected) == len(found)
    lists = [[each["id"] for each in one] for one in expected]
    same = [mine["ids"] == theirs for mine, theirs in zip(found, lists, strict=True)]
    ties = [_differ_in_ties(mine, theirs) for mine, theirs, one in zip(found, expected, same, strict=True) if not one]
    rough = [mine["rough"] == theirs for mine, theirs in zip(found, lists, strict=True)]
    sets = [set(mine["rough"]) == set(theirs) for mine, theirs in zip(found, lists, strict=True)]
    off = max(
        abs(a - b["score"])
        for mine, one in zip(found, expected, strict=True)
        for a, b in zip(mine["scores"], one, strict=True)
    )
    share = sum(same) / len(same)
    return Section(
        f'"More like this" beside `recq similar -k {K}`',
        "ms",
        {"a question in the page": [each["took"] for each in found]},
        [Ratio("equal lists of ten / targets", share, share, share, at_least=1.0)],
        {
            "targets": float(len(targets)),
            "equal lists": float(sum(same)),
            "lists that differ in ties of 1e-6 alone": float(sum(ties)),
            "equal lists by 8 bits alone": float(sum(rough)),
            "the same ten in any order by 8 bits alone": float(sum(sets)),
            "largest difference of a score": off,
            "items compared by both parts, median": median([each["candidates"] for each in found]),
            "the most of them": float(max(each["candidates"] for each in found)),
        },
        items=len(everything),
    )


def _differ_in_ties(mine: dict[str, Any], theirs: list[dict[str, Any]]) -> bool:
    pairs = zip(mine["ids"], mine["scores"], theirs, strict=True)
    return all(id_ == other["id"] or abs(score - other["score"]) < NEAR for id_, score, other in pairs)


if __name__ == "__main__":
    main()
