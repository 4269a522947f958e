"""A trained space becomes the catalog's own (`rebuild --space`) and everything goes on: killed, resumed, new pictures,
questions, predictions."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import models

from ingest.service.outcome import Outcome
from ingest.service.session import switch
from recq.errors import IndexUnreachable, ModelUnavailable, SpaceMismatch, TargetError, UsageError
from recq.index.catalog import Catalog
from recq.index.connect import connect
from recq.index.sources import host_name
from recq.learn.predict import predict
from recq.learn.prediction import Prediction
from recq.models.embedder import open_embedder
from recq.search.explain import explain
from recq.search.many import FailedTarget
from recq.search.prepare import Preparer, Query
from recq.search.session import Session
from recq.search.target import ContentTarget, Given, Target
from recq.settings import Settings
from tests import forked
from tests.eventually import eventually
from tests.ingest.moving import BASE, CLASSES, NAME, PICTURES, SPACE, candidate
from tests.ingest.pictures import jpeg, put
from tests.ingest.running import STARTS_WITHIN, Place, environment
from tests.qdrant_server import QdrantServer


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog with labels, a failed item and a candidate."""
    folder = tmp_path_factory.mktemp("made")
    place = Place(folder / "shop", folder / "data")
    for number in range(PICTURES):
        put(place.root / f"{number}.jpg", number)
    rows = [f"{number}.jpg,{CLASSES[number % 3]}" for number in range(PICTURES)]
    (place.root / "metadata.csv").write_text("\n".join(["file,category", *rows]))
    (place.root / "broken.jpg").write_bytes(b"")
    done = place.command("run", str(place.root), "--once", "--model", BASE)
    assert done.returncode == 3, done.stderr
    with place.catalog() as catalog:
        catalog.candidates.write(candidate())
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Place:
    """A copy of it, in a folder of its own."""
    for part in ("shop", "data"):
        shutil.copytree(made / part, tmp_path / part)
    place = Place(tmp_path / "shop", tmp_path / "data")
    with place.catalog() as catalog:
        catalog.sources.write(catalog.sources.get("shop").with_root(host_name(), place.root))
    return place


def session(place: Place) -> Session:
    return Session(Settings(data_dir=place.data))


def switched(place: Place) -> subprocess.CompletedProcess[str]:
    done = place.command("rebuild", "--space", NAME, "--log-format", "json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{PICTURES} items: {PICTURES} indexed, 0 updated, 0 deleted, 1 failed")
    assert '"indexed"' not in done.stderr, "no picture is read"
    return done


KILLED = """
import os, signal
from recq.index.{module} import {owner}
from ingest.cli.main import main
before = {owner}.{method}
def killing(self, *arguments):
    {order}
{owner}.{method} = killing
main()
"""
AFTER = "before(self, *arguments); os.kill(os.getpid(), signal.SIGKILL)"
BEFORE = "os.kill(os.getpid(), signal.SIGKILL)"


@pytest.mark.parametrize(
    ("module", "owner", "method", "order"),
    [
        ("writes", "Writes", "copy", AFTER),
        ("catalog", "Catalog", "finish_rebuild", BEFORE),
        ("catalog", "Catalog", "finish_rebuild", AFTER),
    ],
    ids=["while it is filled", "before the alias moves", "after it has moved"],
)
def test_killed_anywhere_the_same_command_goes_on(
    place: Place, module: str, owner: str, method: str, order: str
) -> None:
    before = place.items()
    script = "from recq.index import projecting\nprojecting._PAGE = 8\n" + KILLED.format(
        module=module, owner=owner, method=method, order=order
    )
    done = forked.run("-c", [script, "rebuild", "--space", NAME, *place.reached], environment(), STARTS_WITHIN)
    assert done.returncode == -9, done.stderr
    moved = (method, order) == ("finish_rebuild", AFTER)
    with place.catalog() as catalog:
        assert (catalog.space.trained_on is not None) == moved
        assert catalog.items.count() == PICTURES, "one of the two answers at any time"
    if moved:
        again = place.command("rebuild", "--space", NAME)
        assert again.returncode == 2
        assert f"in a trained space already, '{NAME}'" in again.stderr
    else:
        switched(place)
    assert place.items() == before, "metadata, failures and what is known of files are as they were"


def test_interrupted_by_a_signal_the_old_vectors_answer(place: Place) -> None:
    order = AFTER.replace("SIGKILL", "SIGTERM")
    script = "from recq.index import projecting\nprojecting._PAGE = 8\n" + KILLED.format(
        module="writes", owner="Writes", method="copy", order=order
    )
    done = forked.run("-c", [script, "rebuild", "--space", NAME, *place.reached], environment(), STARTS_WITHIN)
    assert done.returncode == 130, done.stderr
    assert done.stderr.splitlines()[-1].endswith("the old vectors still answer; run it again to go on")
    with place.catalog() as catalog:
        assert (catalog.space, catalog.items.count()) == (SPACE, PICTURES)


def test_the_same_is_near_before_and_after(place: Place) -> None:
    """All of fewer than a thousand are put into order, so nothing may differ but a last bit."""
    with session(place) as asked:
        tried = near(asked, space=NAME)
        assert near(asked) != tried
    switched(place)
    with session(place) as asked:
        after = near(asked)
        assert near(asked, space=NAME) == after, "the name goes on to mean the same"
    overlap = [len(set(one) & set(other)) / 10 for one, other in zip(tried, after, strict=True)]
    assert np.mean(overlap) >= 0.95


def near(asked: Session, **options: Any) -> list[list[str]]:
    from recq.index.parameters import Parameters
    from recq.search.trained import finder_of

    with asked.opened() as catalog:
        parameters = Parameters(k=10, **options)
        finder = finder_of(catalog, parameters)
        ids = sorted(item.id for item in catalog.ledger.scan("shop") if item.error is None)
        return [[hit.item.file.path for hit in finder.rank(id_, parameters).hits] for id_ in ids]


def test_new_pictures_and_questions_go_through_the_head(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    switched(place)
    new = put(place.root / "new.jpg", 99)
    (place.root / "0.jpg").unlink()
    place.settings["RECQ_MODEL"] = BASE  # of the base, which agrees
    done = place.command("run", str(place.root), "--once")
    assert done.returncode == 3, done.stderr
    assert "1 indexed, 0 updated, 1 deleted, 1 failed" in done.stdout
    refused = place.command("run", str(place.root), "--once", "--model", "pixels:16")
    assert (refused.returncode, refused.stderr.count("\n")) == (5, 1)
    vectors = place.vectors()
    assert "0.jpg" not in vectors
    with session(place) as asked:
        with asked.prepared([ContentTarget(new.read_bytes())], lambda _: None) as (catalog, (query,)):
            assert isinstance(query.example, np.ndarray)
            assert np.allclose(query.example, vectors["new.jpg"], atol=1e-5)
            space = catalog.space
        with pytest.raises(ModelUnavailable, match="trained on category, where a similarity has no place"):
            explain(asked, "1.jpg", "2.jpg")
    with pytest.raises(SpaceMismatch, match="the network alone does not make them"):
        open_embedder(space, Settings())


def test_a_question_whose_catalog_moves_meanwhile_follows_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare = Preparer.prepare
    moved: list[Outcome] = []

    def moving(self: Preparer, target: Target, text: str) -> Query:
        query = prepare(self, target, text)
        if not moved:
            moved.append(switch(Settings(data_dir=place.data), NAME, log_format=None))
        return query

    monkeypatch.setattr(Preparer, "prepare", moving)
    with (
        session(place) as asked,
        asked.prepared([ContentTarget(jpeg(77))], lambda _: None) as (catalog, (query,)),
    ):
        assert isinstance(query.example, np.ndarray)
        assert query.example.shape == (catalog.space.dim,) == (16,)


@pytest.mark.long
def test_predicted_fields_go_on_from_the_networks_own_vectors(place: Place) -> None:
    """What is stored stays; a new picture has the network's vector at hand; what lost its label is read again."""

    def predicted() -> dict[str, tuple[object, str]]:
        found = {path: item.predicted.get("category") for path, item in place.items().items()}
        return {path: (each.label, each.by) for path, each in found.items() if each is not None}

    put(place.root / "x.jpg", 1_000)
    assert place.once("--predict", f"category={NAME}").returncode == 3  # one item has failed before
    before = predicted()
    assert before.keys() == {"x.jpg"}
    done = place.command("rebuild", "--space", NAME)
    assert done.returncode == 0, done.stderr
    assert predicted() == before
    (place.root / "x.jpg").rename(place.root / "moved.jpg")
    put(place.root / "y.jpg", 1_001)
    assert place.once().returncode == 3
    with session(place) as asked:
        found = {
            each.text: "unknown" if each.unknown else each.guesses[0].label
            for each in predict(asked, ["moved.jpg", "y.jpg", "1.jpg"])
            if isinstance(each, Prediction)
        }
    by = before["x.jpg"][1]

    def told(path: str) -> tuple[object, str]:
        return (None if found[path] == "unknown" else found[path], by)

    assert predicted() == {"moved.jpg": told("moved.jpg"), "y.jpg": told("y.jpg")}
    rows = [f"{number}.jpg,{CLASSES[number % 3]}" for number in range(PICTURES) if number != 1]
    (place.root / "metadata.csv").write_text("\n".join(["file,category", *rows]))
    assert place.once().returncode == 3
    assert place.once("--predict", f"category={NAME}").returncode == 3
    assert predicted() == {path: told(path) for path in ("moved.jpg", "y.jpg", "1.jpg")}
    (status,) = place.status()["predicted"]
    assert (status["by"], status["labelled"] + status["unknown"], status["waiting"]) == (NAME, 3, 0)


def test_what_other_spaces_predict_goes_on(place: Place) -> None:
    """Their classifiers take the network's own vectors, which the trained space has where a picture is read."""

    def predicted() -> dict[str, tuple[object, str]]:
        found = {path: item.predicted.get("kind") for path, item in place.items().items()}
        return {path: (each.label, each.by) for path, each in found.items() if each is not None}

    kinds = [f"{number}.jpg,{CLASSES[number % 3]},{CLASSES[number % 2]}" for number in range(4, PICTURES)]
    rows = [f"{number}.jpg,{CLASSES[number % 3]}," for number in range(4)]
    (place.root / "metadata.csv").write_text("\n".join(["file,category,kind", *rows, *kinds]))
    with place.catalog() as catalog:
        catalog.candidates.write(candidate("by-kind", "kind"))
        catalog.candidates.write(replace(candidate("older", "kind"), from_="0" * 12))
    assert place.once("--predict", "kind=by-kind").returncode == 3  # one item has failed before
    before = predicted()
    assert before.keys() == {f"{number}.jpg" for number in range(4)}
    target = ContentTarget(jpeg(99), "new.jpg")
    with session(place) as asked:
        told = guesses(next(iter(predict(asked, [target], space="by-kind"))), "by-kind", "kind")
    switched(place)
    assert predicted() == before
    with place.catalog() as catalog:
        assert catalog.candidates.names() == ["by-kind"], "what was learned in another space stays behind"
        levels = catalog.candidates.get("by-kind").near
        assert list(levels) == sorted(levels)
        assert max(map(abs, levels)) <= 1.0001
    new = put(place.root / "new.jpg", 99)
    assert place.once().returncode == 3
    (status,) = place.status()["predicted"]
    assert (status["by"], status["labelled"] + status["unknown"], status["waiting"]) == ("by-kind", 5, 0)
    assert status["detail"] is None
    assert {path: each for path, each in predicted().items() if path != new.name} == before
    with session(place) as asked:
        (found,) = predict(asked, ["new.jpg"], space="by-kind")
        assert guesses(found, "by-kind", "kind") == told
        assert isinstance(found, Prediction)
        label = None if found.unknown else found.guesses[0].label
        assert predicted()["new.jpg"] == (label, before["0.jpg"][1])
        with pytest.raises(SpaceMismatch, match=r"is in the trained space 'by-category'.*ask without --space"):
            near(asked, space="by-kind")
    listed = place.command("models")
    assert ("images@by-kind" in listed.stdout, "train it again" in listed.stderr) == (True, False), listed.stderr
    done = place.command("rollback")
    assert done.returncode == 0, done.stderr
    with place.catalog() as catalog:
        assert catalog.candidates.names() == ["by-category", "by-kind", "older"]
        assert not catalog.candidates.get("by-kind").near


def test_predictions_are_as_before(place: Place) -> None:
    targets: list[Given] = ["1.jpg", ContentTarget(jpeg(77), "mine.jpg")]
    with session(place) as asked:
        before = [guesses(each) for each in predict(asked, targets)]
    switched(place)
    with session(place) as asked:
        after = list(predict(asked, targets))
        assert [guesses(each) for each in after] == before
        (place.root / "1.jpg").unlink()
        (failed, broken) = predict(asked, ["1.jpg", "broken.jpg"])
        assert isinstance(failed, FailedTarget)
        assert "its file is not on this machine" in failed.error
        assert isinstance(broken, FailedTarget)


def guesses(found: Prediction | FailedTarget, space: str = NAME, field: str = "category") -> list[tuple[str, float]]:
    assert isinstance(found, Prediction)
    assert (found.space, found.field) == (space, field)
    return [(each.label, round(each.probability, 4)) for each in found.guesses]


def test_one_line_says_what_is_not_done(place: Place) -> None:
    def refused(*arguments: str) -> tuple[int, str]:
        done = place.command(*arguments)
        assert done.stderr.count("\n") == 1, done.stderr
        return done.returncode, done.stderr

    assert refused("rebuild", "--space", "by-categry")[0] == 3
    assert refused("rebuild", "--space", NAME, "--model", "pixels:16")[0] == 5
    code, why = refused("rebuild", "--space", NAME, "--metadata", str(place.root / "metadata.csv"))
    assert (code, "--space reads none" in why) == (2, True)
    switched(place)
    code, why = refused("train", "--label", "category")
    assert (code, "in a space that was trained on category" in why) == (2, True)


def test_a_trained_catalog_is_exported_with_its_head(place: Place, tmp_path: Path) -> None:
    from recq.transfer.transfer import export_catalog, import_catalog

    switched(place)
    file = tmp_path / "all.jsonl"
    with session(place) as asked:
        export_catalog(asked, file)
    other = Settings(data_dir=tmp_path / "other")
    import_catalog(other, file)
    with connect(other) as client:
        catalog = Catalog.open(client, "images")
        assert catalog.trained is not None
        assert (catalog.base, catalog.trained.candidate.name) == (SPACE, NAME)
    head = json.loads(file.read_text().splitlines()[0])
    head["recq"]["trained"]["head"]["weight"] = 0.9
    file.write_text(json.dumps(head) + "\n")
    with pytest.raises(UsageError, match="the trained space is not that of its vectors"):
        import_catalog(Settings(data_dir=tmp_path / "third"), file)


def test_rolled_back_and_forth_and_pruned(place: Place) -> None:
    """The old vectors are kept through whatever comes, until they are pruned; a rebuild into them begins with them."""
    before = place.vectors()
    assert place.status()["kept"] is None
    assert place.command("rollback").returncode == place.command("prune", "--yes").returncode == 3
    done = switched(place)
    (event,) = [json.loads(line) for line in done.stderr.splitlines() if '"kept"' in line]
    assert (event["catalog"], event["space"]) == ("images", SPACE.label)
    assert "recq-ingest rollback" in event["detail"]
    kept = place.status()["kept"]
    assert kept == {
        "space": SPACE.summary(), "at": kept["at"], "items": PICTURES + 1, "size": 4 * SPACE.dim * (PICTURES + 1),
    }  # fmt: skip
    assert f"kept since the rebuild of {kept['at']}: 25 items of {BASE}" in place.command("status").stdout
    put(place.root / "new.jpg", 99)
    (place.root / "0.jpg").unlink()
    assert place.once().returncode == 3

    done = place.command("rollback")
    assert done.returncode == 0, done.stderr
    assert f"images answers from {SPACE.label} again" in done.stdout
    back = place.vectors()
    assert back.keys() == before.keys(), "as they were: what has changed since is found by the next comparison"
    assert all(np.array_equal(back[name], before[name]) for name in before)
    done = place.once()
    assert "1 indexed, 0 updated, 1 deleted" in done.stdout
    done = place.command("rebuild", "--space", NAME)
    assert done.returncode == 0, done.stderr
    trained = place.vectors()
    assert trained.keys() == place.vectors().keys() == {*before, "new.jpg"} - {"0.jpg"}

    done = place.command("prune")  # nobody answers
    assert (done.returncode, "add --yes" in done.stderr) == (2, True)
    done = place.command("prune", "--yes")
    assert (done.returncode, "25 items in pixels:8" in done.stdout) == (0, True), done.stderr
    assert place.status()["kept"] is None
    assert place.command("rollback").returncode == 3
    done = place.command("rebuild", "--model", BASE)
    assert done.returncode == 3, done.stderr  # one item has failed before
    assert np.allclose(place.vectors()["new.jpg"], place.vectors()["new.jpg"])
    assert place.vectors()["1.jpg"].shape == (SPACE.dim,)


def test_beside_a_running_daemon_back_and_forth(place: Place) -> None:
    """As without one, but that what changes meanwhile and afterwards is indexed at once."""
    assert place.once().returncode == 3  # the copies of the files have new times
    before = place.items()
    with place.daemon() as daemon:
        daemon.ready()
        with place.catalog() as catalog:
            pages = catalog._points.scroll(models.Filter(), payload=True, page=5)
            begun = next(pages)
            switched(place)
            assert len([begun, *pages]) == PICTURES + 1, "what reads on stays with what it began with"
        assert place.items() == before, "metadata, failures and what is known of files are as they were"
        assert place.status()["kept"]["items"] == PICTURES + 1
        assert place.status()["sources"][0]["failed"] == 1
        assert daemon.events("gone") == daemon.events("stopped") == []
        put(place.root / "new.jpg", 99)
        daemon.said("indexed", path="new.jpg")
        assert place.vectors()["new.jpg"].shape == (16,)
        again = place.command("rebuild", "--space", NAME)
        assert (again.returncode, "in a trained space already" in again.stderr) == (2, True)
        assert daemon.said("abandoned")["detail"] in again.stderr
        done = place.command("rollback")
        assert done.returncode == 0, done.stderr
        assert place.vectors()["new.jpg"].shape == (SPACE.dim,)
        threads = daemon.threads
        for _ in range(2):
            assert place.command("rollback").returncode == 0
        eventually(lambda: daemon.threads <= threads + 9)  # a daemon has some fifteen that end with it
        done = place.command("prune", "--yes")
        assert done.returncode == 0, done.stderr
        (place.root / "new.jpg").unlink()
        daemon.said("deleted", path="new.jpg")
        assert place.command("rollback").returncode == 3, "nothing is kept"
        assert place.command("rebuild", "--space", "by-categry").returncode == 3
        assert place.command("rebuild", "--space", NAME, "--model", "pixels:16").returncode == 5
        assert place.command("rebuild", "--stop").returncode == 2, "none is under way"
        put(place.root / "last.jpg", 98)
        daemon.said("indexed", path="last.jpg")


def test_a_disk_without_room_for_both_keeps_the_old_vectors(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from recq.index.edge import disk

    monkeypatch.setattr(disk, "RESERVE", 2**60)
    monkeypatch.setattr("ingest.service.session.require_room", lambda _: None)  # it is opened nevertheless
    with pytest.raises(IndexUnreachable, match=r"no space left for .* are required\. .* The old vectors still answer"):
        switch(Settings(data_dir=place.data), NAME, log_format=None)
    monkeypatch.undo()
    with place.catalog() as catalog:
        assert catalog.space == SPACE


def test_nothing_replaces_the_old_vectors_where_an_item_would_be_lost(place: Place) -> None:
    from recq.index.writes import Writes

    settings, copy = Settings(data_dir=place.data), Writes.copy
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Writes, "copy", lambda self, rows: copy(self, rows[1:]))
        with pytest.raises(TargetError, match=r"is missing from the new collection.*old vectors still answer"):
            switch(settings, NAME, log_format=None)
    with place.catalog() as catalog:
        assert catalog.space == SPACE
    switched(place)


@pytest.mark.server
def test_a_daemon_elsewhere_does_not_go_on_filling_what_was_replaced(own_server: QdrantServer, tmp_path: Path) -> None:
    """The collection is still there and takes its writes, which nobody would find; it compares in an hour."""
    place = Place(tmp_path / "shop", tmp_path / "data", ("--url", own_server.url))
    place.settings["RECQ_POLL_INTERVAL"] = "0.1"
    put(place.root / "0.jpg", 0)
    assert place.command("run", str(place.root), "--once", "--model", BASE).returncode == 0
    with place.daemon() as daemon:
        daemon.ready()
        with place.catalog() as catalog:
            catalog.candidates.write(candidate())
        there = Settings(data_dir=tmp_path / "elsewhere", url=own_server.url)
        assert not switch(there, NAME, log_format=None).stopped
        assert daemon.process.wait(STARTS_WITHIN) == SpaceMismatch.exit_code
        assert "has been rebuilt in another embedding space meanwhile: start the daemon again" in daemon.log.read_text()
    assert place.status()["space"]["dim"] == 16
    assert place.command("rollback").returncode == 0
