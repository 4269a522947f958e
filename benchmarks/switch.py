"""A trained space becomes the catalog's own beside a running daemon, while other programs ask and pictures are dropped.

    python benchmarks/switch.py [--smoke | --short | --full] [--no-server] [--rate N]

On each engine an index of many items (short and full: 50,000; vectors generated around real ones, a file behind each
item), a daemon that watches their folder, `CLIENTS` threads that ask at a fixed rate, and a drop every `DROP_EVERY`
seconds. All answers are compared with both spaces' own cosines, computed here from the vectors.

undisturbed   questions alone (the baseline), then `recq-ingest rebuild --space` beside the daemon, to its end
disturbed     the same, with the daemon killed three times on the way and started again; then `recq-ingest rollback`

A question that fails, or an answer of which some results have one space's scores and some the other's, misses the bar;
so do an item that the new collection lacks at the end, and answers of which 95 % take more than three times as long as
before, while it is killed as well. The head is of the form and the size that `recq-ingest train`
makes (class means joined to the vector, 64 numbers): how good it is, learning.py measures.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import numpy.typing as npt

import recq
from benchmarks import generated, pictures
from benchmarks.engines import Daemon, daemon, server
from benchmarks.measure import PROGRAMS, Ratio, Report, Section, environment, parser_of, percentile, progress, ratio
from recq.errors import RecqError
from recq.images.revision import DECODER_REVISION
from recq.index.candidates import Candidate
from recq.index.catalog import Catalog
from recq.index.connect import own_folder, server_client
from recq.index.points import ItemVector
from recq.index.schema import Item
from recq.models.heads import Classifier, Joined
from recq.search.results import Answer
from recq.settings import Settings

Floats = npt.NDArray[np.float32]

CATALOG, SOURCE, SPACE = "bench", "files", "by-kind"
CLIENTS, K = 4, 10
DROP_EVERY = 2.0
P95 = 3.0
TOLERANCE = 2e-3
"""By which a score may differ from the cosine of the vectors: an engine computes with other sums."""

KILLS = (0.2, 0.5, 0.8)
"""When the daemon is killed, as shares of the time that the undisturbed switch took."""

CLASSES, NUMBERS = 10, 64

ALREADY = "is in a trained space already"
"""What `rebuild` says where the daemon that was started again has come to the end before it was asked."""


@dataclass(frozen=True)
class Amount:
    """Items of the index, and seconds that the baseline is measured for."""

    items: int
    baseline: float


AMOUNTS = {"smoke": Amount(600, 1.0), "short": Amount(50_000, 30.0), "full": Amount(50_000, 120.0)}


def main() -> None:
    """Measure and keep."""
    parser = parser_of(__doc__)
    parser.add_argument("--no-server", action="store_true", help="without a Qdrant server")
    parser.add_argument("--rate", type=float, default=10.0, help="questions a second of each client")
    asked = parser.parse_args()
    report, amount = Report(asked), AMOUNTS[asked.size]
    for engine in ("embedded", "server")[: 1 if asked.no_server else 2]:
        report.section(f"{engine}, undisturbed", partial(undisturbed, engine, amount, asked.rate))
        took = [each["figures"] for each in report.sections() if each["name"] == f"{engine}, undisturbed"]
        seconds = took[0].get("switch, s", 0.0) if took else 0.0
        report.section(f"{engine}, disturbed", partial(disturbed, engine, amount, asked.rate, seconds))


def undisturbed(engine: str, amount: Amount, rate: float) -> Section:
    """Questions alone, then beside a switch."""
    title = f"{engine}, {amount.items:,} items: a switch beside a running daemon, under questions"
    with _place(engine, amount.items) as place:
        if place is None:
            return Section(title, "ms", not_run={"server": "no server binary"})
        with place.daemon() as running, place.load(rate) as load:
            load.warm_up()
            time.sleep(amount.baseline)
            load.phase = "switch"
            seconds = _timed(lambda: place.ended(place.command("rebuild", "--space", SPACE)))
            progress(f"    switched within {seconds:.1f} s")
            load.phase = "after"
            time.sleep(amount.baseline / 3)
            load.require_space(switched=True)
            drops = load.drops
        before, during = load.of("before"), load.of("switch")
        lost = place.lost(drops)
        del running
    ratios = [
        ratio("p95 during the switch / before", during, before, share=95, at_most=P95),
        *_none("failed questions", load.failed),
        *_none("mixed answers", load.mixed),
        *_none("items lost", lost),
    ]
    figures = {
        "switch, s": seconds,
        "drops": float(drops),
        "answered": float(load.answered),
        **{f"p50, {phase}, ms": percentile(load.of(phase), 50) for phase in load.phases()},
        **{f"p95, {phase}, ms": percentile(load.of(phase), 95) for phase in load.phases()},
        **{f"longest, {phase}, ms": max(load.of(phase)) for phase in load.phases()},
    }
    return Section(
        title, "ms", {"before": before, "switch": during}, ratios, figures, load.notes(rate), items=amount.items
    )


def disturbed(engine: str, amount: Amount, rate: float, seconds: float) -> Section:
    """A switch during which the daemon is killed three times, and back again."""
    title = f"{engine}, {amount.items:,} items: the same, killed three times, and rolled back"
    with _place(engine, amount.items) as place:
        if place is None:
            return Section(title, "ms", not_run={"server": "no server binary"})
        with ExitStack() as stack, place.load(rate) as load:
            running = stack.enter_context(place.daemon())
            load.warm_up()
            time.sleep(amount.baseline / 3)
            load.phase = "switch"
            command = place.command("rebuild", "--space", SPACE)
            began = time.monotonic()
            for share, last in zip(KILLS, (0.0, *KILLS), strict=False):
                time.sleep((share - last) * seconds)
                running.process.kill()
                running.process.wait()
                progress(f"    killed after {time.monotonic() - began:.1f} s")
                command.wait()
                running = stack.enter_context(place.daemon())
                command = place.command("rebuild", "--space", SPACE)
            place.ended(command)
            progress(f"    switched within {time.monotonic() - began:.1f} s, three kills on the way")
            load.require_space(switched=True)
            load.phase = "rollback"
            place.ended(place.command("rollback"))
            time.sleep(2.0)
            load.require_space(switched=False)
            time.sleep(amount.baseline / 3)
            drops = load.drops
        lost = place.lost(drops)
    ratios = [
        *(
            ratio(f"p95 during the {phase} / before", load.of(phase), load.of("before"), share=95, at_most=P95)
            for phase in ("switch", "rollback")
        ),
        *_none("failed questions", load.failed),
        *_none("mixed answers", load.mixed),
        *_none("items lost", lost),
    ]
    figures = {"drops": float(drops), "answered": float(load.answered)}
    figures |= {f"p95, {phase}, ms": percentile(load.of(phase), 95) for phase in load.phases()}
    figures |= {f"longest, {phase}, ms": max(load.of(phase)) for phase in load.phases()}
    sides = {phase: load.of(phase) for phase in load.phases()}
    return Section(title, "ms", sides, ratios, figures, load.notes(rate), items=amount.items)


def _none(name: str, found: Sequence[object] | int) -> Iterator[Ratio]:
    """The bar that there are none."""
    count = float(found if isinstance(found, int) else len(found))
    yield Ratio(name, count, count, count, at_most=0)


def _timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


# ---- the index -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Vectors:
    """The items' vectors by their number: `old` (n, dim) the network's, `new` (n, NUMBERS) the trained space's."""

    old: Floats
    new: Floats

    def spaces_of(self, target: int, scores: Sequence[tuple[int, float]]) -> set[str]:
        """In which spaces all of the scores, by the numbers of items, are cosines with the target."""
        others = [number for number, _ in scores]
        given = np.array([score for _, score in scores], np.float32)
        return {
            name
            for name, vectors in (("old", self.old), ("new", self.new))
            if np.abs(vectors[others] @ vectors[target] - given).max(initial=0.0) < TOLERANCE
        }


@dataclass(frozen=True, eq=False)
class Place:
    """A folder of pictures and the index of them."""

    root: Path
    settings: Settings
    vectors: Vectors

    @property
    def count(self) -> int:
        """Items that were there at first."""
        return len(self.vectors.old)

    def environment(self) -> dict[str, str]:
        """For programs that use the index."""
        more = {"RECQ_DATA_DIR": str(self.settings.data_dir), "RECQ_CATALOG": CATALOG}
        return environment(**more, **({} if self.settings.url is None else {"RECQ_URL": self.settings.url}))

    @contextmanager
    def daemon(self) -> Iterator[Daemon]:
        """A running daemon; from its own start on, not from the end of its first comparison."""
        url = [] if self.settings.url is None else ["--url", self.settings.url]
        asked = ["--source", f"{SOURCE}={self.root}", "--catalog", CATALOG, *url]
        # While it is dead, whoever asks opens an embedded folder himself.
        with daemon(asked, self.settings.data_dir, RECQ_LOCK_WAIT="60") as running:
            yield running

    def command(self, *arguments: str) -> subprocess.Popen[str]:
        """A started `recq-ingest` command."""
        return subprocess.Popen(
            [str(PROGRAMS / "recq-ingest"), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(),
        )

    def ended(self, command: subprocess.Popen[str]) -> None:
        """Wait for its end. Raises SystemExit with its last words where it failed."""
        _, errors = command.communicate()
        if command.returncode and ALREADY not in errors:
            raise SystemExit(f"{command.args!r} ended with {command.returncode}:\n{errors[-1500:]}")

    @contextmanager
    def load(self, rate: float) -> Iterator[Load]:
        """Questions and drops for the length of the block."""
        load = Load(self, rate)
        with load.running():
            yield load

    def lost(self, drops: int) -> int:
        """Items that the collection which answers lacks, after a last comparison."""
        done = self.command("reconcile")
        self.ended(done)
        with recq.open(settings=self.settings) as catalog:
            return abs(self.count + drops - len(catalog))


@contextmanager
def _place(engine: str, count: int) -> Iterator[Place | None]:
    root = pictures.small(count)
    with tempfile.TemporaryDirectory(prefix="recq-bench-") as folder, ExitStack() as stack:
        where = Path(folder)
        mine = where / "root"
        shutil.copytree(root, mine, copy_function=shutil.copy2)
        settings = Settings(data_dir=where / "data", catalog=CATALOG, lock_wait=60)
        progress(f"    filling the {engine} with {count:,} items")
        if engine == "embedded":
            settings.data_dir.mkdir()
            with own_folder(settings) as owned:
                vectors = _fill(Catalog.create(owned.client, CATALOG, generated.space()), mine, count)
                owned.engine.flush()
        else:
            url = stack.enter_context(server(where / "server"))
            if url is None:
                yield None
                return
            settings = settings.model_copy(update={"url": url})
            client = server_client(settings)
            vectors = _fill(Catalog.create(client, CATALOG, generated.space()), mine, count)
            client.close()
        place = Place(mine, settings, vectors)
        place.ended(place.command("reconcile"))
        yield place


def _fill(catalog: Catalog, root: Path, count: int) -> Vectors:
    """Items with generated vectors for the files of the folder, and a trained space."""
    catalog.sources.register(root, SOURCE)
    files = sorted(path for path in root.rglob("*.jpg"))
    rows: list[Floats] = []
    made: list[ItemVector] = []
    for page in generated.items(count):
        for each, file in zip(page, files[len(rows) :], strict=False):
            assert each.vector is not None, "it did not fail"
            made.append(ItemVector(_item(each.item, root, file), each.vector))
            rows.append(each.vector)
        catalog.writes.upsert(made[-len(page) :])
    old = np.stack(rows)
    catalog.candidates.write(candidate := _candidate(old, catalog.space.fingerprint))
    new = np.concatenate([candidate.head.apply(some) for some in np.array_split(old, max(1, count // 2_000))])
    return Vectors(old, new)


def _item(made: Item, root: Path, path: Path) -> Item:
    """The generated item, with the facts of a file."""
    stat = path.stat()
    facts = replace(
        made.file,
        source=SOURCE,
        path=path.relative_to(root).as_posix(),
        size=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        ctime_ns=stat.st_ctime_ns,
        decoder=DECODER_REVISION,
    )
    return Item(facts, {})


def _candidate(vectors: Floats, fingerprint: str) -> Candidate:
    """A head of the usual form: probabilities of classes that are the surroundings of ten items, then an SVD."""
    some = vectors[:: max(1, len(vectors) // 2_000)]
    centres = some[np.random.default_rng(0).choice(len(some), CLASSES, replace=False)]
    classifier = Classifier(
        tuple(f"kind {number}" for number in range(CLASSES)), 20 * centres, np.zeros(CLASSES, np.float32)
    )
    joined = Joined(classifier, 0.6)
    turned = np.linalg.svd(joined.apply(some), full_matrices=False)[2][:NUMBERS].T
    head = Joined(classifier, 0.6, np.ascontiguousarray(turned, np.float32))
    levels = np.linspace(-1, 1, 101).tolist()
    calibration = {
        "scale": [1.0] * CLASSES, "offset": [0.0] * CLASSES, "least": 0.3, "nearness": levels, "trained": levels,
    }  # fmt: skip
    return Candidate(SPACE, "kind", head, classifier, fingerprint, "now", calibration=calibration)


# ---- the load --------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Load:
    """Clients that ask at a fixed rate, and drops; what they saw, by the phase that a question began in."""

    place: Place
    rate: float
    phase: str = "before"
    drops: int = 0
    answered: int = 0
    failed: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    _took: dict[str, list[float]] = field(default_factory=dict)
    _last: dict[int, str] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Ask and drop for the length of the block."""
        threads = [threading.Thread(target=self._ask, args=(number,), daemon=True) for number in range(CLIENTS)]
        threads.append(threading.Thread(target=self._drop, daemon=True))
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def warm_up(self) -> None:
        """Until every client has asked ten questions; what they took until then is forgotten."""
        while self.answered + len(self.failed) < 10 * CLIENTS:
            time.sleep(0.05)
        self._took.clear()

    def of(self, phase: str) -> list[float]:
        """Milliseconds of the questions of a phase."""
        return self._took.get(phase, [])

    def phases(self) -> list[str]:
        """Those in which something was asked."""
        return list(self._took)

    def require_space(self, *, switched: bool) -> None:
        """Until every client is answered in that space. Raises SystemExit where this takes long."""
        wanted, end = "new" if switched else "old", time.monotonic() + 30
        self._last.clear()
        while set(self._last.values()) != {wanted} or len(self._last) < CLIENTS:
            if time.monotonic() > end:
                raise SystemExit(
                    f"answers should be of the {wanted} space, but were of {self._last}; {self.answered:,} answered, "
                    f"failed {len(self.failed)}: {self.failed[-3:]}, mixed {len(self.mixed)}: {self.mixed[:2]}"
                )
            time.sleep(0.05)

    def notes(self, rate: float) -> list[str]:
        """What was asked, and the first of each kind that should not have been."""
        said = [f"{CLIENTS} clients, {rate:g} questions a second each, k = {K}; a drop every {DROP_EVERY:g} s"]
        return said + [f"failed: {each}" for each in self.failed[:3]] + [f"mixed: {each}" for each in self.mixed[:3]]

    def _ask(self, client: int) -> None:
        numbers = random.Random(client)
        with recq.open(settings=self.place.settings) as catalog:
            due = time.monotonic() + client / CLIENTS / self.rate
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                due = max(due + 1 / self.rate, time.monotonic())
                target = numbers.randrange(self.place.count)
                phase, began = self.phase, time.perf_counter()
                try:
                    answer = catalog.similar(f"{SOURCE}/{_path(target)}", k=K)
                except RecqError as error:
                    self.failed.append(f"{phase}: {type(error).__name__}: {error}")
                    continue
                self._took.setdefault(phase, []).append(1000 * (time.perf_counter() - began))
                self.answered += 1
                self._judge(client, target, answer)

    def _judge(self, client: int, target: int, answer: Answer) -> None:
        """Whether the answer is of one space; drops, whose vectors are not known here, are left out."""
        scores = [
            (int(result.name.removesuffix(".jpg")), result.score)
            for result in answer.results
            if result.score is not None and not result.name.startswith("drop")
        ]
        spaces = self.place.vectors.spaces_of(target, scores)
        if not spaces:
            self.mixed.append(f"{self.phase}: {target}: {scores}")
        elif len(spaces) == 1:
            self._last[client] = spaces.pop()

    def _drop(self) -> None:
        while not self._stop.wait(DROP_EVERY):
            (self.place.root / f"drop-{self.drops:05d}.jpg").write_bytes(pictures.another(self.drops))
            self.drops += 1


def _path(number: int) -> str:
    return f"f{number // 1000:03d}/{number:06d}.jpg"


if __name__ == "__main__":
    main()
