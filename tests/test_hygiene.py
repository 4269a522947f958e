"""What must never get into the repository, and what every file in it keeps to."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "samples"
# Spelled in two halves so that this file does not find itself.
SECRETS = [
    ("a private key", "-----BEGIN (?:[A-Z]+ )*" + "PRIVATE KEY"),
    ("an access token", r"\b(?:gh[pousr]_|glpat-|pypi-AgE|npm_|hf_|sk-)" + r"[A-Za-z0-9_-]{20,}"),
    ("a password in a URL", r"[a-z]+://[^\s/:@'\"<>{}$]+:" + r"[^\s/:@'\"<>{}$]+@"),
]
MACHINE = [
    ("a registry's host name", r"\b(?:files\.pythonhosted\.org|pypi\." + r"org|registry\.npmjs\.|deb\.debian\.org)"),
    ("an index of packages", r"(?:--|^)(?:extra-)?index-" + r"url\s*[= ]\s*\S*://"),
    ("a path of one machine", r"(?<![\w.$}-])/(?:root|home/[a-z]+|Users/[A-Za-z]+|wor" + r"k)/"),
]
DRAWERS = {"utils", "util", "helpers", "helper", "manager", "managers", "misc", "common", "base"}


def tracked() -> list[Path]:
    """The files of the repository, as Git knows them."""
    try:
        listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a Git checkout: no way to tell the repository's files from others")
    return [ROOT / name for name in listing.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def texts() -> dict[Path, str]:
    """The tracked files that are text."""
    contents = {file: file.read_bytes() for file in tracked()}
    return {file: data.decode("utf-8", "replace") for file, data in contents.items() if b"\0" not in data[:8192]}


@pytest.mark.parametrize(("what", "pattern"), SECRETS + MACHINE)
def test_no_text_file_contains(what: str, pattern: str) -> None:
    """Secrets, and whatever works on one machine or in one network only."""
    found = [
        f"{file.relative_to(ROOT)}:{number}"
        for file, text in texts().items()
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert found == [], f"{what} in {found}"


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("a private key", "-----BEGIN OPENSSH " + "PRIVATE KEY-----"),
        ("an access token", "token = ghp_" + "a" * 36),
        ("a password in a URL", "https://me:" + "secret@example.org/simple"),
        ("a registry's host name", "see https://pypi." + "org/project/x"),
        ("an index of packages", "--index-" + "url https://mirror.example/simple"),
        ("a path of one machine", "open('/home/" + "someone/photos')"),
    ],
)
def test_the_patterns_find_what_they_are_for(what: str, line: str) -> None:
    assert re.search(dict(SECRETS + MACHINE)[what], line)


def test_no_tracked_file_is_a_link() -> None:
    """A link leads to a place on one machine, as one in place of a folder that `.gitignore` means does."""
    try:
        listing = subprocess.run(["git", "ls-files", "-s"], cwd=ROOT, capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a Git checkout: no way to tell the repository's files from others")
    assert [line for line in listing.stdout.splitlines() if line.startswith("120000")] == []


def test_bundled_binaries_stay_small() -> None:
    """48 MB for the networks; 2 MB for all else that is neither network nor sample; no surprise above 25 MB."""
    sizes = {file: file.stat().st_size for file in tracked() if b"\0" in file.read_bytes()[:8192]}
    networks = {file: size for file, size in sizes.items() if ROOT / "recq" / "models" in file.parents}
    others = {file: size for file, size in sizes.items() if file not in networks and SAMPLES not in file.parents}
    assert sum(networks.values()) <= 48_000_000, networks
    assert sum(others.values()) <= 2_500_000, others
    assert max(sizes.values()) <= 25_000_000


def test_samples_are_small_photographs_with_a_row_and_a_credit_each() -> None:
    photographs = sorted(SAMPLES.glob("*.jpg"))
    assert len(photographs) == 54
    assert sum(file.stat().st_size for file in SAMPLES.iterdir()) <= 3_000_000
    rows = (SAMPLES / "metadata.csv").read_text("utf-8").splitlines()[1:]
    credits = (SAMPLES / "CREDITS.md").read_text("utf-8")
    for file in photographs:
        with Image.open(file) as image:
            assert image.format == "JPEG"
            assert max(image.size) == 480
            assert not image.getexif()
        assert sum(row.startswith(f"{file.name},") for row in rows) == 1, file.name
        assert f"| {file.name} |" in credits
    assert {"LICENSE-vendure.txt", "LICENSE-unsplash.txt"} <= {file.name for file in SAMPLES.iterdir()}


def test_no_module_is_a_drawer() -> None:
    """A module is named after its job; `utils` is the absence of one."""
    names = [
        part for file in tracked() if file.suffix == ".py" for part in file.relative_to(ROOT).with_suffix("").parts
    ]
    assert names
    assert not DRAWERS & set(names)


def pins(name: str) -> dict[str, str]:
    """Requirement (name, version, marker) -> everything after it up to the next one."""
    blocks = re.split(
        r"^(?=[A-Za-z0-9])", (ROOT / "requirements" / f"{name}.txt").read_text("utf-8"), flags=re.MULTILINE
    )
    return {block.split(" \\\n")[0].strip(): block for block in blocks if block.strip()}


@pytest.mark.parametrize("name", ["build", "base", "test", "quantise", "release"])
def test_requirements_are_pinned_with_hashes(name: str) -> None:
    for requirement, block in pins(name).items():
        assert re.fullmatch(r"[A-Za-z0-9._-]+(\[[a-z0-9,-]+\])?==[^\s;]+( ; .+)?", requirement), requirement
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), requirement


def versions(name: str) -> dict[str, set[str]]:
    """Package -> its pins; more than one where they differ by Python version."""
    found: dict[str, set[str]] = {}
    for requirement in pins(name):
        found.setdefault(requirement.split("==")[0], set()).add(requirement)
    return found


@pytest.mark.parametrize(("one", "other"), [("build", "base"), ("build", "test"), ("base", "test"), ("test", "ray")])
def test_all_requirements_agree_on_versions(one: str, other: str) -> None:
    """All install into one `.venv`: a pin that differed would be changed back and forth."""
    ours, theirs = versions(one), versions(other)
    assert {name: ours[name] for name in ours.keys() & theirs} == {name: theirs[name] for name in ours.keys() & theirs}


def test_every_dependency_of_the_project_is_pinned() -> None:
    """A dependency added to pyproject.toml without `make requirements` would be missing from the demo."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    names = {re.split(r"[<>=\[]", each)[0] for each in project["dependencies"]}
    assert names <= versions("base").keys()
    for extra in project["optional-dependencies"].values():
        names = {re.split(r"[<>=\[]", each)[0] for each in extra}
        assert names <= versions("test").keys() or names <= versions("ray").keys()  # of an environment of its own
    assert not {"tensorflow", "keras", "torch", "pillow-heif"} & versions("base").keys()


def prose(markdown: str) -> Iterator[tuple[int, str]]:
    """The numbered lines of a Markdown text that can be wrapped: neither code, tables, headings nor single words."""
    fenced = False
    for number, line in enumerate(markdown.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        words = re.sub(r"!?\[[^]]*\]\([^)]*\)|`[^`]*`", "link", line).split()
        if not fenced and not line.lstrip().startswith(("|", "#")) and len(words) > 3:
            yield number, line


def test_markdown_is_wrapped() -> None:
    """A paragraph on one line cannot be reviewed in a diff."""
    long = [
        f"{file.relative_to(ROOT)}:{number}: {len(line)} columns"
        for file in tracked()
        if file.suffix == ".md" and SAMPLES not in file.parents  # made by tools/make_samples.py
        for number, line in prose(file.read_text("utf-8"))
        if len(line) > 100
    ]
    assert long == []
