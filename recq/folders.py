"""Where recq keeps things when no setting says it: the embedded index, and what can be made again."""

from __future__ import annotations

from pathlib import Path

import platformdirs


def default_data_dir() -> Path:
    """Where the embedded index and the daemon's address live."""
    return platformdirs.user_data_path("recq")


def default_cache_dir() -> Path:
    """Where exported and compiled models are kept."""
    return platformdirs.user_cache_path("recq")
