"""`recq labels audit` and `labels suggest` as people call them: tables, formats, patches, pictures, refusals."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import recq
from ingest.source.table import read_tables, sheet
from recq.index.catalog import Catalog
from recq.index.connect import own_folder
from recq.index.field_types import FieldType
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item
from recq.settings import Settings
from recq.space import EmbeddingSpace
from tests.query.conftest import Reply, picture
from tests.recq.learn.drawn import DIM, drawn

Ask = Callable[..., Reply]

SPACE = EmbeddingSpace(
    model="test", weights="0", layer="top", pooling="mean", size=8, resize="pad",
    preprocessing="none", precision="f32", dim=DIM,
)  # fmt: skip
PLANTED = range(10, 150, 25)  # items that have another label than their own
WITHOUT = range(0, 150, 6)  # items without a label
ODD = "=odd, name\n\r.png"
TWO = ("--filter", "file.source=shop")


def kind(n: int) -> str:
    """The right label."""
    return f"class {n // 30}"


def name(n: int) -> str:
    return ODD if n == 10 else f"{n:04}.png"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five classes with planted mistakes in `kind`, `both` and `genres`, in two sources."""
    made = tmp_path_factory.mktemp("labels")
    examples = drawn(5, 30, noise=0.5)
    entries = []
    for n, vector in enumerate(examples.vectors):
        said = f"class {(n // 30 + 2) % 5}" if n in PLANTED else kind(n)
        half = f"half {n // 30 % 2}"
        metadata: dict[str, Any] = {"always": "same", "number": n % 7, "full": kind(n)}
        if n not in WITHOUT:
            lists = [said] if n in PLANTED else [said, half]
            metadata |= {"kind": said, "both": lists, "genres": ", ".join(lists), "rare": f"r{n // 4}"}
        source = "other" if n % 10 == 4 else "shop"
        facts = FileFacts(source, name(n), 1, 1, f"{n:064}", "PNG", 8, 8)
        entries.append(ItemVector(Item(facts, metadata), vector))
        picture(made / source / name(n), (n, 255 - n, 90))
    with own_folder(Settings(data_dir=made / "data")) as owned:
        catalog = Catalog.create(owned.client, "images", SPACE)
        for source in ("shop", "other"):
            catalog.sources.register(made / source, source)
        catalog.writes.upsert(entries)
    return made


@pytest.fixture
def labels(folder: Path, ask: Ask) -> Ask:
    """`recq labels` on that catalog."""
    return lambda *words: ask(["labels", *words, "--data-dir", str(folder / "data")], None)


def test_the_table_of_an_audit(labels: Ask) -> None:
    done = labels("audit", "kind", "--limit", "4")
    assert (done.code, done.lines[0].split()) == (0, ["#", "file", "kind", "proposed", "%"])
    assert len(done.lines) == 5
    assert "likely mistakes in the kind of 125 items, the 4 most certain are shown" in done.err
    rows = labels("audit", "kind", "--limit", "4", "--filter", "file.source=shop", "--format", "jsonl").lines
    found = [json.loads(row) for row in rows]
    assert {each["name"] for each in found} <= {name(n) for n in PLANTED}
    for each in found:
        n = 10 if each["name"] == ODD else int(each["name"][:4])
        assert (each["now"], each["remove"], each["add"]) == ([f"class {(n // 30 + 2) % 5}"], each["now"], [kind(n)])
        assert each["certainty"] > 0.5


def test_every_format_has_the_same_findings(labels: Ask, folder: Path) -> None:
    asked = ("audit", "kind", "--limit", "3")
    document = json.loads(labels(*asked, "--format", "json").out)
    assert set(document) == {"field", "several_labels", "items", "unjudged", "total", "findings", "took_ms"}
    assert [json.loads(line) for line in _jsonl(labels(*asked, "--format", "jsonl"))] == document["findings"]
    rows = list(csv.DictReader(io.StringIO(labels(*asked, "--format", "csv").text)))
    assert [list(row) for row in rows] == [list(each) for each in document["findings"]]
    assert [row["path"] for row in rows] == [each["path"] for each in document["findings"]]
    assert [row["add"] for row in rows] == [each["add"][0] for each in document["findings"]]
    paths = labels(*asked, "--format", "paths").text
    assert paths == "".join(each["path"] + "\n" for each in document["findings"])
    assert str(folder) in paths
    ended = labels(*asked, "--format", "paths", "-0").text
    assert ended == "".join(each["path"] + "\0" for each in document["findings"])


def _jsonl(done: Reply) -> list[str]:
    return [line for line in done.text.split("\n") if line]


def test_a_patch_is_read_by_the_daemon(labels: Ask, tmp_path: Path) -> None:
    patch = tmp_path / "metadata.audit.csv"
    done = labels("audit", "kind", "--limit", "5", *TWO, "--patch", str(patch), "--format", "json")
    found = json.loads(done.out)["findings"]
    assert f"5 rows for the source shop written to {patch}" in done.err
    (table,) = read_tables([sheet(patch.read_bytes(), "m.csv", patch=True)], {"kind": FieldType.STRING})
    assert table.rows == {each["name"]: {"kind": each["add"][0]} for each in found}
    assert ODD in table.rows
    assert list(table.rows) == [each["name"] for each in found], "most certain first"


@pytest.mark.parametrize(("field", "more"), [("both", ()), ("genres", ("--split", ","))])
def test_of_lists_a_label_is_missing_or_wrong(labels: Ask, tmp_path: Path, field: str, more: tuple[str, ...]) -> None:
    patch = tmp_path / "p.csv"
    done = labels("audit", field, *more, *TWO, "--limit", "60", "--patch", str(patch), "--format", "json")
    document = json.loads(done.out)
    assert document["several_labels"]
    by_name: dict[str, set[tuple[str, ...]]] = {}
    for each in document["findings"]:
        by_name.setdefault(each["name"], set()).add(
            (*(f"-{x}" for x in each["remove"]), *(f"+{x}" for x in each["add"]))
        )
    planted = [n for n in PLANTED if n not in WITHOUT]
    whole = [n for n in planted if {(f"-class {(n // 30 + 2) % 5}",), (f"+{kind(n)}",)} <= by_name.get(name(n), set())]
    assert len(whole) >= len(planted) - 1
    (table,) = read_tables([sheet(patch.read_bytes(), "m.csv", patch=True)], {field: FieldType.STRING})
    for n in whole:
        value = table.rows[name(n)][field]
        assert isinstance(value, list) == (field == "both")
        new = value if isinstance(value, list) else str(value).split(", ")
        assert kind(n) in new
        assert f"class {(n // 30 + 2) % 5}" not in new
    text = labels("audit", field, *more, *TWO, "--limit", "60").text
    assert f"-class {(whole[0] // 30 + 2) % 5}" in text
    assert f"+{kind(whole[0])}" in text


def test_suggestions(labels: Ask, tmp_path: Path) -> None:
    patch = tmp_path / "p.csv"
    done = labels("suggest", "kind", "--limit", "8", *TWO, "--patch", str(patch), "--format", "json")
    found = json.loads(done.out)["findings"]
    assert len({each["id"] for each in found}) == len(found) == 8
    assert {each["name"] for each in found} <= {name(n) for n in WITHOUT}
    assert "items without kind: the 8 to label first" in done.err
    (table,) = read_tables([sheet(patch.read_bytes(), "m.csv", patch=True)], {"kind": FieldType.STRING})
    assert table.rows == {each["name"]: {} if each["unknown"] else {"kind": each["add"][0]} for each in found}
    right = [each for each in found if each["add"] == [kind(int(each["name"][:4]))]]
    assert len(right) >= 4, "of the least certain ones"
    lists = json.loads(labels("suggest", "both", "--format", "json").out)["findings"]
    assert any(len(each["add"]) == 2 for each in lists)
    assert labels("suggest", "kind", "--limit", "3").lines[0].split() == ["#", "file", "proposed", "%"]


def test_a_patch_is_for_one_source(labels: Ask, tmp_path: Path) -> None:
    patch = tmp_path / "p.csv"
    done = labels("suggest", "kind", "--limit", "25", "--patch", str(patch))
    assert done.code == 2
    assert done.err.splitlines()[-1] == (
        "recq: a patch is for one source, and these items are of 2, other, shop: "
        "choose with --filter 'file.source=other'"
    )
    assert not patch.exists()


def test_the_pictures(labels: Ask, tmp_path: Path) -> None:
    page, sheet_ = tmp_path / "doubts.html", tmp_path / "doubts.png"
    assert labels("audit", "kind", "--limit", "3", *TWO, "--grid", str(page)).code == 0
    text = page.read_text("utf-8")
    assert "Likely mistakes in kind" in text
    assert text.count("<img ") == 3
    assert "% certain" in text
    assert labels("suggest", "kind", "--limit", "3", "--grid", str(sheet_)).code == 0
    assert sheet_.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["audit", "nothing"], "unknown field 'nothing'"),
        (["audit", "file.format"], "file.format is recq's own field"),
        (["audit", "always"], "there is only the value 'same' to learn from: at least 2 different labels are needed"),
        (["audit", "rare"], "classes have fewer than 5 items"),
        (["audit", "kind", "--filter", "no:kind"], "no embedded item has a kind"),
        (["suggest", "full"], "every embedded item has a full: there is nothing to suggest"),
        (["suggest", "kind", "--keep", "class 1"], "there is only the value 'class 1'"),
        (["audit", "kind", "--map", "missing.csv"], "--map missing.csv cannot be read"),
        (["audit", "kind", "--patch", "/nowhere/p.csv"], "--patch /nowhere/p.csv: there is no folder /nowhere"),
        (["audit", "kind", "--grid", "/nowhere/p.png"], "/nowhere"),
        (["audit", "kind", "-0"], "-0 ends paths, and --format table prints none: add --format paths"),
        (["suggest", "kind", "--format", "csv", "--null"], "-0 ends paths, and --format csv prints none"),
    ],
)
def test_refusals_are_one_line(labels: Ask, words: list[str], message: str) -> None:
    done = labels(*words)
    assert (done.code, done.out) == (2, b"")
    assert message in done.err
    assert done.err.count("\n") == 1


def test_without_scikit_learn(labels: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    done = labels("audit", "kind")
    assert (done.code, done.err) == (
        2, "recq: learning from labels needs the package scikit-learn: pip install 'recq[train]'\n"
    )  # fmt: skip


def test_no_mistake_is_an_answer_and_no_patch(labels: Ask, tmp_path: Path) -> None:
    patch = tmp_path / "p.csv"
    done = labels("audit", "full", "--keep", "class 0,class 1", "--filter", "file.name!=x", "--patch", str(patch))
    assert done.code == 0
    if not done.out:
        assert "no likely mistake in the full of 60 items" in done.err
        assert not patch.exists()


def test_numbers_stay_numbers(labels: Ask, folder: Path, tmp_path: Path) -> None:
    with recq.open("images", data_dir=folder / "data") as catalog:
        found = catalog.audit_labels("number", filters=["file.source=shop"], limit=4)
        assert len(found) == 4
        written = found.write_patch(tmp_path / "p.csv")
        assert (written.source, written.rows, written.left_out) == ("shop", 4, ())
        assert "proposed" in str(found)
        assert list(found.to_pandas()["rank"]) == [1, 2, 3, 4]
        assert "<img" in found._repr_html_()
    (table,) = read_tables(
        [sheet((tmp_path / "p.csv").read_bytes(), "m.csv", patch=True)], {"number": FieldType.INTEGER}
    )
    assert all(type(row["number"]) is int for row in table.rows.values())
    assert labels("audit", "number", "--limit", "1").code == 0
