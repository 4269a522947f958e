"""`recq-ingest models`: what is listed, with and without an index, and speeds that are measured once and kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest.cli.main import app
from recq.cli_errors import run
from recq.index.candidates import Candidate
from recq.index.catalog import Catalog
from recq.index.connect import own_folder, server_client
from recq.index.edge import LoopbackServer
from recq.models import ModelOptions, describe_space
from recq.models.heads import Classifier, Linear
from recq.models.inventory import local_networks
from recq.models.speed import Speeds, processor_name
from recq.settings import Settings
from recq.space import EmbeddingSpace
from tests.ingest.documented import validated

PIXELS = "pixels:8"
QUALITY = {end: {"map": {"mean": mean, "low": mean, "high": mean}} for end, mean in (("before", 0.5), ("after", 0.75))}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RECQ_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def ask(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capfd.readouterr()
    code = run(app, "recq-ingest", ["models", *arguments])
    out, err = capfd.readouterr()
    return code, out, err


def listed(capfd: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    code, out, err = ask(capfd, *arguments, "--json")
    assert code == 0, err
    found: list[dict[str, Any]] = validated("models", json.loads(out))
    return found


def candidate(name: str, space: EmbeddingSpace, from_: str) -> Candidate:
    head = Linear(np.zeros((space.dim, 2), np.float32), np.zeros(space.dim, np.float32))
    classes = Classifier(("bed",), np.zeros((1, space.dim), np.float32), np.zeros(1, np.float32))
    return Candidate(name, "category", head, classes, from_, "2026-11-27T00:00:00Z", quality=QUALITY)


def stock(client: Any) -> None:
    """Catalogs of a shipped network at another size, of raw pixels, and of a network that is on no machine."""
    settings = Settings()
    shipped = describe_space(ModelOptions("mobilenet_v2", size=96, pooling="max"), settings)
    catalog = Catalog.create(client, "phone", shipped)
    catalog.candidates.write(candidate("kinds", shipped, shipped.fingerprint))
    catalog.candidates.write(candidate("old", shipped, "0123456789ab"))
    Catalog.create(client, "raw", describe_space(PIXELS, settings))
    elsewhere = replace(shipped, model="keras:ResNet50", weights="f" * 16, precision="f32")
    Catalog.create(client, "far", elsewhere)
    Catalog.create(client, "farther", elsewhere)


@contextmanager
def stocked(engine: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[list[str]]:
    if engine == "server":
        url = request.getfixturevalue("qdrant_server").url
        client = server_client(Settings(url=url))
        before = {collection.name for collection in client.get_collections().collections}
        stock(client)
        try:
            yield ["--url", url]
        finally:
            for collection in client.get_collections().collections:
                if collection.name not in before:
                    client.delete_collection(collection.name)
            client.close()
        return
    with own_folder(Settings(data_dir=folder)) as owned:
        stock(owned.client)
        if engine == "beside a daemon":
            with LoopbackServer(folder, owned.engine):
                yield ["--data-dir", str(folder)]
            return
    yield ["--data-dir", str(folder)]


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("engine", ["embedded", "beside a daemon", pytest.param("server", marks=pytest.mark.server)])
def test_networks_catalogs_and_trained_spaces(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]
) -> None:
    with stocked(engine, tmp_path / "data", request) as reached:
        found = [each for each in listed(capfd, *reached) if each["kind"] == "shipped" or set(each["catalogs"])]
        by_name = {(each["name"], each["precision"]): each for each in found}
        code, table, _ = ask(capfd, *reached)
    assert code == 0
    used = {name: each["catalogs"] for name, each in by_name.items() if each["kind"] != "trained"}
    assert used == {
        ("efficientnet_lite2", "int8"): [],
        ("efficientnet_lite2", "f32"): [],
        ("mobilenet_v2", "int8"): ["phone"],
        ("mobilenet_v2", "f32"): [],
        (PIXELS, "f32"): ["raw"],
        ("keras:ResNet50", "f32"): ["far", "farther"],
    }
    assert [by_name[each, "f32"]["kind"] for each in (PIXELS, "keras:ResNet50")] == ["built-in", "missing"]
    kinds, old = by_name["phone@kinds", None], by_name["phone@old", None]
    assert (kinds["numbers"], kinds["quality"], kinds["problem"]) == (2, QUALITY, None)
    assert old["problem"] == "learned from vectors of [0123456789ab]: train it again"
    assert kinds["bytes"] > 1000
    lines = table.splitlines()
    assert len(lines) == 1 + len(found)
    assert any(line.split()[0] == "phone@kinds" and "50.0 -> 75.0" in line for line in lines)


def test_without_an_index_the_networks_are_listed(
    cache: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, err = ask(capfd, "--data-dir", str(tmp_path / "none"))
    assert code == 0
    assert len(out.splitlines()) == 5
    assert "recq-ingest: without the catalogs: there is no index in" in err
    assert "not every network was measured on this machine" in err
    assert not (tmp_path / "none").exists()
    assert not cache.exists(), "nothing was measured"


def test_an_index_that_does_not_answer_is_no_error(
    cache: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECQ_CONNECT_TIMEOUT", "0.2")
    code, out, err = ask(capfd, "--url", "http://127.0.0.1:1", "--json")
    assert code == 0
    assert [each["catalogs"] for each in validated("models", json.loads(out))] == [[]] * 4
    assert "without the catalogs: " in err
    assert not cache.exists()


def test_exports_in_the_cache_are_listed(cache: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = cache / "models" / "ResNet50-64-imagenet"
    folder.mkdir(parents=True)
    manifest = {
        "name": "keras:ResNet50", "weights": "a" * 64, "layer": "conv5", "size": 64, "side": 2, "channels": 2048,
        "preprocessing": "rgb", "pooling": "gem",
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for name, size in (("model.xml", 10), ("model.bin", 200), ("model.keras", 3000)):
        (folder / name).write_bytes(b"x" * size)
    *_, found = listed(capfd, "--data-dir", str(tmp_path / "none"))
    assert {name: found[name] for name in ("name", "kind", "numbers", "size", "bytes", "speed")} == {
        "name": "keras:ResNet50", "kind": "cached", "numbers": 2048, "size": 64, "bytes": 3210, "speed": None
    }  # fmt: skip


def test_a_speed_is_measured_once_and_belongs_to_the_processor(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recq.models.speed.SECONDS", 0.05)
    settings = Settings(cache_dir=cache)
    space = describe_space(PIXELS, settings)
    speeds = Speeds(settings)
    assert speeds.kept(space) is None
    measured = speeds.measure(space)
    assert measured > 0
    assert Speeds(settings).kept(space) == pytest.approx(measured, abs=0.1)
    assert Speeds(settings, processor="another").kept(space) is None
    assert Speeds(settings.model_copy(update={"runtime": "openvino"})).kept(space) is None
    assert Speeds(settings).kept(replace(space, size=9)) is None
    Speeds(settings, processor="another").measure(space)
    assert Speeds(settings).kept(space) == pytest.approx(measured, abs=0.1), "the other's was added"
    assert [path.name for path in cache.iterdir()] == ["speed.json"]
    (cache / "speed.json").write_text("[1, 2")
    assert Speeds(settings).kept(space) is None
    assert speeds.measure(space) > 0, "what cannot be read is written anew"


def test_measuring_shows_the_speeds_and_says_which_network_failed(
    cache: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recq.models.speed.SECONDS", 0.01)
    monkeypatch.setenv("RECQ_RUNTIME", "openvino")
    names = {each.network.name for each in local_networks(Settings(cache_dir=cache))}
    monkeypatch.setattr(
        "ingest.service.models.local_networks",
        lambda settings: (
            each
            if each.network.name == "mobilenet_v2"
            else replace(each, network=replace(each.network, precision="f16"))
            for each in local_networks(settings)
            if each.network.precision == "int8"
        ),
    )
    assert names == {"efficientnet_lite2", "mobilenet_v2"}
    code, out, err = ask(capfd, "--data-dir", str(tmp_path / "none"), "--measure", "--json")
    assert code == 0
    broken, measured = validated("models", json.loads(out))
    assert (broken["speed"], measured["problem"]) == (None, None)
    assert measured["speed"] > 0
    assert broken["problem"] is not None
    assert f"recq-ingest: efficientnet_lite2: {broken['problem']}" in err
    assert "was measured" not in err
    kept = listed(capfd, "--data-dir", str(tmp_path / "none"))
    assert kept[1]["speed"] == measured["speed"]


def test_the_processor_has_a_name() -> None:
    assert processor_name() == processor_name() != ""


def test_a_command_that_the_group_has_not(capfd: pytest.CaptureFixture[str]) -> None:
    code, _, err = ask(capfd, "lisst")
    assert code == 2
    assert "there is no command 'lisst' (see 'recq-ingest models --help')" in err
