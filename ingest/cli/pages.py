"""Pages that commands write beside what they print."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from recq.errors import UsageError
from recq.output import replaced, require_place

_OPTION = "--report"


def require_page(path: Path) -> None:
    """Raise UsageError before the work where no page can be written there, or none can be drawn."""
    from recq.display.training_plots import require_matplotlib

    if path.suffix.lower() != ".html":
        raise UsageError(f"{_OPTION} {path}: a report is an HTML page, name it {path.stem or 'report'}.html")
    require_place(path, _OPTION)
    require_matplotlib()


def write_page(path: Path, parts: Iterable[str]) -> None:
    """The page, whole or not at all."""
    with replaced(path, _OPTION) as stream:
        for part in parts:
            stream.write(part.encode("utf-8", "surrogateescape"))
