"""The picture packs that lie beside the checkout, read in place; tests that need an absent one are skipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def pack(name: str) -> Path:
    """The folder of the pack `name`: in `RECQ_TEST_DATA`, else `../shared/data`. Skips the test where it is absent."""
    data = Path(os.environ.get("RECQ_TEST_DATA") or ROOT.parent / "shared" / "data")
    if not (data / name).is_dir():
        pytest.skip(f"picture pack {name!r} is not there: RECQ_TEST_DATA may name the folder that holds it")
    return data / name


def pictures(name: str, count: int) -> list[Path]:
    """`count` JPEG files of the pack `name`, spread evenly over it."""
    found = sorted(pack(name).rglob("*.jpg"))
    return found[:: max(1, len(found) // count)][:count]
