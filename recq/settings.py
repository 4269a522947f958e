"""One Settings object: `recq.toml` < `RECQ_*` environment < command line.

The file is `recq.toml` in the current folder, or the one that `RECQ_CONFIG` names. docs/settings.md describes every
field; a test keeps it complete.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, Self

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from recq.errors import UsageError
from recq.space import DistanceName, Pooling, Preprocess, Preset, Resize

WatchMode = Literal["auto", "native", "poll"]

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
    # Bins: what lies in them was deleted.
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
    # What systems keep for themselves.
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


def default_data_dir() -> Path:
    """Where the embedded index and the daemon's address live when nothing else is said."""
    return platformdirs.user_data_path("recq")


def default_cache_dir() -> Path:
    """Where exported and compiled models are kept."""
    return platformdirs.user_cache_path("recq")


class Settings(BaseSettings):
    """Everything that can be set; a field `x` is `RECQ_X` in the environment and `x` in recq.toml."""

    model_config = SettingsConfigDict(env_prefix="RECQ_", extra="forbid", frozen=True)

    data_dir: Path = Field(default_factory=default_data_dir)
    cache_dir: Path = Field(default_factory=default_cache_dir)
    url: str | None = None
    api_key: SecretStr | None = None
    catalog: str = Field("images", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    preset: Preset | None = None
    model: str | None = None
    weights: Path | None = None
    layer: str | None = None
    pooling: Pooling | None = None
    size: int | None = Field(None, gt=0)
    resize: Resize | None = None
    preprocess: Preprocess | None = None
    distance: DistanceName | None = None
    connect_timeout: float = Field(10.0, gt=0)
    request_timeout: float = Field(60.0, gt=0)
    lock_wait: float = Field(10.0, ge=0)
    settle: float = Field(0.5, ge=0)
    rescan: float = Field(300.0, gt=0)
    max_delete: float = Field(0.5, ge=0, le=1)
    watch: WatchMode = "auto"
    poll_interval: float = Field(5.0, gt=0)
    ignore: tuple[str, ...] = DEFAULT_IGNORE
    max_bytes: int = Field(200_000_000, gt=0)
    max_pixels: int = Field(200_000_000, gt=0)
    decode_timeout: float = Field(30.0, gt=0)
    decode_memory: int = Field(2_000_000_000, gt=0)
    workers: int = Field(0, ge=0)
    batch: int = Field(32, gt=0, le=1000)

    @field_validator("url")
    @classmethod
    def _without_slash(cls, url: str | None) -> str | None:
        """One spelling of an address: a daemon and a query compare theirs."""
        return url.rstrip("/") if url else None

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
        toml = TomlConfigSettingsSource(settings_cls, toml_file=Path(os.environ.get("RECQ_CONFIG", "recq.toml")))
        return init_settings, env_settings, toml

    @classmethod
    def load(cls, **command_line: Any) -> Self:
        """The settings in force; `None` on the command line means "not said". Raises UsageError naming the field.

        A data folder on the command line without a URL means the embedded index there, whatever URL the environment or
        the file names.
        """
        said = {name: value for name, value in command_line.items() if value is not None}
        if "data_dir" in said:
            said.setdefault("url", None)
        try:
            return cls(**said)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise UsageError(f"setting {field!r}: {first['msg']} (got {first.get('input')!r})") from error
        except ValueError as error:  # a recq.toml that is not TOML
            raise UsageError(f"recq.toml: {error}") from error

    @property
    def worker_count(self) -> int:
        """Decoding processes: `workers`, or all cores (one at least) where that is 0."""
        return self.workers or max(1, os.cpu_count() or 1)
