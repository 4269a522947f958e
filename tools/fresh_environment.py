"""Makes an environment of its own and installs into it, by uv: what a user has who installs recq, and nothing else.

uv reads no pip.conf, so the index that pip would use is handed to it, as the Makefile does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

UV = Path(sys.executable).with_name("uv")
_INDEX = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")


def fresh(folder: Path, python: str = sys.executable) -> Path:
    """An empty environment in `folder`, which is replaced; its Python. Raises CalledProcessError."""
    _uv("venv", "--clear", "--python", python, str(folder))
    return folder / "bin" / "python"


def install(python: Path, *what: str | Path) -> None:
    """Install what `uv pip install` takes. Raises CalledProcessError."""
    _uv("pip", "install", "--python", str(python), *map(str, what))


def _uv(*arguments: str) -> None:
    subprocess.run([UV, "--quiet", *arguments], env=_environment(), check=True, stdin=subprocess.DEVNULL)


def _environment() -> dict[str, str]:
    """The environment without the project's own paths, and with the index that pip uses."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    if not any(kept.get(name) for name in _INDEX):
        asked = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
        index = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
        if index:
            kept["UV_DEFAULT_INDEX"] = index
    elif not kept.get("UV_DEFAULT_INDEX"):
        kept["UV_DEFAULT_INDEX"] = next(kept[name] for name in _INDEX if kept.get(name))
    return kept
