"""The shop of tests/query, as the tests of the API have it."""

from __future__ import annotations

from tests.recq.api.conftest import settings, shop_root

__all__ = ["settings", "shop_root"]
