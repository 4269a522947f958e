"""What is wrong with metadata, and what is passed over for it: found while a folder is read, kept until it is mended.

What concerns one picture stands in its point (`file.problems`) and goes with it; what concerns a source as a whole (a
table that cannot be read, rows that name no file) stands in the collection's metadata. So `recq-ingest problems` tells
the same whether a daemon runs or not, and on every host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self

from recq.paths import printable, shortened

PROBLEMS_PREFIX = "problems:"
"""Collection-metadata keys of a source's own problems: one key a source."""

_LONGEST_DETAIL = 500  # characters
_LONGEST_NAME = 200
_LONGEST_SHOWN = 80  # characters of a field's name in a detail

KIND_KEY = "file.problems[].kind"
"""The payload key that finds the items with problems."""


class ProblemKind(StrEnum):
    """What sort of problem it is: the closed list that `kind` takes its values from."""

    TABLE = "table"  # a table that cannot be read; what was read before still holds
    HELD = "held"  # a table that would take the metadata from too many items at once: `recq-ingest confirm`
    ROW = "row"  # a row of a table that names no file
    UNREAD_TABLE = "unread-table"  # a file that looks like a table of metadata, but is none
    SIDECAR = "sidecar"  # a sidecar that cannot be read: the picture is without it
    FIELD = "field"  # a field whose name or value cannot be stored: the picture is without it
    MISFIT = "misfit"  # a value that is not of its field's type: it is stored, but filters do not find it
    REFUSED = "refused"  # the index refused the item as it is
    IGNORED = "ignored"  # a picture that a rule passes over
    FOREIGN = "foreign"  # a point that another program wrote, without what recq needs


UNMET = frozenset({"table", "held", "row", "sidecar", "field", "refused"})
"""The kinds of problems for which the index is without something that the folder has: exit code 3."""

MOST_OF_AN_ITEM = 20
"""Problems that are kept of one item: a point travels with them."""


@dataclass(frozen=True)
class Problem:
    """One problem. `detail` is one line for the person who mends it: what, where, what to do.

    `path` is what it is about (text form of `recq.paths`, relative to the source's root), None for the item that it
    stands with; `field` and `line` (from 1) where there are such.
    """

    kind: ProblemKind
    detail: str
    path: str | None = None
    field: str | None = None
    line: int | None = None

    def at(self, path: str) -> Self:
        """The same problem, about `path`."""
        return replace(self, path=path)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, without what it has not; long texts are cut, since they travel with the item."""
        told = {
            "kind": str(self.kind),
            "detail": shortened(printable(self.detail), _LONGEST_DETAIL),
            "path": self.path,
            "field": None if self.field is None else shortened(printable(self.field), _LONGEST_NAME),
            "line": self.line,
        }
        return {key: value for key, value in told.items() if value is not None}

    @classmethod
    def from_json(cls, data: object) -> Self | None:
        """The problem that `to_json` wrote; None for one of a kind that only a newer recq knows."""
        if not isinstance(data, Mapping) or data.get("kind") not in set(ProblemKind):
            return None
        return cls(
            ProblemKind(data["kind"]), data.get("detail", ""), data.get("path"), data.get("field"), data.get("line")
        )


def few(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """At most `MOST_OF_AN_ITEM` of one item's problems; the last one says how many more there are."""
    if len(problems) <= MOST_OF_AN_ITEM:
        return tuple(problems)
    rest = problems[MOST_OF_AN_ITEM - 1 :]
    return (*problems[: MOST_OF_AN_ITEM - 1], Problem(rest[0].kind, f"{len(rest):,} more, like: {rest[0].detail}"))


def left_out(where: str, name: str, why: str, line: int | None = None) -> Problem:
    """The problem of a field that is left out: `where` (a sidecar, a table and line) it stands, and `why`."""
    shown = printable(shortened(name, _LONGEST_SHOWN))
    return Problem(
        ProblemKind.FIELD, f"{where}: field '{shown}' {why}; the picture is without it", field=name, line=line
    )
