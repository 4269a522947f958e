"""Where a vector comes from, and who waits for whom before the network."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future

import numpy as np
import pytest

from ingest.events.pending import PendingPath
from ingest.events.stability import completed
from ingest.loop import Loop
from ingest.pipeline.embed import _REPEATS, Embed, Pixels
from ingest.pipeline.fresh_first import FreshFirst
from ingest.pipeline.vectors import Embedded
from ingest.pipeline.verdict import Fate, Verdict
from ingest.source.files import FileState, Key
from recq.errors import ImageError, Reason
from recq.images.workers import Decoded, Hashed
from recq.index.ledger import Carried
from recq.models.embedder import Pass
from tests.eventually import eventually

PIXELS = np.zeros((2, 2, 3), np.uint8)
VECTOR = np.ones(4, np.float32)


class Network:
    """Answers when the test says so."""

    capacity = 2

    def __init__(self) -> None:
        self.under_way: list[tuple[int, Future[Pass]]] = []

    def submit_pass(self, pixels: Pixels) -> Future[Pass]:
        future: Future[Pass] = Future()
        self.under_way.append((int(pixels[0, 0, 0]), future))
        assert len(self.under_way) <= self.capacity
        return future

    def answer(self) -> None:
        self.under_way.pop(0)[1].set_result(Pass(VECTOR, VECTOR, VECTOR))


class Case:
    """Vectors at work, what the index has, and what was told."""

    def __init__(self) -> None:
        self.loop, self.network = Loop(), Network()
        self.stored: dict[str, Carried] = {}
        self.questions: list[Sequence[str]] = []
        self.told: list[tuple[str, object, bool]] = []
        self.more = False
        self.read: list[bool] = []
        self.embed = Embed(self.loop, self.network, self._stored, self, lambda: self.more)

    def _stored(self, digests: Sequence[str]) -> Mapping[str, Carried]:
        self.questions.append(digests)
        return {digest: self.stored[digest] for digest in digests if digest in self.stored}

    def ask(self, name: str, *, fresh: bool = False, since: int = 0) -> None:
        decoded = Decoded(name, 9, 9, "PNG", 3, 2, since, PIXELS + np.uint8(sum(name.encode()) % 256))
        entry = PendingPath(Key("s", name), completed(FileState(9, 9), 0.0), fresh=fresh)
        self.embed.decoded(Verdict(entry, Fate.EMBED, FileState(9, 9)), decoded)

    def embedded(self, verdict: Verdict, _read: Hashed, embedded: Embedded, *, carried: bool) -> None:
        self.told.append((verdict.entry.key.path, embedded.vector, carried))
        self.read.append(embedded.read is not None)

    def failed(self, verdict: Verdict, error: ImageError) -> None:
        self.told.append((verdict.entry.key.path, error, False))

    def dropped(self, verdict: Verdict) -> None:
        self.told.append((verdict.entry.key.path, None, False))

    def turn(self) -> bool:
        self.loop.turn(time.monotonic() + 0.02)
        return True

    def busy(self) -> int:
        """Have the network work on `a` and `b`, while `c` waits for it; how many questions that took."""
        for name in "abc":
            self.ask(name)
        self.until(under_way=2)
        return len(self.questions)

    def until(self, told: int = 0, under_way: int = 0) -> None:
        eventually(lambda: self.turn() and len(self.told) == told and len(self.network.under_way) == under_way)


class Broken(Network):
    """A network that takes no pictures at all."""

    def submit_pass(self, pixels: Pixels) -> Future[Pass]:
        raise RuntimeError("no device")


def test_an_inference_that_raises_is_its_pictures_failure() -> None:
    """Whatever the network raises: it is no reason for the daemon to end."""
    case = Case()
    for name in ("a", "a", "b"):
        case.ask(name)
    case.until(under_way=2)
    case.network.under_way.pop(0)[1].set_exception(RuntimeError("a\n  long story " + "x" * 9999))
    case.until(told=2, under_way=1)
    case.network.answer()
    case.until(told=3)
    (first, error, _), (second, same, _), (last, vector, _) = case.told
    assert (first, second, last) == ("a", "a", "b")
    assert isinstance(error, ImageError)
    assert error is same
    assert error.reason is Reason.INFERENCE
    assert error.detail.startswith("RuntimeError: a long story xxx")
    assert len(error.detail) <= 500
    assert vector is VECTOR


def test_a_network_that_takes_no_pictures_fails_each_once() -> None:
    case = Case()
    case.embed = Embed(case.loop, Broken(), case._stored, case)
    for name in "abcd":
        case.ask(name)
    case.until(told=4)
    assert all(isinstance(error, ImageError) and error.reason is Reason.INFERENCE for _, error, _ in case.told)


def test_fresh_first() -> None:
    queue: FreshFirst[int] = FreshFirst()
    for number in range(6):
        queue.put(number, fresh=number in (2, 4))
    assert [queue.take() for _ in range(len(queue))] == [2, 4, 0, 1, 3, 5]


def test_a_drop_passes_the_backlog_before_the_network() -> None:
    case = Case()
    for name in "abcdef":
        case.ask(name)
    case.until(under_way=2)
    case.ask("new", fresh=True)
    eventually(lambda: case.turn() and any("new" in asked for asked in case.questions))
    case.turn()
    case.network.answer()
    case.until(told=1, under_way=2)
    for told in range(2, 8):
        case.network.answer()
        case.until(told=told, under_way=min(2, 7 - told))
    assert [name for name, _, _ in case.told] == ["a", "b", "new", "c", "d", "e", "f"]


def test_the_backlog_is_asked_about_together_while_the_network_has_enough_to_do() -> None:
    case = Case()
    asked = case.busy()
    assert sorted(name for names in case.questions for name in names) == ["a", "b", "c"]
    together = list("defghijklm")
    for name in together:  # `c` waits for the network: there is time
        case.ask(name)
    case.turn()
    assert len(case.questions) == asked
    case.network.answer()
    case.until(told=1, under_way=2)
    eventually(lambda: case.turn() and len(case.questions) > asked)
    assert case.questions[asked:] == [together]
    for told in range(2, 14):
        case.network.answer()
        case.until(told=told, under_way=min(2, 13 - told))
    assert [name for name, _, _ in case.told] == [*"abc", *together]


def test_a_few_of_the_backlog_are_asked_about_before_a_core_has_nothing_to_do() -> None:
    case = Case()
    asked = case.busy()
    case.ask("d")
    for told in (1, 2):  # then one picture is left in the network
        assert len(case.questions) == asked
        case.network.answer()
        case.until(told=told, under_way=min(2, 3 - told))
    eventually(lambda: case.turn() and len(case.questions) > asked)
    assert case.questions[asked:] == [["d"]]


def test_a_drop_does_not_wait_for_company() -> None:
    case = Case()
    asked = case.busy()
    case.ask("d")
    case.ask("new", fresh=True)
    eventually(lambda: case.turn() and len(case.questions) > asked)
    assert case.questions[asked:] == [["d", "new"]]


def test_the_same_bytes_are_computed_once() -> None:
    case = Case()
    case.stored["old"] = Carried(VECTOR, 1)
    for name in ("a", "a", "old"):
        case.ask(name)
    case.until(told=1, under_way=1)
    case.network.answer()
    case.until(told=3)
    case.ask("a")  # remembered: told at once, nobody is asked
    assert [(name, carried) for name, _, carried in case.told] == [
        ("old", True), ("a", False), ("a", True), ("a", True),
    ]  # fmt: skip
    assert sum("a" in asked for asked in case.questions) == 1
    known = case.embed.recent("a")
    assert known is not None
    assert (known.format, known.width, known.height, known.vector) == ("PNG", 3, 2, VECTOR)
    assert case.embed.recent("b") is None


def test_copies_are_expected_for_a_while_after_one() -> None:
    """Only then is it asked about the bytes of a file before it is decoded."""
    case = Case()
    expected = []
    for name in ("a", "a", *map(str, range(_REPEATS))):
        case.ask(name)
        expected.append(case.embed.expects_copies)
    assert expected == [False, *[True] * _REPEATS, False]
    case.until(under_way=2)
    case.network.answer()
    case.until(told=2, under_way=2)
    case.ask("a")  # when it has its vector
    assert case.embed.expects_copies


def test_a_network_starves_that_has_less_than_half_of_what_it_takes() -> None:
    case = Case()
    seen = [case.embed.starving]
    case.ask("a")
    case.until(under_way=1)
    seen.append(case.embed.starving)
    case.network.answer()
    case.until(told=1)
    seen.append(case.embed.starving)
    assert seen == [True, False, True]


def test_what_an_older_decoder_made_of_the_same_bytes_is_no_vector_for_these_pixels() -> None:
    case = Case()
    case.stored |= {"old": Carried(VECTOR + 1, 0), "same": Carried(VECTOR + 1, 0), "new": Carried(VECTOR + 1, 3)}
    case.ask("old", since=1)
    case.ask("same", since=0)
    case.ask("new", since=1)
    case.until(told=2, under_way=1)
    case.network.answer()
    case.until(told=3)
    assert {name: carried for name, _, carried in case.told} == {"old": False, "same": True, "new": True}


@pytest.mark.parametrize("error", [ImageError(Reason.NO_SIGNAL, "all zeros"), None])
def test_an_answer_that_is_none_is_told_to_all_who_wait(error: ImageError | None) -> None:
    case = Case()
    for name in ("a", "a", "b"):
        case.ask(name)
    case.until(under_way=2)
    future = case.network.under_way.pop(0)[1]
    if error is None:
        future.cancel()
        future.set_running_or_notify_cancel()
    else:
        future.set_exception(error)
    case.until(told=2, under_way=1)
    assert [(name, outcome) for name, outcome, _ in case.told] == [("a", error), ("a", error)]


def test_what_is_predicted_of_a_picture_comes_from_the_pass_that_gave_its_vector() -> None:
    """Copies share it; what was embedded before it was wanted goes through the network once more."""
    case = Case()
    case.ask("before")
    case.until(under_way=1)
    case.network.answer()
    case.until(told=1)
    assert case.embed.recent("before") is not None
    case.more = True
    assert case.embed.recent("before") is None
    for _ in range(2):
        case.ask("before")
    case.until(told=1, under_way=1)
    case.network.answer()
    case.until(told=3)
    case.ask("before")
    assert (case.read, [carried for _, _, carried in case.told]) == (
        [False, True, True, True],
        [False, False, True, True],
    )
    found = case.embed.recent("before")
    assert found is not None
    assert found.read is not None
