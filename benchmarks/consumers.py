"""Five kinds of programs ask at once while a daemon writes: what their answers cost, and whether each is the right one.

    python benchmarks/consumers.py [--smoke | --short | --full]

A daemon of the embedded engine has a folder of pictures, `base`, and then works off many more. Beside it, each a
process of its own: the command line (one `recq similar` after another), `recq serve` asked over HTTP, a notebook
(`recq.open`), and Qdrant's JavaScript client on the daemon's own port with a read-only key, each `RATE` times a second
at the most. All ask what looks like items of `base` among those of `base`, so every answer must be that which the
library gave before. Meanwhile a picture is dropped every `DROP_EVERY` seconds: the time from its close to the first
answer that finds it. The fifth kind is a webhook: `recq watch` posts each of these drops, once; measured from the close
of the file to the post.
"""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import recq
from benchmarks import pictures
from benchmarks.engines import daemon
from benchmarks.measure import PROGRAMS, Ratio, Report, Section, environment, parser_of, percentile
from benchmarks.service import serving
from recq.index.catalog import Catalog
from recq.index.connect import connect
from recq.index.edge.address import read_address
from recq.index.schema import VECTOR
from recq.settings import Settings

K = 5
RATE = 5.0
DROP_EVERY = 2.0
DROPPED_WITHIN = 2.0
TARGETS = 8
FILTER = "file.source=base"
READ_KEY = "what-guests-may-read"
JAVASCRIPT = "@qdrant/js-client-rest"


@dataclass(frozen=True)
class Amount:
    """Pictures of `base`, and those that are written meanwhile."""

    base: int
    written: int


AMOUNTS = {"smoke": Amount(24, 60), "short": Amount(200, 5_000), "full": Amount(1_000, 20_000)}


def main() -> None:
    """Measure and keep."""
    asked = parser_of(__doc__).parse_args()
    report, amount = Report(asked), AMOUNTS[asked.size]
    report.section("together", lambda: together(amount))


def together(amount: Amount) -> Section:
    """All at once."""
    ready = pictures.some_of("clothing", amount.written)
    with tempfile.TemporaryDirectory(prefix="recq-bench-") as folder, ExitStack() as stack:
        where = Path(folder)
        data, roots = where / "data", [where / name for name in ("base", "dropped", "many")]
        for root in roots:
            root.mkdir()
        base, dropped, many = roots
        shutil.copytree(ready, where / "all")
        for number in range(amount.base):
            (base / f"{number}.jpg").write_bytes(pictures.another(80_000 + number))
        settings = Settings(data_dir=data, lock_wait=60)
        with daemon(["--source", f"base={base}"], data) as running:
            running.wait_until(lambda _: running.settled("base") >= amount.base)
        quiz = _quiz(settings)
        sources = [each for path in roots for each in ("--source", f"{path.name}={path}")]
        running = stack.enter_context(daemon(sources, data, RECQ_SERVE_READ_KEY=READ_KEY))
        address = read_address(data)
        assert address is not None, "the daemon is ready"
        programs: dict[str, Program] = {
            "command line": CommandLine(settings, quiz),
            "HTTP": Script(where, "python", HTTP, quiz, settings, stack.enter_context(serving(settings)).address),
            "notebook": Script(where, "python", NOTEBOOK, quiz, settings, ""),
        }
        not_run = {}
        if _has_javascript(where):
            programs["JavaScript"] = Script(where, "node", SCRIPT, quiz, settings, address.url)
        else:
            not_run["JavaScript"] = f"npm could not fetch {JAVASCRIPT}"
        for program in programs.values():
            stack.enter_context(program.asking())
        while not all(program.took for program in programs.values()):
            time.sleep(0.05)
        webhook = Webhook(where, settings, dropped.name, quiz.names[0])
        stack.enter_context(webhook.receiving())
        drops = stack.enter_context(_dropping(settings, dropped, webhook))
        began = time.perf_counter()
        (where / "all").rename(many / "all")
        running.wait_until(lambda _: running.settled(many.name) >= amount.written, 3_600)
        seconds = time.perf_counter() - began
        for program in programs.values():
            program.stop()
        drops.stop()
        webhook.wait()
    sides = {name: program.took for name, program in programs.items()}
    sides["webhook"] = list(webhook.took.values())
    sides["drop to answer"] = drops.took
    ratios = [
        *_none("failed questions", sum(program.failed for program in programs.values())),
        *_none("wrong answers", sum(program.wrong for program in programs.values())),
        *_none("drops that were not found", drops.lost),
        *_none("drops that were not posted", len(webhook.waiting)),
        *_none("posts of something else, or again", webhook.wrong),
        _at_most(f"longest drop / {DROPPED_WITHIN:g} s", max(drops.took, default=0.0) / 1000 / DROPPED_WITHIN, 1.0),
    ]
    figures = {f"{name}, {share}, ms": percentile(took, share) for name, took in sides.items() for share in (50, 99)}
    figures |= {f"{name}, questions": float(len(program.took)) for name, program in programs.items()}
    figures |= {"images/s": amount.written / seconds, "drops": float(len(drops.took))}
    notes = [each for program in programs.values() for each in program.notes]
    notes += [f"{program}: {why}" for program, why in (("recq watch", webhook.said),) if why]
    title = f"{len(programs) + 1} kinds of programs at once, while {amount.written:,} pictures are written"
    return Section(title, "ms", sides, ratios, figures, notes, not_run)


def _none(name: str, count: int) -> Iterator[Ratio]:
    yield _at_most(name, float(count), 0)


def _at_most(name: str, value: float, most: float) -> Ratio:
    return Ratio(name, value, value, value, at_most=most)


# ---- what is asked ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Quiz:
    """Targets by name and id, the ids that each has to be answered, and the collection they are in."""

    names: Sequence[str]
    ids: Sequence[str]
    answers: Sequence[Sequence[str]]
    collection: str


def _quiz(settings: Settings) -> Quiz:
    with recq.open(settings=settings) as catalog:
        targets = catalog.search(k=TARGETS, filters=[FILTER]).results
        answers = [
            [each.id for each in catalog.similar(target.name, k=K, filters=[FILTER]).results] for target in targets
        ]
    with connect(settings) as client:
        collection = client.get_aliases().aliases[0].collection_name
    return Quiz([each.name for each in targets], [each.id for each in targets], answers, collection)


@dataclass(eq=False)
class Program(ABC):
    """Asks the quiz again and again; what its answers took, in ms, and how many failed or were wrong."""

    quiz: Quiz
    took: list[float] = field(default_factory=list)
    failed: int = 0
    wrong: int = 0
    notes: list[str] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    @abstractmethod
    def asking(self) -> AbstractContextManager[None]:
        """Ask for the length of the block."""

    def answered(self, number: int, took: float, ids: Sequence[str] | None, said: str = "") -> None:
        """Note an answer to question `number`; None: it failed."""
        self.took.append(took)
        if ids is None:
            self.failed += 1
        elif set(ids) != set(self.quiz.answers[number]):
            self.wrong += 1
            said = f"{self.quiz.names[number]}: {ids}, not {self.quiz.answers[number]}"
        if said and len(self.notes) < 3:
            self.notes.append(f"{type(self).__name__}: {said[:300]}")

    def stop(self) -> None:
        """Ask no more."""
        self.done.set()


class CommandLine(Program):
    """One `recq similar` after another."""

    def __init__(self, settings: Settings, quiz: Quiz) -> None:
        super().__init__(quiz)
        self._environment = environment(RECQ_DATA_DIR=str(settings.data_dir), RECQ_LOCK_WAIT="60")

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask for the length of the block."""
        thread = threading.Thread(target=self._ask)
        thread.start()
        try:
            yield
        finally:
            self.stop()
            thread.join()

    def _ask(self) -> None:
        options = ["-k", str(K), "--filter", FILTER, "--format", "json"]
        for number in itertools.cycle(range(len(self.quiz.names))):
            if self.done.is_set():
                return
            command = [str(PROGRAMS / "recq"), "similar", self.quiz.names[number], *options]
            began = time.perf_counter()
            ended = subprocess.run(command, capture_output=True, text=True, env=self._environment, check=False)
            took = 1000 * (time.perf_counter() - began)
            found = None if ended.returncode else [each["id"] for each in json.loads(ended.stdout)["results"]]
            self.answered(number, took, found, ended.stderr.strip())


class Script(Program):
    """A script that prints for each answer a line of JSON: the question's number, milliseconds, and the ids."""

    def __init__(self, where: Path, kind: str, text: str, quiz: Quiz, settings: Settings, url: str) -> None:
        super().__init__(quiz)
        path = where / f"{'notebook' if text is NOTEBOOK else kind}.{'mjs' if kind == 'node' else 'py'}"
        path.write_text(text, "utf-8")
        asked = {
            "names": quiz.names, "ids": quiz.ids, "collection": quiz.collection, "url": url, "key": READ_KEY,
            "data": str(settings.data_dir), "k": K, "filter": FILTER, "every": 1 / RATE,
        }  # fmt: skip
        program = sys.executable if kind == "python" else kind
        self._command = [program, str(path), json.dumps(asked)]
        self._where = where

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Let it ask for the length of the block."""
        with subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), cwd=self._where
        ) as process:
            thread = threading.Thread(target=self._read, args=(process,))
            thread.start()
            try:
                yield
            finally:
                self.stop()
                process.kill()
                thread.join()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if self.done.is_set():
                return
            told = json.loads(line)
            self.answered(told["number"], told["ms"], told.get("ids"), told.get("error", ""))
        if not self.done.is_set():
            self.answered(0, 0.0, None, f"it has ended: {process.stderr.read()[-300:]}")


_LOOP = """
import itertools, json, sys, time
asked = json.loads(sys.argv[1])
def loop(ask):
    for number in itertools.cycle(range(len(asked["names"]))):
        began, told = time.perf_counter(), {}
        try:
            told["ids"] = ask(number)
        except Exception as error:
            told["error"] = repr(error)
        took = time.perf_counter() - began
        print(json.dumps({"number": number, "ms": 1000 * took, **told}), flush=True)
        time.sleep(max(0.0, asked["every"] - took))
"""

HTTP = f"""{_LOOP}
import http.client
from urllib.parse import urlencode
connection = http.client.HTTPConnection(asked["url"], timeout=60)
def ask(number):
    parameters = urlencode({{"target": asked["names"][number], "k": asked["k"], "filters": asked["filter"]}})
    connection.request("GET", "/api/v1/similar?" + parameters)
    answer = connection.getresponse()
    content = json.loads(answer.read())
    if answer.status != 200:
        raise RuntimeError(content)
    return [each["id"] for each in content["results"]]
loop(ask)
"""

NOTEBOOK = f"""{_LOOP}
import recq
with recq.open(data_dir=asked["data"]) as catalog:
    def ask(number):
        answer = catalog.similar(asked["names"][number], k=asked["k"], filters=[asked["filter"]])
        return [each.id for each in answer.results]
    loop(ask)
"""

SCRIPT = f"""
import {{ QdrantClient }} from '{JAVASCRIPT}';
const asked = JSON.parse(process.argv[2]);
const client = new QdrantClient({{ url: asked.url, apiKey: asked.key, checkCompatibility: false }});
const [key, value] = asked.filter.split('=');
for (let number = 0; ; number = (number + 1) % asked.ids.length) {{
  const began = performance.now();
  const told = {{}};
  try {{
    const found = await client.query(asked.collection, {{
      query: asked.ids[number],
      using: '{VECTOR}',
      limit: asked.k,
      filter: {{ must: [{{ key, match: {{ value }} }}] }},
    }});
    told.ids = found.points.map((point) => point.id);
  }} catch (error) {{
    told.error = String(error);
  }}
  const ms = performance.now() - began;
  console.log(JSON.stringify({{ number, ms, ...told }}));
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, 1000 * asked.every - ms)));
}}
"""


def _has_javascript(where: Path) -> bool:
    """Whether Qdrant's JavaScript client could be installed there."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return False
    command = [npm, "install", "--silent", "--no-audit", "--no-fund", JAVASCRIPT]
    return subprocess.run(command, cwd=where, capture_output=True, check=False).returncode == 0


# ---- the webhook -----------------------------------------------------------------------------------------------------

RULE = """
[[rule]]
name = "dropped"
like = ["{like}"]
min_score = -1.0
filters = ["file.source={source}"]
post = "http://127.0.0.1:{port}/"
"""
"""Every drop: no cosine is less."""


@dataclass(eq=False)
class Webhook:
    """`recq watch` and what receives its posts: milliseconds of each drop from its close to its post."""

    where: Path
    settings: Settings
    source: str
    like: str
    waiting: dict[str, float] = field(default_factory=dict)
    """When the file of each name that was not posted yet was closed, by `time.perf_counter`."""
    took: dict[str, float] = field(default_factory=dict)
    wrong: int = 0
    said: str = ""

    def expect(self, name: str) -> None:
        """A file of this name is about to be closed."""
        self.waiting[name] = time.perf_counter()

    def wait(self, within: float = 60.0) -> None:
        """Until all that is expected has come."""
        end = time.monotonic() + within
        while self.waiting and time.monotonic() < end:
            time.sleep(0.05)

    def posted(self, event: dict[str, Any]) -> None:
        """Note what was received."""
        name = event["item"]["name"]
        closed = self.waiting.pop(name, None)
        if closed is None:
            self.wrong += 1
            return
        self.took[name] = 1000 * (time.perf_counter() - closed)

    @contextmanager
    def receiving(self) -> Iterator[None]:
        """Watch and receive for the length of the block; from its beginning on no drop is missed."""
        webhook = self

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                webhook.posted(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            config = self.where / "recq.toml"
            config.write_text(RULE.format(like=self.like, source=self.source, port=server.server_port), "utf-8")
            try:
                with self._watching(config):
                    yield
            finally:
                server.shutdown()
                thread.join()

    @contextmanager
    def _watching(self, config: Path) -> Iterator[None]:
        told = environment(RECQ_DATA_DIR=str(self.settings.data_dir), RECQ_LOCK_WAIT="60", RECQ_CONFIG=str(config))
        # Once to its end: a rule that is new begins with what comes after it.
        subprocess.run([str(PROGRAMS / "recq"), "watch", "--once"], env=told, check=True)
        log = self.where / "watch.log"
        with log.open("wb") as file:
            process = subprocess.Popen([str(PROGRAMS / "recq"), "watch"], env=told, stdout=file, stderr=file)
        try:
            yield
        finally:
            process.terminate()
            if process.wait(30):
                self.said = log.read_text("utf-8")[-300:]


# ---- drops -----------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Drops:
    """Milliseconds from the close of a file to the answer that finds it, and how many were not found in a minute."""

    took: list[float] = field(default_factory=list)
    lost: int = 0
    done: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """Drop no more."""
        self.done.set()


@contextmanager
def _dropping(settings: Settings, folder: Path, webhook: Webhook) -> Iterator[Drops]:
    """Drop pictures for the length of the block."""
    drops = Drops()

    def drop() -> None:
        with connect(settings) as client:
            catalog = Catalog.open(client, settings.catalog)
            for number in itertools.count():
                name = f"drop-{number}.jpg"
                webhook.expect(name)
                (folder / name).write_bytes(pictures.another(70_000 + number))
                began = time.perf_counter()
                while not catalog.items.count([f"file.path={name}"]):
                    if drops.done.is_set() or time.perf_counter() - began > 60:
                        drops.lost += not drops.done.is_set()
                        return
                    time.sleep(0.02)
                drops.took.append(1000 * (time.perf_counter() - began))
                if drops.done.wait(DROP_EVERY):
                    return

    thread = threading.Thread(target=drop)
    thread.start()
    try:
        yield drops
    finally:
        drops.done.set()
        thread.join()


if __name__ == "__main__":
    main()
