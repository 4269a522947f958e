"""A source of metadata that is installed: what it gives, what changes, and that whatever it does costs no picture."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.ingest.documented import validated
from tests.ingest.pictures import put
from tests.ingest.running import Place
from tests.plugins.installed import install, install_documented

GROUP = "recq.metadata_sources"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return tmp_path / "site"


@pytest.fixture
def place(tmp_path: Path, site: Path) -> Place:
    """A folder of three pictures, and programs that find what is installed in `site`."""
    settings = {"RECQ_SETTLE": "0.1", "PYTHONPATH": os.fspath(site)}
    made = Place(tmp_path / "shop", tmp_path / "data", settings=settings)
    for number in range(3):
        put(made.root / f"sofa_{number}.jpg", number)
    return made


def metadata(place: Place) -> dict[str, Any]:
    return {path: dict(item.metadata) for path, item in place.items().items()}


def problems(place: Place) -> list[dict[str, Any]]:
    done = place.command("problems", "--json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = validated("problems", json.loads(done.stdout))
    return found


def counts(place: Place, *, code: int = 0) -> tuple[int, int, int]:
    """What a pass has embedded, described and let fail."""
    done = place.once("--log-format", "json")
    assert done.returncode == code, done.stderr
    stopped = next(
        event for event in map(json.loads, filter(lambda line: line.startswith("{"), done.stderr.splitlines()))
        if event["event"] == "stopped"
    )  # fmt: skip
    return stopped["indexed"] + stopped["reused"], stopped["metadata"], stopped["failed"]


def test_the_documented_one_gives_fields_and_its_changes_are_seen(place: Place, site: Path) -> None:
    install_documented(site)
    place.from_nothing = True  # as anybody's daemon finds it
    assert counts(place) == (3, 0, 0)
    place.from_nothing = False
    assert metadata(place)["sofa_1.jpg"] == {"category": "sofa"}
    (place.root / "shelves.txt").write_text("1 = A 12\n2 = B 3\n")
    assert counts(place) == (0, 3, 0)
    assert metadata(place) == {
        "sofa_0.jpg": {"category": "sofa"},
        "sofa_1.jpg": {"category": "sofa", "shelf": "A 12", "aisle": 12},
        "sofa_2.jpg": {"category": "sofa", "shelf": "B 3", "aisle": 3},
    }
    assert counts(place) == (0, 0, 0)
    (place.root / "metadata.csv").write_text("file,shelf\nsofa_2.jpg,window\n")
    assert counts(place) == (0, 1, 0)
    assert metadata(place)["sofa_2.jpg"] == {"category": "sofa", "shelf": "window", "aisle": 3}
    (found,) = problems(place)
    assert (found["kind"], found["field"], found["path"]) == ("twice", "shelf", "metadata.csv")
    assert "recq-shelf 1.0" in found["detail"]


def test_one_that_raises_costs_its_own_fields_and_keeps_what_it_gave(place: Place, site: Path) -> None:
    install_documented(site)
    (place.root / "shelves.txt").write_text("1 = A 12\n2 = B\n")
    assert counts(place, code=3) == (3, 0, 0)
    assert metadata(place)["sofa_1.jpg"]["aisle"] == 12
    (found,) = problems(place)
    assert (found["kind"], found["path"]) == ("plugin", "sofa_2.jpg")
    assert found["detail"].startswith("plug-in 'shelf' of recq.metadata_sources (package recq-shelf 1.0): IndexError")
    (place.root / "shelves.txt").write_text("1 = A\n2 = B 3\n")
    assert counts(place, code=3) == (0, 3, 0)
    assert metadata(place)["sofa_1.jpg"] == {"category": "sofa", "shelf": "A 12", "aisle": 12}  # nobody knows
    assert metadata(place)["sofa_2.jpg"] == {"category": "sofa", "shelf": "B 3", "aisle": 3}
    assert [(each["kind"], each["path"]) for each in problems(place)] == [("plugin", "sofa_1.jpg")]


NONSENSE = {
    "a mapping": "return {'a': 1}",
    "no mapping of fields": "return Described(['a'])",
    "a field that is no text": "return Described({1: 2})",
    "problems of its own kind": "return Described(problems=['bad'])",
    "the end of the program": "raise SystemExit(0)",
    "a panic of a library in Rust": "raise type('PanicException', (BaseException,), {})('gone')",
    "an error without words": "raise type('Untold', (Exception,), {'__str__': lambda self: 1 / 0})()",
    "fields that cannot be read": "return Described(type('Gone', (dict,), {'items': lambda self: 1 / 0})(a=1))",
    "no fingerprint": "return Described(fingerprint='x')",
    "a fingerprint that is no JSON": "return Described({'a': 1}, fingerprint={'at': object()})",
}


def test_whatever_one_answers_no_picture_is_lost(place: Place, site: Path) -> None:
    for number, answer in enumerate(NONSENSE.values()):
        code = (
            "from recq.index.metadata_source import Described\n"
            "class Odd:\n    def __init__(self, folder): pass\n    def fingerprint(self, picture): return {}\n"
            f"    def describe(self, picture):\n        {answer}\n"
        )
        install(site, f"odd-{number}", code, {GROUP: {f"odd{number}": f"odd_{number}:Odd"}})
    assert counts(place, code=3) == (3, 0, 0)
    assert metadata(place) == {f"sofa_{number}.jpg": {"category": "sofa"} for number in range(3)}
    found = problems(place)
    assert len(found) == 3 * len(NONSENSE)
    assert {each["kind"] for each in found} == {"plugin"}
    for number in range(len(NONSENSE)):
        assert sum(f"package odd-{number} 0.1" in each["detail"] for each in found) == 3
    assert counts(place, code=3) == (0, 0, 0)


def test_fields_that_cannot_be_stored_are_left_out_by_name(place: Place, site: Path) -> None:
    code = (
        "from recq.index.metadata_source import Described\n"
        "class Odd:\n    def __init__(self, folder): pass\n    def fingerprint(self, picture): return {}\n"
        "    def describe(self, picture):\n"
        "        return Described({'file.name': 'x', 'deep': {}, 'good': [1, 2], 'nothing': ''})\n"
    )
    install(site, "odd", code, {GROUP: {"odd": "odd:Odd"}})
    assert counts(place, code=3) == (3, 0, 0)
    assert metadata(place)["sofa_0.jpg"] == {"category": "sofa", "good": [1, 2]}
    found = [each for each in problems(place) if each["path"] == "sofa_0.jpg"]
    assert {(each["kind"], each["field"]) for each in found} == {("field", "file.name"), ("field", "deep")}
    assert all("package odd 0.1" in each["detail"] for each in found)


UNUSABLE = {
    "no-module": ("", "nowhere:Source"),
    "raises-at-import": ("raise RuntimeError('no licence\\nfound')", "raises_at_import:Source"),
    "ends-at-import": ("import sys; sys.exit(3)", "ends_at_import:Source"),
    "lacks-it": ("", "lacks_it:Source"),
    "is-none": ("class Source:\n    def __init__(self, folder): pass", "is_none:Source"),
    "wrong-field": (
        "class Source:\n    types = {'file.x': 'string'}\n    def __init__(self, folder): pass\n"
        "    def fingerprint(self, picture): pass\n    def describe(self, picture): pass",
        "wrong_field:Source",
    ),
    "wrong-type": (
        "class Source:\n    types = {'x': 'colour'}\n    def __init__(self, folder): pass\n"
        "    def fingerprint(self, picture): pass\n    def describe(self, picture): pass",
        "wrong_type:Source",
    ),
}


def test_one_that_cannot_be_had_is_one_problem_and_takes_nothing_away(place: Place, site: Path) -> None:
    install_documented(site)
    (place.root / "shelves.txt").write_text("1 = A 12\n2 = B 3\n")
    assert counts(place) == (3, 0, 0)
    before = metadata(place)
    (site / "recq_shelf.py").write_text("import nothing_of_that_name\n")
    for name, (code, value) in UNUSABLE.items():
        install(site, name, code, {GROUP: {name: value}})
    counts(place, code=3)
    assert metadata(place) == before
    found = problems(place)
    assert {each["kind"] for each in found} == {"plugin"}
    assert len(found) == 1 + len(UNUSABLE)
    for name in ("recq-shelf", *UNUSABLE):
        (detail,) = (each["detail"] for each in found if f"package {name} " in each["detail"])
        assert "\n" not in detail
    assert counts(place, code=3) == (0, 0, 0)


def test_a_name_of_recqs_own_stays_recqs(place: Place, site: Path) -> None:
    code = "class Source:\n    def __init__(self, folder): raise SystemExit('taken over')"
    install(site, "thief", code, {GROUP: {"table": "thief:Source", "exif": "thief:Source"}})
    (place.root / "metadata.csv").write_text("file,price\nsofa_1.jpg,5\n")
    assert counts(place) == (3, 0, 0)
    assert metadata(place)["sofa_1.jpg"] == {"category": "sofa", "price": 5}
    assert problems(place) == []


def test_one_that_hangs_is_reported_once_and_given_up(place: Place, site: Path) -> None:
    """No picture waits for it, each keeps what it had from it, and no question hangs that comes later."""
    install_documented(site)
    (place.root / "shelves.txt").write_text("1 = A 12\n2 = B 3\n")
    assert counts(place) == (3, 0, 0)
    before = metadata(place)
    code = (
        "import threading\nfor_ever = threading.Event()\n"
        "class Hangs:\n    def __init__(self, folder): pass\n"
        "    def fingerprint(self, picture): return {}\n"
        "    def describe(self, picture): for_ever.wait()\n"
    )
    install(site, "hangs", code, {GROUP: {"hangs": "hangs:Hangs"}})
    (site / "recq_shelf.py").write_text(code.replace("class Hangs", "class Shelves"))
    place.settings["RECQ_PLUGIN_TIMEOUT"] = "0.5"
    put(place.root / "sofa_3.jpg", 3)
    assert counts(place, code=3)[::2] == (1, 0)
    assert metadata(place) == before | {"sofa_3.jpg": {"category": "sofa"}}
    found = problems(place)
    assert [(each["kind"], each["path"]) for each in found] == [("plugin", None)] * 2
    for package in ("package hangs 0.1", "package recq-shelf 1.0"):
        (detail,) = (each["detail"] for each in found if package in each["detail"])
        assert "has not answered for 0.5 s (the setting plugin_timeout)" in detail


def test_one_that_hangs_at_its_start_is_given_up(place: Place, site: Path) -> None:
    code = "import threading\nclass Hangs:\n    def __init__(self, folder): threading.Event().wait()\n"
    install(site, "hangs", code, {GROUP: {"hangs": "hangs:Hangs"}})
    place.settings["RECQ_PLUGIN_TIMEOUT"] = "0.5"
    assert counts(place, code=3) == (3, 0, 0)
    (found,) = problems(place)
    assert "(package hangs 0.1) cannot be used: no answer within 0.5 s" in found["detail"]


def test_metadata_of_one_that_was_uninstalled_names_it(place: Place, site: Path) -> None:
    install_documented(site)
    for number in range(3, 21):
        put(place.root / f"sofa_{number}.jpg", number)
    (place.root / "shelves.txt").write_text("".join(f"{number} = A {number}\n" for number in range(21)))
    assert counts(place) == (21, 0, 0)
    for info in site.glob("recq_shelf*"):
        info.rename(site.parent / info.name)
    for _ in range(2):  # it is not forgotten while what it gave is held
        counts(place, code=3)
        (found,) = problems(place)
        assert (found["kind"], found["path"], found["count"]) == ("held", None, 21)
        called = "plug-in 'shelf' of recq.metadata_sources (package recq-shelf 1.0)"
        assert f"since {called}, which gave sofa_" in found["detail"]
        assert "is not installed any more: the old values stay" in found["detail"]
    assert place.command("confirm").returncode == 0
    assert counts(place) == (0, 21, 0)
    assert problems(place) == []
