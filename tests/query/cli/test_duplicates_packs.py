"""Precision and recall of `recq duplicates` on real pictures, in short: benchmarks/duplicates.py has the whole of it.

Neighbouring files of a pack are views and colour variants of a product, which are different pictures. No network: the
vectors are coarse colours, so that candidates are many and what the pictures themselves say decides.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from recq.settings import Settings
from tests.packs import ROOT, pack
from tests.query.cli.test_duplicates import duplicates, indexed, told
from tests.recq.duplicates.scenes import Change, cut, resized

ORIGINALS = 40
COPIED = 8
REQUIRED: dict[str, tuple[Change, dict[str, Any]]] = {
    "half.jpg": (resized(0.5), {"quality": 90}),
    "q60.jpg": (lambda im: im, {"quality": 60}),
    "format.webp": (lambda im: im, {"quality": 80}),
    "crop5.jpg": (cut(0.05, 0.05, 0.05, 0.05), {"quality": 90}),
}


@pytest.mark.packs
@pytest.mark.parametrize("name", ["samples", "clothing", "luma_products", "movie_posters"])
def test_copies_are_found_and_other_views_are_not(name: str, tmp_path: Path) -> None:
    folder = ROOT / "samples" if name == "samples" else pack(name)
    found = sorted(folder.rglob("*.jpg"))
    start = len(found) // 3 if len(found) > 2 * ORIGINALS else 0
    originals = found[start : start + ORIGINALS]
    root = tmp_path / "root"
    (root / "originals").mkdir(parents=True)
    for number, path in enumerate(originals):
        (root / f"originals/{number:02}.jpg").write_bytes(path.read_bytes())
    for number in range(0, len(originals), len(originals) // COPIED):
        im = Image.open(originals[number]).convert("RGB")
        for kind, (change, options) in REQUIRED.items():
            (root / f"{number:02}").mkdir(exist_ok=True)
            change(im).save(root / f"{number:02}/{kind}", **options)
    with indexed(tmp_path / "data", root) as catalog:
        groups = told(duplicates(catalog, Settings(workers=1)))
    number_in = {path: number for number, group in enumerate(groups) for path, _ in group}
    missed = [
        f"{copy.parent.name}/{copy.name}"
        for copy in sorted(root.glob("[0-9]*/*"))
        if number_in.get(f"{copy.parent.name}/{copy.name}", -1)
        != number_in.get(f"originals/{copy.parent.name}.jpg", -2)
    ]
    mistaken = [
        (group[0][0], path) for group in groups for path, _ in group if number_of(path) != number_of(group[0][0])
    ]
    made = COPIED * len(REQUIRED)
    assert len(missed) <= 0.05 * made, missed
    assert len(mistaken) <= 0.02 * (made + len(mistaken)), mistaken


def number_of(path: str) -> str:
    """Which picture a file is of."""
    first, _, name = path.partition("/")
    return name.removesuffix(".jpg") if first == "originals" else first
