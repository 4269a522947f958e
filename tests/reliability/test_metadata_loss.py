"""A real table saved with a prefix missing: of 361 products none loses its title, and the rows name the right files."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from tests.ingest.running import Place
from tests.packs import pack
from tests.reliability.conftest import PATIENT

pytestmark = pytest.mark.timeout(PATIENT)

SHORT = 25


def test_a_missing_prefix_in_the_table_of_a_shop_costs_no_item_its_metadata(tmp_path: Path, full: bool) -> None:
    shop = pack("luma_products")
    header, *rows = csv.reader(io.StringIO((shop / "labels.csv").read_text("utf-8"), newline=""))
    rows = rows if full else rows[:SHORT]
    place = Place(tmp_path / "shop", tmp_path / "data")
    (place.root / "images").mkdir()
    for row in rows:
        shutil.copy(shop / row[0], place.root / row[0])

    def write_table(prefix: str) -> None:
        out = io.StringIO(newline="")
        csv.writer(out).writerows([header, *([prefix + row[0].removeprefix("images/"), *row[1:]] for row in rows)])
        (place.root / "metadata.csv").write_text(out.getvalue(), "utf-8")

    write_table("images/")
    assert place.once().returncode == 0
    before = {path: item.metadata for path, item in place.items().items()}
    assert all(each["title"] for each in before.values())
    write_table("")
    done = place.once()
    assert done.returncode == 3
    (held,) = [line for line in done.stderr.splitlines() if "event=held" in line]
    assert f"items={len(rows)}" in held
    assert f"did you mean {rows[0][0]}?" in held
    assert {path: item.metadata for path, item in place.items().items()} == before
    problems = json.loads(place.command("problems", "--json").stdout)
    listed = {each["line"]: each["detail"] for each in problems if each["kind"] == "row"}
    assert len(listed) == len(rows)
    hints = {detail.partition("did you mean ")[2].removesuffix("?") for detail in listed.values()}
    assert hints == {row[0] for row in rows}
    write_table("images/")
    assert place.once().returncode == 0
    assert {path: item.metadata for path, item in place.items().items()} == before
    assert place.command("problems").stderr == "nothing is wrong\n"
