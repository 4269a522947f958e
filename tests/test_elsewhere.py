"""recq on systems that are not Linux: nothing is taken for granted that they do not have.

No such system is here. So this shows that recq asks for nothing that is not there, not that what is there does the
same: README.md says what is known of each.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest

from recq.images.decode import Limits
from recq.images.workers import DecodePool
from recq.index.edge.waste import bytes_of
from recq.space import InputSpec
from tests.elsewhere import SYSTEMS, gone, is_gone
from tests.packs import ROOT
from tests.test_layers import modules

NOT_PORTED = {"recq/images/process.py", "recq/images/wire.py"}
"""A decoding process gets its socket as only POSIX can hand it over: `recq.images.workers` says so on Windows."""

OF_OBJECTS = {"win32": {"sendmsg", "st_blocks"}, "darwin": set[str]()}
"""What sockets and stat results do not have there; whose an attribute is, no syntax tells."""

LOOKS_FIRST = ("hasattr(", "os.name", "sys.platform")

IMPORT_ALL = """
import importlib, pkgutil
from tests.elsewhere import EXTRAS, OURS
done, left = 0, []
for package in sorted(OURS):
    for each in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        if each.name.endswith(".__main__"):
            continue
        try:
            importlib.import_module(each.name)
            done += 1
        except ModuleNotFoundError as error:
            if error.name not in EXTRAS:
                raise
            left.append(each.name)
print(done, len(left))
"""

WRITE_AND_FIND = """
import sys
from pathlib import Path
from qdrant_client import models
from recq.index.connect import own_folder
from recq.settings import Settings
settings = Settings.load(data_dir=Path(sys.argv[1]))
for attempt in range(2):  # a new folder, one that is there
    with own_folder(settings) as owned:
        if not attempt:
            owned.client.create_collection("c", {"image": models.VectorParams(size=2, distance="Cosine")})
            point = models.PointStruct(id=7, vector={"image": [1.0, 0.0]}, payload={"file": {"path": "a.jpg"}})
            owned.client.upsert("c", [point], wait=True)
        found = owned.client.query_points("c", query=[1.0, 0.0], using="image", with_payload=True).points
        print([(each.id, each.payload["file"]["path"]) for each in found])
"""


class Elsewhere:
    """Starts Python on another system; so are the processes that it starts."""

    def __init__(self, system: str, folder: Path) -> None:
        self.system = system
        self.start = folder / "start"
        self.start.mkdir()
        (self.start / "sitecustomize.py").write_text(f"from tests.elsewhere import pretend\npretend({system!r})\n")
        self._environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": f"{self.start}:{ROOT}"}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=self._environment)

    def output(self, *arguments: str) -> str:
        """What Python prints with these arguments, which has to end well."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(params=SYSTEMS)
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Elsewhere:
    return Elsewhere(request.param, tmp_path)


def test_a_system_lacks_what_it_lacks() -> None:
    """What the other tests stand on."""
    assert gone("os", "win32") >= {"statvfs", "O_CLOEXEC", "O_NONBLOCK", "O_DIRECTORY", "killpg", "sched_getaffinity"}
    assert gone("signal", "win32") >= {"SIGHUP", "SIGKILL"}
    assert "SIGTERM" not in gone("signal", "win32")
    assert gone("os", "darwin") >= {"memfd_create", "sched_getaffinity"}
    assert gone("os", "darwin").isdisjoint({"statvfs", "O_CLOEXEC", "killpg", "fchmod"})
    assert [each for each in ("fcntl", "os", "resource", "signal") if is_gone(each, "win32")] == ["fcntl", "resource"]
    assert not is_gone("fcntl", "darwin")


def test_every_module_is_imported(elsewhere: Elsewhere) -> None:
    done, left = map(int, elsewhere.output("-c", IMPORT_ALL).split())
    assert done > 300
    assert left < 30  # they need an extra


def test_an_embedded_index_is_written_and_searched(elsewhere: Elsewhere, tmp_path: Path) -> None:
    assert elsewhere.output("-c", WRITE_AND_FIND, str(tmp_path / "data")) == "[(7, 'a.jpg')]\n" * 2


def test_a_folder_is_indexed_and_searched(elsewhere: Elsewhere, tmp_path: Path) -> None:
    """On Windows up to the pictures, and then it says what to do."""
    drop = tmp_path / "drop"
    drop.mkdir()
    *indexed, target = sorted((ROOT / "samples").glob("*.jpg"))[:3]
    for each in indexed:
        (drop / each.name).write_bytes(each.read_bytes())
    data = ("--data-dir", str(tmp_path / "data"))
    done = elsewhere.run("-m", "ingest.cli", "run", str(drop), "--once", *data)
    if elsewhere.system == "win32":
        assert done.returncode == 1
        assert "on Windows run recq in WSL 2" in done.stderr
        assert "Traceback" not in done.stderr
        return
    assert done.returncode == 0, done.stderr
    found = elsewhere.output("-m", "query.cli", "similar", str(target), "--format", "paths", *data)
    assert sorted(found.splitlines()) == [str(drop / each.name) for each in indexed]


def test_a_decoding_process_needs_no_more_than_is_there(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child's side alone: it was handed its socket."""
    monkeypatch.syspath_prepend(elsewhere.start)
    limits = Limits(max_bytes=2**26, max_pixels=2**26)
    with DecodePool(workers=1, timeout=60, memory=2**30, limits=limits) as pool:
        found = pool.submit(str(ROOT / "samples" / "basketball.jpg"), InputSpec(32, "pad")).result()
    assert found.pixels.shape == (32, 32, 3)


def test_without_blocks_a_file_counts_as_it_is_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No import can hide this from recq: Windows' stat has the length alone. A file that has just gone has none."""
    (tmp_path / "below").mkdir()
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "below" / "b").write_bytes(b"678")
    (tmp_path / "gone").write_bytes(b"9")
    real = Path.stat

    def stat(path: Path, **how: bool) -> SimpleNamespace:
        if path.name == "gone":
            raise FileNotFoundError
        found = real(path, **how)
        return SimpleNamespace(st_mode=found.st_mode, st_size=found.st_size)

    monkeypatch.setattr(Path, "stat", stat)
    assert bytes_of(tmp_path) == 8


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_a_system_lacks_is_looked_for_first(system: str) -> None:
    """In the function that uses it; a module that is not there is tried."""
    assert sorted(set(_unasked(system))) == []


def _unasked(system: str) -> Iterator[str]:
    for path in (each for package in ("recq", "ingest", "query") for each in modules(package)):
        name = path.relative_to(ROOT).as_posix()
        source = path.read_text("utf-8")
        if name not in NOT_PORTED:
            yield from (f"{name}: {each}" for each in _taken_for_granted(_parsed(source), source.split("\n"), system))


_parsed = cache(ast.parse)


def _taken_for_granted(node: ast.AST, lines: list[str], system: str, *, tried: bool = False) -> Iterator[str]:
    for each in ast.iter_child_nodes(node):
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.If):
            text = "\n".join(lines[each.lineno - 1 : each.end_lineno])
            if any(guard in text for guard in LOOKS_FIRST):
                continue
        match each:
            case ast.Import() if not tried:
                yield from (alias.name for alias in each.names if is_gone(alias.name, system))
            case ast.ImportFrom(module=str(module)) if not tried:
                yield from (f"{module}.{alias.name}" for alias in each.names if alias.name in gone(module, system))
            case ast.Attribute(value=ast.Name(id=module), attr=attribute) if not is_gone(module, system):
                if attribute in gone(module, system) | OF_OBJECTS[system]:
                    yield f"{module}.{attribute}"
            case ast.Attribute(attr=attribute) if attribute in OF_OBJECTS[system]:
                yield f".{attribute}"
        yield from _taken_for_granted(each, lines, system, tried=tried or isinstance(each, ast.Try))
