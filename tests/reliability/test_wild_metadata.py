"""Whatever a sidecar or a table says: no picture is lost, no field goes unlisted, and the daemon lives.

Every picture is the same few bytes, so that one is embedded and the rest is metadata. A daemon reads a folder of wild
documents, is told others while it runs, and is started again on what then stands in the index.
"""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from recq.index.catalog import Catalog
from recq.index.connect import connect
from recq.index.problems import ProblemKind
from recq.index.schema import Item, field_problem
from recq.paths import printable
from recq.settings import Settings
from tests.eventually import eventually
from tests.ingest.pictures import jpeg
from tests.ingest.running import NETWORK
from tests.qdrant_server import QdrantServer
from tests.reliability.conftest import PATIENT
from tests.reliability.in_process import InProcess, LastingPool, stand_ins

pytestmark = pytest.mark.timeout(PATIENT)

PICTURE = jpeg(1, side=8)
WITHIN = 300.0  # seconds until a folder is indexed, on a machine with much else to do

SPECIAL = [chr(code) for code in range(0x80) if not chr(code).isalnum()]
NAMES = [
    *(f"a{c}b" for c in SPECIAL),
    "", " ", "\\", '"', "file", "file.path", "error", "_text", "has:x", "no:x", "a.b.c", "a[]", "[0]", "größe", "null",
    "n" * 10_000, "\ud800", "a\u0301", "\u00a0", "\u200b",
]  # fmt: skip
"""One field name for each sidecar."""

VALUES = [
    '"x"', '"\\u0000"', '"a\\u0000b"', '"\\ud800"', '"\\ud83d\\ude00"', '"\\uffff"', '""', '" "', f'"{"x" * 10_000}"',
    f'"{"many words " * 2_000}"', "0", "-1", "-0.0", "1e308", "1e999", "-1e999", "5e-324", "NaN", "Infinity",
    str(2**63), str(2**63 - 1), str(-(2**63)), "9" * 5_000, "true", "null", "[]", '[""]', "[null]", "{}", '{"b": 1}',
    '[1, "a", true, 2.5]', "[" * 60 + "]" * 60, "[" * 5_000 + "]" * 5_000, json.dumps(list(range(9_000))),
    json.dumps(list(range(20_000))), '"2024-01-31"', '"2024-13-31"', '"=SUM(A1)"', '"~x"', '"a|b,c"',
]  # fmt: skip
"""JSON texts, each the value of one field in a sidecar of its own."""

CELLS = [
    "x",
    "-1",
    "1.5",
    "9" * 5_000,
    "x" * 10_000,
    "a\\|b",
    "a|b|c",
    "|".join(map(str, range(20_000))),
    "\x01\x7f",
    "é",
]


@pytest.fixture(scope="module")
def pool() -> Iterator[LastingPool]:
    with stand_ins() as pool:
        yield pool


def documents() -> list[str]:
    """A sidecar for each name and for each value, all with a field that can be found."""
    named = [json.dumps({name: 1, "ok": 1}) for name in NAMES]
    return named + [f'{{"wild": {value}, "ok": 1}}' for value in VALUES]


class Folder:
    """A folder of pictures with sidecars, and what reads it."""

    def __init__(self, place: Path, url: str | None) -> None:
        self.root = place / "shop"
        self.root.mkdir(parents=True)
        self.settings = Settings(
            data_dir=place / "data", url=url, model=NETWORK, settle=0.05, watch="native", workers=1, lock_wait=20,
            rescan=300, batch=16,
        )  # fmt: skip
        self.documents: dict[str, bytes] = {}

    def say(self, texts: Sequence[str], start: int = 0) -> None:
        """A picture for each sidecar text; it stands before the picture, or is changed beneath it."""
        for number, text in enumerate(texts, start):
            name = f"{number:03d}.jpg"
            self.documents[name] = text.encode("utf-8", "surrogatepass")
            (self.root / f"{name}.json").write_bytes(self.documents[name])
            if not (self.root / name).exists():
                (self.root / name).write_bytes(PICTURE)

    def problems(self) -> list[str]:
        """What is lost or unlisted; empty when all is well."""
        with connect(self.settings) as client:
            catalog = Catalog.open(client, "images")
            ids = [item.id for item in catalog.ledger.scan("shop")]
            items = {item.file.path: item for item in catalog.ledger.get_many(ids).values()}
            searched = catalog.items.count()
        lines = [f"{name}: not in the index" for name in self.documents.keys() - items.keys()]
        lines += [f"{name}: not in the folder" for name in items.keys() - self.documents.keys()]
        lines += [f"{item.file.path}: failed, {item.error}" for item in items.values() if item.error is not None]
        if searched != len(self.documents):
            lines.append(f"{searched} items are found, of {len(self.documents)}")
        for name in sorted(items.keys() & self.documents.keys()):
            lost = self._lost(name, items[name])
            lines += [f"{name}: field {field[:40]!r} is neither stored nor listed" for field in lost]
        return lines

    def _lost(self, name: str, item: Item) -> list[str]:
        if any(problem.kind is ProblemKind.SIDECAR for problem in item.problems):
            return []
        said = _read(self.documents[name])
        if said is None:
            return ["(the sidecar cannot be read, and that is not listed)"]
        kept = {unicodedata.normalize("NFC", field) for field in item.metadata}
        listed = "\n".join(problem.detail for problem in item.problems)
        return [
            field
            for field, value in said.items()
            if not _says_nothing(value)
            and unicodedata.normalize("NFC", field) not in kept
            and f"field {_shown(unicodedata.normalize('NFC', field))}" not in listed  # as it would be stored
            and "more, like" not in listed
        ]

    def live(self, *then: Sequence[str]) -> None:
        """A daemon reads the folder, then these documents for the same pictures; at the end it is well."""
        daemon = InProcess(self.settings, self.root)
        daemon.start()
        try:
            for texts in ((), *then):
                self.say(texts)
                eventually(lambda: daemon.alive() and daemon.idle() and self._as_said(), within=WITHIN, every=0.3)
                assert self.problems() == []
        finally:
            daemon.stop()

    def _as_said(self) -> bool:
        """Whether every picture has the metadata of the sidecar that it has now: `ok` counts up."""
        with connect(self.settings) as client:
            catalog = Catalog.open(client, "images")
            items = {item.file.path: item for item in catalog.items.rows(fields=["ok"])}
        return items.keys() == self.documents.keys() and all(
            str(item.metadata.get("ok")) == said["ok"]
            for name, item in items.items()
            if (said := _read(self.documents[name])) is not None
        )


def _read(document: bytes) -> Mapping[str, Any] | None:
    """A sidecar, its integers as text; None where nobody can read it."""
    try:
        said: Mapping[str, Any] = json.loads(document.decode("utf-8", "surrogatepass"), parse_int=str)
    except (ValueError, RecursionError):
        return None
    return said


def _shown(field: str) -> str:
    return "'" + printable(field[:40])


def _says_nothing(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_says_nothing, value)) and None not in value
    return value is None or (isinstance(value, str) and not value.strip())


@pytest.fixture(params=["embedded", pytest.param("server", marks=pytest.mark.server)])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Folder]:
    """Embedded it is read through the daemon's loopback server while that runs, and in process when it has ended."""
    if request.param == "embedded":
        yield Folder(tmp_path, None)
        return
    with QdrantServer(tmp_path / "server") as server:
        yield Folder(tmp_path, server.url)


def test_no_field_name_and_no_value_loses_a_picture_or_ends_the_daemon(folder: Folder, pool: LastingPool) -> None:
    first = documents()
    folder.say(first)
    changed = [text.replace('"ok": 1', '"ok": 2') for text in reversed(first)]
    folder.live(changed)
    assert folder.problems() == []  # in process
    folder.live()  # on an index in which such things stand


@pytest.mark.parametrize("admitted", [True, False])
def test_no_column_and_no_cell_loses_a_picture_or_ends_the_daemon(
    folder: Folder, pool: LastingPool, admitted: bool
) -> None:
    spoken = [
        name for name in NAMES if not {"\ud800", "\n", "\r"} & set(name)
    ]  # one line, and characters that are text
    names = [name for name in spoken if (field_problem(name.strip()) is None) is admitted][::2]
    folder.say(['{"ok": 1}' for _ in CELLS])
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["file", *names, "wild"])
    for number, cell in enumerate(CELLS):
        writer.writerow([f"{number:03d}.jpg", *["1"] * len(names), cell])
    (folder.root / "metadata.csv").write_text(table.getvalue(), encoding="utf-8", newline="")
    folder.live()
    with connect(folder.settings) as client:
        catalog = Catalog.open(client, "images")
        items = {
            item.file.path: item
            for item in catalog.ledger.get_many([each.id for each in catalog.ledger.scan("shop")]).values()
        }
    assert items["000.jpg"].metadata["wild"] == ["x"]
    assert (len(items["000.jpg"].metadata) > 2) is admitted
    (problem,) = items["007.jpg"].problems
    assert (problem.kind, problem.field, problem.line) == (ProblemKind.FIELD, "wild", 9)


TEXTS = st.text(max_size=12) | st.text(st.sampled_from([*SPECIAL, "a", "\u0301", "ß", "猫"]), max_size=4)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.just("x" * 10_000)
WILD = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=2), max_leaves=6
)
WILD_NAMES = TEXTS | st.sampled_from(["price", "title", "day", "n" * 10_000, *NAMES])


def test_any_documents_at_all(pool: LastingPool, tmp_path_factory: pytest.TempPathFactory, full: bool) -> None:
    """Hypothesis' own: many fields of many types, a field of one type here and of another there."""

    @settings(max_examples=60 if full else 2, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.dictionaries(WILD_NAMES, WILD, max_size=3 if not full else 8), min_size=4, max_size=8))
    @example([{}, {}, {}, {"a\u0300": [None]}])  # its name is told as it would be stored: composed
    def run(documents: list[dict[str, Any]]) -> None:
        folder = Folder(tmp_path_factory.mktemp("wild"), None)
        texts = [json.dumps({**document, "ok": number}) for number, document in enumerate(documents)]
        folder.say(texts)
        folder.live(texts[::-1])

    run()
