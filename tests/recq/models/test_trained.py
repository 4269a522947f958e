"""Networks that were trained here: found by name and weights, exported as one file, imported once it is whole."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ingest.cli.main import app
from recq.errors import ModelUnavailable, UsageError
from recq.models import ModelOptions, describe_space, describe_variant, open_embedder
from recq.models.export import Export
from recq.models.trained import (
    TrainedNetwork,
    described,
    export_trained,
    find_trained,
    import_trained,
    store_trained,
    trained_networks,
)
from recq.models.weights import Network, exported
from recq.models.zoo import network_of
from recq.settings import Settings
from recq.space import EmbeddingSpace

GENRES = TrainedNetwork(
    name="genres", field="genre", labels=("Comedy", "Drama"), several=True, size=32, resize="stretch",
    layer="embedding", weights="0123456789abcdef", base=None, made_at="2026-01-01T00:00:00+00:00",
)  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")


def saved(path: Path, content: str = "weights") -> Path:
    """What Keras writes, as far as it matters: nothing here opens it."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", content)
    return path


def stored(settings: Settings, tmp_path: Path, network: TrainedNetwork = GENRES, content: str = "weights") -> Path:
    return store_trained(network, saved(tmp_path / "saved.keras", content), settings)


def command(settings: Settings, *words: str) -> Any:
    return CliRunner().invoke(app, ["models", *words, "--data-dir", str(settings.data_dir)])


def own(settings: Settings) -> list[tuple[str, str]]:
    """Name and weights of the networks that are listed as trained here or taken over."""
    listed = json.loads(command(settings, "--json").stdout)
    return [(each["name"], each["fingerprint"]) for each in listed if each["kind"] == "own"]


def rewritten(file: Path, changes: dict[str, bytes | None]) -> Path:
    """The archive with other members; None takes one away."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in {**members, **changes}.items():
            if data is not None:
                archive.writestr(name, data)
    return file


def test_from_one_machine_to_another(settings: Settings, tmp_path: Path) -> None:
    stored(settings, tmp_path)
    file = tmp_path / "out" / "genres.keras"
    file.parent.mkdir()
    done = command(settings, "export", "genres", str(file))
    assert done.exit_code == 0, done.output
    assert zipfile.ZipFile(file).read("model.weights.h5") == b"weights"
    assert isinstance(command(settings, "export", "genres", str(file)).exception, UsageError), "nothing is overwritten"

    elsewhere = settings.model_copy(update={"data_dir": tmp_path / "elsewhere"})
    assert list(trained_networks(elsewhere)) == []
    done = command(elsewhere, "import", str(file))
    assert done.stdout.startswith("trained:genres [0123456789abcdef]: genre, 2 labels, 32 px stretch, from scratch")
    ((network, path),) = trained_networks(elsewhere)
    assert network == GENRES
    assert path.read_bytes() == file.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    assert command(elsewhere, "import", str(file)).exit_code == 0, "once more changes nothing"
    assert own(elsewhere) == [("trained:genres", GENRES.weights)]


def test_an_earlier_network_of_a_name_stays(settings: Settings, tmp_path: Path) -> None:
    """A catalog may have been made with it: it is asked for by its weights."""
    stored(settings, tmp_path)
    later = replace(GENRES, weights="f" * 16, made_at="2026-02-01T00:00:00+00:00")
    stored(settings, tmp_path, later, "others")
    assert find_trained("trained:genres", settings)[0] == later
    assert find_trained("trained:genres", settings, GENRES.weights)[0] == GENRES
    assert own(settings) == [("trained:genres", "f" * 16), ("trained:genres", GENRES.weights)]
    assert export_trained("trained:genres", tmp_path / "newest.keras", settings) == later


@pytest.fixture
def described_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports without a network: nothing here computes a vector, and TensorFlow is not needed."""

    def export(wanted: Export, folder: Path) -> Network:
        assert wanted.source is not None
        network = described(wanted.source)
        whole = zipfile.ZipFile(wanted.source).read("model.weights.h5") != b"exchanged"
        folder.mkdir()
        manifest = {
            "name": wanted.name, "weights": (network.weights if whole else "0" * 16) + "0" * 48,
            "layer": wanted.layer, "size": network.size, "side": None, "channels": 128, "preprocessing": "rgb",
            "pooling": "none",
        }  # fmt: skip
        (folder / "manifest.json").write_text(json.dumps(manifest))
        found = exported(folder)
        assert found is not None
        return found

    monkeypatch.setattr("recq.models.export._export", export)


@pytest.mark.usefixtures("described_only")
def test_a_catalog_keeps_its_network_until_it_is_rebuilt(settings: Settings, tmp_path: Path) -> None:
    path = stored(settings, tmp_path)
    before = describe_space("trained:genres", settings)
    assert (before.model, before.weights, before.resize, before.dim) == (GENRES.model, GENRES.weights, "stretch", 128)
    assert describe_space(ModelOptions("trained:genres", layer="penultimate"), settings) == before
    assert describe_space(ModelOptions("trained:genres", resize="pad"), settings).resize == "pad"
    stored(settings, tmp_path, replace(GENRES, weights="f" * 16, made_at="2026-02-01T00:00:00+00:00"), "others")
    assert describe_variant(before, ModelOptions(), settings) == before
    assert network_of(before, settings).weights.startswith(GENRES.weights)
    anew = settings.model_copy(update={"cache_dir": tmp_path / "anew"})
    assert network_of(before, anew).weights.startswith(GENRES.weights), "of the file, not of the cache alone"
    after = describe_variant(before, ModelOptions("trained:genres"), settings)
    assert after == replace(before, weights="f" * 16)

    with pytest.raises(ModelUnavailable, match="gives its embedding: leave out --layer, or open another layer with"):
        describe_space(ModelOptions("trained:genres", layer="predictions"), settings)
    path.unlink()
    rewritten(next(path.parent.glob("*.keras")), {"model.weights.h5": b"exchanged"})
    with pytest.raises(ModelUnavailable, match="its weights are not those that were trained"):
        describe_space("trained:genres", anew)


def test_who_lacks_a_network_is_told_how_it_gets_here(settings: Settings, tmp_path: Path) -> None:
    """And never answers in another space, also where a network of that name is here."""
    space = EmbeddingSpace(
        model="trained:genres", weights="a" * 16, layer="embedding", pooling="none", size=32, resize="stretch",
        preprocessing="rgb", precision="f32", dim=128,
    )  # fmt: skip
    for _ in range(2):
        with pytest.raises(ModelUnavailable) as caught:
            open_embedder(space, settings)
        told = str(caught.value)
        assert told.startswith("trained:genres with the weights aaaaaaaaaaaaaaaa is not on this machine: ")
        assert "'recq-ingest models export genres genres.keras' where it was trained" in told
        assert "'recq-ingest models import genres.keras'" in told
        assert "\n" not in told
        stored(settings, tmp_path)
    with pytest.raises(ModelUnavailable, match=r"no network trained:genre .*did you mean trained:genres"):
        describe_space("trained:genre", settings)
    with pytest.raises(ModelUnavailable, match="unknown model 'genres': did you mean trained:genres"):
        describe_space("genres", settings)


def changed(**values: Any) -> dict[str, bytes | None]:
    told = {"format": 1, **GENRES.to_json(), "parts": {}, **values}
    return {"recq.json": json.dumps(told).encode()}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model.weights.h5": b"weight5"}, "is damaged, or was changed: model.weights.h5 is not what was trained"),
        ({"config.json": b"{ }"}, "is damaged, or was changed: config.json is not what was trained"),
        ({"config.json": None}, "is damaged: it has 0 times config.json"),
        ({"recq.json": None}, "is no network that recq trained and exported"),
        ({"recq.json": b"[1]"}, "is no network that recq trained and exported"),
        ({"recq.json": b"9" * 2_000_000}, "is no network that recq trained and exported"),
        (changed(name="../../etc"), "is no network that recq trained and exported"),
        (changed(weights="../../../0123456"), "is no network that recq trained and exported"),
        (changed(size="32"), "is no network that recq trained and exported"),
        (changed(labels=[1]), "is no network that recq trained and exported"),
        (changed(format=2), "was made by a newer recq"),
        (changed(), "is damaged, or was changed"),
    ],
)
def test_what_is_not_whole_is_not_taken_over(
    settings: Settings, tmp_path: Path, changes: dict[str, bytes | None], said: str
) -> None:
    file = Path(shutil.copy(stored(settings, tmp_path), tmp_path / "given.keras"))
    elsewhere = settings.model_copy(update={"data_dir": tmp_path / "elsewhere"})
    with pytest.raises(ModelUnavailable) as caught:
        import_trained(rewritten(file, changes), elsewhere)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not elsewhere.data_dir.exists()


def test_any_other_file_is_refused(settings: Settings, tmp_path: Path) -> None:
    text, torn = tmp_path / "text.keras", tmp_path / "torn.keras"
    text.write_text("no archive")
    whole = stored(settings, tmp_path).read_bytes()
    torn.write_bytes(whole[: len(whole) // 2])
    for path in (text, torn, tmp_path / "gone.keras", tmp_path):
        with pytest.raises(ModelUnavailable) as caught:
            import_trained(path, settings)
        assert str(path) in str(caught.value)
    assert [network.name for network, _ in trained_networks(settings)] == ["genres"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["export", "genres"], "Missing argument 'FILE'"),
        (["import"], "Missing argument 'FILE'"),
        (["import", "a", "b"], "unexpected extra argument"),
        (["export", "other", "x.keras"], "no network trained:other was trained or taken over here"),
    ],
)
def test_command_lines_that_are_refused(settings: Settings, words: list[str], said: str) -> None:
    done = command(settings, *words)
    assert done.exit_code != 0
    assert said in f"{done.exception} {done.output}"
