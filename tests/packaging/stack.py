"""The services of the compose files as processes of this machine, with the files' own settings.

What Docker would do is read from the files: settings, commands, users, health checks, the order of starts, times to
stop. Replaced are the places alone: a service's name by this machine's loopback, its ports by free ones, its volumes by
folders. Where the tests run as root each service is another user without any capability, as `cap_drop` has it, so that
what it may not write is not written.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self

import yaml

from tests.eventually import eventually
from tests.packaging.building import ROOT
from tests.qdrant_server import qdrant_binary

COMPOSE, ELSEWHERE, CLUSTER = (ROOT / f"docker-compose{name}.yml" for name in ("", ".elsewhere", ".cluster"))
KEYS = {
    "QDRANT_API_KEY": "writers-" + "w" * 24,
    "QDRANT_READ_KEY": "readers-" + "r" * 24,
    "RECQ_TOKEN": "token-" + "t" * 24,
}
PORTS = {"qdrant": (6333, 6334, 6335), "recq": (6340,)}
"""The ports inside a container, by the first word of its image."""

_WHOLE = ("command", "entrypoint", "test", "profiles")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}


# -- reading ------------------------------------------------------------------------------------------------------


def load(*files: Path, env: Mapping[str, str] = KEYS) -> dict[str, Any]:
    """The services that these files start together, variables replaced. Raises KeyError for one that is not set."""
    merged: dict[str, Any] = {}
    for file in files:
        merged = _merged(merged, yaml.safe_load(file.read_text("utf-8")))
    services: dict[str, Any] = _filled(merged["services"], env)
    return {name: each for name, each in services.items() if not each.get("profiles")}


def _merged(one: Any, other: Any) -> Any:
    """As Compose does: tables by key, lists one after the other, and commands replaced."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = dict.fromkeys([*one, *other])
        return {
            key: other[key]
            if key not in one or (key in _WHOLE and key in other)
            else one[key]
            if key not in other
            else _merged(one[key], other[key])
            for key in keys
        }
    return [*one, *other] if isinstance(one, list) and isinstance(other, list) else other


def _filled(value: Any, env: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(each, env) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, env) for each in value]
    if not isinstance(value, str):
        return value

    def one(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return env[match["name"]]

    return re.sub(r"\$\$|\$\{(?P<name>\w+):\?[^}]*\}", one, value)


def seconds(text: str) -> float:
    """A duration such as `90s`."""
    number, unit = re.fullmatch(r"(\d+)(ms|s|m)", text).groups()  # type: ignore[union-attr]
    return int(number) * _SECONDS[unit]


def image_of_recq() -> dict[str, Any]:
    """What the Dockerfile says of the last image: its variables, user and entrypoint."""
    text = (ROOT / "Dockerfile").read_text("utf-8").rpartition("\nFROM ")[2].replace("\\\n", " ")
    env = dict(word.split("=", 1) for word in re.findall(r"\bRECQ_\w+=\S+", text))
    user = re.search(r"^USER (\S+)$", text, re.MULTILINE)
    entry = re.search(r'^ENTRYPOINT \["([^"]+)"\]$', text, re.MULTILINE)
    assert user is not None
    assert entry is not None
    return {"environment": env, "user": user[1], "entrypoint": [entry[1]]}


# -- running ------------------------------------------------------------------------------------------------------


@dataclass
class Service:
    """One service: how it is started here, and the process while it runs."""

    name: str
    command: list[str]
    environment: dict[str, str]
    user: int
    folder: Path
    health: list[str]
    healthy_within: float
    check_within: float
    stop_within: float
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        """Start it, without waiting."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*as_user(self.user), *self.command],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def check(self) -> bool:
        """What its health check finds now."""
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} has ended: {self.said()[-2000:]}")
        done = subprocess.run(
            [*as_user(self.user), *self.health],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            timeout=max(self.check_within, 20),  # a machine with much else to do
            check=False,
        )
        return done.returncode == 0

    def healthy(self) -> Self:
        """Wait until it is."""
        eventually(self.check, within=min(self.healthy_within, 90.0), every=0.2)
        return self

    def stop(self) -> tuple[int, float]:
        """End it as Docker does; exit code and seconds. Fails where Docker would have to kill it."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(self.stop_within)
        return code, time.monotonic() - began

    def kill(self) -> None:
        """End it as a crash does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def restart(self) -> Self:
        """Start it again, as `restart: unless-stopped` does after it has ended."""
        self.kill()
        self.start()
        return self

    def said(self) -> str:
        """All that it has printed."""
        return self.log.read_text("utf-8", "replace")


@cache
def as_user(user: int) -> tuple[str, ...]:
    """What goes before a command, so that it runs as this user without any capability, where root runs the tests.

    Root itself without a capability where the user can reach no Python that runs recq.
    """
    if os.geteuid() != 0:
        return ()
    return _other(user) if _python(user) is not None else _BARE


def _other(user: int) -> tuple[str, ...]:
    return (*_BARE, f"--reuid={user}", f"--regid={user}", "--clear-groups")


_BARE = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")


@cache
def _python(user: int) -> str | None:
    """A Python that this user can run recq with: that of the tests, or the system's where root's folder has it."""
    system = f"/usr/bin/python3.{sys.version_info.minor}"
    for each in (sys.executable, system):
        tried = [*_other(user), "/bin/sh", "-c", 'exec "$0" -c "import recq.settings, ingest, sys"', each]
        if subprocess.run(tried, cwd="/", env=_environment(), capture_output=True, check=False).returncode == 0:
            return each
    return None


def _environment() -> dict[str, str]:
    """That of the programs, apart from what the files say."""
    return {"HOME": "/nonexistent", "PYTHONPATH": f"{ROOT}:{sysconfig.get_path('purelib')}", "PATH": "/usr/bin:/bin"}


def _write_programs(folder: Path, user: int) -> None:
    """What an image has in its path: recq's programs and Python."""
    python = (os.geteuid() == 0 and _python(user)) or sys.executable
    for name, module in {"recq-ingest": "-m ingest.cli", "recq": "-m query.cli", "python": ""}.items():
        (folder / name).write_text(f'#!/bin/sh\nexec {python} {module} "$@"\n')
        (folder / name).chmod(0o755)


class Stack:
    """The services in `folder`, which gets their volumes and the folder of pictures."""

    def __init__(self, folder: Path, services: Mapping[str, Any]) -> None:
        self.folder = folder
        self.drop = folder / "drop"
        self.drop.mkdir()
        self._volumes = folder / "volumes"
        self._volumes.mkdir()
        self._recq = image_of_recq()
        self._programs = folder / "bin"
        self._programs.mkdir()
        _write_programs(self._programs, int(self._recq["user"].split(":")[0]))
        self._services = services
        self.ports = {(name, port): _free_port() for name, each in services.items() for port in PORTS[_kind(each)]}
        self.services = {name: self._service(name, each) for name, each in services.items()}

    def url(self, name: str, port: int) -> str:
        """Where a service answers."""
        return f"http://127.0.0.1:{self.ports[name, port]}"

    def up(self, *names: str) -> Self:
        """Start these services, all unless given, each when what it depends on is as it has to be."""
        waiting = list(names or self.services)
        while waiting:
            name = next(each for each in waiting if not any(other in waiting for other in self._needs(each)))
            for other in self._needs(name):
                self.services[other].healthy()
            self.services[name].start()
            waiting.remove(name)
        return self

    def _needs(self, name: str) -> list[str]:
        depends = self._services[name].get("depends_on", {})
        assert all(each["condition"] == "service_healthy" for each in depends.values())
        return [other for other in depends if other in self.services]

    def _service(self, name: str, given: Mapping[str, Any]) -> Service:
        kind = _kind(given)
        image: Mapping[str, Any] = (
            self._recq if kind == "recq" else {"environment": {}, "user": "0:0", "entrypoint": []}
        )
        user = int(given.get("user", image["user"]).split(":")[0])
        places = self._places(name, given, user)
        # The image's own folder: nothing in it can be written, since another user owns it.
        own = self.folder / f"{name}-root"
        own.mkdir()
        command = [*given.get("entrypoint", image["entrypoint"]), *given.get("command", ["./qdrant"])]
        environment = {**image["environment"], **given.get("environment", {})}
        if kind == "qdrant":
            http, grpc, peers = (str(self.ports[name, port]) for port in PORTS[kind])
            environment |= {
                "QDRANT__SERVICE__HOST": "127.0.0.1",
                "QDRANT__SERVICE__HTTP_PORT": http,
                "QDRANT__SERVICE__GRPC_PORT": grpc,
                "QDRANT__CLUSTER__P2P__PORT": peers,
            }
        here = _environment() | {"PATH": f"{self._programs}:/usr/bin:/bin", "HOME": self._here("/tmp", name, places)}
        health = given["healthcheck"]["test"] if "healthcheck" in given else ["CMD", "true"]
        checked = {
            "start_period": "0s",
            "interval": "1s",
            "retries": 1,
            "timeout": "1s",
            **given.get("healthcheck", {}),
        }
        return Service(
            name=name,
            command=self._program([self._here(word, name, places) for word in command]),
            environment=here | {key: self._here(str(value), name, places) for key, value in environment.items()},
            user=user,
            folder=own,
            health=self._checked([self._here(word, name, places) for word in health]),
            healthy_within=seconds(checked["start_period"]) + checked["retries"] * seconds(checked["interval"]),
            check_within=seconds(checked["timeout"]),
            stop_within=seconds(given["stop_grace_period"]),
            log=self.folder / f"{name}.log",
        )

    def _places(self, name: str, given: Mapping[str, Any], user: int) -> dict[str, Path]:
        """Where in a container something is -> where it is here; volumes belong to the service's user."""
        found = {}
        for each in given.get("volumes", []):
            if isinstance(each, dict):
                found[each["target"]] = self.folder / each["source"]
                continue
            volume, target = each.split(":")
            found[target] = self._volumes / volume
        for number, target in enumerate(given.get("tmpfs", [])):
            found[target] = self._volumes / f"{name}-tmpfs-{number}"
        for place in found.values():
            if place != self.drop:
                place.mkdir(mode=0o700)
                if as_user(user) not in ((), _BARE):
                    os.chown(place, user, user)
        return found

    def _here(self, text: str, name: str, places: Mapping[str, Path]) -> str:
        """A text of the file with this machine's addresses and folders."""
        for (service, port), number in self.ports.items():
            text = re.sub(rf"\b{re.escape(service)}:{port}\b", f"127.0.0.1:{number}", text)
            if service == name:
                text = re.sub(rf"\b127\.0\.0\.1([:/]){port}\b", rf"127.0.0.1\g<1>{number}", text)
                text = str(number) if text == str(port) else text
        whole = "|".join(map(re.escape, places))
        if whole:
            text = re.sub(rf"(?<![\w.])({whole})(?=/|$)", lambda match: str(places[match[1]]), text)
        return text

    def _program(self, command: Sequence[str]) -> list[str]:
        if command[0] == "./qdrant":
            return [str(self._server()), *command[1:]]
        return [str(self._programs / command[0]), *command[1:]]

    def _server(self) -> Path:
        """The server's program, where every user can reach it."""
        copied = self.folder / "qdrant"
        if not copied.exists():
            shutil.copy(qdrant_binary(), copied)
        return copied

    def _checked(self, test: Sequence[str]) -> list[str]:
        return ["/bin/sh", "-c", test[1]] if test[0] == "CMD-SHELL" else list(test[1:])


def _kind(service: Mapping[str, Any]) -> str:
    return "qdrant" if service["image"].startswith("qdrant/") else "recq"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


@contextmanager
def stack(services: Mapping[str, Any]) -> Iterator[Stack]:
    """A stack in a folder that every user can reach; whatever still runs is ended, and the folder removed."""
    folder = Path(tempfile.mkdtemp(prefix="recq-stack-"))
    with ExitStack() as cleaning:
        cleaning.callback(shutil.rmtree, folder)
        folder.chmod(0o755)
        made = Stack(folder, services)
        for each in made.services.values():
            cleaning.callback(each.kill)
        yield made
