"""A backfill: what a worker does with the paths that it is handed, and the whole of it with Ray, killed and resumed."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import psutil
import pytest
from fresh_environment import fresh, install

from ingest.index.retrying import Retrier
from ingest.pipeline.found_problems import problems_kept
from ingest.service.backfill import _environment
from ingest.service.backfill_paths import AT_ONCE, Listing, _blocks, listing_of
from ingest.service.backfill_worker import Road
from recq.errors import UsageError
from recq.index.catalog import Catalog
from recq.index.connect import connect
from recq.index.problems import Problem, ProblemKind
from recq.settings import Settings
from tests.eventually import eventually
from tests.ingest.documented import validated
from tests.ingest.pictures import jpeg, put
from tests.ingest.running import COMMAND, Place, environment
from tests.qdrant_server import QdrantServer

ROOT = Path(__file__).resolve().parents[3]
ENDS_WITHIN = 240.0  # seconds; Ray alone takes some 20 of a busy machine to start


@pytest.fixture
def place(tmp_path: Path, own_server: QdrantServer) -> Place:
    return Place(tmp_path / "shop", tmp_path / "data", ("--url", own_server.url))


def handed(*paths: str) -> dict[str, list[bytes]]:
    return {"paths": [os.fsencode(path) for path in paths]}


@pytest.mark.server
def test_a_worker_is_the_daemons_road(place: Place, own_server: QdrantServer) -> None:
    put(place.root / "first.jpg", 1)
    assert place.once().returncode == 0
    put(place.root / "chairs" / "oak.jpg", 2)
    put(place.root / "copy.jpg", 1)
    (place.root / "chairs" / "oak.jpg.json").write_text('{"price": 7}')
    (place.root / "bad.jpg").write_bytes(jpeg(3)[:200])
    settings = Settings(url=own_server.url, data_dir=place.data, connect_timeout=2)
    road = Road(settings, Listing("shop", place.root))
    try:
        done = road(handed("first.jpg", "chairs/oak.jpg", "chairs/oak.jpg.json", "copy.jpg", "bad.jpg", "gone.jpg"))
        assert (done["error"], done["code"], done["paths"]) == ("", 0, 6)
        assert (done["indexed"], done["reused"], done["failed"], done["deleted"]) == (1, 1, 1, 0)
        assert (done["unseen"], done["first"]) == (1, "gone.jpg")
        again = road(handed("first.jpg", "chairs/oak.jpg", "copy.jpg", "bad.jpg"))
        assert [again[name] for name in ("indexed", "reused", "failed", "metadata")] == [0] * 4
        assert (again["problems"], again["unmet"]) == ("[]", False)
    finally:
        road.close()
    (place.root / "metadata.csv").write_text("file,price\nfirst.jpg,7,8\n")
    road = Road(settings, Listing("shop", place.root))
    try:
        row = road(handed("first.jpg"))
        (problem,) = json.loads(row["problems"])
        assert (row["unmet"], problem["kind"], problem["path"]) == (True, "row", "metadata.csv")
        opened = road._opened
        assert opened is not None
        with connect(settings) as client:
            catalog = Catalog.open(client, "images")
            kept = [Problem(ProblemKind.REFUSED, "of another worker", path="other.jpg")]
            catalog.problems.record("shop", kept)
            with problems_kept({"shop": opened._watched}, catalog, cast(Retrier, lambda asked, *given: asked(*given))):
                opened._watched.note_refusal("mine.jpg", "whatever it says")
            assert catalog.problems.of_source("shop") == tuple(kept), "each knows some, so none records its own"
        assert "mine.jpg" in opened.problems()
    finally:
        road.close()
    items = place.items()
    assert items.keys() == {"first.jpg", "chairs/oak.jpg", "copy.jpg", "bad.jpg"}
    assert items["chairs/oak.jpg"].metadata == {"category": "chairs", "price": 7}
    assert items["bad.jpg"].error is not None
    absent = Road(settings.of_catalog("absent"), Listing("shop", place.root))
    error, code = (absent(handed("first.jpg"))[name] for name in ("error", "code"))
    assert "absent" in error
    assert code == 3


@pytest.mark.server
def test_what_a_folder_and_a_list_mean(tmp_path: Path, place: Place, own_server: QdrantServer) -> None:
    for name in ("a.jpg", "b/c.jpg", ".hidden.jpg"):
        put(place.root / name, len(name))
    assert place.once().returncode == 0
    settings = Settings(url=own_server.url, data_dir=place.data)
    with connect(settings) as client:
        catalog = Catalog.open(client, "images")
        whole = listing_of(place.root, None, catalog)
        assert (whole.name, sorted(whole.paths(settings))) == ("shop", ["a.jpg", "b/c.jpg"])
        listed = tmp_path / "list"
        listed.write_text(f"{place.root}/a.jpg\n\nb/c.jpg\r\n")
        for source in (None, "shop"):
            some = listing_of(listed, source, catalog)
            assert (some.name, list(some.paths(settings))) == ("shop", ["a.jpg", "b/c.jpg"])
        listed.write_text("b/../../elsewhere/a.jpg\n")
        with pytest.raises(UsageError, match="does not lie in"):
            list(listing_of(listed, "shop", catalog).paths(settings))
        listed.write_text("/elsewhere/a.jpg\n")
        with pytest.raises(UsageError, match="lies in no source of this host"):
            listing_of(listed, None, catalog)
        with pytest.raises(UsageError, match=r"list:1: '/elsewhere/a.jpg' does not lie in"):
            list(listing_of(listed, "shop", catalog).paths(settings))
        for what, source in ((tmp_path / "absent", None), (listed, "absent")):
            with pytest.raises(UsageError):
                listing_of(what, source, catalog)


def test_a_row_has_the_paths_that_a_worker_is_handed_at_a_time(tmp_path: Path) -> None:
    names = [f"{number}.jpg" for number in range(2 * AT_ONCE + 3)]
    listed = tmp_path / "list"
    listed.write_text("".join(f"{name}\n" for name in names))
    tables = list(_blocks(Settings(), Listing("shop", tmp_path, listed)))
    assert [len(table) for table in tables] == [1, 1, 1]
    rows = [table["paths"][0].as_py() for table in tables]
    assert [len(row) for row in rows] == [AT_ONCE, AT_ONCE, 3]
    assert [os.fsdecode(path) for row in rows for path in row] == names


@pytest.mark.parametrize(
    ("written", "line"),
    [
        (b"a.jpg\0b.jpg\0", 1),
        (b"a.jpg\n\nb\0.jpg\n", 3),
        ("a.jpg\nb.jpg\n".encode("utf-16"), 1),
        (b"%s/a.jpg\0%s/b.jpg\0", 1),
    ],
)
def test_a_list_of_another_kind_is_named_by_its_line(tmp_path: Path, written: bytes, line: int) -> None:
    root, listed = tmp_path / "shop", tmp_path / "list"
    root.mkdir()
    listed.write_bytes(written.replace(b"%s", os.fsencode(root)))
    message = rf"list:{line}: .* holds a NUL, .* one path a line, in UTF-8"
    with pytest.raises(UsageError, match=message):
        list(Listing("shop", root, listed).paths(Settings()))
    source = SimpleNamespace(root_here=lambda: root)
    catalog = SimpleNamespace(sources=SimpleNamespace(all=lambda: {"shop": source}))
    if line == 1:  # before any worker is started for it
        with pytest.raises(UsageError, match=message):
            listing_of(listed, None, cast(Catalog, catalog))


@pytest.mark.server
def test_what_a_worker_does_not_see_stays_as_it_is(place: Place, own_server: QdrantServer, tmp_path: Path) -> None:
    """A folder that is not mounted there, a sidecar and a table that have gone: only a comparison may judge these."""
    for number in range(3):
        put(place.root / f"{number}.jpg", number)
    put(place.root / "mounted" / "far.jpg", 7)
    (place.root / "0.jpg.json").write_text('{"price": 7}')
    (place.root / "metadata.csv").write_text("file,colour\n1.jpg,red\n")
    assert place.once().returncode == 0
    before = place.items()
    (place.root / "mounted").rename(tmp_path / "away")
    (place.root / "0.jpg.json").unlink()
    (place.root / "metadata.csv").unlink()
    settings = Settings(url=own_server.url, data_dir=place.data, connect_timeout=2)
    road = Road(settings, Listing("shop", place.root))
    paths = ("0.jpg", "0.jpg.json", "1.jpg", "2.jpg", "metadata.csv", "mounted/far.jpg", "mounted")
    try:
        done = road(handed(*paths))
    finally:
        road.close()
    assert (done["error"], done["unseen"], done["deleted"]) == ("", 4, 0)
    assert place.items() == before
    unmounted = Road(settings, Listing("shop", tmp_path / "nowhere"))
    assert "does not exist" in unmounted(handed("0.jpg"))["error"]


def test_a_token_is_asked_for_and_nothing_is_reported_to_rays_makers() -> None:
    assert _environment({})["RAY_AUTH_MODE"] == "token"
    assert _environment({})["RAY_USAGE_STATS_ENABLED"] == "0"
    assert _environment({"RAY_AUTH_MODE": "k8s"})["RAY_AUTH_MODE"] == "k8s"
    for mode in ("disabled", "DISABLED", "", "none"):
        with pytest.raises(UsageError, match="without a token"):
            _environment({"RAY_AUTH_MODE": mode})


def test_what_it_needs_is_said_in_one_line(tmp_path: Path) -> None:
    place = Place(tmp_path / "shop", tmp_path / "data")
    for options, message in (((), "on a Qdrant server"), (("--url", "http://127.0.0.1:9"), "pip install 'recq[ray]'")):
        done = place.command("backfill", str(place.root), *options)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        assert message in done.stderr


@pytest.fixture(scope="module")
def with_ray(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with Ray, which the tests' own has not: 300 MB."""
    python = fresh(tmp_path_factory.mktemp("ray") / "environment")
    install(python, "--require-hashes", "--compile-bytecode", "-r", ROOT / "requirements" / "ray.txt")
    return python


def start(python: Path, place: Place, *arguments: str) -> subprocess.Popen[str]:
    command = [str(python), *COMMAND[1:], "backfill", str(place.root), "--json", *arguments, *place.reached]
    env = environment(**place.settings, PYTHONPATH=str(ROOT))
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> dict[str, int]:
    """Its summary; one picture could not be indexed."""
    out, err = process.communicate(timeout=ENDS_WITHIN)
    assert process.returncode == 3, err
    assert err.splitlines()[-1].startswith("recq-ingest: 1 item could not be indexed"), err
    found: dict[str, int] = validated("filled", json.loads(out))
    return found


def workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children(recursive=True)
    return [each for each in children if "MapWorker" in " ".join(each.cmdline())]


def at_work(process: subprocess.Popen[str]) -> int:
    """How many of its workers have been handed paths: those have a decoding process."""
    with suppress(psutil.NoSuchProcess):
        families = [each.children(recursive=True) for each in workers(process)]
        return sum(any("recq.images.child" in child.cmdline() for child in family) for family in families)
    return 0


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def count(place: Place) -> int:
    with place.catalog() as catalog:
        return catalog.items.count()


@pytest.fixture
def running(with_ray: Path, place: Place) -> Iterator[list[subprocess.Popen[str]]]:
    """Backfills that were started; none is left, and no process of their Ray."""
    started: list[subprocess.Popen[str]] = []
    children: list[psutil.Process] = []
    with tempfile.TemporaryDirectory(prefix="rt", ignore_cleanup_errors=True) as short:  # a socket's path has 107 bytes
        place.settings["TMPDIR"] = short
        yield started
        for process in started:
            if process.poll() is None:
                children += psutil.Process(process.pid).children(recursive=True)
                process.kill()
            process.wait()
        for child in children:
            if child.is_running():
                child.kill()


@pytest.mark.long
@pytest.mark.server
@pytest.mark.timeout(900)
def test_killed_it_goes_on_and_a_worker_that_dies_is_replaced(
    with_ray: Path, place: Place, running: list[subprocess.Popen[str]]
) -> None:
    pictures = 2_000
    for number in range(pictures):
        put(place.root / f"{number // 100}" / f"{number}.jpg", number)
    (place.root / "bad.jpg").write_bytes(jpeg(3)[:200])
    (place.root / "metadata.csv").write_text("file,price\n0/1.jpg,7\n0/2.jpg,7,8\n")
    assert place.command("run", str(place.root), "--source", "shop=" + str(place.root), "--once").returncode == 2
    put(place.data.parent / "other" / "a.jpg", 1)  # the catalog, without anything of the folder
    assert place.command("run", str(place.data.parent / "other"), "--once", "--model", "pixels:64").returncode == 0

    killed = start(with_ray, place, "--workers", "2")
    running.append(killed)
    eventually(lambda: at_work(killed) == 2, within=ENDS_WITHIN, every=0.1)
    eventually(lambda: count(place) > 300, within=ENDS_WITHIN, every=0.1)
    for each in workers(killed):
        each.suspend()  # until it is killed
    processes = psutil.Process(killed.pid).children(recursive=True)
    own = [each for each in processes if not each.name().endswith("Agent")]  # Ray's agents end after a minute
    (head,) = (each for each in processes if "gcs_server" in each.name())
    (port,) = {each.laddr.port for each in head.net_connections("inet") if each.status == psutil.CONN_LISTEN}
    refused = subprocess.run(
        [str(with_ray), "-c", f"import ray; ray.init(address='127.0.0.1:{port}')"],
        env=environment(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0"),
        capture_output=True, text=True, check=False, timeout=ENDS_WITHIN,
    )  # fmt: skip
    assert refused.returncode != 0
    assert "auth" in refused.stderr.lower()
    (token,) = Path(place.settings["TMPDIR"]).glob("recq-*/token")
    assert (token.stat().st_mode & 0o777, token.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    for each in workers(killed):
        each.resume()
    killed.kill()
    killed.wait()
    eventually(lambda: not [each for each in own if lives(each)], within=60)
    before = count(place)
    assert before < pictures

    process = start(with_ray, place, "--workers", "1")
    running.append(process)
    eventually(lambda: count(place) > before + 200, within=ENDS_WITHIN, every=0.1)
    (worker,) = workers(process)
    worker.kill()
    done = ended(process)
    assert (done["paths"], done["unmet"]) == (pictures + 1, True)
    with place.catalog() as catalog:
        assert (catalog.items.count(source="shop"), catalog.ledger.count_failed()) == (pictures, 1)
        assert [each.line for each in catalog.problems.of_source("shop")] == [3]
    again = start(with_ray, place)
    running.append(again)
    assert ended(again)["unchanged"] == pictures + 1
    assert "changes=0" in place.once().stderr
