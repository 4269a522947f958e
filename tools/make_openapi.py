"""Gathers the JSON Schemas of docs/*.md for the API, and writes docs/openapi.json anew.

    .venv/bin/python tools/make_openapi.py

`tests/recq/api/test_openapi.py` fails while either is another, and for a change that would break clients.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recq.api.app import api, openapi_of
from recq.api.schemas import SCHEMAS
from recq.api.service import Service
from recq.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
OPENAPI = ROOT / "docs" / "openapi.json"
TAKEN = frozenset({"answer", "comparison", "evaluation", "judged", "status", "failed", "problems", "asked", "held"})
"""The documented schemas that a route answers."""

_BLOCK = re.compile(r"^```json(?: schema=(\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def gathered() -> dict[str, Any]:
    """The schemas by name, their definitions as `NAME.DEFINITION`. Raises ValueError where one is missing."""
    found = {name: each for name, schema in _documented() if name in TAKEN for name, each in _parts(name, schema)}
    if missing := TAKEN - found.keys():
        raise ValueError(f"docs/*.md lack the schemas {', '.join(sorted(missing))}")
    return found


def _documented() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted((ROOT / "docs").glob("*.md")):
        for name, text in _BLOCK.findall(path.read_text("utf-8")):
            schema = json.loads(text)
            yield name or schema.get("title", ""), schema


def _parts(name: str, schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    plain = {key: value for key, value in schema.items() if key not in ("$schema", "$defs")}
    for part, each in [(name, plain), *((f"{name}.{inner}", each) for inner, each in schema.get("$defs", {}).items())]:
        text = json.dumps(each).replace('"#/$defs/', f'"#/components/schemas/{name}.')
        yield part, json.loads(re.sub(r'"\$ref": "(\w+)"', r'"$ref": "#/components/schemas/\1"', text))


def openapi() -> dict[str, Any]:
    """The document as it is served."""
    with Service(Settings()) as service:
        return openapi_of(api(service)[0])


def written(document: Any) -> str:
    """A document as it stands in its file."""
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> None:
    """Both files."""
    for path, make in ((SCHEMAS, gathered), (OPENAPI, openapi)):
        fresh = written(make())
        if not path.exists() or path.read_text("utf-8") != fresh:
            path.write_text(fresh, "utf-8")
            print(f"{path.relative_to(ROOT)}: written anew")


if __name__ == "__main__":
    main()
