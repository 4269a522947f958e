"""What waits: one entry per path, the newest drop first, nothing lost that happens while a path is worked on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ingest.events.pending import Pending, PendingPath
from ingest.events.stability import Observation
from ingest.source.files import FileState, Key


def entry(name: str, *, due: float = 0.0, fresh: bool = True, size: int = 1, known: bool = False) -> PendingPath:
    return PendingPath(Key("s", name), Observation(FileState(size, 1), due, 0.0), fresh, known)


def names(taken: list[PendingPath]) -> list[str]:
    return [each.key.path for each in taken]


def test_the_newest_drop_comes_first_and_the_backlog_last() -> None:
    pending = Pending()
    for number in range(3):
        pending.put(entry(f"old{number}", fresh=False))
    for number in range(3):
        pending.put(entry(f"new{number}"))
    assert names(pending.take(1.0, 4, 4)) == ["new2", "new1", "new0", "old0"]
    assert names(pending.take(1.0, 4, 4)) == ["old1", "old2"]


def test_what_is_worked_on_below_a_folder() -> None:
    pending = Pending()
    for name in ("a/b/1.jpg", "a/2.jpg", "ab/3.jpg", "4.jpg"):
        pending.put(entry(name))
    assert pending.working_below({Key("s", "a")}) == []
    pending.take(1.0, 9, 9)
    pending.put(entry("a/5.jpg"))
    assert sorted(key.path for key in pending.working_below({Key("s", "a"), Key("s", "a/b")})) == [
        "a/2.jpg",
        "a/b/1.jpg",
    ]
    assert pending.working_below({Key("other", "a")}) == []


def test_what_may_yet_be_written() -> None:
    """Files, also those whose losses are judged later; nothing that only goes, or that waits."""
    pending = Pending()
    for each in (entry("file"), entry("aside"), entry("gone")):
        pending.put(each)
    pending.put(replace(entry("gone"), observation=Observation(None, 0.0, 0.0)))
    pending.put(replace(entry("file"), key=Key("t", "file")))
    assert pending.being_written("s") == []
    pending.take(1.0, 9, 9)
    pending.put(entry("waits"))
    pending.written(Key("s", "aside"))
    pending.set_aside(Key("s", "aside"))
    assert sorted(key.path for key in pending.being_written("s")) == ["aside", "file"]


def test_since_when_the_first_of_a_source_waits() -> None:
    """Whatever happens to it meanwhile, and whoever is taken before it; other sources have their own."""
    pending = Pending()
    assert pending.oldest("s") is None
    pending.put(entry("slow.jpg", due=3.0))
    pending.put(entry("later.jpg", due=5.0, fresh=False))
    pending.put(replace(entry("elsewhere.jpg", due=1.0), key=Key("t", "elsewhere.jpg")))
    assert (pending.oldest("s"), pending.oldest("t")) == (3.0, 1.0)
    for changed in (7.0, 9.0):
        pending.put(entry("slow.jpg", due=changed, size=int(changed)))
    assert pending.oldest("s") == 3.0, "a file that is written all the time waits from its first state on"
    assert names(pending.take(8.0, 0, 1, "s")) == ["later.jpg"]
    assert pending.oldest("s") == 3.0
    assert names(pending.take(9.0, 1, 1, "s")) == ["slow.jpg"]
    pending.put(entry("slow.jpg", due=10.0))
    assert pending.oldest("s") == 3.0, "it is being worked on"
    pending.finish(Key("s", "slow.jpg"))
    assert pending.oldest("s") == 5.0
    pending.finish(Key("s", "later.jpg"))
    assert pending.oldest("s") == 10.0, "what happened to it meanwhile"


def test_the_oldest_file_of_a_size_stays_the_oldest_when_something_happens_to_it() -> None:
    pending = Pending()
    for name, since in (("moved.jpg", 0.0), ("other.jpg", 11.0)):
        waiting = entry(name, size=7)
        pending.put(replace(waiting, observation=replace(waiting.observation, since=since)))
    assert pending.oldest_of_size(7, ["s"]) == 0.0
    touched = entry("moved.jpg", size=7, due=20.0)
    pending.put(replace(touched, observation=replace(touched.observation, since=0.0)))
    assert pending.oldest_of_size(7, ["s"]) == 0.0
    pending.put(entry("moved.jpg", size=8, due=21.0))
    assert pending.oldest_of_size(7, ["s"]) == 11.0


def laid_by(pending: Pending) -> int:
    """Everything that it holds in memory, replaced entries included."""
    paths = len(pending._waiting) + len(pending._working) + len(pending._again) + len(pending._sizes)
    return paths + sum(len(line) for line in pending._lines.values())


def test_a_file_that_changes_while_nothing_is_taken_takes_no_more_memory() -> None:
    """The index is away for days, and something writes to one file all the time."""
    pending = Pending()
    for number in range(5_000):
        pending.put(entry("log.jpg", due=float(number), size=number))
    assert laid_by(pending) < 2_000
    assert names(pending.take(5_000.0, 9, 9)) == ["log.jpg"]


def test_a_second_look_takes_no_more_memory_and_leaves_the_order() -> None:
    """A long backlog is found anew by every reconcile."""
    pending = Pending()
    for _ in range(50):
        for number in range(100):
            pending.put(entry(f"{number}", fresh=False))
    assert laid_by(pending) < 300
    assert names(pending.take(1.0, 0, 3)) == ["0", "1", "2"]


def test_nothing_is_left_of_many_events() -> None:
    pending = Pending()
    for number in range(30_000):
        name = f"{number % 1_500}.jpg"
        pending.put(entry(name, due=float(number), fresh=number % 3 != 0, size=number % 97))
        if number % 500 == 499:
            for taken in pending.take(float(number), 400, 400):
                pending.put(entry(taken.key.path, due=float(number + 5)))  # hinted at while it is worked on
                pending.finish(taken.key)
    while len(pending):
        for taken in pending.take(1e9, 400, 400):
            pending.finish(taken.key)
    assert pending.next_due() is None
    assert laid_by(pending) == 0
    assert not +pending._all
    assert not +pending._unknown


def test_what_is_not_due_waits() -> None:
    pending = Pending()
    pending.put(entry("later", due=5.0))
    pending.put(entry("walked", due=6.0, fresh=False))
    assert pending.take(4.9, 9, 9) == []
    assert pending.next_due() == 5.0
    assert names(pending.take(5.0, 9, 9)) == ["later"]
    assert pending.next_due() == 6.0
    assert names(pending.take(6.0, 9, 9)) == ["walked"]
    assert pending.next_due() is None


def test_a_path_waits_once() -> None:
    pending = Pending()
    for due in (1.0, 2.0, 3.0):
        pending.put(entry("a", due=due))
    assert len(pending) == 1
    assert pending.take(2.5, 9, 9) == []
    assert names(pending.take(3.0, 9, 9)) == ["a"]
    assert pending.take(9.0, 9, 9) == []


def test_a_walk_does_not_push_a_drop_back() -> None:
    pending = Pending()
    pending.put(entry("drop"))
    pending.put(entry("other"))
    pending.put(entry("drop", fresh=False))
    assert names(pending.take(1.0, 9, 9)) == ["drop", "other"]


def test_what_happens_meanwhile_waits_again() -> None:
    pending = Pending()
    pending.put(entry("a", size=1))
    (taken,) = pending.take(1.0, 9, 9)
    pending.put(entry("a", size=2))
    assert pending.take(1.0, 9, 9) == []
    assert pending.observation(taken.key) == entry("a", size=2).observation
    pending.finish(taken.key)
    assert names(pending.take(1.0, 9, 9)) == ["a"]
    pending.finish(taken.key)
    assert len(pending) == 0


def has_size(pending: Pending, size: int, source: str = "s") -> bool:
    """Whether an unfinished file of that size waits."""
    return pending.oldest_of_size(size, [source]) < float("inf")


def test_sizes_and_counts_follow_a_path_to_its_end() -> None:
    pending = Pending()
    pending.put(entry("a", size=7))
    pending.put(entry("a", size=8, known=True))
    assert not has_size(pending, 7)
    assert has_size(pending, 8)
    assert pending.count("s") == (1, 0)
    pending.put(entry("b", size=8))
    assert pending.count("s") == (2, 1)
    for taken in pending.take(1.0, 9, 9):
        assert has_size(pending, 8)
        assert not has_size(pending, 8, "t")
        pending.finish(taken.key)
    assert not has_size(pending, 8)
    assert pending.count("s") == (0, 0)


class Waiting(RuleBasedStateMachine):
    """Pending against a model: a set of paths that have to come out."""

    def __init__(self) -> None:
        super().__init__()
        self.pending = Pending()
        self.now = 0.0
        self.owed: dict[str, float] = {}  # path -> due, of paths that have to be taken (again)
        self.working: set[str] = set()

    @rule(name=st.sampled_from("abcd"), wait=st.floats(0, 5), fresh=st.booleans())
    def put(self, name: str, wait: float, fresh: bool) -> None:
        self.pending.put(entry(name, due=self.now + wait, fresh=fresh))
        self.owed[name] = self.now + wait

    @rule(seconds=st.floats(0, 3))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(most=st.integers(1, 3))
    def take(self, most: int) -> None:
        for taken in self.pending.take(self.now, most, most):
            name = taken.key.path
            assert name not in self.working
            assert self.owed.pop(name) == taken.observation.due <= self.now
            self.working.add(name)

    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        if self.working:
            name = data.draw(st.sampled_from(sorted(self.working)))
            self.working.remove(name)
            self.pending.finish(Key("s", name))

    @invariant()
    def nothing_is_lost(self) -> None:
        waiting = set(self.owed) - self.working
        assert len(self.pending) == len(waiting | self.working)
        due = self.pending.next_due()
        assert (due is None) == (not waiting)

    def teardown(self) -> None:
        for name in self.working:
            self.pending.finish(Key("s", name))
        assert set(names(self.pending.take(self.now + 10, 99, 99))) == set(self.owed)


TestWaiting = Waiting.TestCase


def test_a_path_that_is_written_is_not_new_any_more_while_its_metadata_is_judged() -> None:
    """That may wait for a comparison, which waits until nothing new is left: the two would wait for each other."""
    pending = Pending()
    pending.put(entry("a", size=7))
    pending.take(1.0, 9, 9)
    assert pending.count("s") == (1, 1)
    pending.written(Key("s", "a"))
    assert pending.count("s") == (1, 0)
    assert not has_size(pending, 7)
    pending.finish(Key("s", "a"))
    assert pending.count("s") == (0, 0)


def test_room_for_fresh_entries_alone() -> None:
    """While the backlog has taken its places, a new drop has one of its own."""
    pending = Pending()
    pending.put(entry("old", fresh=False))
    assert pending.fresh_due(1.0) == 0
    assert pending.next_due(backlog=False) is None
    assert pending.take(1.0, 4, 0) == []
    pending.put(entry("new", due=0.5))
    assert pending.fresh_due(0.4) == 0
    assert pending.fresh_due(1.0) == 1
    assert pending.next_due(backlog=False) == 0.5
    assert pending.next_due(fresh=False) == 0.0
    assert names(pending.take(1.0, 4, 0)) == ["new"]
    assert names(pending.take(1.0, 0, 4)) == ["old"]


FLAGS = ("fresh", "known", "retry", "altered")


@dataclass
class Owed:
    """What a path has to come out with: flags asked for since it was taken, and whether its absence was witnessed."""

    flags: frozenset[str]
    absent: bool
    witnessed: bool


STEPS = st.one_of(
    st.tuples(
        st.just("put"), st.sampled_from("ab"), st.frozensets(st.sampled_from(FLAGS)), st.booleans(), st.booleans()
    ),
    st.tuples(st.just("take"), st.integers(1, 2)),
    st.tuples(st.just("finish"), st.sampled_from("ab")),
)


@given(st.lists(STEPS, max_size=30))
def test_whatever_a_path_is_asked_for_while_it_waits_or_is_worked_on_it_comes_out_with(
    steps: list[tuple[object, ...]],
) -> None:
    """An event that comes after `retry`, `altered`, ... takes none of them back, in any order of steps."""
    pending = Pending()
    owed: dict[str, Owed] = {}
    working: set[str] = set()
    steps += [("finish", "a"), ("finish", "b"), ("take", 9)]
    for step in steps:
        match step:
            case ("put", str(name), frozenset(flags), bool(absent), bool(witnessed)):
                before = owed.get(name, Owed(frozenset(), absent=False, witnessed=False))
                kept = before.witnessed and before.absent and absent
                owed[name] = Owed(before.flags | flags, absent, (absent and witnessed) or kept)
                state = None if absent else FileState(1, 1)
                seen = Observation(state, 0.0, 0.0)
                asked = {flag: flag in flags for flag in FLAGS}
                pending.put(PendingPath(Key("s", name), seen, witnessed=absent and witnessed, **asked))
            case ("take", int(most)):
                for entry in pending.take(1.0, most, most):
                    name = entry.key.path
                    assert name not in working
                    expected = owed.pop(name)
                    assert frozenset(flag for flag in FLAGS if getattr(entry, flag)) == expected.flags
                    assert entry.witnessed == expected.witnessed
                    working.add(name)
            case ("finish", str(name)) if name in working:
                working.remove(name)
                pending.finish(Key("s", name))
    assert not owed


def test_an_event_while_a_file_is_worked_on_does_not_take_back_that_it_was_altered() -> None:
    """`reconcile --verify` and `retry` ask while it is read; then it is touched."""
    pending = Pending()
    pending.put(entry("a.jpg"))
    (taken,) = pending.take(1.0, 9, 9)
    pending.put(replace(entry("a.jpg"), altered=True))
    pending.put(replace(entry("a.jpg"), retry=True))
    pending.put(entry("a.jpg", size=2))
    pending.finish(taken.key)
    (again,) = pending.take(1.0, 9, 9)
    assert again.altered
    assert again.retry
    assert again.observation.state == FileState(2, 1)


@pytest.mark.parametrize("source", ["a", "b"])
def test_one_source_can_be_taken_from_alone(source: str) -> None:
    """The other one's disk does not answer: what waits there is not in the way, and stays in its order."""
    pending = Pending()
    for number in range(4):
        for name in ("a", "b"):
            seen = Observation(FileState(1, 1), 0.0, 0.0)
            pending.put(PendingPath(Key(name, str(number)), seen, fresh=number % 2 == 0))
    assert [(each.key.source, each.key.path) for each in pending.take(1.0, 9, 9, source)] == [
        (source, path) for path in ("2", "0", "1", "3")
    ]
    assert pending.next_due(source) is None
    assert pending.fresh_due(1.0, source) == 0
    assert pending.fresh_due(1.0) == 2
    assert pending.next_due() == 0.0
    assert pending.take(1.0, 9, 9, "unknown") == []
    other = "b" if source == "a" else "a"
    assert [(each.key.source, each.key.path) for each in pending.take(1.0, 9, 9)] == [
        (other, path) for path in ("2", "0", "1", "3")
    ]
