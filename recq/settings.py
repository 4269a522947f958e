"""One Settings object: `recq.toml` < `RECQ_*` environment < command line.

The file is `recq.toml` in the current folder, or the one that `RECQ_CONFIG` names. docs/settings.md describes every
field; a test keeps it complete.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, TypeAdapter, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from recq.commands import Place, keep, overriding
from recq.config_file import ConfigFile, read_config
from recq.errors import UsageError
from recq.folders import default_cache_dir, default_data_dir
from recq.keys import KEY_FILES, KEYS, foreign_key_fault, key_fault, key_of
from recq.needed import needed
from recq.part import WHOLE, Part
from recq.paths import printable
from recq.space import DistanceName, Pooling, Precision, Preprocess, Preset, Resize
from recq.spelling import nearest

WatchMode = Literal["auto", "native", "poll"]
RuntimeChoice = Literal["auto", "openvino", "keras", "tensorflow"]
"""What runs the network: no part of the embedding space. `tensorflow` is Keras where it runs on TensorFlow."""

CatalogName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]

DEFAULT_IGNORE = (
    ".*",  # hidden: .DS_Store, ._* (macOS), .nfs* (NFS), .~lock* (LibreOffice), .snapshot (NetApp), .Trash-* (desktops)
    "Thumbs.db",  # Windows Explorer
    "desktop.ini",  # Windows Explorer
    ".stversions",  # Syncthing
    "*.part",  # browsers, rsync wrappers
    "*.partial",
    "*.crdownload",  # Chrome
    "*.tmp",
    "~*",  # Office, Syncthing; ~snapshot (NetApp)
    "*~",  # editors' back-ups
    # Recycle bins: their files were deleted.
    "#recycle",  # Synology, TerraMaster, Asustor
    "@Recycle",  # QNAP
    "$RECYCLE.BIN",  # Windows since Vista
    "RECYCLER",  # Windows XP
    "Network Trash Folder",  # macOS on AFP shares
    "trashbox",  # Buffalo
    # Snapshots: older states of the same pictures.
    "#snapshot",  # Synology
    "@Recently-Snapshot",  # QNAP
    "@GMT-*",  # Samba's and Windows' previous versions
    # Folders and files of systems.
    "@eaDir",  # Synology: thumbnails
    "@tmp",  # Synology
    "@sharebin",  # Synology
    "@__thumb",  # QNAP: thumbnails
    "*@SynoEAStream",  # Synology: attributes of a file beside it
    "*@SynoResource",  # Synology
    "System Volume Information",  # Windows
    "FOUND.[0-9][0-9][0-9]",  # Windows: pieces that chkdsk found
    "lost+found",  # fsck of ext2 to ext4
    "aquota.*",  # quotas of ext3 and ext4
    "quota.user",  # quotas of ext2 and UFS
    "quota.group",
    "TheVolumeSettingsFolder",  # macOS on AFP shares
    "Temporary Items",  # macOS on shares
)


class Settings(BaseSettings):
    """All settings. The field `x` is `RECQ_X` in the environment and `x` in recq.toml; see docs/settings.md."""

    model_config = SettingsConfigDict(
        env_prefix="RECQ_", extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False
    )

    data_dir: Path = Field(default_factory=default_data_dir)
    cache_dir: Path = Field(default_factory=default_cache_dir)
    url: str | None = None
    api_key: SecretStr | None = None
    api_key_file: Path | None = None
    ca_file: Path | None = None
    insecure: bool = False
    catalog: CatalogName = "images"
    shards: int | None = Field(None, gt=0)
    replicas: int | None = Field(None, gt=0)
    write_consistency: int | None = Field(None, gt=0)
    affinity: str | None = Field(None, pattern=r"^[!-~]{1,64}$")
    preset: Preset | None = None
    model: str | None = None
    weights: Path | None = None
    layer: str | None = None
    pooling: Pooling | None = None
    size: int | None = Field(None, gt=0)
    resize: Resize | None = None
    preprocess: Preprocess | None = None
    precision: Precision | None = None
    distance: DistanceName | None = None
    runtime: RuntimeChoice = "auto"
    connect_timeout: float = Field(10.0, gt=0)
    request_timeout: float = Field(60.0, gt=0)
    lock_wait: float = Field(10.0, ge=0)
    serve_port: int = Field(0, ge=0, le=65535)
    serve_key: SecretStr | None = None
    serve_key_file: Path | None = None
    serve_read_key: SecretStr | None = None
    serve_read_key_file: Path | None = None
    client: bool = True
    api: bool = True
    api_warm: bool = True
    token: SecretStr | None = None
    token_file: Path | None = None
    read_token: SecretStr | None = None
    read_token_file: Path | None = None
    api_hosts: tuple[str, ...] = ()
    api_origins: tuple[str, ...] = ()
    api_proxies: tuple[str, ...] = ()
    rate: float = Field(50.0, ge=0, le=1_000_000)
    max_upload: int = Field(32_000_000, gt=0)
    thumbnail_cache: int = Field(200_000_000, ge=0)
    place_patches: bool = False
    settle: float = Field(0.5, ge=0)
    rescan: float = Field(300.0, gt=0)
    max_delete: float = Field(0.5, ge=0, le=1)
    partition: str | None = None
    watch: WatchMode = "auto"
    poll_interval: float = Field(5.0, gt=0)
    ignore: tuple[str, ...] = DEFAULT_IGNORE
    max_bytes: int = Field(200_000_000, gt=0)
    max_pixels: int = Field(200_000_000, gt=0)
    decode_timeout: float = Field(30.0, gt=0)
    decode_memory: int = Field(2_000_000_000, gt=0)
    workers: int = Field(0, ge=0)
    threads: int = Field(0, ge=0)
    batch: int = Field(32, gt=0, le=1000)
    exif: bool = False
    plugin_timeout: float = Field(30.0, gt=0)
    predict: tuple[str, ...] | None = None
    rule: tuple[dict[str, Any], ...] = ()
    """The tables `[[rule]]`, which `recq.watch.rules` reads."""

    @field_validator("data_dir", "cache_dir", "ca_file", "weights", *KEY_FILES, mode="after")
    @classmethod
    def _from_home(cls, path: Path | None) -> Path | None:
        """`~` is a home folder wherever a setting stands: a shell resolves it in few places only."""
        try:
            return None if path is None else path.expanduser()
        except RuntimeError:
            raise PydanticCustomError("home", "this machine has no such home folder") from None

    @field_validator("url")
    @classmethod
    def _one_spelling(cls, url: str | None) -> str | None:
        """One spelling of the addresses, so that a daemon and a query can compare theirs."""
        return (",".join(addresses_of(url)) or url) if url else None

    @field_validator("serve_key", "serve_read_key", "token", "read_token")
    @classmethod
    def _usable_key(cls, key: SecretStr | None) -> SecretStr | None:
        """A key that an HTTP header can carry and that cannot easily be guessed."""
        fault = None if key is None else key_fault(key.get_secret_value())
        if fault is not None:
            raise PydanticCustomError("key", "{fault}", {"fault": fault})
        return key

    @field_validator("api_proxies")
    @classmethod
    def _addresses(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        """Addresses and networks: what a name means may change, and with it who is believed."""
        for each in proxies:
            try:
                ip_network(each)
            except ValueError:
                raise PydanticCustomError(
                    "address", "addresses or networks are needed, 10.0.0.0/8 for example"
                ) from None
        return proxies

    @field_validator("partition")
    @classmethod
    def _usable_part(cls, text: str | None) -> str | None:
        """One spelling of a part."""
        try:
            return None if text is None else str(Part.parse(text))
        except ValueError as error:
            raise PydanticCustomError("partition", "{fault}", {"fault": str(error)}) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line over environment over file."""
        said = {name: value for name, value in env_settings().items() if not _is_link(value)}
        own = InitSettingsSource(settings_cls, said)
        return init_settings, own, InitSettingsSource(settings_cls, dict(read_config().values))

    def __init__(self, **given: Any) -> None:
        """Arguments take precedence over the environment, the environment over the file. Raises UsageError."""
        try:
            super().__init__(**given)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = str(first["loc"][0])
            if name not in type(self).model_fields:
                raise UsageError(f"unknown setting {name!r}{_nearest(name, type(self).model_fields)}") from None
            value = "" if name in _SECRET else _shown(first["input"])
            if name in given and name in _OPTIONS and value:
                option = f"--{name.replace('_', '-')}"
                raise UsageError(f"{option} '{printable(str(first['input']))[:100]}': {needed(first)}") from None
            raise UsageError(
                f"setting {name!r}{_place_of(name, given, read_config())}: {needed(first)}{value}"
            ) from None
        except SettingsError as error:  # a variable that holds a list
            name = next((one for one in type(self).model_fields if f'"{one}"' in str(error)), "ignore")
            place = _place_of(name, given, read_config())
            raise UsageError(f'setting {name!r}{place}: write it as a JSON list, [".*", "*.tmp"] for example') from None

    @classmethod
    def load(cls, **command_line: Any) -> Self:
        """The settings in force; an argument that is None was not given. Raises UsageError naming the setting.

        A `data_dir` without a `url` means the embedded index there, even if the environment or the file has a URL.
        """
        config = read_config()
        _refuse_unknown(config, cls.model_fields)
        said = {name: value for name, value in command_line.items() if value is not None}
        if "data_dir" in said:
            said.setdefault("url", None)
        for name, file in zip(KEYS, KEY_FILES, strict=True):  # an argument stands for both
            if name in said:
                said.setdefault(file, None)
            elif file in said:
                said[name] = None
        settings = cls(**said)
        keep(overriding(_place(settings), cls._shell_place() if _PLACE & said.keys() else _place(settings)))
        return settings

    def of_catalog(self, name: str) -> Self:
        """These settings for another catalog. Raises UsageError for a name that no catalog can have."""
        try:
            TypeAdapter(CatalogName).validate_python(name)
        except ValidationError as error:
            told = needed(error.errors(include_url=False)[0])
            raise UsageError(f"--catalog '{printable(name)[:100]}': {told}") from None
        return self.model_copy(update={"catalog": name})

    @classmethod
    def _shell_place(cls) -> Place:
        """The index and the catalog that environment and file name; an empty place where they are not valid."""
        try:
            return _place(cls())
        except UsageError:
            return Place()

    def key(self, name: str) -> str | None:
        """The key of the setting `name`, one of `recq.keys.KEYS`, or of the file that stands in its place; None where
        there is none. Raises UsageError for a file without one."""
        fault_of = foreign_key_fault if name == "api_key" else key_fault
        return key_of(name, getattr(self, name), getattr(self, f"{name}_file"), fault_of)

    @property
    def part(self) -> Part:
        """The part of each source that a daemon sees to."""
        return WHOLE if self.partition is None else Part.parse(self.partition)

    @property
    def worker_count(self) -> int:
        """Decoding processes: `workers`, or all cores (one at least) where that is 0."""
        return self.workers or max(1, os.cpu_count() or 1)


_ADDRESS = re.compile(r"[,\s]+(?=https?://)")
"""What parts two addresses; a password may have a comma."""


def addresses_of(url: str) -> tuple[str, ...]:
    """The addresses that the setting `url` names, in their order, each once."""
    found = (each.rstrip("/, \t\n") for each in _ADDRESS.split(url.strip()))
    return tuple(dict.fromkeys(each for each in found if each))


def shown_url(url: str) -> str:
    """A URL, or several, for messages: without user, password and query, which may be secret."""
    return ",".join(map(_shown_address, _ADDRESS.split(url)))


def _shown_address(url: str) -> str:
    without = re.sub(r"^([a-zA-Z][a-zA-Z0-9+.-]*://)?.*@", r"\1***@", url, flags=re.DOTALL)
    address, mark, _ = without.partition("?")
    return f"{address}?***" if mark else address


_PLACE = frozenset({"catalog", "url", "data_dir"})
"""The settings that name the index and the catalog."""


def _place(settings: Settings) -> Place:
    return Place(settings.catalog, None if settings.url is None else shown_url(settings.url), settings.data_dir)


_OPTIONS = frozenset({"catalog", "data_dir", "model", "weights", "layer", "size", "rate", "partition"})
"""Settings that are options of the same name on a command line."""

_SECRET = frozenset({*KEYS, "url", "rule"})
"""Settings whose values are in no message; values of unknown settings are in none either."""


def _shown(value: Any) -> str:
    """A wrong value in a message; of a table or a list only the type, since it may hold secrets."""
    if isinstance(value, str):
        return f" (got {shown_url(value) if '@' in value else value[:100]!r})"
    return f" (got {value!r})" if isinstance(value, bool | int | float) else f" (got a {type(value).__name__})"


_PREFIX = "RECQ_"
_OTHERS = frozenset({"RECQ_CONFIG"})
_ORCHESTRATED = re.compile(r"RECQ_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_\w+)|RECQ_PORT")
"""Variables that Kubernetes and Docker's links set for a service whose name begins with `recq`, such as
`RECQ_SERVICE_PORT` and `RECQ_API_PORT_6340_TCP`."""

_LINK = re.compile(r"(tcp|udp|sctp)://.*")
"""The value of another one of theirs, `RECQ_API_PORT` or `RECQ_SERVE_PORT`: no setting has such a value."""


def _refuse_unknown(config: ConfigFile, known: Mapping[str, Any]) -> None:
    """Raise UsageError for an unknown setting in the file, and for a variable that looks like a misspelt setting.

    Other variables with the prefix may belong to another program: an orchestrator sets `RECQ_SERVICE_HOST`.
    """
    for name in config.values:
        if name not in known:
            raise UsageError(f"unknown setting {name!r} in {config.place_of(name)}{_nearest(name, known)}")
    for variable in os.environ:
        name = variable.upper()
        if not name.startswith(_PREFIX) or name in _OTHERS or _is_orchestrated(name, os.environ[variable]):
            continue
        if name.removeprefix(_PREFIX).lower() not in known:
            meant = _close(name.removeprefix(_PREFIX), known)
            if meant is not None:
                raise UsageError(f"unknown variable {variable}: did you mean {_PREFIX}{meant.upper()}?")


def _is_orchestrated(name: str, value: str) -> bool:
    return _ORCHESTRATED.fullmatch(name) is not None or (name.endswith("_PORT") and _is_link(value))


def _is_link(value: Any) -> bool:
    return isinstance(value, str) and _LINK.fullmatch(value) is not None


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    meant = _close(name, known)
    return ": docs/settings.md lists what can be set" if meant is None else f": did you mean {meant!r}?"


def _close(name: str, known: Mapping[str, Any]) -> str | None:
    """The setting that a misspelt name may mean; `apikey`, `API-KEY` and `api.key` are all `api_key`."""
    return next(iter(nearest(name, known, plain=lambda text: re.sub(r"[^a-z0-9]", "", text.lower()))), None)


def _place_of(name: str, said: Mapping[str, Any], config: ConfigFile) -> str:
    """Where the value in force was set, if not on the command line."""
    if name in said:
        return ""
    variable = next((one for one in os.environ if one.upper() == f"{_PREFIX}{name.upper()}"), None)
    if variable is not None:
        return f" ({variable})"
    return f" ({config.place_of(name)})" if name in config.values else ""
