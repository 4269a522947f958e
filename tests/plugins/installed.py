"""Plug-ins as `pip` installs them: a module and the metadata beside it, in a folder of PYTHONPATH."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/plugins.md"
_BLOCK = re.compile(r"^```(python|toml)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def documented() -> list[tuple[str, str]]:
    """The plug-ins of docs/plugins.md, each as its code and its pyproject.toml."""
    blocks = _BLOCK.findall(DOCUMENT.read_text("utf-8"))
    code = [text for language, text in blocks if language == "python"]
    projects = [text for language, text in blocks if language == "toml"]
    return list(zip(code, projects, strict=True))


def install_documented(site: Path) -> None:
    """Both of them."""
    for code, text in documented():
        project = tomllib.loads(text)["project"]
        install(site, project["name"], code, project["entry-points"], version=project["version"])


def install(site: Path, name: str, code: str, doors: Mapping[str, Mapping[str, str]], *, version: str = "0.1") -> None:
    """The package `name`, whose module is called alike, with underscores."""
    module = name.replace("-", "_")
    site.mkdir(parents=True, exist_ok=True)
    (site / f"{module}.py").write_text(code, "utf-8")
    info = site / f"{module}-{version}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8")
    (info / "RECORD").write_text(f"{module}.py,,\n", "utf-8")
    lines = [
        line
        for group, entries in doors.items()
        for line in (f"[{group}]", *(f"{entry} = {value}" for entry, value in entries.items()), "")
    ]
    (info / "entry_points.txt").write_text("\n".join(lines), "utf-8")
