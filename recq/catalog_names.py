"""How a catalog is named where one of its trained spaces may be meant: `images`, `images@by-category`."""

from __future__ import annotations

import re

from recq.errors import UsageError
from recq.paths import printable

SPACE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""The names that trained spaces and trained networks may have."""

IMAGENET = "imagenet"
"""In place of a trained space that predicts: ImageNet's classes (`recq.models.imagenet`). No space is called so."""


def catalog_and_space(text: str, own: str) -> tuple[str, str | None]:
    """`CATALOG`, `CATALOG@NAME`, or `@NAME` for a trained space of the catalog `own`: the catalog, and the space.

    Raises UsageError where one of them is missing.
    """
    catalog, at, space = text.partition("@")
    if (at and not space) or not text:
        raise UsageError(f"{printable(text)!r} names no trained space: write CATALOG@NAME, such as {own}@by-category")
    return catalog or own, space or None


def name_with_space(catalog: str, space: str | None) -> str:
    """As `catalog_and_space` reads it."""
    return catalog if space is None else f"{catalog}@{space}"
