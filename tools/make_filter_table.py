"""Writes the table of filters in README.md and docs/query.md anew, from `recq.index.operators`.

    .venv/bin/python tools/make_filter_table.py

`tests/recq/index/test_operators.py` fails while a document has another.
"""

from __future__ import annotations

import re
from pathlib import Path

from recq.index.operators import OPERATORS, markdown

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "query.md")

_TABLE = re.compile(r"^\| filter \|.*?(?=\n\n)", re.MULTILINE | re.DOTALL)


def with_table(text: str, table: str) -> str:
    """A document with its table of filters replaced. Raises ValueError where it has none, or several."""
    found = _TABLE.findall(text)
    if len(found) != 1:
        raise ValueError(f"{len(found)} tables begin with a column 'filter': there has to be one")
    return _TABLE.sub(lambda _: table, text)


def main() -> None:
    """All documents."""
    for path in DOCUMENTS:
        text = path.read_text("utf-8")
        fresh = with_table(text, markdown(OPERATORS))
        if fresh != text:
            path.write_text(fresh, "utf-8")
            print(f"{path.relative_to(ROOT)}: written anew")


if __name__ == "__main__":
    main()
