"""How `recq` starts: what it imports, what it spares, and what that costs beside what it cannot do without."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from recq.announced import Announced, alike, announce
from recq.api.access import Gatekeeper
from tests.packs import ROOT
from tests.query.conftest import CATALOG, stocked
from tests.recq.api.serving import served, settings_of

SAMPLES = ROOT / "samples"

RECQ = [sys.executable, "-m", "query.cli"]
IMPORT = [sys.executable, "-c", "import qdrant_client"]
TWO_COMMANDS = """
import sys, typer
app = typer.Typer()
@app.command()
def one(name: str = "x") -> None: "The one command."
@app.command()
def other(count: int = 1) -> None: "The other command."
app(["--help"])
"""
LISTED = """
import sys
before = set(sys.modules)
{before}
known = set(sys.modules) if {known} else before
sys.argv = ["recq", *sys.argv[1:]]
from query.cli.main import main
try:
    main()
except SystemExit as end:
    print(*sorted(set(sys.modules) - known), file=sys.stderr)
    raise
"""


@pytest.fixture(scope="module")
def shop(
    request: pytest.FixtureRequest, shop_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[str]]:
    with stocked(getattr(request, "param", "embedded"), tmp_path_factory.mktemp("data"), shop_root, request) as reached:
        yield [*reached, "--catalog", CATALOG]


def imported(arguments: list[str], beside: str = "", environ: Mapping[str, str] | None = None) -> set[str]:
    """The modules that a command has imported at its end, without those that importing `beside` brings."""
    program = LISTED.format(before=f"import {beside}" if beside else "pass", known=bool(beside))
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environ or {})},
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


def packages(modules: set[str]) -> set[str]:
    """Those that are no part of Python."""
    return {name.split(".")[0] for name in modules} - sys.stdlib_module_names


def own(modules: set[str]) -> set[str]:
    """The project's own."""
    return {name for name in modules if name.split(".")[0] in ("recq", "query", "ingest")}


def tab(cache: Path, line: str) -> dict[str, str]:
    """What a shell sets when it asks what may follow `line`, as fish does."""
    return {
        "RECQ_CACHE_DIR": str(cache),
        "_RECQ_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_ARGS": line,
    }


STARTED = {
    "query", "query.cli", "query.cli.main", "query.cli.shell",
    "recq", "recq.cli_commands", "recq.cli_errors", "recq.cli_options", "recq.commands", "recq.errors", "recq.paths",
    "recq.start_up", "recq.version",
}  # fmt: skip
"""What every command has imported before it begins."""


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_imports_no_command(arguments: list[str]) -> None:
    modules = imported(arguments)
    assert own(modules) == STARTED
    assert packages(modules) <= {
        "query", "recq", "typer", "annotated_doc", "shellingham", "rich", "markdown_it", "mdurl", "pygments",
        "attr",  # which Rich looks for, and needs not
    }  # fmt: skip


def test_the_name_of_a_command_is_completed_without_any_command(tmp_path: Path) -> None:
    assert own(imported([], environ=tab(tmp_path, "recq sim"))) == STARTED


def test_a_later_tab_reads_one_file_and_neither_settings_nor_index(shop: list[str], tmp_path: Path) -> None:
    asked = tab(tmp_path / "cache", f"recq similar {' '.join(shop)} --filter category=")
    assert "qdrant_client" in packages(imported([], environ=asked))
    modules = imported([], environ=asked)
    assert not {"recq.settings", "recq.search.session", "recq.index.connect"} & modules
    assert packages(modules) <= {"query", "recq", "typer", "annotated_doc", "shellingham", "platformdirs"}


def test_an_indexed_name_imports_what_it_needs(shop: list[str]) -> None:
    """Beside the engine's client, and no more: neither pictures nor models, nor what other commands need."""
    modules = imported(["similar", "two.png", *shop], beside="qdrant_client, typer.main")
    assert packages(modules) <= {
        "query", "recq", "typer", "shellingham", "pydantic", "pydantic_settings", "dotenv", "platformdirs",
        "filelock", "qdrant_edge",
    }  # fmt: skip
    unused = ("query.pictures", "recq.images", "recq.models", "recq.duplicates.groups", "recq.evaluate")
    assert {name for name in own(modules) if name.startswith(unused)} == set()
    assert not {"query.cli.show", "query.cli.duplicates", "recq.transfer.transfer", "recq.display.grid_html"} & modules


@pytest.fixture
def asked_by_service(
    request: pytest.FixtureRequest, shop_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[str]]:
    """The options of a shop beside whose daemon a service answers."""
    folder = tmp_path_factory.mktemp("served")
    with stocked("loopback", folder, shop_root, request) as options:
        settings = settings_of(options, CATALOG, cache_dir=folder / "cache", workers=1)
        with served(settings, Gatekeeper(own="a key of a test")) as api:
            url = str(api.client.base_url).rstrip("/")
            announce(folder, Announced(url, "a key of a test", None, os.getpid(), alike(settings)))
            yield [*options, "--catalog", CATALOG]


def test_where_a_service_answers_nothing_is_imported_that_takes_long(asked_by_service: list[str]) -> None:
    """Neither the engine's client nor a network nor numpy nor Pillow, of an item and of a picture alike."""
    picture = str(SAMPLES / "tent.jpg")
    for words in (
        ["similar", "two.png"], ["similar", picture, "--format", "json"], ["similar", "two.png", picture],
        ["similar", picture, "--region", "10%,10%,50%,50%"], ["recommend", "--like", picture], ["search"],
        ["show", "two.png"], ["facets", "category"], ["fields"], ["predict", picture],
    ):  # fmt: skip
        modules = imported([*words, *asked_by_service])
        assert packages(modules) <= {
            "query", "recq", "typer", "annotated_doc", "shellingham", "platformdirs", "pydantic", "pydantic_core",
            "pydantic_settings", "annotated_types", "typing_extensions", "typing_inspection", "dotenv",
            "_sysconfigdata__linux_x86_64-linux-gnu",
        }, words  # fmt: skip
        unused = ("recq.index.edge", "recq.models", "recq.images", "recq.face.catalog", "recq.index.connect")
        assert {name for name in own(modules) if name.startswith(unused)} == set(), words


def test_naming_a_picture_imports_no_more_than_embedding_one(shop: list[str]) -> None:
    """ImageNet's classes need a network and numpy: neither Keras nor what trains and evaluates."""
    modules = imported(
        ["predict", str(SAMPLES / "wireless-optical-mouse.jpg"), *shop], beside="qdrant_client, openvino"
    )
    assert not {"keras", "tensorflow", "sklearn", "scipy", "rich"} & packages(modules)
    unused = ("query.pictures", "recq.evaluate", "recq.learn.examples", "recq.learn.training", "recq.models.keras")
    assert {name for name in own(modules) if name.startswith(unused)} == set()


# -- what it costs ------------------------------------------------------------------------------------------------


def processor(command: list[str], environ: Mapping[str, str] | None = None) -> float:
    """Seconds of the processor that a process takes, user and system: other work on the machine changes them little."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**kept, **(environ or {})})
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_utime + used.ru_stime


def require_at_most(factor: float, command: Callable[[], float], floor: Callable[[], float]) -> None:
    """The least of up to seven runs each, in turns. The factors are far above benchmarks/start.py's."""
    ours, theirs = [], []
    for _ in range(7):
        theirs.append(floor())
        ours.append(command())
        if len(ours) > 1 and min(ours) < factor * min(theirs):
            return
    pytest.fail(f"{min(ours):.2f} s of processor, {min(ours) / min(theirs):.2f} times {min(theirs):.2f} s")


@pytest.mark.parametrize("shop", ["embedded", pytest.param("server", marks=pytest.mark.server)], indirect=True)
def test_an_indexed_name_costs_little_more_than_the_client(shop: list[str]) -> None:
    require_at_most(1.5, lambda: processor([*RECQ, "similar", "two.png", *shop]), lambda: processor(IMPORT))


def test_a_service_is_asked_in_less_than_half_of_what_the_client_costs(asked_by_service: list[str]) -> None:
    """The command's own process; on the clock, that of the service as well, benchmarks/start.py has it."""
    for target in ("two.png", str(SAMPLES / "tent.jpg")):
        command = [*RECQ, "similar", target, *asked_by_service]
        require_at_most(0.5, lambda command=command: processor(command), lambda: processor(IMPORT))  # type: ignore[misc]


def test_help_costs_little_more_than_that_of_two_commands() -> None:
    require_at_most(2.0, lambda: processor([*RECQ, "--help"]), lambda: processor([sys.executable, "-c", TWO_COMMANDS]))


@pytest.mark.long
def test_the_first_tab_costs_little_more_than_the_client_and_a_later_one_than_help(
    shop: list[str], tmp_path: Path
) -> None:
    asked = tab(tmp_path / "cache", f"recq similar {' '.join(shop)} --filter category=")

    def first() -> float:
        for kept in (tmp_path / "cache").rglob("*.json"):
            kept.unlink()
        return processor(RECQ, asked)

    require_at_most(1.5, first, lambda: processor(IMPORT))
    first()
    require_at_most(2.0, lambda: processor(RECQ, asked), lambda: processor([sys.executable, "-c", TWO_COMMANDS]))


# -- the collector of garbage -------------------------------------------------------------------------------------


def answer(program: str, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.splitlines()


def test_a_program_that_imports_recq_keeps_its_collector_as_it_is(shop: list[str]) -> None:
    program = (
        "import gc, sys, recq\nwith recq.open(sys.argv[2], data_dir=sys.argv[1]) as catalog:\n"
        "    print(len(catalog), gc.isenabled(), gc.get_freeze_count())\n"
    )
    assert answer(program, shop[1], CATALOG)[0].endswith(" True 0")


def test_exit_handlers_run_and_output_is_whole(shop: list[str]) -> None:
    program = (
        "import atexit, sys\nfrom query.cli.main import main\n"
        "atexit.register(print, 'left')\nsys.argv = ['recq', *sys.argv[1:]]\nmain()\n"
    )
    lines = answer(program, "search", "-k", "3", "--format", "jsonl", *shop)
    assert lines[-1] == "left"
    assert len(lines) == 4
