"""A catalog goes into a file and comes back on any engine, item for item and number for number; damage is told."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recq.index.catalog import Catalog
from recq.index.connect import connect
from recq.index.points import ItemVector
from recq.search.session import Session, opened
from recq.settings import Settings
from tests.query.conftest import CATALOG, GOODS, Reply, Shop

Ask = Callable[..., Reply]


def everything(options: list[str], catalog: str) -> tuple[dict[str, ItemVector], dict[str, Any], dict[str, Any]]:
    """Items by id, where the sources are, and the types of fields."""
    place = {"url": options[1]} if options[0] == "--url" else {"data_dir": Path(options[1])}
    with opened(Settings.load(catalog=catalog, **place)) as found:
        sources = {name: source.place_json() for name, source in found.sources.all().items()}
        return {entry.item.id: entry for entry in found.items.entries()}, sources, dict(found.fields.types())


def require_equal(one: dict[str, ItemVector], other: dict[str, ItemVector]) -> None:
    assert one.keys() == other.keys()
    for id_, entry in one.items():
        assert other[id_].item == entry.item
        if entry.vector is None:
            assert other[id_].vector is None
        else:
            np.testing.assert_array_equal(other[id_].vector, entry.vector)


@pytest.fixture(scope="module")
def exported(embedded_options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop as JSON lines."""
    from recq.transfer.transfer import export_catalog

    path = tmp_path_factory.mktemp("exported") / "shop.jsonl"
    export_catalog(Session(Settings.load(catalog=CATALOG, data_dir=Path(embedded_options[1]))), path)
    return path


def test_a_catalog_comes_back_as_it_was(any_shop: Shop, ask: Ask, tmp_path: Path) -> None:
    file, there = tmp_path / "shop.jsonl", ["--data-dir", str(tmp_path / "data")]
    reply = any_shop.ask("export", str(file))
    assert (reply.code, reply.out) == (0, b"")
    assert f"{len(GOODS) + 1} items (1 of them failed) of catalog shop written to {file}" in reply.err
    reply = ask(["import", str(file), *there, "--catalog", "copy"])
    assert (reply.code, reply.err) == (
        0,
        f"recq: {len(GOODS) + 1} items (1 of them failed) imported into catalog copy\n",
    )
    items, sources, types = everything(any_shop.options, CATALOG)
    copies, copied_sources, copied_types = everything(there, "copy")
    require_equal(items, copies)
    assert (copied_sources, copied_types) == (sources, types)
    arguments = ["similar", "sofas/one.png", "--filter", "price<=100", "--format", "csv"]
    assert ask([*arguments, *there, "--catalog", "copy"]).out == any_shop.ask(*arguments).out


def test_parquet_comes_back_as_it_was_and_again(shop: Shop, ask: Ask, tmp_path: Path) -> None:
    file, there = tmp_path / "shop.parquet", ["--data-dir", str(tmp_path / "data"), "--catalog", "copy"]
    assert shop.ask("export", str(file)).code == 0
    for _ in range(2):
        assert ask(["import", str(file), *there]).code == 0
        require_equal(everything(shop.options, CATALOG)[0], everything(there[:2], "copy")[0])


def test_a_pipe_carries_a_catalog(shop: Shop, ask: Ask, tmp_path: Path) -> None:
    there = ["--data-dir", str(tmp_path), "--catalog", "copy"]
    out = shop.ask("export", "-").out
    assert ask(["import", "-", *there], out).code == 0
    require_equal(everything(shop.options, CATALOG)[0], everything(there[:2], "copy")[0])


def test_filters_choose_what_is_exported(shop: Shop, tmp_path: Path) -> None:
    reply = shop.ask("export", str(tmp_path / "sofas"), "--filter", "category=sofa")
    assert reply.code == 0
    head, *lines, end = (tmp_path / "sofas").read_text().splitlines()
    assert json.loads(head)["recq"]["items"] == 2
    assert {json.loads(line)["payload"]["file"]["path"] for line in lines} == {"sofas/one.png", "sofas/two.png"}
    assert json.loads(end) == {"recq_end": 2}


def test_parquet_is_a_table_for_other_programs(shop: Shop, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    shop.ask("export", str(tmp_path / "shop.parquet"))
    table = pq.read_table(tmp_path / "shop.parquet")
    assert table.column_names == ["id", "source", "path", "payload", "vector"]
    assert str(table.schema.field("vector").type) == "fixed_size_list<element: float>[1280]"
    row = next(row for row in table.to_pylist() if row["path"] == "sofas/one.png")
    assert json.loads(row["payload"])["category"] == "sofa"
    assert json.loads(table.schema.metadata[b"recq"])["space"]["model"] == "efficientnet_lite2"


def test_without_pyarrow_parquet_says_what_to_install(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    reply = shop.ask("export", str(tmp_path / "shop.parquet"))
    assert reply.code == 2
    assert "pip install 'recq[parquet]', or use --format jsonl" in reply.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["out.xlsx", "out.csv", "out.json", "out.jsonl.gz", "out.PARQUETT", "shop.2026", "o.db"]
)
def test_an_ending_of_another_format_is_refused_with_those_that_there_are(
    shop: Shop, tmp_path: Path, name: str
) -> None:
    reply = shop.ask("export", str(tmp_path / name))
    assert (reply.code, reply.out) == (2, b"")
    for known in (".jsonl", ".ndjson", ".parquet", ".pq", "--format jsonl or parquet", Path(name).suffix):
        assert known in reply.err
    assert list(tmp_path.iterdir()) == []
    assert shop.ask("export", str(tmp_path / name), "--format", "jsonl").code == 0


@pytest.mark.parametrize("name", ["out.jsonl", "out.NDJSON", "out", "-"])
def test_endings_of_json_lines(shop: Shop, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    reply = shop.ask("export", name)
    assert reply.code == 0
    written = reply.out if name == "-" else (tmp_path / name).read_bytes()
    assert "recq" in json.loads(written.splitlines()[0])


def test_an_import_leaves_out_the_fields_that_no_index_takes(exported: Path, ask: Ask, tmp_path: Path) -> None:
    lines = exported.read_bytes().splitlines(keepends=True)
    head, item = json.loads(lines[0]), json.loads(lines[1])
    head["recq"]["types"]["a\\b"] = "string"
    item["payload"] |= {"a\\b": "x", "deep": [[1]], "fine": 5}
    file = tmp_path / "edited.jsonl"
    file.write_bytes(b"".join([json.dumps(head).encode() + b"\n", json.dumps(item).encode() + b"\n", *lines[2:]]))
    reply = ask(["import", str(file), "--data-dir", str(tmp_path / "data")])
    assert reply.code == 0, reply.err
    with connect(Settings(data_dir=tmp_path / "data")) as client:
        catalog = Catalog.open(client, "images")
        read = catalog.lookups.get(item["id"])
    assert read is not None
    assert read.metadata["fine"] == 5
    assert not {"a\\b", "deep"} & read.metadata.keys()
    assert [problem.field for problem in read.problems] == ["a\\b", "deep"]
    assert read.problems[1].detail == f"{file}: line 2: field 'deep' is a list of lists; the picture is without it"


def damaged(lines: list[bytes]) -> dict[str, tuple[list[bytes], str]]:
    """What may have become of an export's lines, and what is said of it."""
    head = json.loads(lines[0])
    item = json.loads(lines[1])
    head["recq"]["space"]["size"] = 1
    newer = json.loads(lines[0])
    newer["recq"]["version"] = 99

    def line(document: Any) -> bytes:
        return json.dumps(document).encode() + b"\n"

    return {
        "empty": ([], "is no export of recq"),
        "other": ([b'{"a": 1}\n'], "is no export of recq"),
        "newer": ([line(newer), *lines[1:]], "newer recq: update recq"),
        "space": ([line(head), *lines[1:]], "the fingerprint is not that of its embedding space"),
        "cut": ([*lines[:2], lines[2][:100]], "line 3 is no item: it is cut (0 items before it were imported)"),
        "fewer": ([*lines[:3], lines[-1]], "has 2 items, its last line counts 8: export it again"),
        "short": (lines[:3], "ends early, after 2 items: export it again"),
        "id": ([lines[0], line({**item, "id": "0" * 36}), *lines[2:]], "line 2 has the id 0000"),
        "length": ([lines[0], line({**item, "vector": [1.0]}), *lines[2:]], "line 2 has a vector of another length"),
        "payload": ([lines[0], line({**item, "payload": {"file": {}}}), *lines[2:]], "line 2 has no payload of recq's"),
        "text": (
            [lines[0], line({**item, "vector": "abc"}), *lines[2:]],
            "line 2 has no payload of recq's, or no vector",
        ),
        "none": ([lines[0], line({**item, "vector": None}), *lines[2:]], "line 2 has neither a vector nor a failure"),
        "zeros": ([lines[0], line({**item, "vector": [0.0] * 1280}), *lines[2:]], "a vector that cannot be stored"),
    }


@pytest.mark.parametrize(
    "damage",
    ["empty", "other", "newer", "space", "cut", "fewer", "short", "id", "length", "payload", "text", "none", "zeros"],
)
def test_a_damaged_export_is_told_in_one_line(exported: Path, ask: Ask, tmp_path: Path, damage: str) -> None:
    lines = [line for line in exported.read_bytes().splitlines(keepends=True) if b'"error"' not in line]
    lines[-1] = b'{"recq_end": %d}\n' % (len(lines) - 2)
    made, said = damaged(lines)[damage]
    file = tmp_path / "damaged.jsonl"
    file.write_bytes(b"".join(made))
    reply = ask(["import", str(file), "--data-dir", str(tmp_path / "data")])
    assert reply.code == 2
    assert reply.err.startswith(f"recq: {file}")
    assert said in reply.err
    assert reply.err.count("\n") == 1


def test_a_cut_parquet_file_is_told(shop: Shop, ask: Ask, tmp_path: Path) -> None:
    file = tmp_path / "shop.parquet"
    shop.ask("export", str(file))
    file.write_bytes(file.read_bytes()[:-20])
    reply = ask(["import", str(file), "--data-dir", str(tmp_path / "data")])
    assert reply.code == 2
    assert "is no whole Parquet file" in reply.err


def test_an_export_of_another_space_is_refused(exported: Path, ask: Ask, shop: Shop, tmp_path: Path) -> None:
    from recq.index.catalog import Catalog
    from recq.index.connect import own_folder
    from recq.models import describe_space

    settings = Settings(data_dir=tmp_path)
    with own_folder(settings) as owned:
        Catalog.create(owned.client, "images", describe_space("mobilenet_v2", settings))
    reply = ask(["import", str(exported), "--data-dir", str(tmp_path)])
    assert reply.code == 5
    assert "mobilenet_v2" in reply.err
    assert "efficientnet_lite2" in reply.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["export", "nowhere/shop.jsonl"], "there is no folder nowhere"),
        (["export", "-", "--format", "parquet"], "Parquet cannot be written to a pipe"),
        (["export", "shop.jsonl", "--filter", "colour=red"], "colour"),
        (["import", "nowhere.jsonl"], "nowhere.jsonl cannot be read: No such file"),
        (["import", "/dev/zero"], "/dev/zero is no export of recq"),
    ],
)
def test_what_cannot_be_done_is_told_first(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    reply = shop.ask(*arguments)
    assert reply.code == 2
    assert said in reply.err
    assert reply.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["export"], ["export", "--format", "parquet"]])
def test_an_export_into_a_pipe_by_its_name_is_refused_with_the_way_out(
    shop: Shop, tmp_path: Path, arguments: list[str]
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reply = shop.ask(*arguments, str(pipe))
    assert (reply.code, reply.out) == (2, b"")
    assert reply.err == f"recq: the export {pipe} is no regular file: name another, or - for standard output\n"
    assert pipe.is_fifo()


@pytest.mark.parametrize("arguments", [["caf\udce9.jsonl"], ["--site", "caf\udce9"]])
def test_what_was_written_is_json_whatever_its_name(
    shop: Shop, tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    document = json.loads(shop.ask("export", *arguments, "--json").out.decode("utf-8", "strict"))
    name = arguments[-1]
    assert os.path.lexists(name)
    assert document["site" if "--site" in arguments else "file"] == name.replace("\udce9", "%E9")


def test_an_import_of_many_fields_ends_with_all_their_indexes(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Items come first, and nobody says that a daemon will ever come to make the indexes."""
    from recq.transfer.transfer import import_catalog

    monkeypatch.setattr("recq.index.pending_fields.AT_ONCE", 1)
    settings = Settings.load(catalog="many", data_dir=tmp_path / "data")
    steps: list[tuple[str, int, int]] = []
    import_catalog(settings, exported, lambda what, done, of: steps.append((what, done, of)))
    stages = list(dict.fromkeys(what for what, _, _ in steps))
    assert stages == ["importing", "making indexes"]
    indexes = [(done, of) for what, done, of in steps if what == "making indexes"]
    assert indexes == [(made, len(indexes)) for made in range(len(indexes))]
    with opened(settings) as catalog:
        assert not catalog.fields.waiting(refresh=True).types
        for field in catalog.fields.types():
            assert catalog.values.facets(field).total
