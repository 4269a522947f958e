"""`recq export --site`: what goes out, what is refused, an export that is killed. tests/whole/test_site.py opens it."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from recq.images.indexed_files import read_fitted
from tests.query.conftest import CHANGED, GOODS, HOSTILE, LATIN1, WAITING, Shop


def parts_of(site: Path) -> Path:
    found: str
    (found,) = set(re.findall(r"parts-[0-9a-f]{12}", (site / "index.html").read_text()))
    return site / found


def data_of(site: Path, kind: str, name: str) -> Any:
    text = (parts_of(site) / name).read_text()
    found = re.fullmatch(rf'take\("{kind}",0,(.*)\);\n', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def items_of(site: Path) -> dict[str, dict[str, Any]]:
    """The values of each item by the names of fields, by id."""
    fields = [name for name, _ in data_of(site, "catalog", "catalog.js")["fields"]]
    rows = data_of(site, "items", "items-0000.js")
    return {id_: {fields[number]: value for number, value in values} for id_, _, _, values in rows}


def pictures_of(site: Path) -> dict[str, Path]:
    """The pictures by the ids that begin their names."""
    return {each.name[:36]: each for each in (site / "pictures").rglob("*") if each.is_file()}


def test_all_embedded_items_go_out_with_their_pictures(any_shop: Shop, tmp_path: Path) -> None:
    site = tmp_path / "site"
    reply = any_shop.ask("export", "--site", str(site), "--json")
    changed = any_shop.id(CHANGED)
    reason = "changed since they were indexed"
    assert reply.code == 3
    assert json.loads(reply.text) == {
        "catalog": "shop",
        "site": str(site),
        "items": len(GOODS),
        "unpictured": [{"id": changed, "path": CHANGED, "reason": reason}],
    }
    assert f"no picture of {CHANGED}: {reason}" in reply.err
    assert f"1 of {len(GOODS)} items have a placeholder for a picture" in reply.err
    items = items_of(site)
    assert set(items) == {any_shop.id(path) for path in GOODS}
    assert items[any_shop.id("sofas/two.png")] == {
        "category": "sofa", "labels": ["Action", "Drama"], "price": 49.5, "file.path": "sofas/two.png",
    }  # fmt: skip
    assert items[any_shop.id(HOSTILE)]["file.path"] == "evil\\x1b[31m\\nname.png"
    assert items[any_shop.id(LATIN1)]["file.path"] == "caf%E9.png"
    pictures = pictures_of(site)
    assert set(pictures) == set(items) - {changed}
    with Image.open(pictures[any_shop.id("sofas/two.png")]) as shown:
        assert (shown.format, shown.size, len(shown.getexif())) == ("JPEG", (48, 32), 0)
    names = [each.name for each in site.rglob("*") if each.is_file()]
    assert all(re.fullmatch(r"[a-z0-9.-]+", name) for name in names), names
    assert str(any_shop.root) not in "".join(each.read_text() for each in site.rglob("*.js"))


def test_what_is_left_out_is_in_no_file(any_shop: Shop, tmp_path: Path) -> None:
    site = tmp_path / "site"
    options = ["--without", "title", "--without", "file.path", "--filter", "category=sofa", "--title", "A <b>shop"]
    assert any_shop.ask("export", "--site", str(site), *options).code == 3
    items = items_of(site)
    assert set(items) == {any_shop.id("sofas/one.png"), any_shop.id("sofas/two.png")}
    everything = "".join(each.read_text() for each in site.rglob("*.js")) + (site / "index.html").read_text()
    assert "Leather" not in everything
    assert "two.png" not in everything
    assert "bed" not in json.dumps(items)
    assert '<h1><a href="#">A &lt;b&gt;shop</a></h1>' in everything
    assert any_shop.ask("export", "--site", str(site), "--fields", "price").code == 3
    assert {name for values in items_of(site).values() for name in values} == {"price"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--site", "SITE", "x.jsonl"], "--site writes a folder and no file: leave out FILE"),
        (["--site", "SITE", "--format", "jsonl"], "leave out FILE and --format"),
        (["x.jsonl", "--without", "price"], "--without is of a site, and x.jsonl is a file: add --site DIR"),
        (["x.jsonl", "--title", "x"], "--title is of a site"),
        (["-", "--json"], "--json prints to standard output, where the export goes"),
        ([], "FILE is missing, such as images.parquet; or name a folder for a site, --site DIR"),
        (["--site", "SITE", "--without", "prise"], "unknown field 'prise'; did you mean 'price'?"),
        (["--site", "SITE", "--fields", "prise"], "unknown field 'prise'"),
        (["--site", "SITE", "--filter", "prise=1"], "unknown field 'prise'"),
        (["--site", "SITE", "--thumbnail", "9"], "--thumbnail '9': 64 or more is needed"),
    ],
)
def test_what_is_refused_leaves_nothing(shop: Shop, tmp_path: Path, words: list[str], says: str) -> None:
    reply = shop.ask("export", *(str(tmp_path / "site") if word == "SITE" else word for word in words))
    assert (reply.code, reply.out) == (2, b"")
    assert says in reply.err
    assert reply.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_no_item_is_no_site(shop: Shop, tmp_path: Path) -> None:
    site = tmp_path / "site"
    reply = shop.ask("export", "--site", str(site), "--filter", "category=table")
    assert reply.code == 3
    assert "there is no item to show: nothing matches: no item has category=table" in reply.err
    assert not site.exists()


def test_a_file_is_told_as_json_as_well(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "shop.jsonl"
    reply = shop.ask("export", str(file), "--json")
    assert json.loads(reply.text) == {"catalog": "shop", "file": str(file), "items": len(GOODS) + 1, "failed": 1}


def test_an_interrupted_export_is_gone_on_with(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"

    def interrupted(*asked: Any) -> Any:
        for number, each in enumerate(read_fitted(*asked)):
            if number == 3:
                raise KeyboardInterrupt
            yield each

    monkeypatch.setattr("recq.site.export.read_fitted", interrupted)
    assert shop.ask("export", "--site", str(site)).code == 130
    before = pictures_of(site)
    assert len(before) == 3
    assert not (site / "index.html").exists()
    assert not list(site.glob("parts-*"))
    times = {name: each.stat().st_mtime_ns for name, each in before.items()}
    monkeypatch.setattr("recq.site.export.read_fitted", read_fitted)
    assert shop.ask("export", "--site", str(site)).code == 3
    after = pictures_of(site)
    assert len(after) == len(GOODS) - 1
    assert {name: after[name].stat().st_mtime_ns for name in times} == times  # not made again


KILLED = """
import os, signal, sys
from pathlib import Path
from recq.site import folder
from query.cli.main import main

replaced = folder.replaced
def before(path, what):
    os.kill(os.getpid(), signal.SIGKILL)
folder.replaced = before
sys.argv = ["recq", *sys.argv[1:]]
main()
"""


def test_one_that_is_killed_before_its_page_is_shown_leaves_the_former(shop: Shop, tmp_path: Path) -> None:
    site = tmp_path / "site"
    assert shop.ask("export", "--site", str(site)).code == 3
    page, parts = (site / "index.html").read_bytes(), parts_of(site)
    before = {each.name: each.read_bytes() for each in parts.iterdir()}
    command = ["export", "--site", str(site), "--filter", "category=bed", *shop.options, "--catalog", "shop"]
    done = subprocess.run([sys.executable, "-c", KILLED, *command], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (site / "index.html").read_bytes() == page
    assert {each.name: each.read_bytes() for each in parts.iterdir()} == before
    assert len(pictures_of(site)) == len(GOODS) - 1
    assert shop.ask("export", "--site", str(site), "--filter", "category=bed").code == 0
    assert len(items_of(site)) == len(pictures_of(site)) == 2
    assert len(list(site.glob("parts-*"))) == 1


def test_a_source_that_is_not_here_gives_placeholders(shop: Shop, tmp_path: Path) -> None:
    here, away = shop.root, shop.root.with_name("away")
    here.rename(away)
    try:
        reply = shop.ask("export", "--site", str(tmp_path / "site"))
    finally:
        away.rename(here)
    assert reply.code == 3
    assert f"{len(GOODS)} of {len(GOODS)} items have a placeholder" in reply.err
    assert "no picture of twin-a.png: not on this machine, or deleted" in reply.err
    assert pictures_of(tmp_path / "site") == {}


def test_a_folder_of_others_is_refused(shop: Shop, tmp_path: Path) -> None:
    shutil.copytree(shop.root, tmp_path / "own")
    reply = shop.ask("export", "--site", str(tmp_path / "own"))
    assert reply.code == 2
    assert "is not empty, and no site of recq" in reply.err
    assert (tmp_path / "own" / WAITING).exists()
