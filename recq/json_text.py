"""A document as JSON: what programs read of `recq`, on standard output and over HTTP alike."""

from __future__ import annotations

import json
from typing import Any


def json_text(document: Any, indent: int | None = None) -> str:
    """The document with its characters as they are, ended by a line break. It can be encoded in UTF-8."""
    text = json.dumps(document, indent=indent, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate from JSON is not UTF-8
        text = json.dumps(document, indent=indent, allow_nan=False)
    return text + "\n"
