"""A rebuild as a process: what it replaces, what it keeps, and how it goes on where it was interrupted."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests import forked
from tests.ingest.pictures import put
from tests.ingest.running import MODEL, STARTS_WITHIN, Place, environment

OTHER = "efficientnet_lite2"

AFTER_THE_WALK = """
import sys
from pathlib import Path
from recq.index.source_records import SourceRecords
from ingest.cli.main import main

recorded = SourceRecords.record_reconcile
root = Path({root!r})

def recording(self, name, **facts):
    recorded(self, name, **facts)
    if name == root.name:
        {meanwhile}

SourceRecords.record_reconcile = recording
main()
"""
"""`recq-ingest` where something happens to a root when it has been walked and nothing of it is indexed yet."""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Two sources, indexed."""
    place = Place(tmp_path / "shop", tmp_path / "data")
    put(place.root / "a.jpg", 1)
    put(place.root / "b.jpg", 2)
    press = put(tmp_path / "press/c.jpg", 3).parent
    done = place.once(str(press))
    assert done.returncode == 0, done.stderr
    return place


def run_script(place: Place, script: str) -> subprocess.CompletedProcess[str]:
    """A rebuild by a script."""
    arguments = [script, "rebuild", "--model", OTHER, *place.reached]
    return forked.run("-c", arguments, environment(**place.settings), STARTS_WITHIN)


def rebuild_while(place: Place, meanwhile: str) -> subprocess.CompletedProcess[str]:
    """A rebuild with a statement carried out when the first root has been walked."""
    return run_script(place, AFTER_THE_WALK.format(root=str(place.root), meanwhile=meanwhile))


def require_kept(place: Place, done: subprocess.CompletedProcess[str]) -> str:
    """Nothing was replaced, and why: the last line, which names the source."""
    assert done.returncode == 3, done.stderr
    why = done.stderr.splitlines()[-1]
    assert "source 'shop' could not be read whole" in why
    assert "the old vectors still answer" in why
    with place.catalog() as catalog:
        assert catalog.space.model == MODEL
    assert sorted(place.vectors()) == ["a.jpg", "b.jpg", "c.jpg"]
    return why


def test_a_root_that_goes_meanwhile_replaces_nothing(place: Place) -> None:
    done = rebuild_while(place, "root.rename(root.with_name('away'))")
    assert "has gone or was replaced meanwhile" in require_kept(place, done)
    place.root.with_name("away").rename(place.root)
    done = place.command("rebuild", "--model", OTHER)
    assert done.returncode == 0, done.stderr
    assert sorted(place.vectors()) == ["a.jpg", "b.jpg", "c.jpg"]


def test_an_empty_folder_in_the_place_of_the_root_replaces_nothing(place: Place) -> None:
    done = rebuild_while(place, "root.rename(root.with_name('away')); root.mkdir()")
    assert "has gone or was replaced meanwhile" in require_kept(place, done)


def test_an_emptied_root_replaces_nothing(place: Place) -> None:
    for name in ("a.jpg", "b.jpg"):
        (place.root / name).rename(place.root.parent / name)
    done = place.command("rebuild", "--model", OTHER)
    assert "all of its 2 items are missing" in require_kept(place, done)


def test_a_folder_that_cannot_be_listed_replaces_nothing(place: Place) -> None:
    """As root may read every folder, the walk is told that it may not."""
    script = AFTER_THE_WALK.format(root=str(place.root), meanwhile="pass").replace(
        "main()\n",
        "from ingest.source import scan, watched_source\n"
        "def walk(rules, below=''):\n"
        "    yield from scan.walk(rules, below)\n"
        "    if rules.root.name == 'shop':\n"
        "        yield scan.Unreadable('sub', 'Permission denied')\n"
        "watched_source.walk = walk\n"
        "main()\n",
    )
    done = run_script(place, script)
    assert "sub: Permission denied" in require_kept(place, done)


NO_NETWORK = """
import numpy as np
from recq.models.openvino_runtime import OpenVINORuntime
from ingest.cli.main import main

def failing(self, pixels):
    {statement}

OpenVINORuntime.infer = failing
main()
"""
"""`recq-ingest` with another network than it believes to have."""

NAN = "return np.full((len(pixels), 1280), np.nan, np.float32)"
RAISES = "raise RuntimeError('inference request failed')"


@pytest.mark.parametrize(
    ("statement", "said"), [(NAN, "no-signal"), (RAISES, "inference: RuntimeError")], ids=["nan", "raises"]
)
def test_a_network_that_makes_no_vectors_replaces_nothing(place: Place, statement: str, said: str) -> None:
    """Every failed item is an item: counting them would have called the new collection complete."""
    done = run_script(place, NO_NETWORK.format(statement=statement))
    assert done.returncode == 3, done.stderr
    why = done.stderr.splitlines()[-1]
    assert "1 item found today would be lost" in why or "2 items found today would be lost" in why
    assert said in why
    assert "the old vectors still answer" in why
    assert "run the same rebuild again" in why
    with place.catalog() as catalog:
        assert catalog.space.model == MODEL
        assert catalog.items.count() == 3
    assert sorted(place.vectors()) == ["a.jpg", "b.jpg", "c.jpg"]
    done = place.command("rebuild", "--model", OTHER)  # with a network that works: taken up, not begun anew
    assert done.returncode == 0, done.stderr
    with place.catalog() as catalog:
        assert catalog.space.model == OTHER
    assert sorted(place.vectors()) == ["a.jpg", "b.jpg", "c.jpg"]


def test_what_had_failed_before_may_fail_again(place: Place) -> None:
    """Nothing is lost by it: neither what no network can read, nor what changed since."""
    (place.root / "broken.jpg").write_bytes(b"")
    assert place.once().returncode == 3
    (place.root / "new.jpg").write_bytes(b"")
    done = place.command("rebuild", "--model", OTHER)
    assert done.returncode == 3, done.stderr
    assert "2 items could not be indexed" in done.stderr.splitlines()[-1]
    with place.catalog() as catalog:
        assert catalog.space.model == OTHER


def test_an_item_that_the_new_collection_lacks_replaces_nothing(place: Place) -> None:
    script = (
        "from recq.index.writes import Writes\n"
        "from ingest.cli.main import main\n"
        "upsert = Writes.upsert\n"
        "Writes.upsert = lambda self, entries: upsert(self, [e for e in entries if e.item.file.path != 'b.jpg'])\n"
        "main()\n"
    )
    done = run_script(place, script)
    assert done.returncode == 3, done.stderr
    assert "1 item found today would be lost (first: b.jpg: it is missing" in done.stderr.splitlines()[-1]
    assert sorted(place.vectors()) == ["a.jpg", "b.jpg", "c.jpg"]


def test_interrupted_the_old_vectors_answer_and_the_next_one_goes_on(place: Place) -> None:
    """SIGTERM comes with the first batch; in the middle of it the catalog is asked."""
    for number in range(120):
        put(place.root / f"more/{number}.jpg", 10 + number)
    assert place.once().returncode == 0
    place.settings["RECQ_BATCH"] = "2"
    script = (
        "import os, signal\n"
        "import recq.signals\n"
        "from recq.index.catalog import Catalog\n"
        "from recq.index.writes import Writes\n"
        "from ingest.cli.main import main\n"
        "upsert = Writes.upsert\n"
        "def interrupting(self, entries):\n"
        "    upsert(self, entries)\n"
        "    current = Catalog.open(self._client, 'images')\n"
        "    print(current.space.model, current.items.count(), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    Writes.upsert = upsert\n"
        "Writes.upsert = interrupting\n"
        "recq.signals.END_WITHIN = 60.0\n"  # a busy machine: how soon it ends is not the question here
        "main()\n"
    )
    done = run_script(place, script)
    assert (done.returncode, done.stdout) == (130, f"{MODEL} 123\n"), done.stderr
    assert done.stderr.splitlines()[-1].endswith("the old vectors still answer; run it again to go on")
    before = done.stderr.count("event=indexed")
    with place.catalog() as catalog:
        assert (catalog.space.model, catalog.items.count()) == (MODEL, 123)
    done = place.command("rebuild", "--model", OTHER)
    assert done.returncode == 0, done.stderr
    assert 0 < done.stderr.count("event=indexed") <= 123 - before < 123
    with place.catalog() as catalog:
        assert (catalog.space.model, catalog.items.count()) == (OTHER, 123)
        assert list(catalog.sources.all()) == ["press", "shop"]


def test_a_rebuild_knows_what_a_new_rule_ignores(place: Place) -> None:
    """A few items go, as by any comparison; all of a source do not without a confirmation."""
    (place.root / ".recqignore").write_text("*\n")
    done = place.command("rebuild", "--model", "pixels:16")
    assert done.returncode == 3, done.stderr
    why = done.stderr.splitlines()[-1]
    assert "2 items found today are ignored now, by the rule '*' in .recqignore line 1: nothing would be left" in why
    assert f"'recq-ingest confirm shop --data-dir {place.data}'" in why
    assert sorted(place.vectors()) == ["a.jpg", "b.jpg", "c.jpg"]
    (place.root / ".recqignore").write_text("b.jpg\n")
    done = place.command("rebuild", "--model", "pixels:16")
    assert done.returncode == 0, done.stderr
    assert sorted(place.vectors()) == ["a.jpg", "c.jpg"]


def test_files_that_have_gone_are_reported_and_too_many_replace_nothing(place: Place) -> None:
    """As a comparison holds them: a folder that is away is no reason to lose what was in it."""
    for number in range(30):
        put(place.root / f"sub/{number}.jpg", 10 + number)
    assert place.once().returncode == 0
    (place.root / "sub").rename(place.root.with_name("away"))
    done = place.command("rebuild", "--model", "pixels:16")
    assert done.returncode == 3, done.stderr
    assert "source 'shop': 30 items found today have gone" in done.stderr.splitlines()[-1]
    assert len(place.vectors()) == 33
    place.root.with_name("away").rename(place.root / "sub")
    (place.root / "a.jpg").unlink()
    done = place.command("rebuild", "--model", "pixels:16", "--log-format", "json")
    assert done.returncode == 0, done.stderr
    (gone,) = [json.loads(line) for line in done.stderr.splitlines() if '"event": "gone"' in line]
    assert (gone["source"], gone["items"], gone["path"]) == ("shop", 1, "a.jpg")
    assert len(place.vectors()) == 32


def test_what_lies_behind_a_link_to_a_folder_has_gone(place: Place) -> None:
    """No walk follows one: what it had is no picture of the source any more, and keeps no rebuild from its end."""
    put(place.root / "2023/x.jpg", 10)
    assert place.once().returncode == 0
    (place.root / "2023").rename(place.root.with_name("big"))
    (place.root / "2023").symlink_to(place.root.with_name("big"))
    done = place.command("rebuild", "--model", "pixels:16", "--log-format", "json")
    assert done.returncode == 0, done.stderr
    (gone,) = [json.loads(line) for line in done.stderr.splitlines() if '"event": "gone"' in line]
    assert (gone["source"], gone["items"], gone["path"]) == ("shop", 1, "2023/x.jpg")
    assert sorted(place.vectors()) == ["a.jpg", "b.jpg", "c.jpg"]
