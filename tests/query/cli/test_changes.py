"""`recq changes`: what it prints, and that following goes on where a daemon comes, goes and writes."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from tests import forked
from tests.eventually import eventually
from tests.ingest.pictures import put
from tests.ingest.running import STARTS_WITHIN, Place, environment
from tests.query.conftest import FAILED, GOODS, Shop


def test_the_first_changes_are_all_items(shop: Shop) -> None:
    said = shop.ask("changes")
    rows = [line.split("  ") for line in said.lines[1:]]
    assert len(rows) == len(GOODS) + 1
    assert [row[0] for row in rows if f"shop/{FAILED}" in row] == ["failed"]
    document = json.loads(shop.ask("changes", "--json").text)
    assert [each["change"] for each in document["changes"]] == [row[0] for row in rows]
    assert f"'recq changes --since {document['cursor']}" in said.err.replace('"', "")


def test_each_answer_goes_on_where_the_last_one_ended(shop: Shop) -> None:
    paths: list[str] = []
    cursor: list[str] = []
    while True:
        found = json.loads(shop.ask("changes", *cursor, "--limit", "4", "--json").text)
        paths += [each["path"] for each in found["changes"]]
        cursor = ["--since", found["cursor"]]
        if not found["more"]:
            break
    assert len(paths) == len(set(paths)) == len(GOODS) + 1
    assert shop.ask("changes", *cursor, "--format", "jsonl").text == ""


def test_following_misses_nothing_that_daemons_write_one_after_the_other(tmp_path: Path) -> None:
    place = Place(tmp_path / "shop", tmp_path / "data", settings={"RECQ_LOCK_WAIT": "20"})
    put(place.root / "first.jpg", 1)
    assert place.once().returncode == 0
    env = environment(**place.settings)
    known = forked.run("query.cli", ["changes", "--since", "now", "--json", *place.reached], env, STARTS_WITHIN)
    cursor = json.loads(known.stdout)["cursor"]
    said, log = tmp_path / "said", tmp_path / "log"
    with said.open("wb") as out, log.open("wb") as err:
        command = ["changes", "--follow", "--since", cursor, "--json", *place.reached]
        following = forked.start("query.cli", command, env, out.fileno(), err.fileno())

    def followed() -> list[tuple[str, str]]:
        return [(each["change"], each["path"]) for each in map(json.loads, said.read_text("utf-8").splitlines())]

    try:
        wanted: list[tuple[str, str]] = []
        for number in range(2):
            with place.daemon() as running:
                running.ready()
                wanted.append(("indexed", f"{number}.jpg"))
                put(place.root / f"{number}.jpg", 10 + number)
                eventually(lambda: followed() == wanted, within=STARTS_WITHIN)
                wanted.append(("gone", f"{number}.jpg"))
                (place.root / f"{number}.jpg").unlink()
                eventually(lambda: followed() == wanted, within=STARTS_WITHIN)
        following.send_signal(signal.SIGTERM)
        assert following.wait(STARTS_WITHIN) == 0, log.read_text("utf-8")
    finally:
        following.kill()
        following.wait()
