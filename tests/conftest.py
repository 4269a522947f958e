"""Fixtures for all tests."""

from __future__ import annotations

from tests.qdrant_server import own_server, qdrant_server

__all__ = ["own_server", "qdrant_server"]
