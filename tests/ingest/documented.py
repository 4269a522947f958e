"""The contracts in docs/ingest.md, read from the document itself."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema

DOCS = (Path(__file__).parents[2] / "docs" / "ingest.md").read_text("utf-8")
SCHEMAS: dict[str, Any] = {
    schema["title"]: schema
    for text in re.findall(r"```json\n(.*?)```", DOCS, re.DOTALL)
    if (schema := json.loads(text))
}


def section(title: str) -> str:
    """The text below a second-level heading."""
    match = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", DOCS, re.MULTILINE | re.DOTALL)
    assert match is not None, title
    return match[1]


def rows(title: str) -> dict[str, list[str]]:
    """The table of a section: first cell -> the others."""
    cells = [re.split(r"(?<!\\)\|", line.strip("|")) for line in section(title).splitlines() if line.startswith("|")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in cells[2:]}


def validated(title: str, document: Any) -> Any:
    """The document, which keeps to the schema of that title."""
    schema = SCHEMAS[title]
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema, jsonschema.Draft202012Validator)
    return document
