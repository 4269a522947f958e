"""Where a file was before it moved: told by name and bytes where it can be told, and by no guess."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import pytest

from ingest.reconcile.origins import FEW, common_end, origins
from ingest.source.files import Key
from recq.index.schema import FileFacts, Item

ITEMS = 5_000


def facts(path: str, digest: str) -> FileFacts:
    return FileFacts("s", path, 1, 1, sha256=digest)


class Index:
    """Items in a list, in the order of their ids as engines give them; counts what was read."""

    def __init__(self, files: Sequence[tuple[str, str]]) -> None:
        self.items = sorted((Item(facts(path, digest)) for path, digest in files), key=lambda item: item.id)
        self.read = 0

    def holders(
        self,
        digests: Collection[str],
        *,
        names: Collection[str] | None = None,
        source: str | None = None,
        page: int = 500,
    ) -> Iterator[Item]:
        for item in self.items:
            if item.file.sha256 in digests and (names is None or item.file.name in names):
                self.read += 1
                yield item


@pytest.mark.parametrize(
    ("there", "gone", "new", "expected"),
    [
        # A renamed folder, a renamed file, both.
        ({"a/1.jpg": "x"}, {"a/1.jpg"}, ("b/1.jpg", "x"), ["a/1.jpg"]),
        ({"1.jpg": "x"}, {"1.jpg"}, ("2.jpg", "x"), ["1.jpg"]),
        ({"a/1.jpg": "x"}, {"a/1.jpg"}, ("2.jpg", "x"), ["a/1.jpg"]),
        # A copy: what it is a copy of stands.
        ({"a/1.jpg": "x"}, set(), ("b/1.jpg", "x"), []),
        # Bytes that many share: the name tells, then the folders.
        ({f"a/{n}.jpg": "x" for n in range(50)}, {f"a/{n}.jpg" for n in range(50)}, ("b/7.jpg", "x"), ["a/7.jpg"]),
        (
            {f"a/{n}/front.jpg": "x" for n in range(50)},
            {f"a/{n}/front.jpg" for n in range(50)},
            ("b/7/front.jpg", "x"),
            ["a/7/front.jpg"],
        ),
        # Many share them and nothing tells.
        ({f"a/{n}.jpg": "x" for n in range(50)}, {"a/7.jpg"}, ("b/new.jpg", "x"), []),
        # Few share them: the one that has gone; where several have, each may be it.
        ({f"a/{n}.jpg": "x" for n in range(3)}, {"a/1.jpg"}, ("b/new.jpg", "x"), ["a/1.jpg"]),
        ({f"a/{n}.jpg": "x" for n in range(3)}, {"a/1.jpg", "a/2.jpg"}, ("new.jpg", "x"), ["a/1.jpg", "a/2.jpg"]),
        # A nearer one that stands does not hide one that has gone.
        ({"a/7/1.jpg": "x", "c/1.jpg": "x"}, {"c/1.jpg"}, ("b/7/1.jpg", "x"), ["c/1.jpg"]),
        # It is not its own origin.
        ({"b/1.jpg": "x"}, {"b/1.jpg"}, ("b/1.jpg", "x"), []),
        ({"a/1.jpg": "x"}, {"a/1.jpg"}, ("b/1.jpg", "other"), []),
    ],
)
def test_where_a_file_was(there: dict[str, str], gone: set[str], new: tuple[str, str], expected: list[str]) -> None:
    file = facts(*new)
    found = origins([file], Index(list(there.items())), lambda key: key.path in gone)
    assert sorted(item.file.path for item in found.get(file.id, ())) == expected


def test_bytes_of_many_copies_cost_little_and_hide_no_others() -> None:
    placeholder = [(f"a/{number}.jpg", "placeholder") for number in range(ITEMS)]
    others = [(f"old/{number}.jpg", f"digest {number}") for number in range(30)]
    index = Index([*placeholder, *others])
    new = [facts(f"new/n{number}.jpg", f"digest {number}") for number in range(30)]
    new += [facts(f"new/p{number}.jpg", "placeholder") for number in range(2)]
    looked: list[Key] = []

    def has_gone(key: Key) -> bool:
        looked.append(key)
        return key.path.startswith("old/")

    found = origins(new, index, has_gone)
    assert {file.path: [item.file.path for item in found.get(file.id, ())] for file in new} == {
        **{f"new/n{number}.jpg": [f"old/{number}.jpg"] for number in range(30)},
        **{f"new/p{number}.jpg": [] for number in range(2)},
    }
    assert len(looked) == 30
    assert index.read <= 2 * FEW * 32


def test_the_disk_is_asked_once_of_each_place() -> None:
    index = Index([(f"{number}/1.jpg", "x") for number in range(5)])
    looked: list[Key] = []

    def has_gone(key: Key) -> bool:
        looked.append(key)
        return False

    origins([facts(f"new/{n}/1.jpg", "x") for n in range(20)], index, has_gone)
    assert len(looked) == len(set(looked)) == 5


def test_an_encoded_path_is_asked_for_in_its_bytes() -> None:
    index = Index([])
    index.items = [Item(replace(facts("a/%FF.jpg", "x"), encoded=True))]
    found = origins([facts("b.jpg", "x")], index, lambda key: key.path == "a/\udcff.jpg")
    assert len(found) == 1


def test_paths_are_compared_part_by_part_from_the_end() -> None:
    assert common_end("a/7/front.jpg", "b/7/front.jpg") == 2
    assert common_end("a/17/front.jpg", "b/7/front.jpg") == 1
    assert common_end("front.jpg", "b/front.jpg") == 1
    assert common_end("a.jpg", "b.jpg") == 0
