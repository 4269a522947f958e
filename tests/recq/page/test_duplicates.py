"""What comes out of a review: a list and a script that name exactly the files that were decided not to be kept."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from recq.duplicates.groups import Group, Why
from recq.duplicates.kinds import Kind
from recq.face.findings import Duplicates
from recq.index.reviews import Decision
from recq.page.duplicates import script_of, superfluous
from recq.search.results import Result
from recq.space import EmbeddingSpace

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
