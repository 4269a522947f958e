"""Where a service answers: what is written, what is read, and what is ignored."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recq.announced import API, DAEMONS, SERVICES, Announced, alike, announce, announced, withdraw
from recq.index.edge.address import Address, read_address, remove_address, write_address
from recq.private_files import write_private
from recq.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


def service(settings: Settings, port: int = 4000, **more: Any) -> Announced:
    return Announced(f"http://127.0.0.1:{port}", "own key", "read key", os.getpid(), alike(settings), **more)


def test_that_of_a_daemon_comes_first_and_stands_in_its_own_file(settings: Settings, tmp_path: Path) -> None:
    own, daemons = service(settings), service(settings, 4001)
    announce(tmp_path, own)
    assert announced(settings) == [own]
    address = Address("http://127.0.0.1:5000", "engine's key", os.getpid(), daemons)
    write_address(tmp_path, address)
    assert announced(settings) == [daemons, own]
    assert read_address(tmp_path) == address
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in (DAEMONS, SERVICES)} == {0o600}
    remove_address(tmp_path, Address("http://127.0.0.1:5000", "engine's key", os.getpid()))
    withdraw(tmp_path, own)
    assert list(tmp_path.iterdir()) == []


def test_only_the_own_announcement_is_withdrawn(settings: Settings, tmp_path: Path) -> None:
    announce(tmp_path, service(settings, 4002))
    withdraw(tmp_path, service(settings))
    assert announced(settings) == [service(settings, 4002)]


def test_keys_are_in_no_representation(settings: Settings) -> None:
    assert "key" not in repr(service(settings))


@pytest.mark.parametrize(
    "change",
    [
        {"version": "99.0.0/7"},
        {"version": None},
        {"url": "http://192.0.2.1:4000"},
        {"url": "http://127.0.0.1.example.org:4000"},
        {"url": "http://127.0.0.1@example.org:4000"},
        {"url": "https://127.0.0.1:4000"},
        {"own": None},
        {"read": 7},
        {"pid": "1"},
        {"alike": 0},
    ],
    ids=str,
)
def test_what_is_not_of_this_version_or_not_of_this_machine_is_ignored(
    settings: Settings, tmp_path: Path, change: dict[str, Any]
) -> None:
    document = service(settings).to_json() | change
    write_private(tmp_path / SERVICES, json.dumps(document))
    write_private(tmp_path / DAEMONS, json.dumps({"url": "http://127.0.0.1:1", "key": "k", "pid": 1, API: document}))
    assert announced(settings) == []
    assert read_address(tmp_path) is not None  # the daemon's engine is found all the same


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '{"api": []}', "\ud800", "[" * 100_000])
def test_what_is_no_announcement_is_ignored(settings: Settings, tmp_path: Path, content: str) -> None:
    for name in (DAEMONS, SERVICES):
        (tmp_path / name).write_text(content, "utf-8", "surrogatepass")
        (tmp_path / name).chmod(0o600)
    assert announced(settings) == []


def test_a_file_that_others_can_read_or_replace_is_ignored(settings: Settings, tmp_path: Path) -> None:
    announce(tmp_path, service(settings))
    for mode in (0o640, 0o604, 0o620, 0o602):
        (tmp_path / SERVICES).chmod(mode)
        assert announced(settings) == [], oct(mode)
    (tmp_path / SERVICES).chmod(0o600)
    (tmp_path / SERVICES).rename(tmp_path / "elsewhere")
    (tmp_path / SERVICES).symlink_to(tmp_path / "elsewhere")
    assert announced(settings) == []


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_ignored(settings: Settings, tmp_path: Path) -> None:
    announce(tmp_path, service(settings))
    os.chown(tmp_path / SERVICES, 12345, 12345)
    assert announced(settings) == []


def test_a_pipe_in_its_place_holds_nothing_up(settings: Settings, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / SERVICES, 0o600)
    assert announced(settings) == []


def test_a_service_whose_process_has_ended_is_ignored(settings: Settings, tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    announce(tmp_path, replace(service(settings), pid=ended.pid))
    assert announced(settings) == []


@pytest.mark.parametrize(
    "change",
    [
        {"url": "http://127.0.0.1:6333"}, {"model": "mobilenet_v2"}, {"size": 64},
        {"max_pixels": 100}, {"max_bytes": 100}, {"runtime": "openvino"}, {"precision": "f32"},
    ],
    ids=str,
)  # fmt: skip
def test_a_service_with_settings_that_answer_otherwise_is_ignored(
    settings: Settings, tmp_path: Path, change: dict[str, Any]
) -> None:
    announce(tmp_path, service(settings))
    assert announced(Settings(data_dir=tmp_path, **change)) == []


@pytest.mark.parametrize(
    "change", [{"catalog": "other"}, {"lock_wait": 1.0}, {"workers": 3}, {"api_key": "no server"}], ids=str
)
def test_other_settings_make_no_difference(settings: Settings, tmp_path: Path, change: dict[str, Any]) -> None:
    announce(tmp_path, service(settings))
    assert announced(Settings(data_dir=tmp_path, **change)) == [service(settings)]


def test_a_servers_key_counts_wherever_it_stands(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("one key\n")
    one, other = (alike(Settings(url="http://h:1", api_key=key)) for key in ("one key", "other key"))
    assert one != other
    assert alike(Settings(url="http://h:1", api_key_file=tmp_path / "key")) == one


def test_no_secret_of_the_settings_can_be_read_there() -> None:
    assert "secret of a server" not in alike(Settings(url="http://h:1", api_key="secret of a server"))
