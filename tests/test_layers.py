"""Who may import whom: packages, the rooms in them, and no circle; what is slow to import waits for its use."""

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
SLOW = {
    "fastapi",
    "keras",
    "openvino",
    "qdrant_client",
    "qdrant_edge",
    "tensorflow",
}  # seconds each: `--help` must not wait
ENTRANCES = ["recq", "query.cli.main", "ingest.cli.main"]

FLOORS: dict[str, list[set[str]]] = {
    "recq": [
        {"recq"},
        {"recq.images", "recq.models"},
        {"recq.index.edge"},
        {"recq.index"},
        {"recq.search"},
        {"recq.duplicates", "recq.evaluate", "recq.transfer"},
        {"recq.learn"},
        {"recq.operate", "recq.watch"},
        {"recq.display"},
        {"recq.site"},
        {"recq.face"},
        {"recq.api"},
        {"recq.page"},
        {"recq.__init__"},
    ],
    "ingest": [
        {"ingest.loop", "ingest.report"},
        {"ingest.source", "ingest.tally"},
        {"ingest.context"},
        {"ingest.events", "ingest.index"},
        {"ingest.reconcile"},
        {"ingest.pipeline"},
        {"ingest.daemon"},
        {"ingest.service"},
        {"ingest.cli"},
    ],
    "query": [{"query.text"}, {"query.pictures"}, {"query.cli"}],
}
"""The rooms of each package, lowest first: a module imports from its own room and from lower floors.

`recq` are the modules that stand in no room, `recq.__init__` is what `import recq` gives. `docs/architecture.md` tells
what each room is for.
"""


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


def module_name(file: Path) -> str:
    """`recq.index` for `recq/index/__init__.py`."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def graph() -> dict[str, set[str]]:
    """Every module of the three packages, with those that it imports anywhere: at the top, in functions, for types."""
    files = {module_name(file): file for package in FORBIDDEN for file in modules(package)}
    found: dict[str, set[str]] = {}
    for name, file in files.items():
        tree = ast.parse(file.read_text("utf-8"))
        named = {
            f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in files else str(node.module)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        } | {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        found[name] = named & files.keys() - {name}
    return found


def room_of(module: str) -> str:
    """The room that a module stands in: the longest one that begins its name."""
    if module == "recq":
        return "recq.__init__"
    rooms = {room for floors in FLOORS.values() for floor in floors for room in floor} - {"recq"}
    inside = [room for room in rooms if module == room or module.startswith(f"{room}.")]
    return max(inside, key=len, default=module.split(".")[0])


@pytest.mark.parametrize("package", sorted(FLOORS))
def test_rooms_import_only_from_lower_floors(package: str) -> None:
    floor_of = {room: number for number, floor in enumerate(FLOORS[package]) for room in floor} | {package: 0}
    wrong = [
        f"{module} imports {name}: {room_of(name)} is not below {room_of(module)}"
        for module, names in graph().items()
        for name in names
        if module.split(".")[0] == name.split(".")[0] == package
        and room_of(module) != room_of(name)
        and floor_of[room_of(name)] >= floor_of[room_of(module)]
    ]
    assert sorted(wrong) == []


def test_the_command_line_asks_the_face_alone() -> None:
    """Of the rooms below it takes records and names, never a function that asks an index."""
    below = {room for floor in FLOORS["recq"] for room in floor} - {
        "recq",
        "recq.face",
        "recq.api",
        "recq.watch",
        "recq.__init__",
    }
    asked = [
        f"{file.relative_to(ROOT)}: {node.module}.{alias.name}"
        for file in modules("query/cli")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and room_of(str(node.module)) in below
        for alias in node.names
        if alias.name.islower()
    ]
    grammar = {"recq.index", "recq.index.grammar", "recq.index.operators"}  # pure: what filters look like
    shown = {"require_writable", "write_picture", "sheet_of", "verdict"}
    others = {"recq.search.many.read_targets", "recq.search.session.opened"}  # a file; Tab, which gives up in time
    wrong = [
        each
        for each in asked
        if (name := each.partition(": ")[2]) not in others
        and name.rpartition(".")[0] not in grammar
        and not (name.startswith("recq.display.") and name.rpartition(".")[2] in shown)
    ]
    assert wrong == []


def test_no_circle_of_imports() -> None:
    """Not even among modules that are imported in functions: who reads one must not have to read the other first."""
    imported = graph()
    done: set[str] = set()

    def visit(module: str, road: tuple[str, ...]) -> None:
        assert module not in road, " -> ".join([*road[road.index(module) :], module])
        if module not in done:
            for name in sorted(imported[module]):
                visit(name, (*road, module))
            done.add(module)

    for module in sorted(imported):
        visit(module, ())


def test_no_package_exports_a_function_named_like_a_module_in_it() -> None:
    wrong = []
    for file in (file for package in FORBIDDEN for file in modules(package) if file.name == "__init__.py"):
        inside = {each.stem for each in file.parent.iterdir() if each.suffix == ".py" or each.is_dir()}
        tree = ast.parse(file.read_text("utf-8"))
        exported = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)} | {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        wrong += [f"{module_name(file)}.{name}" for name in exported & inside]
    assert wrong == []


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_entrances_load_nothing_slow(entrance: str) -> None:
    """Asked of a fresh interpreter, so that what they import in turn counts too."""
    program = f"import sys, {entrance}; print(*sorted({SLOW!r} & sys.modules.keys()))"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == []
