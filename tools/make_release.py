"""What a release needs besides wheel and source distribution, for `make release`.

    .venv/bin/python tools/make_release.py --check     whether this tree can be released, or why not
    .venv/bin/python tools/make_release.py             SBOM, licences and checksums beside what lies in dist/

The bill of materials is made by cyclonedx-bom of an empty environment with the pinned requirements and the wheel, so it
lists what an installation has; what the wheel carries of others (networks, ImageNet's names, htmx) is added from their
manifests.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
from pathlib import Path

from bill_of_materials import bill_of_materials, third_party_licences
from fresh_environment import fresh, install

from recq.version import VERSION

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
BUILD = ROOT / "build" / "release"
SECTION = re.compile(
    r"^## \[(?P<version>[^\]]+)\](?P<date> - \d{4}-\d{2}-\d{2})?\n(?P<text>.*?)(?=^## |\Z)", re.M | re.S
)


def refusals(version: str, changelog: str, changed: list[str], tagged: str | None, head: str) -> list[str]:
    """Why a tree cannot be released as `version`; empty where it can.

    `changed` are the files that git reports as changed or unknown, `tagged` the commit that has the version's tag.
    """
    found = {match["version"]: match for match in SECTION.finditer(changelog)}
    reasons = []
    if changed:
        reasons.append(f"the tree is not clean ({', '.join(changed[:3])}): commit or remove what changed")
    own = found.get(version)
    if own is None or own["date"] is None or not own["text"].strip():
        reasons.append(f"CHANGELOG.md has no section '## [{version}] - DATE' with a text: say what changed")
    waiting = found.get("Unreleased")
    if waiting is not None and waiting["text"].strip():
        reasons.append(
            f"CHANGELOG.md has changes below Unreleased: they belong to a version, which {version} is not yet"
        )
    if tagged is not None and tagged != head:
        reasons.append(f"v{version} is the tag of another commit: raise the version in recq/version.py")
    return reasons


def _git(*arguments: str) -> str | None:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def check() -> list[str]:
    """The refusals of this tree."""
    status = _git("status", "--porcelain")
    if status is None:
        return ["this is no git checkout: a release is made of a commit"]
    return refusals(
        VERSION,
        (ROOT / "CHANGELOG.md").read_text("utf-8"),
        [line.split(maxsplit=1)[1] for line in status.splitlines()],
        _git("rev-list", "-n", "1", f"v{VERSION}"),
        _git("rev-parse", "HEAD") or "",
    )


def papers(dist: Path, build: Path) -> None:
    """Write bill of materials, licences and checksums for the wheel in `dist`. `build` is for environments."""
    (wheel,) = dist.glob("recq-*.whl")
    tools = fresh(build / "tools")
    install(tools, "--require-hashes", "-r", ROOT / "requirements" / "release.txt")
    python = fresh(build / "installed")
    install(python, "--require-hashes", "-r", ROOT / "requirements" / "base.txt")
    install(python, "--no-deps", wheel)
    (dist / f"recq-{VERSION}.cdx.json").write_text(bill_of_materials(python, tools), "utf-8")
    (dist / f"recq-{VERSION}-third-party-licenses.txt").write_text(third_party_licences(python), "utf-8")
    (dist / "SHA256SUMS").write_text(checksums(dist), "utf-8")


def checksums(dist: Path) -> str:
    """The SHA-256 of each file, as `sha256sum --check` reads it."""
    files = sorted(path for path in dist.iterdir() if path.is_file() and path.name not in ("SHA256SUMS", ".gitignore"))
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)


def main() -> int:
    """Check, or write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="only whether this tree can be released")
    if parser.parse_args().check:
        reasons = check()
        for reason in reasons:
            print(f"no release: {reason}", file=sys.stderr)
        return 1 if reasons else 0
    papers(DIST, BUILD)
    for line in (DIST / "SHA256SUMS").read_text("utf-8").splitlines():
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
