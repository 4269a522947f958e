"""What comes out of a review: a list and a script that name exactly the files that were decided not to be kept."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from recq.duplicates.groups import Group, Why
from recq.duplicates.kinds import Kind
from recq.face.findings import Duplicates
from recq.index.reviews import Decision
from recq.page.duplicates import Review, script_of, superfluous
from recq.page.looking import Looking
from recq.search.results import Result
from recq.space import EmbeddingSpace

if TYPE_CHECKING:
    from recq.api.service import Service

SPACE = EmbeddingSpace(
    model="test", weights="0", layer="top", pooling="mean", size=8, resize="pad",
    preprocessing="none", precision="f32", dim=8,
)  # fmt: skip


def found(*names: str) -> Duplicates:
    """One group of files of these names."""
    results = tuple(
        Result(rank, 1.0, f"id-{rank}", "s", name, name, Path("/photos") / name, {"file": {"size": 1}})
        for rank, name in enumerate(names, start=1)
    )
    group = Group(results, (Kind.EXACT,) * len(names), Why.PATH)
    return Duplicates(SPACE, (group,), len(names), frozenset(), None, 0.0)


def decision(keep: tuple[int, ...], count: int) -> Decision:
    seen = frozenset(f"id-{rank}" for rank in range(1, count + 1))
    return Decision(seen, frozenset(f"id-{rank}" for rank in keep), "now")


def test_only_what_was_decided_goes() -> None:
    group = found("a.jpg", "b.jpg", "c.jpg")
    assert superfluous(group, []) == []
    assert superfluous(group, [decision((1,), 2)]) == []  # nobody has seen the third
    assert superfluous(group, [decision((), 3)]) == []  # not all of a group
    gone = superfluous(group, [decision((1,), 3), decision((1, 3), 3)])  # the latest holds
    assert [(each.name, each.of) for each in gone] == [("b.jpg", "a.jpg")]


def test_no_name_becomes_a_command() -> None:
    names = [
        "a.jpg",
        "$(reboot).jpg",
        "-rf.jpg",
        "it's.jpg",
        "new\nrm -rf x.jpg",
        os.fsdecode(b"caf\xe9.jpg"),
        "ü #.jpg",
    ]
    script = script_of(superfluous(found(*names), [decision((1,), len(names))]))
    script.encode("utf-8")
    commands = [shlex.split(line, comments=True) for line in script.splitlines()]
    assert [each for each in commands if each] == [
        ["rm", "--", f"/photos/{name}"] for name in ("$(reboot).jpg", "-rf.jpg", "it's.jpg", "ü #.jpg")
    ]
    assert script.count("# by hand, ") == 2


class Kept:
    """Decisions of one catalog, as the collection keeps them."""

    def __init__(self) -> None:
        self.decisions: dict[str, Decision] = {}

    def all(self) -> list[Decision]:
        return sorted(self.decisions.values(), key=lambda each: (each.at, each.key))

    def write(self, decision: Decision) -> None:
        self.take([decision])

    def take(self, decisions: Iterable[Decision]) -> None:
        self.decisions |= {each.key: each for each in decisions}

    def forget(self, *keys: str) -> None:
        for key in keys:
            self.decisions.pop(key, None)


def group_of(*ids: str, kind: Kind = Kind.EXACT) -> Group:
    results = tuple(
        Result(rank, 1.0, item, "s", item, item, Path("/photos") / item, {"file": {"size": 1}})
        for rank, item in enumerate(ids, start=1)
    )
    return Group(results, (Kind.EXACT, *[kind] * (len(ids) - 1)), Why.PATH)


def test_a_thousand_groups_of_the_same_bytes_are_decided_and_taken_back_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    groups = (*(group_of(f"a{n}", f"b{n}") for n in range(1000)), group_of("c", "d", kind=Kind.COPY))
    review, kept = Review(cast("Service", None)), Kept()
    monkeypatch.setattr(Review, "_ask", lambda _self, _catalog, ask: ask(kept))
    found = Duplicates(SPACE, groups, 2002, frozenset(), None, 0.0)
    monkeypatch.setattr(Review, "looking", lambda _self, _catalog: Looking(found=found))
    review.decide(None, ["a7", "b7"], ["b7"])  # what somebody has decided stays
    assert review.standing(None, found, 0).exact == 999
    review.decide_exact(None)
    standing = review.standing(None, found, 0)
    assert (standing.decided, standing.superfluous, standing.number, standing.exact) == (1000, 1000, 1001, 0)
    gone = review.listed(None, found).splitlines()
    assert "/photos/a7" in gone
    assert "/photos/b8" in gone
    review.undo(None)
    assert review.standing(None, found, 0).decided == 1
    review.undo(None)
    assert kept.decisions == {}
