"""What `recq-ingest doctor` makes of what it sees: each thing is all right, or has a remedy. Pure; `doctor` looks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ingest.source.filesystems import is_silent
from recq.commands import command
from recq.index.server_version import numbers_of

TIGHT = 2**30
"""Bytes free on the disk of an embedded index below which a person should know."""

CLOCKS_APART = 5.0
"""Seconds between two clocks that are too many: changes are told apart by their time."""

_OTHERS = 0o077


class State(StrEnum):
    """How it is."""

    OK = "ok"
    WARNING = "warning"  # it works, in a way that should be known
    WRONG = "wrong"  # something does not work, or will not for long


@dataclass(frozen=True)
class Finding:
    """One check: its name, how it is, what was seen, and what mends it (None where nothing has to be mended)."""

    check: str
    state: State
    detail: str
    fix: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As docs/ingest.md has it."""
        return asdict(self)


def of_packages(installed: Mapping[str, str | None]) -> Finding:
    """The packages that recq needs, None for one that is not installed."""
    missing = sorted(name for name, version in installed.items() if version is None)
    if missing:
        fix = "install recq again, with what it needs: pip install recq"
        return Finding("packages", State.WRONG, f"not installed: {', '.join(missing)}", fix)
    return Finding("packages", State.OK, ", ".join(f"{name} {version}" for name, version in installed.items()))


def of_server(version: str, client: str) -> Finding:
    """The server's version beside the client's: they are made for each other within one minor version."""
    detail = f"Qdrant {version}, client {client}"
    (major, minor), (own, client_minor) = numbers_of(version)[:2], numbers_of(client)[:2]
    if major != own or abs(minor - client_minor) > 1:
        fix = f"run a server of version {own}.{client_minor - 1} to {own}.{client_minor + 1}"
        return Finding("engine", State.WARNING, f"{detail}: more than one minor version apart", fix)
    return Finding("engine", State.OK, detail)


def of_node(address: str, why: str | None) -> Finding:
    """One of several nodes; `why` it does not answer, None where it does."""
    check = f"node {address}"
    if why is None:
        return Finding(check, State.OK, "answers")
    return Finding(check, State.WRONG, why, "start it, or take its address out of RECQ_URL")


def of_cluster(members: Mapping[str, Collection[str]]) -> Finding:
    """Whether nodes that answer, by their addresses, belong together: each lists the members of its cluster, none where
    it is a server by itself."""
    if any(not each for each in members.values()):
        alone = next(address for address, each in members.items() if not each)
        fix = "name nodes of one cluster: each server by itself would have its own part of the pictures"
        return Finding("cluster", State.WRONG, f"{alone} is a server by itself", fix)
    if len({frozenset(each) for each in members.values()}) > 1:
        fix = "name nodes of one cluster, and wait until one that has just joined knows the others"
        return Finding("cluster", State.WRONG, f"not all of these know the same nodes: {', '.join(members)}", fix)
    count = len(next(iter(members.values())))
    return Finding("cluster", State.OK, f"of {count} nodes, {len(members)} answer at the addresses that are set")


def of_room(folder: Path, free: int, index: int, reserve: int) -> Finding:
    """The disk of an embedded index: bytes free, those that the index takes, and those without which nothing is
    written."""
    detail = f"{free / 1e9:,.1f} GB free for {folder}, the index takes {index / 1e9:,.2f} GB"
    if free < reserve:
        return Finding("disk", State.WRONG, f"{detail}: nothing can be written", "free some space: recq then continues")
    if free < max(TIGHT, 2 * index):
        return Finding(
            "disk",
            State.WARNING,
            f"{detail}: a rebuild needs twice that",
            f"make room, or run {command('recq-ingest', 'prune')}",
        )
    return Finding("disk", State.OK, detail)


def of_modes(folder: Path, open_to_others: Collection[Path]) -> Finding:
    """The data folder, and what in it others than its owner can read."""
    if open_to_others:
        first = sorted(open_to_others)[0]
        fix = f"chmod -R go-rwx {folder}"
        return Finding("permissions", State.WRONG, f"others can read {first}: it has keys and metadata", fix)
    return Finding("permissions", State.OK, f"{folder} is its owner's alone")


def of_data_file_system(folder: Path, kind: str) -> Finding:
    """What the embedded index lies on: its lock and its mapped files need a disk of this machine."""
    if is_silent(kind):
        fix = "keep it on a disk of this machine (--data-dir), or run a Qdrant server for several machines"
        return Finding("file-system", State.WRONG, f"{folder} is on {kind}, a disk that others share", fix)
    return Finding("file-system", State.OK, f"{folder} is on {kind or 'a disk of unknown type'}")


def of_source_file_system(source: str, root: Path, kind: str, poll_interval: float) -> Finding:
    """Whether changes of a source are told by the system."""
    check = f"source {source}"
    if is_silent(kind):
        detail = f"{root} is on {kind}, which does not tell of every change: it is polled every {poll_interval:g} s"
        return Finding(check, State.WARNING, detail, "nothing, or a folder on a disk of this machine")
    return Finding(check, State.OK, f"{root} can be read, on {kind or 'a disk of unknown type'}")


def of_watches(limit: int | None, folders: int, *, all_counted: bool) -> Finding:
    """The watches of inotify that a user may have, None where the system has none, beside the folders to be watched."""
    if limit is None:
        return Finding("inotify", State.WARNING, "this system tells of no changes", "nothing: folders are polled")
    seen = f"{folders:,} folders{'' if all_counted else ' and more'}, {limit:,} watches allowed"
    if folders > limit // 2:
        fix = f"sysctl fs.inotify.max_user_watches={max(2 * limit, 4 * folders)}, and keep it in /etc/sysctl.d"
        state = State.WRONG if folders > limit else State.WARNING
        return Finding("inotify", state, f"{seen}: folders without one are polled", fix)
    return Finding("inotify", State.OK, seen)


def of_networks(wrong: Collection[str], checked: int) -> Finding:
    """The networks that are shipped, beside the hashes that were shipped with them."""
    if wrong:
        return Finding(
            "networks",
            State.WRONG,
            f"not the files that were shipped: {', '.join(sorted(wrong))}",
            "install recq again: vectors of other networks cannot be compared",
        )
    return Finding("networks", State.OK, f"{checked} files have the hashes that they were shipped with")


def of_clock(apart: float, whose: str) -> Finding:
    """This machine's clock beside another one's; `apart` is how many seconds this one is ahead."""
    if abs(apart) > CLOCKS_APART:
        side = "ahead of" if apart > 0 else "behind"
        detail = f"{abs(apart):,.0f} s {side} {whose}"
        return Finding("clock", State.WRONG, detail, "let both keep time by NTP: timedatectl set-ntp true")
    return Finding("clock", State.OK, f"as that of {whose}")


def of_key(url: str, *, key: bool, private: bool) -> Finding:
    """The key for a server and its way there; `private`: no address of the host is reached over the internet."""
    parts = urlsplit(url)
    if not key:
        if parts.hostname in ("localhost", "127.0.0.1", "::1"):
            return Finding("key", State.OK, "none, to a server of this machine")
        fix = "give the server a key (QDRANT__SERVICE__API_KEY) and set RECQ_API_KEY"
        return Finding("key", State.WARNING, "the server asks for none: whoever reaches it may change everything", fix)
    if parts.scheme == "http" and not private:
        fix = "use https, or a network that is yours alone"
        return Finding("key", State.WRONG, f"plain http to {parts.hostname}: it could be read on the way", fix)
    return Finding("key", State.OK, "set, over https" if parts.scheme == "https" else "set, within a private network")


def of_secrets(open_to_others: Collection[Path], unreadable: Collection[Path]) -> Finding:
    """The files that hold keys: recq.toml and those that settings name."""
    if unreadable:
        first = sorted(unreadable)[0]
        return Finding(
            "secrets", State.WRONG, f"{first} cannot be read", "correct the setting, or let this user read it"
        )
    if open_to_others:
        first = sorted(open_to_others)[0]
        return Finding("secrets", State.WRONG, f"{first} has a key and can be read by others", f"chmod go-rwx {first}")
    return Finding("secrets", State.OK, "no file with a key can be read by others")


def of_address(*, there: bool, private: bool, valid: bool, held: bool, answers: bool) -> Finding:
    """The daemon's address file and the lock of the data folder: what each program finds the other by."""
    check = "daemon"
    if there and not (private and valid):
        return Finding(
            check,
            State.WRONG,
            "its address file cannot be used: " + ("others can read it" if valid else "it is damaged"),
            "restart the daemon: it writes the file anew",
        )
    if held and not answers:
        detail = "a process has the data folder and does not answer"
        return Finding(check, State.WRONG, detail, "wait if it has just started; else end it and start it again")
    if answers:
        return Finding(check, State.OK, "it runs and answers")
    left = "; a killed one left its address, which is ignored" if there else ""
    return Finding(
        check,
        State.WARNING,
        f"none runs here{left}",
        f"{command('recq-ingest', 'run', 'FOLDER')}, where new pictures are to be indexed",
    )
