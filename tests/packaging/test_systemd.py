"""The units of deploy/systemd, as systemd itself reads them. That they were ever started is not claimed."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import psutil
import pytest

from recq.keys import KEY_FILES
from tests.debian import program
from tests.eventually import eventually
from tests.ingest.pictures import put
from tests.ingest.running import environment
from tests.packaging.building import ROOT

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
KEY_DROP_IN = ROOT / "deploy" / "systemd" / "key.conf"
MOST_EXPOSED = 2.0
"""Of 10, as `systemd-analyze security` counts."""


def unavailable(reason: str) -> NoReturn:
    """Skip the test, or fail it where the units must be checked."""
    if os.environ.get("CI"):
        pytest.fail(f"no systemd for the tests: {reason}", pytrace=False)
    pytest.skip(f"no systemd for the tests: {reason}")


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    found = program(["systemd-analyze"], "systemd", unavailable)
    return subprocess.run([found, "--no-pager", *arguments], capture_output=True, text=True, check=False)


def settings(unit: Path) -> dict[str, list[str]]:
    """Key -> the values of all its lines, of all sections."""
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"^(\w+)=(.*)$", unit.read_text("utf-8"), re.MULTILINE):
        found.setdefault(key, []).append(value)
    return found


def test_there_is_a_unit_for_each_service() -> None:
    assert [unit.name for unit in UNITS] == ["recq-ingest.service", "recq-serve.service"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_understands_all_of_it(unit: Path, tmp_path: Path) -> None:
    """With the programs of this environment in place of those of /opt/recq."""
    here = tmp_path / unit.name
    here.write_text(unit.read_text("utf-8").replace("/opt/recq/bin/", f"{sys.prefix}/bin/"))
    done = analyze("verify", "--man=no", here)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    here.write_text(here.read_text("utf-8").replace("NoNewPrivileges=yes", "NoNewPrivilege=yes"))
    assert "NoNewPrivilege" in analyze("verify", "--man=no", here).stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_key_of_a_server_comes_as_a_credential(unit: Path, tmp_path: Path) -> None:
    """The drop-in is understood, and names what the settings know."""
    here, dropped = tmp_path / unit.name, tmp_path / f"{unit.name}.d" / "key.conf"
    here.write_text(unit.read_text("utf-8").replace("/opt/recq/bin/", f"{sys.prefix}/bin/"))
    dropped.parent.mkdir()
    dropped.write_text(KEY_DROP_IN.read_text("utf-8"))
    done = analyze("verify", "--man=no", here)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    found = settings(KEY_DROP_IN)
    assert found.keys() == {"LoadCredential", "Environment"}
    name = found["LoadCredential"][0].partition(":")[0]
    variable, _, path = found["Environment"][0].partition("=")
    assert path == f"%d/{name}"
    assert variable.removeprefix("RECQ_").lower() in KEY_FILES
    dropped.write_text(KEY_DROP_IN.read_text("utf-8").replace("LoadCredential", "LoadCredentials"))
    assert "LoadCredentials" in analyze("verify", "--man=no", here).stderr, "it was read"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_exposure_stays_low(unit: Path) -> None:
    done = analyze("security", "--offline=true", f"--threshold={int(MOST_EXPOSED * 10)}", unit)
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert exposure is not None, done.stderr
    assert float(exposure[1]) <= MOST_EXPOSED
    assert done.returncode == 0


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_what_a_unit_promises_is_what_the_program_does(unit: Path) -> None:
    found = settings(unit)
    assert found["Type"] == ["notify"]
    assert found["NotifyAccess"] == ["main"], "processes beside it are not to speak for it"
    assert int(found["WatchdogSec"][0]) >= 30
    assert int(found["TimeoutStopSec"][0]) > 5, "it may take five seconds to end"
    assert found["RestartPreventExitStatus"] == ["2 5"]
    assert "MemoryDenyWriteExecute" not in found, "the network's runtime makes machine code"
    assert "ProtectHome" not in found, "pictures live there"
    assert "Environment" in found
    assert any("RECQ_DATA_DIR=%S/recq" in line for line in found["Environment"])


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_command_exists_and_takes_its_options(unit: Path) -> None:
    (line,) = settings(unit)["ExecStart"]
    path, name, *arguments = shlex.split(line)
    here = Path(sys.executable).with_name(Path(path).name)
    shown = subprocess.run([here, name, "--help"], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert {word for word in arguments if word.startswith("-")} <= set(re.findall(r"--[a-z-]+", shown.stdout))
    variables = {word.partition("=")[0] for each in settings(unit)["Environment"] for word in each.split()}
    assert {word[1:] for word in arguments if word.startswith("$")} <= variables


def test_both_share_what_belongs_to_one_user() -> None:
    """A data folder has one owner, and what runs on it is found there."""
    one, other = map(settings, UNITS)
    for key in ("User", "Group", "StateDirectory", "CacheDirectory", "UMask"):
        assert one[key] == other[key]
    hardening = [
        {
            key: value
            for key, value in each.items()
            if key.startswith(("Protect", "Private", "Restrict", "System", "IP"))
        }
        for each in (one, other)
    ]
    assert hardening[0] == hardening[1]


def test_the_documented_size_and_time_are_those_that_were_measured() -> None:
    """docs/operations.md sizes a machine by what was measured last: to a tenth, and to a quarter of the time."""
    measured = json.loads((ROOT / "docs" / "performance.json").read_text("utf-8"))["benchmarks"]
    (footprint,) = (each for each in measured if each["benchmark"] == "footprint")
    (ingest,) = (each for each in measured if each["benchmark"] == "ingest")
    found = {each["name"]: each["figures"] for each in footprint["sections"]}
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    said = re.search(r"\| disk of the index \| ([\d.]+) KB an image, ([\d.]+) KB of 100,000;", page)
    assert said is not None
    disk = [found[size]["index on disk, KB an image"] for size in ("10,000", "100,000")]
    assert list(map(float, said.groups())) == pytest.approx(disk, rel=0.1)
    said = re.search(
        r"\| memory of the daemon \| ([\d.]+) GB of its own, ([\d.]+) GB with 100,000, ([\d.]+) GB with 300,000,", page
    )
    assert said is not None
    memory = [most for figures in found.values() for name, most in figures.items() if "at its most" in name]
    assert [1000 * float(each) for each in said.groups()] == pytest.approx(memory, rel=0.1)
    said = re.search(r"\| time \| ([\d.]+) ms a picture of 400 x 533 on two cores", page)
    assert said is not None
    (clothing,) = (each for each in ingest["sections"] if each["name"] == "clothing")
    assert float(said[1]) == pytest.approx(1000 / clothing["sides"]["recq, default"]["median"], rel=0.25)


def allowed(*filters: str) -> set[str]:
    """The system calls that the lines of `SystemCallFilter=` let through."""

    def group(name: str) -> set[str]:
        lines = [line.strip() for line in analyze("syscall-filter", name).stdout.splitlines()[1:]]
        calls = [line for line in lines if line and not line.startswith("#")]
        return {each for call in calls for each in (group(call) if call.startswith("@") else {call})}

    found = group("@default")
    for each in filters:
        found = found - group(each[1:]) if each.startswith("~") else found | group(each)
    return found


@pytest.mark.long
def test_the_daemon_needs_no_system_call_that_its_unit_forbids(tmp_path: Path) -> None:
    """One that indexes and is ended, with its decoding processes and its API, traced."""
    strace = program(["strace"], "strace", unavailable)
    shop = tmp_path / "shop"
    put(shop / "a.jpg", 1)
    trace, log = tmp_path / "trace", tmp_path / "log"
    command = [sys.executable, "-m", "ingest.cli", "run", str(shop), "--data-dir", str(tmp_path / "data")]
    with log.open("wb") as output:
        traced = subprocess.Popen(
            [strace, "-f", "-o", trace, *command], env=environment(RECQ_API="true"), stdout=output, stderr=output
        )
    try:
        eventually(lambda: traced.poll() is not None or "event=indexed" in log.read_text(), within=120)
        if "Operation not permitted" in log.read_text():
            unavailable("strace may trace nothing here")
        assert traced.poll() is None, log.read_text()
        eventually(lambda: '"api"' in (tmp_path / "data" / "serve.json").read_text(), within=120)
        psutil.Process(traced.pid).children()[0].terminate()
        assert traced.wait(60) == 0
    finally:
        for each in psutil.Process(traced.pid).children(recursive=True) if traced.poll() is None else []:
            each.kill()
        traced.kill()
    used = set(re.findall(r"^\d+ +([a-z_0-9]+)\(", trace.read_text(errors="replace"), re.MULTILINE))
    assert used >= {"openat", "inotify_add_watch", "socket"}, "it was traced while it worked"
    assert used - allowed(*settings(UNITS[0])["SystemCallFilter"]) == set()
