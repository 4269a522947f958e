"""Where recq keeps things when no setting says it: the embedded index, and what can be made again."""

from __future__ import annotations

from pathlib import Path

import platformdirs


def default_data_dir() -> Path:
    """The default folder of the embedded index and the daemon's address."""
    return platformdirs.user_data_path("recq")


def default_cache_dir() -> Path:
    """The default folder of exported and compiled models."""
    return platformdirs.user_cache_path("recq")
