"""Who may have which part of a source."""

from __future__ import annotations

import pytest

from ingest.source.claims import earlier, in_the_way, living, refused
from recq.index.parts import PartRecord, lacking
from recq.index.sources import Plugin, Watcher
from recq.part import WHOLE, Part

OWN = Watcher("here", 10, "2026-05-01T12:00:00+00:00")


def record(part: str, pid: int = 11, *, host: str = "here", at: str = OWN.at, since: str = "1") -> PartRecord:
    return PartRecord("shop", Part.parse(part), Watcher(host, pid, at), since)


def started(pid: int) -> float | None:
    return 0.0 if pid < 20 else None  # there is no process of a higher number


def test_who_is_at_work() -> None:
    at_work = [
        record("1/3"),
        record("2/3", host="there", at="2026-05-01T11:59:01+00:00"),
    ]
    gone = [
        record("1/3", pid=20),
        record("2/3", host="there", at="2026-05-01T11:58:59+00:00"),
        record("3/3", pid=10),  # this process itself
        PartRecord("shop", Part(3, 3)),  # given back
    ]
    assert living([*at_work, *gone], OWN, started) == at_work


@pytest.mark.parametrize(("part", "refuses"), [("1/3", True), ("2/3", False), ("2/2", True)])
def test_what_goes_together(part: str, refuses: bool) -> None:
    other = record("1/3")
    assert in_the_way(Part.parse(part), [record("3/3"), other]) in ((other, record("3/3")) if refuses else (None,))


def test_of_two_that_begin_at_once_the_later_ends() -> None:
    before, after, same = record("1/2", since="1"), record("1/2", since="3"), record("1/2", pid=9, since="2")
    assert earlier([before, after, same], "2", OWN) == [before, same]
    assert earlier([after], "2", OWN) == []


def test_a_refusal_is_one_line_with_a_way_out() -> None:
    other = record("1/3", host="there")
    for part, way in ((WHOLE, "run this with"), (Part(1, 2), "before you share it by 2"), (Part(1, 3), "another one")):
        message = refused("shop", part, other, OWN)
        assert "\n" not in message
        assert "process 11 on there" in message
        assert "(after its end that counts for 60 s)" in message
        assert way in message
    assert "after its end" not in refused("shop", WHOLE, record("1/3"), OWN)


def test_a_record_is_read_as_it_was_written() -> None:
    written = PartRecord(
        "shop", Part(2, 5), OWN, "since", 1, 2, 3, 4, 5, "2026-05-01", {"scan": Plugin("scanner", ("dpi",))}
    )
    assert written.metadata_key == "part:shop/2/5"
    assert PartRecord.from_json(written.metadata_key, written.to_json()) == written
    assert PartRecord.from_json("part:shop", {}) is None
    assert lacking([written, record("1/5")]) == [Part(3, 5), Part(4, 5), Part(5, 5)]
