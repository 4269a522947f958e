"""Connects to the engine: a server by its URL, the embedded engine of a running daemon on loopback, or the folder.

Readers (`connect`) use the one that exists. A daemon without a URL owns its data folder (`own_folder`) under recq's own
lock, which is taken before the engine opens: a second opening of a live Edge folder would damage its writer.
"""

from __future__ import annotations

import stat
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import UnexpectedResponse

from recq.commands import command
from recq.errors import IndexBusy, IndexRefused, IndexUnreachable, UsageError
from recq.index.errors import translated
from recq.index.local_connections import LocalConnections, no_certificates
from recq.index.lock import FolderLock, Wanted
from recq.index.nodes import Nodes, ServerClient
from recq.index.server_access import certificates, require_unread, server_addresses, server_key
from recq.index.server_features import AFFINITY_HEADER, Feature, can, require_feature, since
from recq.index.server_version import server_version
from recq.private_files import make_private_folder
from recq.settings import Settings, shown_url
from recq.start_up import over
from recq.waiting import Wait, waiting

if TYPE_CHECKING:
    from tenacity import RetryCallState

    from recq.index.catalog import Catalog
    from recq.index.edge import Address, EdgeEngine
    from recq.space import EmbeddingSpace

_ENGINE = "edge"  # the engine's folder in a data folder
_LOCK_POLL = 0.05  # seconds between two looks at a taken lock
_ASK_EVERY = 0.5  # seconds between two calls of `meanwhile`
_SLOW_ANSWER = 5.0  # seconds that a server which takes connections may need for its first answer
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
_DAEMON_ANSWERS_WITHIN = 60  # seconds for a daemon on the same machine, which may be in one long call of its engine


@contextmanager
def connect(settings: Settings) -> Iterator[QdrantClient]:
    """A client for reading, closed at the end. Raises IndexUnreachable, IndexRefused, IndexBusy or UsageError."""
    if settings.url is None:
        _require_index(settings.data_dir)
    with _connected(settings) as client:
        yield client


@contextmanager
def connect_or_make(settings: Settings) -> Iterator[QdrantClient]:
    """`connect` for a writer: an embedded data folder that does not exist is made."""
    if settings.url is None:
        _make_folder(settings.data_dir)
    with _connected(settings) as client:
        yield client


@contextmanager
def _connected(settings: Settings) -> Iterator[QdrantClient]:
    if settings.url is not None:
        client = server_client(settings)
        try:
            yield client
        finally:
            client.close()
        return
    with ExitStack() as stack:
        yield _lock_or_daemon(settings, stack)


@dataclass(frozen=True)
class OwnedFolder:
    """An embedded data folder that this process alone has open."""

    client: QdrantClient
    engine: EdgeEngine
    lock: FolderLock


Meanwhile = Callable[[], str | None]
"""Called from time to time while another process has the data folder. Returns what that process does, if known."""


@contextmanager
def own_folder(settings: Settings, meanwhile: Meanwhile = lambda: None) -> Iterator[OwnedFolder]:
    """The embedded engine, for its one owner. Raises as `locked`."""
    from recq.index.edge import embedded_client

    with locked(settings, meanwhile) as lock, _opened(settings.data_dir) as engine:
        engine.compact_in_background()
        yield OwnedFolder(embedded_client(engine), engine, lock)


@contextmanager
def locked(settings: Settings, meanwhile: Meanwhile = lambda: None) -> Iterator[FolderLock]:
    """Recq's lock on the data folder (made when missing).

    Raises IndexBusy naming pid and folder after `lock_wait`, UsageError, and what `meanwhile` raises.
    """
    over()
    _make_folder(settings.data_dir)
    lock = FolderLock(settings.data_dir)
    deadline = time.monotonic() + settings.lock_wait
    next_ask, why = 0.0, None
    with waiting(f"the data folder {settings.data_dir} to answer", None) as wait, Wanted(settings.data_dir) as wanted:
        while not lock.try_acquire():
            wanted.mark()
            now = time.monotonic()
            if now >= next_ask or now >= deadline:
                next_ask = now + _ASK_EVERY
                wait.what, wait.limit = _to_answer(settings.data_dir, lock), _DAEMON_ANSWERS_WITHIN
                why = meanwhile()
            if time.monotonic() >= deadline:
                raise _busy(settings.data_dir, lock, why)
            wait.what, wait.limit = _to_leave(settings.data_dir, lock, why), settings.lock_wait
            time.sleep(_LOCK_POLL)
    try:
        yield lock
    finally:
        lock.release()


def require_room(settings: Settings) -> None:
    """Raise IndexUnreachable while the disk of the embedded data folder is full: it cannot be opened then."""
    from recq.index.edge.disk import shortage

    existing = next(folder for folder in (settings.data_dir, *settings.data_dir.absolute().parents) if folder.is_dir())
    lack = shortage(existing)
    if lack is not None:
        raise IndexUnreachable(lack)


def require_room_for_another(settings: Settings, catalog: Catalog, space: EmbeddingSpace) -> None:
    """Raise IndexUnreachable where an embedded folder's disk has no room to make a catalog's collection in `space`.

    It takes what the present one takes, with vectors of another length, less what it has already, where it was begun.
    A server's disk is not known.
    """
    if settings.url is not None:
        return
    from recq.index.collection import collection_name
    from recq.index.edge.disk import RESERVE, shortage
    from recq.index.edge.folder import bytes_of

    folder = settings.data_dir / _ENGINE
    items = catalog.items.count()
    wanted = bytes_of(folder, catalog.collection) + 4 * items * (space.dim - catalog.space.dim)
    there = bytes_of(folder, collection_name(catalog.name, space))
    lack = shortage(folder, max(wanted - there, 0) + RESERVE, then="the same command then begins")
    if lack is not None:
        prune = "" if catalog.kept() is None else f"; {command('recq-ingest', 'prune')} deletes those from before them"
        raise IndexUnreachable(f"{lack}. The old vectors still answer{prune}")


def server_client(settings: Settings, *, tried_for: float | None = None, wait: Wait | None = None) -> ServerClient:
    """A client of the server at `settings.url`, or of a cluster's nodes there, tried for `connect_timeout` seconds.

    `tried_for` is for one of many tries: the seconds that a connection may take. The first answer may take as long as
    any other; the try is a part of `wait`. Raises IndexUnreachable, IndexRefused (wrong key, old server, impossible
    TLS) or UsageError (not a URL).
    """
    over()  # this module's imports were the slow part of a command's start
    addresses = server_addresses(settings)
    shown = " or ".join(map(shown_url, addresses))
    key = server_key(settings)
    require_unread(settings)
    seconds = settings.connect_timeout if tried_for is None else min(tried_for, settings.connect_timeout)
    first = settings.request_timeout if tried_for is not None else _SLOW_ANSWER
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "API key over http": `require_unread` decides
        try:
            nodes = Nodes(addresses, settings, seconds, first)
            connections = _local(addresses, settings)
            client = ServerClient(
                url=addresses[0],
                api_key=key,
                timeout=max(1, round(settings.request_timeout)),
                check_compatibility=False,
                cloud_inference=True,  # else the client looks through every vector for texts to embed: twice the time
                **_transfer(settings, connections),
            )
        except ValueError as error:
            told = reduce(lambda text, each: text.replace(each, shown_url(each)), addresses, str(error))
            raise UsageError(f"--url {shown!r} cannot be used: {told}") from error
    client.nodes, client.connections = nodes, connections
    client.http.client.add_middleware(nodes)
    try:
        with nullcontext(wait) if wait else waiting(f"a Qdrant server at {shown} to answer", seconds) as under_way:
            _connect(client, shown, under_way)
    except IndexUnreachable as error:
        client.close()
        raise IndexUnreachable(
            f"no Qdrant server answers at {shown} (tried for {seconds:g} s): "
            f"start it, or correct --url / RECQ_URL ({error})"
        ) from error
    except BaseException:
        client.close()
        raise
    _require_affinity(client, settings)
    return client


def _transfer(settings: Settings, connections: LocalConnections | None) -> dict[str, Any]:
    """The client's arguments that decide how it sends: to this machine over connections that are used again, for
    uncompressed answers.

    The client itself makes a new connection for each request to this machine. It asks for compressed answers, which
    come in several parts, and over a connection that stays open the last one waits for an acknowledgement (40 ms).
    """
    headers = {} if settings.affinity is None else {AFFINITY_HEADER: settings.affinity}
    if connections is None:
        return {"headers": headers, "verify": certificates(settings)}
    return {"headers": headers | {"Accept-Encoding": "identity"}, "transport": connections}


def _local(addresses: Sequence[str], settings: Settings) -> LocalConnections | None:
    """The connections to a server on this machine, None to one elsewhere."""
    if any(urlsplit(each).hostname not in _THIS_MACHINE for each in addresses):
        return None
    believed = certificates(settings) if addresses[0].startswith("https:") else no_certificates()
    return LocalConnections(httpx.create_ssl_context(believed))


def _connect(client: ServerClient, shown: str, wait: Wait) -> None:
    """Try until it answers. Raises IndexUnreachable, and IndexRefused for a failure that waiting cannot cure."""
    from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

    def note(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        wait.what = f"a Qdrant server at {shown} ({error})"

    patience = Retrying(
        stop=stop_after_delay(client.nodes.seconds),
        wait=wait_random_exponential(multiplier=0.1, max=1.0),
        retry=retry_if_exception_type(IndexUnreachable),
        before_sleep=note,
        reraise=True,
    )
    for attempt in patience:
        with attempt:
            try:
                _require_version(client)
            except IndexUnreachable as error:
                why = client.nodes.hopeless()
                if why is not None:
                    raise IndexRefused(f"{why}, in --url / RECQ_URL") from error
                raise
    client.nodes.connected = True


@translated
def _require_version(client: QdrantClient) -> None:
    try:
        version = server_version(client)
    except (ValueError, UnexpectedResponse) as error:  # another service: a page, other JSON, no such address
        if isinstance(error, UnexpectedResponse) and error.status_code not in (404, 405):
            raise
        raise IndexRefused("the service that answers there is no Qdrant server: correct --url / RECQ_URL") from error
    client.get_aliases()  # `info` needs no API key; this does
    if not can(version, Feature.METADATA):
        wanted = since(Feature.METADATA)
        raise IndexRefused(f"the Qdrant server is version {version}, recq needs {wanted} or newer: update the server")


@translated
def _require_affinity(client: QdrantClient, settings: Settings) -> None:
    """Raise IndexRefused where the server would ignore the setting `affinity`; the client is closed then."""
    if settings.affinity is None:
        return
    try:
        require_feature(client, Feature.ROUTE_AFFINITY, "setting 'affinity'")
    except BaseException:
        client.close()
        raise


def _lock_or_daemon(settings: Settings, stack: ExitStack) -> QdrantClient:
    """Open the folder, or connect to the daemon that owns it; a taken lock is tried again for `lock_wait` seconds.

    A free lock means that no daemon lives, whatever address file a killed one may have left.
    """
    from recq.index.edge import embedded_client

    over()
    lock = FolderLock(settings.data_dir)
    deadline = time.monotonic() + settings.lock_wait
    with waiting(f"the data folder {settings.data_dir} to answer", None) as wait, Wanted(settings.data_dir) as wanted:
        while not lock.try_acquire():
            wanted.mark()
            wait.what, wait.limit = _to_answer(settings.data_dir, lock), _DAEMON_ANSWERS_WITHIN
            found = _daemon_client(settings.data_dir)
            if found is not None:
                stack.callback(found.close)
                return found
            if time.monotonic() >= deadline:
                raise _busy(settings.data_dir, lock)
            wait.what, wait.limit = _to_leave(settings.data_dir, lock), settings.lock_wait
            time.sleep(_LOCK_POLL)
    stack.callback(lock.release)
    client = embedded_client(stack.enter_context(_opened(settings.data_dir)))
    stack.callback(client.close)
    return client


@contextmanager
def _opened(data_dir: Path) -> Iterator[EdgeEngine]:
    from recq.index.edge import EdgeEngine

    engine = EdgeEngine(data_dir / _ENGINE)
    try:
        yield engine
    finally:
        engine.close()


class DaemonClient(QdrantClient):
    """The client of a daemon that serves its folder on this machine."""

    def __init__(self, address: Address) -> None:
        self.connections = LocalConnections(no_certificates())
        super().__init__(
            url=address.url,
            headers={
                "api-key": address.key
            },  # as `api_key` it would warn of plain http, which never leaves the machine
            timeout=_DAEMON_ANSWERS_WITHIN,
            check_compatibility=False,
            cloud_inference=True,
            transport=self.connections,
        )
        self.address = address
        self.succeeded = False
        """Whether others are asked in the daemon's place, which has gone (`recq.index.successor`)."""


def _daemon_client(data_dir: Path) -> DaemonClient | None:
    """A client of the daemon that serves this folder, when one answers."""
    from recq.index.edge.address import read_address

    address = read_address(data_dir)
    if address is None:
        return None
    client = DaemonClient(address)
    try:
        translated(client.get_aliases)()
    except (IndexUnreachable, IndexRefused):
        client.close()
        return None
    return client


def _require_index(data_dir: Path) -> None:
    """Raise IndexUnreachable for a folder without an index. Readers write nothing into a folder that is not recq's."""
    with waiting(f"the data folder {data_dir} to answer", None):
        try:
            mode = data_dir.stat().st_mode
            found = stat.S_ISDIR(mode) and _is_data_folder(data_dir)
        except PermissionError:
            return  # the lock reports it
        except (OSError, ValueError):
            mode, found = 0, False
    if found:
        return
    if mode and not stat.S_ISDIR(mode):
        raise IndexUnreachable(f"{data_dir} is a file, not a data folder: name a folder with --data-dir")
    fill = command("recq-ingest", "run", "FOLDER")
    if not mode:
        raise IndexUnreachable(
            f"there is no index in {data_dir} yet: fill it with {fill}, or name another with --data-dir or --url"
        )
    raise IndexUnreachable(
        f"there is no index in {data_dir}, it is no data folder of recq: make one there with {fill}, "
        "or name another with --data-dir or --url"
    )


def _is_data_folder(folder: Path) -> bool:
    """Whether recq keeps an index in the folder, or a process of recq has it now. Raises OSError."""
    with suppress(FileNotFoundError):
        if stat.S_ISDIR((folder / _ENGINE).stat().st_mode):
            return True
    return FolderLock(folder).holder_pid is not None


def _make_folder(data_dir: Path) -> None:
    try:
        make_private_folder(data_dir)
    except OSError as error:
        raise UsageError(f"--data-dir {data_dir} cannot be used: {error.strerror}") from error


def _busy(data_dir: Path, lock: FolderLock, why: str | None = None) -> IndexBusy:
    if lock.held_here:
        return IndexBusy(
            f"{data_dir} is in use by another thread of this process: "
            "ask again when it has its answer, or raise lock_wait / RECQ_LOCK_WAIT"
        )
    known = f", {why}" if why else ""
    return IndexBusy(f"{data_dir} is in use by {_owner(lock)}{known}: stop it, or name another folder with --data-dir")


def _to_leave(data_dir: Path, lock: FolderLock, why: str | None = None) -> str | None:
    """What is waited for while a process has the folder. None for this process, whose threads take turns."""
    known = f", {why}," if why else ""
    return None if lock.held_here else f"{_owner(lock)}{known} to leave the data folder {data_dir}"


def _to_answer(data_dir: Path, lock: FolderLock) -> str | None:
    """What is waited for while the process that has the folder is asked. None for this process."""
    return None if lock.held_here else f"{_owner(lock)}, which has the data folder {data_dir}, to answer"


def _owner(lock: FolderLock) -> str:
    pid = lock.holder_pid
    return f"process {pid}" if pid is not None else "another process"
