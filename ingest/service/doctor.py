"""Looks at all that recq depends on: packages, engine, disk, permissions, networks, clock, keys, folders.

Each look is apart from the others, so that one that fails is a finding of its own and the rest is still told. No
item is changed, and no data folder made. What is seen is judged by `ingest.service.findings`.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from tempfile import TemporaryFile
from urllib.parse import urlsplit

import recq
from ingest.service import findings
from ingest.service.findings import Finding, State
from ingest.source.filesystems import file_system
from recq.commands import command
from recq.config_file import read_config
from recq.errors import RecqError, TargetNotFound
from recq.index.catalog import Catalog
from recq.index.nodes import base_of, cluster_of
from recq.index.server_access import certificates, is_private, server_addresses
from recq.keys import KEY_FILES, KEYS
from recq.models.weights import BUNDLED, bundled_manifest, classes_manifest, int8_manifest
from recq.settings import Settings, shown_url

COUNTED_WITHIN = 5.0
"""Seconds for which the folders of all sources are counted."""

NODE_ANSWERS_WITHIN = 3.0
"""Seconds for a connection to one of several nodes."""

_OTHERS = 0o077
_WATCHES = Path("/proc/sys/fs/inotify/max_user_watches")
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def examine(settings: Settings) -> list[Finding]:
    """All findings, in the order in which they are best read."""
    embedded = settings.url is None
    looks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("recq", _program),
        ("packages", _packages),
        ("networks", _networks),
        ("secrets", lambda: _secrets(settings)),
        ("data folder", lambda: _data_folder(settings)),
        ("daemon", lambda: _daemon(settings)),
        ("engine", lambda: _index(settings)),
    ]
    if not embedded:
        looks += [("nodes", lambda: _nodes(settings)), ("clock", lambda: _server_clock(settings))]
    found: list[Finding] = []
    for name, look in looks:
        try:
            found += look()
        except RecqError as error:
            found.append(Finding(name, State.WRONG, str(error), "as the message says"))
        except OSError as error:
            found.append(
                Finding(
                    name, State.WRONG, f"{error.filename or name}: {error.strerror or error}", "let this user use it"
                )
            )
    return found


def is_well(found: list[Finding]) -> bool:
    """Whether nothing is wrong; warnings are no wrong."""
    return all(each.state is not State.WRONG for each in found)


def _program() -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("recq", State.OK, f"recq {recq.__version__}, Python {python}, {sys.platform}")


def _packages() -> Iterator[Finding]:
    try:
        needed = [each for each in requires("recq") or [] if ";" not in each]
    except PackageNotFoundError:  # a checkout that is not installed
        needed = ["qdrant-client", "qdrant-edge-py", "openvino", "numpy", "pillow"]
    installed: dict[str, str | None] = {}
    for each in needed:
        match = _NAME.match(each)
        assert match is not None, "a requirement begins with a name"
        try:
            installed[match[0]] = version(match[0])
        except PackageNotFoundError:
            installed[match[0]] = None
    yield findings.of_packages(installed)


def _networks() -> Iterator[Finding]:
    expected: dict[str, str] = dict(classes_manifest()["files"])
    for manifest in (bundled_manifest(), int8_manifest()):
        for network in manifest.values():
            expected |= network["files"]
    wrong = [name for name, digest in expected.items() if _digest(BUNDLED / name) != digest]
    yield findings.of_networks(wrong, len(expected))


def _digest(path: Path) -> str | None:
    with suppress(OSError), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    return None


def _secrets(settings: Settings) -> Iterator[Finding]:
    config = read_config()
    files = [Path(path) for name in KEY_FILES if (path := getattr(settings, name)) is not None]
    unreadable = [path for path in files if not os.access(path, os.R_OK)]
    if any(name in config.values for name in KEYS):
        files.append(config.path)
    yield findings.of_secrets([path for path in files if _is_open(path)], unreadable)
    if settings.url is not None:
        key = settings.key("api_key") is not None
        found = [
            findings.of_key(each, key=key, private=is_private(urlsplit(each).hostname or ""))
            for each in server_addresses(settings)
        ]
        yield _worst(found)


def _worst(found: Iterable[Finding]) -> Finding:
    """The first of those that are in the worst state."""
    return max(found, key=lambda each: list(State).index(each.state))


def _is_open(path: Path) -> bool:
    """Whether others than its user may use a file; no, where there is none: a daemon that ends deletes some of its."""
    if os.name == "posix":
        with suppress(FileNotFoundError):
            return bool(path.stat().st_mode & _OTHERS)
    return False


def _data_folder(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir
    if not folder.exists():
        yield Finding("data folder", State.OK, f"{folder} does not exist yet: the daemon makes it")
        return
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        owner = folder.stat().st_uid
        fix = f"run as its owner (user id {owner}), or choose another with --data-dir"
        yield Finding("permissions", State.WRONG, f"{folder} cannot be read and written by this user", fix)
        return
    private = [folder / name for name in ("edge", "serve.json", "api.json", "owner.json")]
    yield findings.of_modes(folder, [path for path in private if _is_open(path)])
    if settings.url is not None:
        return
    yield findings.of_data_file_system(folder, file_system(folder))
    from recq.index.edge.disk import RESERVE
    from recq.index.edge.waste import bytes_of, free_bytes

    yield findings.of_room(folder, free_bytes(folder), bytes_of(folder / "edge"), RESERVE)
    with TemporaryFile(dir=folder) as file:
        yield findings.of_clock(time.time() - os.fstat(file.fileno()).st_mtime, "its disk")


def _daemon(settings: Settings) -> Iterator[Finding]:
    from recq.index.edge.address import FILE, read_address
    from recq.index.lock import FolderLock
    from recq.operate.status import ask_daemon

    path = settings.data_dir / FILE
    if not settings.data_dir.is_dir() or not os.access(settings.data_dir, os.R_OK | os.W_OK | os.X_OK):
        yield findings.of_address(there=False, private=True, valid=True, held=False, answers=False)
        return
    there = path.exists()
    lock = FolderLock(settings.data_dir)
    held = not lock.try_acquire()
    lock.release()
    yield findings.of_address(
        there=there,
        private=not _is_open(path),
        valid=not there or read_address(settings.data_dir) is not None,
        held=held,
        answers=held and ask_daemon(settings) is not None,
    )


def _index(settings: Settings) -> Iterator[Finding]:
    """Engine and catalog, then what the catalog says of its folders."""
    from recq.index.connect import connect
    from recq.index.server_version import server_version

    if settings.url is None and not settings.data_dir.is_dir():
        yield Finding("catalog", State.WARNING, "there is no index yet", command("recq-ingest", "run", "FOLDER"))
        return
    with connect(settings) as client:
        if settings.url is None:
            yield Finding("engine", State.OK, f"embedded, Qdrant Edge {version('qdrant-edge-py')}")
        else:
            yield findings.of_server(server_version(client), version("qdrant-client"))
        try:
            catalog = Catalog.open(client, settings.catalog)
        except TargetNotFound as error:
            yield Finding("catalog", State.WARNING, str(error), command("recq-ingest", "run", "FOLDER"))
            return
        except RecqError as error:
            yield Finding("catalog", State.WRONG, str(error), "as the message says")
            return
        yield Finding(
            "catalog", State.OK, f"{settings.catalog}: {catalog.items.count():,} items, {catalog.space.label}"
        )
        roots = {name: source.root_here() for name, source in catalog.sources.all().items()}
    yield from _sources({name: root for name, root in roots.items() if root is not None}, settings.poll_interval)


def _sources(roots: dict[str, Path], poll_interval: float) -> Iterator[Finding]:
    watched = []
    for name, root in roots.items():
        if not root.is_dir():
            fix = f"mount or restore it, or take the source out of the index: {command('recq-ingest', 'forget', name)}"
            yield Finding(f"source {name}", State.WRONG, f"{root} is not there", fix)
        elif not os.access(root, os.R_OK | os.X_OK):
            fix = f"let the daemon's user read it: chmod o+rx {root}, or a group of it"
            yield Finding(f"source {name}", State.WRONG, f"{root} cannot be read by this user", fix)
        else:
            watched.append(root)
            yield findings.of_source_file_system(name, root, file_system(root), poll_interval)
    folders, whole = _count(watched)
    limit = int(_WATCHES.read_text("ascii")) if _WATCHES.exists() else None
    yield findings.of_watches(limit, folders, all_counted=whole)


def _count(roots: list[Path]) -> tuple[int, bool]:
    """How many folders there are below these, and whether the time was enough to count all of them."""
    deadline, count = time.monotonic() + COUNTED_WITHIN, 0
    for root in roots:
        for _ in os.walk(root):
            count += 1
            if time.monotonic() > deadline:
                return count, False
    return count, True


def _nodes(settings: Settings) -> Iterator[Finding]:
    """Each of several addresses by itself, and whether those that answer are of one cluster."""
    from recq.index.connect import server_client

    addresses = server_addresses(settings)
    if len(addresses) == 1:
        return
    members: dict[str, list[str]] = {}
    for each in addresses:
        alone = settings.model_copy(
            update={"url": each, "connect_timeout": min(settings.connect_timeout, NODE_ANSWERS_WITHIN)}
        )
        try:
            with closing(server_client(alone)) as client:
                yield findings.of_node(shown_url(each), None)
                with suppress(RecqError):  # a token for one catalog may not ask
                    members[shown_url(each)] = cluster_of(client)
        except RecqError as error:
            yield findings.of_node(shown_url(each), str(error))
    if len(members) > 1:
        yield findings.of_cluster(members)


def _server_clock(settings: Settings) -> Iterator[Finding]:
    """By the `Date` of an answer, which has whole seconds."""
    import httpx

    addresses, found = server_addresses(settings), []
    for each in addresses:
        try:
            answered = httpx.get(str(base_of(each)), timeout=settings.connect_timeout, verify=certificates(settings))
        except (httpx.HTTPError, ValueError):
            continue  # the engine's own finding, or the node's, says why
        there = _date(answered.headers.get("date", ""))
        if there is not None:
            whose = "the server" if len(addresses) == 1 else f"the server at {shown_url(each)}"
            found.append(findings.of_clock(time.time() - there - 0.5, whose))
    if found:
        yield _worst(found)


def _date(told: str) -> float | None:
    """The time of a `Date` header; None for what is none, as some proxies send."""
    try:
        return parsedate_to_datetime(told).timestamp()
    except (ValueError, OverflowError):
        return None
