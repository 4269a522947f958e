"""docs/api.md is complete and true: every route has its row and its example, and every example runs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from recq.api.errors import KINDS, OF_HTTP, UNEXPECTED
from recq.api.schemas import components
from recq.errors import RecqError
from recq.index.connect import own_folder
from recq.index.edge import LoopbackServer
from recq.settings import Settings
from tests.eventually import eventually
from tests.ingest.running import NETWORK, Place
from tests.recq.api.serving import Api, served

ROOT = Path(__file__).resolve().parents[3]
DOCS = (ROOT / "docs" / "api.md").read_text("utf-8")
PUBLISHED = json.loads((ROOT / "docs" / "openapi.json").read_text("utf-8"))
HERE = "http://127.0.0.1:6340"
BLOCKS = re.findall(r"^```sh(?: fails=(\d+))?\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)
ROUTES = {f"{method.upper()} {path}" for path, found in PUBLISHED["paths"].items() for method in found}
CURL = """
set -eu
curl() { command curl --silent --show-error --fail-with-body "$@"; }
"""


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The samples and a broken picture, through a daemon's loopback."""
    folder = tmp_path_factory.mktemp("documented")
    shutil.copytree(ROOT / "samples", folder / "drop")
    (folder / "drop" / "broken_1.jpg").write_bytes((folder / "drop" / "tent.jpg").read_bytes()[:100])
    place = Place(folder / "drop", folder / "data", model=NETWORK)
    assert place.once().returncode == 3, "one item failed"
    settings = Settings(data_dir=place.data, cache_dir=folder / "cache", workers=1)
    with own_folder(settings) as owned, LoopbackServer(place.data, owned.engine), served(settings) as api:
        yield api


@pytest.mark.parametrize(("status", "block"), BLOCKS)
def test_every_example_runs(samples: Api, tmp_path: Path, status: str, block: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    script = CURL + block.replace(HERE, str(samples.client.base_url).rstrip("/"))
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    if status:
        assert done.returncode == 22, "curl's code for a status from 400 on"
        assert f"returned error: {status}" in done.stderr
    else:
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def answered(samples: Api) -> dict[str, int]:
    """Answers of each route so far, but for errors on the client's side, except one: `compare` has nothing to ask."""
    counted = re.findall(
        r'^recq_http_requests_total\{method="(\w+)",route="([^"]+)",status="(\d+)"\} (\d+)$',
        samples.get("/metrics").text,
        re.MULTILINE,
    )
    found: dict[str, int] = {}
    for method, route, status, count in counted:
        if int(status) < 400 or (route.endswith("/compare") and status == "404"):
            found[f"{method} {route}"] = found.get(f"{method} {route}", 0) + int(count)
    return found


def asked_since(samples: Api, before: dict[str, int]) -> set[str]:
    """The routes that have answered since."""
    after = answered(samples)
    after["GET /api/v1/metrics"] -= 1  # the count before counted itself afterwards
    return {route for route, count in after.items() if count > before.get(route, 0)}


def code_of(samples: Api, language: str) -> str:
    """All of the page's examples in a language, as one program on the samples' service."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)
    return "\n".join(blocks).replace(HERE, str(samples.client.base_url).rstrip("/"))


@pytest.mark.parametrize(
    ("language", "program", "ending"), [("python", sys.executable, "py"), ("js", "node", "mjs")], ids=["python", "js"]
)
def test_every_route_is_asked_by_programs_too(
    samples: Api, tmp_path: Path, language: str, program: str, ending: str
) -> None:
    """What an example asks is what the service has counted: no route is left out, and none is an error."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    script = tmp_path / f"example.{ending}"
    script.write_text(code_of(samples, language), "utf-8")
    before = answered(samples)
    done = subprocess.run([program, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "running-shoe" in done.stdout or "tent" in done.stdout, "it prints what it found"
    # A stream is counted when the service has noticed that nobody listens any more.
    eventually(lambda: asked_since(samples, before) >= ROUTES)
    assert asked_since(samples, before) == ROUTES


def rows(first: str) -> list[list[str]]:
    """The rows of all tables whose first cell begins so."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in DOCS.splitlines() if line[:1] == "|"]
    return [row for row in cells if re.match(first, row[0])]


def test_every_route_has_its_row() -> None:
    documented = {row[0].strip("`") for row in rows("`(GET|POST) ")}
    assert documented == ROUTES | {"GET /api/v1/openapi.json"}


def test_every_route_has_its_example() -> None:
    text = "\n".join(block for _, block in BLOCKS)
    for route in ROUTES:
        method, _, path = route.partition(" ")
        pattern = re.sub(r"\{\w+\}", r"[$\\w]+", path) + r"(?=['\"?\s]|$)"
        found = [line for line in text.replace("\\\n", " ").splitlines() if re.search(pattern, line)]
        posted = [line for line in found if "--json" in line or "--data-binary" in line]
        assert posted if method == "POST" else set(found) - set(posted), route


def test_every_error_has_its_row() -> None:
    documented = {(int(row[0]), row[1].strip("`"), row[2]) for row in rows(r"\d{3}$")}
    exit_codes = {(kind.status, kind.code): str(error.exit_code) for error, kind in KINDS.items()}
    found = {(*of, code) for of, code in exit_codes.items()} | {(kind.status, kind.code, "") for kind in OF_HTTP}
    assert documented == found | {(UNEXPECTED.status, UNEXPECTED.code, str(RecqError.exit_code))}


def test_settings_that_are_named_exist() -> None:
    text = DOCS[DOCS.index("## Who may ask") :]
    named = set(re.findall(r"`((?:api|max|thumbnail|token|read_token|decode)\w*)`", text))
    assert named <= Settings.model_fields.keys()
    assert {"token", "token_file", "read_token", "read_token_file", "api_hosts", "api_origins", "max_upload"} <= named


def test_the_parameters_that_are_named_exist() -> None:
    listed = re.search(r"Parameters have the names.*?\n\n", DOCS, re.DOTALL)
    assert listed is not None
    named = set(re.findall(r"`(\w+)`", listed[0])) - {"catalog"}
    similar = PUBLISHED["components"]["schemas"]["Similar"]["properties"]
    assert named == set(similar) - {"target", "catalog"}
    assert components().keys() <= PUBLISHED["components"]["schemas"].keys()


def test_every_metric_has_its_row(samples: Api) -> None:
    told = {name for row in rows("`recq_") for name in re.findall(r"`(recq_\w+)`", row[0])}
    served_now = set(re.findall(r"^# TYPE (\w+) ", samples.get("/metrics").text, re.MULTILINE))
    assert told == served_now
