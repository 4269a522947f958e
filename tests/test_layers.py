"""Who may import whom: `ingest` and `query` use `recq`, never each other; what is slow to import waits for its use."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FORBIDDEN = {"recq": {"ingest", "query"}, "ingest": {"query"}, "query": {"ingest"}}
NOT_SHIPPED = {"tests", "tools", "benchmarks"}
SLOW = {"keras", "openvino", "qdrant_client", "qdrant_edge", "tensorflow"}  # seconds each: `--help` must not wait
ENTRANCES = ["recq", "query.cli", "ingest.cli"]


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that a file names in an import, wherever in the file; absolute names only."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import; say the whole name"
            yield str(node.module)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"import_module", "importlib.import_module"}:
            yield from (str(each.value) for each in node.args[:1] if isinstance(each, ast.Constant))


def modules(package: str) -> list[Path]:
    """The Python files of a package, at least its `__init__`."""
    found = sorted((ROOT / package).rglob("*.py"))
    assert found, f"{package}/ has no Python files: has it moved?"
    return found


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_packages_import_only_what_lies_below(package: str) -> None:
    forbidden = FORBIDDEN[package] | NOT_SHIPPED
    wrong = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in modules(package)
        for name in imports(ast.parse(file.read_text("utf-8")))
        if name.split(".")[0] in forbidden
    ]
    assert wrong == []


def test_the_check_sees_every_way_to_import() -> None:
    source = "import query.cli\ndef f():\n    from ingest import x\n    importlib.import_module('tests.a')"
    assert list(imports(ast.parse(source))) == ["query.cli", "ingest", "tests.a"]


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_entrances_load_nothing_slow(entrance: str) -> None:
    """Asked of a fresh interpreter, so that what they import in turn counts too."""
    program = f"import sys, {entrance}; print(*sorted({SLOW!r} & sys.modules.keys()))"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == []
