"""Problems with metadata, and what is skipped for them: found while a folder is read, stored until they are mended.

A problem of one picture is stored in its point (`file.problems`) and deleted with it; a problem of a source as a whole
(a table that cannot be read, rows that name no file) is stored in the collection's metadata. So `recq-ingest problems`
shows the same with and without a running daemon, and on every host.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from typing import Any, Self

from recq.paths import printable, shortened

PROBLEMS_PREFIX = "problems:"
"""Collection-metadata keys of a source's own problems: one key a source."""

MOST_KEPT = 1_000
"""The most problems of one kind that are stored for a source; one more has the lines of the others."""

_LONGEST_DETAIL = 500  # characters
_MOST_RANGES = 16  # of lines: they fit into a detail
_LONGEST_NAME = 200
_LONGEST_SHOWN = 80  # characters of a field's name in a detail

KIND_KEY = "file.problems[].kind"
"""The payload key that finds the items with problems."""


class ProblemKind(StrEnum):
    """The kinds of problems: the closed list of the values of `kind`."""

    TABLE = "table"  # a table that cannot be read; the metadata read before stays
    HELD = "held"  # a table that would take the metadata from too many items at once: `recq-ingest confirm`
    ROW = "row"  # a row of a table that names no file
    UNREAD_TABLE = "unread-table"  # a file that looks like a table of metadata, but is none
    SIDECAR = "sidecar"  # a sidecar that cannot be read: the picture is without it
    PLUGIN = "plugin"  # a source of metadata (EXIF, a plug-in) that fails: the picture keeps the earlier metadata
    TWICE = "twice"  # a field that the table gives, and EXIF or a plug-in as well: the one of higher precedence holds
    FIELD = "field"  # a field whose name or value cannot be stored: the picture is without it
    MISFIT = "misfit"  # a value that is not of its field's type: it is stored, but filters do not find it
    REFUSED = "refused"  # the index refused the item as it is
    IGNORED = "ignored"  # a picture that a rule skips
    RULE = "rule"  # a `.recqignore`, or a line of one, that cannot be used
    DOUBLED = "doubled"  # most files of the source are in another one, too: one folder under two names
    UNINDEXED = "unindexed"  # a field of which the engine would not make an index: filters on it are refused
    FOREIGN = "foreign"  # a point that another program wrote, without what recq needs


UNMET = frozenset(
    {
        ProblemKind.TABLE,
        ProblemKind.HELD,
        ProblemKind.SIDECAR,
        ProblemKind.PLUGIN,
        ProblemKind.FIELD,
        ProblemKind.REFUSED,
    }
)
"""The kinds of problems after which the index lacks something of the folder: a single pass ends with exit code 3."""

MOST_OF_AN_ITEM = 20
"""The most problems that are stored for one item: they are part of its point."""


@dataclass(frozen=True)
class Problem:
    """One problem. `detail` is one line for the person who mends it: what, where, what to do.

    `path` is the file that it concerns (text form of `recq.paths`, relative to the source's root), None for the item
    that has it; `field` and `line` (from 1) where they are known. `count` is the number of problems that it summarises.
    """

    kind: ProblemKind
    detail: str
    path: str | None = None
    field: str | None = None
    line: int | None = None
    count: int = 1

    def at(self, path: str) -> Self:
        """The same problem, about `path`."""
        return replace(self, path=path)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, without missing members; long texts are cut, since they are stored with the item."""
        told = {
            "kind": str(self.kind),
            "detail": shortened(printable(self.detail), _LONGEST_DETAIL),
            "path": self.path,
            "field": None if self.field is None else shortened(printable(self.field), _LONGEST_NAME),
            "line": self.line,
            "count": self.count if self.count > 1 else None,
        }
        return {key: value for key, value in told.items() if value is not None}

    @classmethod
    def from_json(cls, data: object) -> Self | None:
        """The problem that `to_json` wrote; None for one of a kind that only a newer recq knows."""
        if not isinstance(data, Mapping) or data.get("kind") not in set(ProblemKind):
            return None
        return cls(
            ProblemKind(data["kind"]),
            data.get("detail", ""),
            data.get("path"),
            data.get("field"),
            data.get("line"),
            data.get("count", 1),
        )


def bounded(problems: Sequence[Problem], most: int = MOST_KEPT) -> list[Problem]:
    """At most so many problems of one kind and one file, and one for the rest, which names all their lines."""
    kept = list(problems[:most])
    if rest := problems[most:]:
        lines = line_ranges(problem.line for problem in rest if problem.line is not None)
        count = sum(problem.count for problem in rest)
        where = f"{rest[0].path}: " if rest[0].path else ""
        detail = f"{where}{count:,} more like this" + (f", in the lines {lines}" if lines else "")
        kept.append(Problem(rest[0].kind, detail, path=rest[0].path, count=count))
    return kept


def line_ranges(lines: Iterable[int]) -> str:
    """Lines as few ranges: `3, 5-9`. Where they are many, near ones are joined, with the number of lines."""
    ranges: list[tuple[int, int, int]] = []  # first, last, how many
    for line in sorted(set(lines)):
        if ranges and line == ranges[-1][1] + 1:
            ranges[-1] = ranges[-1][0], line, ranges[-1][2] + 1
        else:
            ranges.append((line, line, 1))
    if len(ranges) > _MOST_RANGES:
        gaps = sorted(range(1, len(ranges)), key=lambda at: ranges[at][0] - ranges[at - 1][1], reverse=True)
        cuts = [0, *sorted(gaps[: _MOST_RANGES - 1]), len(ranges)]
        parts = [ranges[start:end] for start, end in pairwise(cuts)]
        ranges = [(part[0][0], part[-1][1], sum(count for *_, count in part)) for part in parts]
    return ", ".join(_range(*each) for each in ranges)


def _range(first: int, last: int, count: int) -> str:
    if first == last:
        return str(first)
    return f"{first}-{last}" if count == last - first + 1 else f"{first}-{last} ({count} of them)"


def few(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """At most `MOST_OF_AN_ITEM` of one item's problems; the last one counts the others."""
    if len(problems) <= MOST_OF_AN_ITEM:
        return tuple(problems)
    rest = problems[MOST_OF_AN_ITEM - 1 :]
    return (*problems[: MOST_OF_AN_ITEM - 1], Problem(rest[0].kind, f"{len(rest):,} more, like: {rest[0].detail}"))


def left_out(where: str, name: str, why: str, line: int | None = None) -> Problem:
    """The problem of a field that is left out: `where` it is (a sidecar, a table and line), and `why`."""
    shown = printable(shortened(name, _LONGEST_SHOWN))
    return Problem(
        ProblemKind.FIELD, f"{where}: field '{shown}' {why}; the picture is without it", field=name, line=line
    )
