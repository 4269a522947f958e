"""The tutorial's furniture shop: 504 photographs in one flat folder, the category in the file name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packs import pack

PROGRAMS = Path(sys.executable).parent


@pytest.mark.packs
def test_a_sofa_among_sofas(tmp_path: Path) -> None:
    where = ["--data-dir", str(tmp_path / "data")]
    indexed = subprocess.run(
        [str(PROGRAMS / "recq-ingest"), "run", str(pack("furniture") / "images"), "--once", *where],
        capture_output=True,
        text=True,
        check=False,
    )
    assert indexed.returncode == 0, indexed.stderr

    def ask(*arguments: str) -> list[dict[str, str]]:
        done = subprocess.run([str(PROGRAMS / "recq"), *arguments, *where], capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    query = ["similar", "sofa_00000007.jpg", "--format", "jsonl"]
    sofas = ask(*query, "--filter", "category=sofa")
    assert len(sofas) == 5
    assert all(hit["name"].startswith("sofa_") for hit in sofas)
    assert "sofa_00000007.jpg" not in [hit["name"] for hit in sofas]
    anything = ask(*query, "-k", "20")
    assert sum(hit["name"].startswith("sofa_") for hit in anything) >= 10  # a fifth would be chance
    counts = {row["value"]: row["count"] for row in ask("facets", "category", "--format", "jsonl")}
    assert set(counts) == {"bed", "chair", "chair2", "sofa", "table", "cupboard"}
    assert sum(int(count) for count in counts.values()) == 504
