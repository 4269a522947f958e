"""One bad file costs one file: hanging, crashing, hoarding, lying, vanishing and changing, among good neighbours."""

from __future__ import annotations

import errno
import gc
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, wait
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import tifffile
from PIL import Image

from recq.errors import ImageError, Reason, RecqError
from recq.images import Limits, to_input, workers
from recq.images.decode import decode
from recq.images.process import DecodeProcess
from recq.images.workers import Decoded, DecodePool, FileChanged, Hashed, Header
from recq.space import InputSpec
from tests.eventually import eventually
from tests.packs import ROOT
from tests.recq.images.encoded import GENEROUS, encode, samples, scene
from tests.recq.images.exif_samples import photo
from tests.recq.images.icc import PROPHOTO, rgb_profile

SPEC = InputSpec(48)
PATIENCE = 60.0  # seconds; a loaded machine may be slow, a lost file must not stall the run

NewPool = Callable[..., DecodePool]
NewFile = Callable[[str], str]


@pytest.fixture(autouse=True, scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Byte code for the processes: where the environment forbids to write it, each would compile numpy anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.setenv("PYTHONPYCACHEPREFIX", os.fspath(tmp_path_factory.mktemp("pycache")))
        yield


@pytest.fixture
def new_pool() -> Iterator[NewPool]:
    """A maker of pools that misbehave where a file's name says so; closed at the end."""
    made: list[DecodePool] = []

    def make(
        workers: int = 1,
        timeout: float = PATIENCE,
        memory: int = 500_000_000,
        program: str = "tests.recq.images.misbehaving_child",
        limits: Limits = GENEROUS,
    ) -> DecodePool:
        made.append(DecodePool(workers=workers, timeout=timeout, memory=memory, limits=limits, program=program))
        return made[-1]

    yield make
    for pool in made:
        pool.close(cancel=True)


@pytest.fixture
def new_file(tmp_path: Path) -> NewFile:
    """A maker of good PNGs with a telling name."""

    def make(name: str) -> str:
        path = tmp_path / f"{name}.png"
        path.write_bytes(samples()["PNG"])
        return os.fspath(path)

    return make


def test_a_process_that_the_kernel_does_not_let_end_is_left_behind(
    new_pool: NewPool, new_file: NewFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that hangs: SIGKILL is not delivered until it answers. Neither the next file nor the end waits for it."""
    kept: list[subprocess.Popen[bytes]] = []

    def unheard(self: subprocess.Popen[bytes]) -> None:
        kept.append(self)

    monkeypatch.setattr(subprocess.Popen, "kill", unheard)
    try:
        pool = new_pool(timeout=0.5)
        assert reason(pool.submit(new_file("hang"), SPEC)) is Reason.TIMEOUT
        assert isinstance(pool.submit(new_file("good"), SPEC).result(PATIENCE), Decoded)
        hanging = new_pool()
        future = hanging.submit(new_file("pause"), SPEC)
        eventually(lambda: Path(new_file("pause")).with_suffix(".begun").exists())
        began = time.monotonic()
        hanging.close(cancel=True)
        assert time.monotonic() - began < 5
        assert isinstance(future.exception(0), CancelledError)
    finally:
        monkeypatch.undo()
        for process in kept:
            process.kill()


def test_a_pool_can_be_wider_for_a_while(new_pool: NewPool, new_file: NewFile) -> None:
    pool = new_pool()
    stuck = pool.submit(new_file("pause-1"), SPEC)
    waiting = pool.submit(new_file("good"), SPEC)
    eventually(lambda: Path(new_file("pause-1")).with_suffix(".begun").exists())
    assert not waiting.done()
    pool.widen()
    assert isinstance(waiting.result(PATIENCE), Decoded)
    Path(new_file("pause-1")).with_suffix(".go").touch()
    assert isinstance(stuck.result(PATIENCE), Decoded)
    pool.narrow()
    eventually(lambda: len(pool._processes) == 1)
    assert isinstance(pool.submit(new_file("better"), SPEC).result(PATIENCE), Decoded)
    assert pool.workers == 1


def reason(future: Future[Any]) -> Reason:
    error = future.exception(PATIENCE)
    assert isinstance(error, ImageError), error
    return error.reason


def children() -> list[psutil.Process]:
    """The decoding processes of this test's pools."""
    return [each for each in psutil.Process().children() if "tests.recq.images.misbehaving_child" in each.cmdline()]


def test_known_bytes_are_hashed_and_not_decoded(new_pool: NewPool, new_file: NewFile, tmp_path: Path) -> None:
    broken, good = tmp_path / "broken.png", Path(new_file("good"))
    broken.write_bytes(b"no picture")
    asked: list[str] = []

    def known(digest: str) -> bool:
        asked.append(digest)
        return digest == hashlib.sha256(b"no picture").hexdigest()

    pool = new_pool()
    status = broken.stat()
    assert pool.submit_unknown(os.fspath(broken), SPEC, known).result(PATIENCE) == Hashed(
        asked[0], status.st_size, status.st_mtime_ns
    )
    decoded = pool.submit_unknown(os.fspath(good), SPEC, known).result(PATIENCE)
    assert isinstance(decoded, Decoded)
    assert asked == [hashlib.sha256(path.read_bytes()).hexdigest() for path in (broken, good)]
    with pytest.raises(ImageError):
        pool.submit(os.fspath(broken), SPEC).result(PATIENCE)
    assert len(asked) == 2


def test_a_file_becomes_what_decode_and_to_input_make_of_it(tmp_path: Path) -> None:
    with DecodePool(workers=2, timeout=PATIENCE, memory=500_000_000, limits=GENEROUS) as pool:
        paths = {name: tmp_path / f"{number}.bin" for number, name in enumerate(samples())}
        for name, path in paths.items():
            path.write_bytes(samples()[name])
        futures = {name: pool.submit(os.fspath(path), SPEC) for name, path in paths.items()}
        for name, future in futures.items():
            decoded, picture = future.result(PATIENCE), decode(samples()[name], GENEROUS)
            assert np.array_equal(decoded.pixels, to_input(picture.rgb, SPEC)), name
            assert decoded.pixels.flags.writeable
            assert decoded.sha256 == hashlib.sha256(samples()[name]).hexdigest()
            status = paths[name].stat()
            assert (decoded.size, decoded.mtime_ns) == (status.st_size, status.st_mtime_ns)
            assert (decoded.format, decoded.width, decoded.height) == (name.split()[0], 90, 121)
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit("any", SPEC)


def test_pixels_that_are_kept_are_not_overwritten_and_the_memory_of_others_is_used_again(
    tmp_path: Path, new_pool: NewPool
) -> None:
    pool = new_pool(workers=2)
    kept, wanted, places = [], [], set()
    for number in range(12):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.full((9, 9, 3), 20 * number, np.uint8)).save(path)
        decoded = pool.submit(os.fspath(path), SPEC).result(PATIENCE)
        places.add(decoded.pixels.__array_interface__["data"][0])
        if number % 3 == 0:
            kept.append(decoded.pixels[1:])
            wanted.append(decoded.pixels[1:].copy())
        del decoded
    assert all(np.array_equal(one, other) for one, other in zip(kept, wanted, strict=True))
    assert len({int(each.min()) for each in kept}) == len(kept) == 4
    assert len(places) <= len(kept) + 3  # one for each worker may still be in its hands


def test_names_of_any_bytes(tmp_path: Path, new_pool: NewPool) -> None:
    names = [b"caf\xe9.png", b"two\nlines.png", "Ünï %41 'q\".png".encode(), b"-rf.png", b"n" * 251 + b".png"]
    pool = new_pool()
    for name in names:
        path = os.path.join(os.fsencode(tmp_path), name)  # noqa: PTH118 - bytes
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(samples()["PNG"])
        assert pool.submit(os.fsdecode(path), SPEC).result(PATIENCE).width == 90


@pytest.mark.parametrize("manner", ["abort", "kill", "exit", "raise", "lie", "short", "long", "nest", "babble"])
def test_a_crash_costs_one_file(manner: str, new_pool: NewPool, new_file: NewFile) -> None:
    pool = new_pool(workers=2)
    names = [manner if number % 4 == 1 else "good" for number in range(8)]
    futures = [pool.submit(new_file(f"{name}-{number}"), SPEC) for number, name in enumerate(names)]
    for name, future in zip(names, futures, strict=True):
        if name == "good":
            assert future.result(PATIENCE).width == 90
        else:
            assert reason(future) is Reason.CRASHED


def test_how_it_died_is_said(new_pool: NewPool, new_file: NewFile) -> None:
    pool = new_pool()
    with pytest.raises(ImageError, match=r"crashed: the decoding process died of it: Aborted"):
        pool.submit(new_file("abort"), SPEC).result(PATIENCE)
    with pytest.raises(ImageError, match=r"died of it: SIGKILL, perhaps for lack of memory"):
        pool.submit(new_file("kill"), SPEC).result(PATIENCE)


def test_a_hang_costs_its_deadline_and_nobody_elses(new_pool: NewPool, new_file: NewFile) -> None:
    """The last file waits three deadlines in the queue, and has all of its own when its turn comes."""
    pool = new_pool(timeout=1.0)
    assert pool.submit(new_file("good-0"), SPEC).result(PATIENCE)
    begun = time.monotonic()
    hanging = [pool.submit(new_file(f"hang-{number}"), SPEC) for number in range(3)]
    good = pool.submit(new_file("good-1"), SPEC)
    assert [reason(each) for each in hanging] == [Reason.TIMEOUT] * 3
    assert good.result(PATIENCE).width == 90
    assert time.monotonic() - begun > 3.0


def test_memory_has_a_limit(tmp_path: Path, new_pool: NewPool, new_file: NewFile) -> None:
    """A good picture that needs 250 MB, then a process that takes what it gets; both keep within the limit."""
    large = tmp_path / "large.png"
    Image.new("1", (6000, 6000)).save(large)
    generous = Limits(GENEROUS.max_bytes, 100_000_000)
    pool = new_pool(memory=100_000_000, limits=generous)
    assert reason(pool.submit(os.fspath(large), SPEC)) is Reason.OUT_OF_MEMORY
    assert reason(pool.submit(new_file("hog"), SPEC)) in {Reason.OUT_OF_MEMORY, Reason.CRASHED}
    assert pool.submit(new_file("good"), SPEC).result(PATIENCE).width == 90
    enough = new_pool(memory=1_000_000_000, limits=generous)
    assert enough.submit(os.fspath(large), SPEC).result(PATIENCE).width == 6000


def test_an_idle_process_that_dies_costs_nothing(new_pool: NewPool, new_file: NewFile) -> None:
    pool = new_pool()
    for number in range(3):
        assert pool.submit(new_file(f"good-{number}"), SPEC).result(PATIENCE).width == 90
        (process,) = children()
        process.kill()
        process.wait(PATIENCE)


def test_a_process_killed_from_outside_while_it_works_costs_nothing(new_pool: NewPool, new_file: NewFile) -> None:
    """The kernel kills when memory is short, whoever took it: the file gets one more try."""
    pool, path = new_pool(), new_file("pause")
    begun, go = Path(path).with_suffix(".begun"), Path(path).with_suffix(".go")
    future, neighbour = pool.submit(path, SPEC), pool.submit(new_file("good"), SPEC)
    eventually(begun.exists, within=PATIENCE)
    (first,) = children()
    first.kill()
    go.touch()
    assert future.result(PATIENCE).width == 90
    assert neighbour.result(PATIENCE).width == 90
    assert [each.pid for each in children()] != [first.pid]


def test_the_longer_roads_run_within_the_same_limits(tmp_path: Path, new_pool: NewPool, new_file: NewFile) -> None:
    """A TIFF that recq puts together itself, and a colour profile: memory, deadline and pixels count there, too."""
    deep, wide = tmp_path / "deep.tif", tmp_path / "wide.png"
    values = np.zeros((4000, 4000), np.float64)
    tifffile.imwrite(deep, values, compression="zlib", photometric="minisblack")
    wide.write_bytes(encode(scene(), "PNG", icc_profile=rgb_profile(PROPHOTO)))
    small = new_pool(memory=150_000_000, program="recq.images.child")
    assert reason(small.submit(os.fspath(deep), SPEC)) is Reason.OUT_OF_MEMORY
    assert small.submit(os.fspath(wide), SPEC).result(PATIENCE).since == 1
    hasty = new_pool(timeout=0.05, program="recq.images.child")
    assert reason(hasty.submit(os.fspath(deep), SPEC)) is Reason.TIMEOUT
    narrow = new_pool(limits=Limits(10**9, 4000 * 4000 - 1), program="recq.images.child")
    assert reason(narrow.submit(os.fspath(deep), SPEC)) is Reason.TOO_LARGE
    roomy = new_pool(memory=1_500_000_000, program="recq.images.child")
    decoded = roomy.submit(os.fspath(deep), SPEC).result(PATIENCE)
    assert (decoded.format, decoded.width, decoded.height, decoded.since) == ("TIFF", 4000, 4000, 1)


def test_a_process_that_ran_out_of_memory_is_replaced(tmp_path: Path, new_pool: NewPool, new_file: NewFile) -> None:
    """What its decoder left half done would be missing for the next file."""
    large = tmp_path / "large.png"
    Image.new("1", (6000, 6000)).save(large)
    pool = new_pool(memory=100_000_000)
    assert pool.submit(new_file("good-0"), SPEC).result(PATIENCE)
    (before,) = children()
    assert reason(pool.submit(os.fspath(large), SPEC)) is Reason.OUT_OF_MEMORY
    assert pool.submit(new_file("good-1"), SPEC).result(PATIENCE)
    assert [each.pid for each in children()] != [before.pid]


def test_a_system_that_starts_no_process_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, new_pool: NewPool, new_file: NewFile
) -> None:
    """No memory, no process ids, no descriptors: that passes, and is no reason to end the daemon."""
    refused: list[str] = []

    def start(program: str, options: str, *_: object) -> DecodeProcess:
        if len(refused) < 6:
            refused.append(program)
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return DecodeProcess(program, options)

    monkeypatch.setattr(workers, "DecodeProcess", start)
    monkeypatch.setattr(workers, "_START_INTERVAL", 0.01)
    assert new_pool().submit(new_file("good"), SPEC).result(PATIENCE).width == 90
    assert len(refused) == 6


def test_cancelling_does_not_wait_for_such_a_system(
    monkeypatch: pytest.MonkeyPatch, new_pool: NewPool, new_file: NewFile
) -> None:
    def start(program: str, options: str, *_: object) -> DecodeProcess:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(workers, "DecodeProcess", start)
    pool = new_pool()
    future = pool.submit(new_file("good"), SPEC)
    begun = time.monotonic()
    pool.close(cancel=True)
    assert time.monotonic() - begun < 10  # of a minute's patience
    with pytest.raises(CancelledError):
        future.result()


def test_what_a_process_says_is_cut_and_harmless(new_pool: NewPool, new_file: NewFile) -> None:
    error = new_pool().submit(new_file("shout"), SPEC).exception(PATIENCE)
    assert isinstance(error, ImageError)
    assert error.detail.startswith("\\x1b[2J\\ud800!")
    assert len(error.detail) < 1000


def test_many_restarts_leave_nothing_behind(new_pool: NewPool, new_file: NewFile) -> None:
    """Descriptors, threads, processes and memory of the daemon, with a process that dies of every file."""
    pool, path, this = new_pool(workers=2, program="tests.recq.images.brief_child"), new_file("good"), psutil.Process()

    def die(times: int) -> None:
        futures = [pool.submit(path, SPEC) for _ in range(times)]
        assert {reason(future) for future in futures} == {Reason.CRASHED}
        eventually(lambda: len(pool._processes) == 2)  # the next ones start after the last answers

    def held() -> tuple[int, int, int]:
        ours = [each for each in this.children() if each.status() == psutil.STATUS_ZOMBIE]
        return this.num_fds(), this.num_threads(), len(ours)

    die(20)
    gc.collect()
    before, memory = held(), [this.memory_full_info().uss]
    for _ in range(3):
        die(60)
        gc.collect()
        memory.append(this.memory_full_info().uss)
    eventually(lambda: held() == before)
    # 13 KB each would be kept every time; what an allocator takes for itself comes once.
    assert min(later - earlier for earlier, later in pairwise(memory)) < 400_000


def test_signals_to_the_group_leave_the_processes_alone(new_pool: NewPool, new_file: NewFile) -> None:
    pool = new_pool()
    assert pool.submit(new_file("good-0"), SPEC).result(PATIENCE)
    (process,) = children()
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process.send_signal(each)
    assert pool.submit(new_file("good-1"), SPEC).result(PATIENCE)
    assert [each.pid for each in children()] == [process.pid]


def test_files_that_are_no_files(tmp_path: Path, new_pool: NewPool) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    pool = new_pool(timeout=10)
    for path in (tmp_path / "pipe.png", tmp_path, Path("/dev/zero")):
        assert reason(pool.submit(os.fspath(path), SPEC)) is Reason.NOT_AN_IMAGE


def test_a_file_that_vanished(tmp_path: Path, new_pool: NewPool, new_file: NewFile) -> None:
    pool = new_pool()
    gone = [os.fspath(tmp_path / "none.png"), f"{new_file('good')}/below-a-file.png"]
    for path in gone:
        with pytest.raises(FileNotFoundError) as caught:
            pool.submit(path, SPEC).result(PATIENCE)
        assert caught.value.filename == path


def test_a_file_that_changes_while_it_is_read(new_pool: NewPool, new_file: NewFile) -> None:
    pool, path = new_pool(), new_file("touch")
    with pytest.raises(FileChanged):
        pool.submit(path, SPEC).result(PATIENCE)


def test_the_byte_limit_is_asked_before_reading(tmp_path: Path, new_pool: NewPool) -> None:
    sparse = tmp_path / "sparse.png"
    with sparse.open("wb") as file:
        file.truncate(1 << 40)
    assert reason(new_pool().submit(os.fspath(sparse), SPEC)) is Reason.TOO_LARGE


def test_cancelling_returns_at_once(new_pool: NewPool, new_file: NewFile) -> None:
    pool = new_pool(workers=2)
    assert pool.submit(new_file("good"), SPEC).result(PATIENCE)
    futures = [pool.submit(new_file(f"hang-{number}"), SPEC) for number in range(6)]
    begun = time.monotonic()
    pool.close(cancel=True)
    assert time.monotonic() - begun < 2.0
    done, waiting = wait(futures, timeout=0)
    assert not waiting
    for future in done:
        with pytest.raises(CancelledError):
            future.result()
    assert children() == []


def test_closing_finishes_what_was_submitted(new_pool: NewPool, new_file: NewFile) -> None:
    pool = new_pool()
    futures = [pool.submit(new_file(f"good-{number}"), SPEC) for number in range(5)]
    pool.close()
    assert all(future.done() and future.result().width == 90 for future in futures)
    assert children() == []


def test_an_error_in_the_block_does_not_wait_for_the_queue(new_pool: NewPool, new_file: NewFile) -> None:
    futures: list[Future[Decoded]] = []

    def interrupted() -> None:
        with new_pool() as pool:
            futures.append(pool.submit(new_file("hang"), SPEC))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert futures[0].done()


@pytest.mark.parametrize("program", ["recq.images.no_such_module", "recq.images.formats"])
def test_processes_that_do_not_start_are_no_files_fault(program: str, new_pool: NewPool, new_file: NewFile) -> None:
    error = new_pool(program=program).submit(new_file("good"), SPEC).exception(PATIENCE)
    assert isinstance(error, RecqError)
    assert not isinstance(error, ImageError)
    assert "do not start" in str(error)


def test_processes_get_no_secrets(monkeypatch: pytest.MonkeyPatch, new_pool: NewPool, new_file: NewFile) -> None:
    monkeypatch.setenv("RECQ_API_KEY", "secret")
    pool = new_pool()
    assert pool.submit(new_file("good"), SPEC).result(PATIENCE)
    (process,) = children()
    assert "secret" not in process.environ().values()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_processes_die_with_their_parent(new_file: NewFile) -> None:
    program = f"""
import json, psutil
from recq.images import Limits
from recq.images.workers import DecodePool
from recq.space import InputSpec
pool = DecodePool(workers=2, timeout=600, memory=500_000_000, limits=Limits(10**9, 10**9),
                  program="tests.recq.images.misbehaving_child")
pool.submit({new_file("good")!r}, InputSpec(8)).result()
pool.submit({new_file("hang")!r}, InputSpec(8))
print(json.dumps([each.pid for each in psutil.Process().children()]), flush=True)
pool.submit({new_file("hang-2")!r}, InputSpec(8)).result()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout is not None
        processes = [psutil.Process(pid) for pid in json.loads(parent.stdout.readline())]
        assert len(processes) == 2
        parent.kill()
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE)
    assert alive == []


def test_a_process_imports_little() -> None:
    heavy = "openvino", "qdrant_client", "qdrant_edge", "typer", "rich", "pydantic", "httpx", "tensorflow", "psutil"
    program = f"import recq.images.child, sys; print(*[name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


# -- headers ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def photo_file(tmp_path: Path) -> NewFile:
    """A maker of JPEGs with EXIF, with a telling name."""

    def make(name: str) -> str:
        path = tmp_path / f"{name}.jpg"
        path.write_bytes(photo())
        return os.fspath(path)

    return make


def test_headers_alone_are_read_without_decoding(new_pool: NewPool, photo_file: NewFile) -> None:
    """Also of a picture whose pixels nobody can decode, and of one that is larger than the pictures that may be."""
    pool = new_pool(limits=Limits(GENEROUS.max_bytes, max_pixels=10))
    path = photo_file("good")
    assert reason(pool.submit(path, SPEC)) is Reason.TOO_LARGE
    with Path(path).open("r+b") as file:
        file.truncate(Path(path).stat().st_size // 2)
    found = pool.submit_header(path).result(PATIENCE)
    status = Path(path).stat()
    assert (found.size, found.mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert found.exif.camera == "Canon EOS R5"


def test_of_a_long_file_no_more_is_read_than_the_headers_take(tmp_path: Path, new_pool: NewPool) -> None:
    """4 GB that are no pixels; the file has holes."""
    path = tmp_path / "vast.jpg"
    path.write_bytes(photo())
    os.truncate(path, 1 << 32)
    pool = new_pool(memory=5_000_000_000, limits=Limits(1 << 33, 10), timeout=20)
    pool.submit_header(os.fspath(path)).result(PATIENCE)
    (child,) = children()
    before = child.io_counters().read_chars
    assert pool.submit_header(os.fspath(path)).result(PATIENCE).exif.camera == "Canon EOS R5"
    assert child.io_counters().read_chars - before < 1_000_000
    assert child.memory_info().rss < 500_000_000


def test_headers_come_with_what_is_decoded_or_only_hashed(photo_file: NewFile) -> None:
    told: list[tuple[str, Header]] = []

    def note(path: str, header: Header) -> None:
        told.append((path, header))

    path = photo_file("good")
    with DecodePool(workers=1, timeout=PATIENCE, memory=500_000_000, limits=GENEROUS, headers=note) as pool:
        decoded = pool.submit(path, SPEC).result(PATIENCE)
        hashed = pool.submit_unknown(path, SPEC, lambda _: True).result(PATIENCE)
    assert isinstance(decoded, Decoded)
    assert not isinstance(hashed, Decoded)
    assert decoded.exif == hashed.exif
    assert [(each, header.exif.lens) for each, header in told] == [(path, "RF24-105mm F4 L IS USM")] * 2


def test_nobody_asked_for_headers(new_pool: NewPool, photo_file: NewFile) -> None:
    assert new_pool().submit(photo_file("good"), SPEC).result(PATIENCE).exif is None


@pytest.mark.parametrize("name", ["hang", "abort", "exit", "shout", "babble", "nest"])
def test_headers_that_do_harm_cost_their_own_file(new_pool: NewPool, photo_file: NewFile, name: str) -> None:
    pool = new_pool(timeout=1.0)
    assert isinstance(pool.submit_header(photo_file(name)).exception(PATIENCE), ImageError)
    assert pool.submit_header(photo_file("good")).result(PATIENCE).exif.lat == pytest.approx(48.2084722)


@pytest.mark.parametrize(("size", "expected"), [(0, Reason.EMPTY), (GENEROUS.max_bytes + 1, Reason.TOO_LARGE)])
def test_headers_of_no_file_and_of_one_that_may_not_be_read(
    new_pool: NewPool, tmp_path: Path, size: int, expected: Reason
) -> None:
    pool = new_pool()
    assert isinstance(pool.submit_header(os.fspath(tmp_path / "gone.jpg")).exception(PATIENCE), FileNotFoundError)
    path = tmp_path / "odd.jpg"
    path.touch()
    os.truncate(path, size)
    assert reason(pool.submit_header(os.fspath(path))) is expected
    os.mkfifo(tmp_path / "pipe.jpg")
    assert reason(pool.submit_header(os.fspath(tmp_path / "pipe.jpg"))) is Reason.NOT_AN_IMAGE
