"""Fixtures for all tests."""

from __future__ import annotations

from tests.qdrant_server import qdrant_server

__all__ = ["qdrant_server"]
