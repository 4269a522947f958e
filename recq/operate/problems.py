"""What is wrong with metadata and what is skipped, as `recq-ingest problems` lists it, with or without a daemon.

All of it is read from the index: the problems of a picture from its item, those of a source from the source's record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from recq.commands import command
from recq.csv_text import csv_text
from recq.index.catalog import Catalog
from recq.index.pending_fields import Missing
from recq.index.problems import Problem, ProblemKind
from recq.index.remedies import IF_MEANT, meant, undoubled
from recq.paths import printable
from recq.search.session import Session


@dataclass(frozen=True)
class Listed:
    """One problem. `path` is relative to the source's root, or the table that --metadata named.

    A point of another program has no source (""), and its id as path; a field without its index has neither.

    `count` is how many it stands for: a source keeps the first thousand of a kind one by one.
    """

    source: str
    path: str | None
    kind: str
    detail: str
    field: str | None
    line: int | None
    count: int

    @property
    def text(self) -> str:
        """The problem in one line, with the path that it is about."""
        path = printable(self.path or "")
        return self.detail if path in self.detail else f"{path}: {self.detail}"

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)


def list_problems(session: Session, source: str | None = None) -> list[Listed]:
    """All problems of the catalog, or of one source: those of a source as a whole, then those of its items, by path.

    Where no source is named, fields without their index and points of other programs come last.

    Raises TargetNotFound for an unknown source.
    """
    with session.opened() as catalog:
        names = [*catalog.sources.all()] if source is None else [catalog.sources.get(source).name]
        found = [listed for name in names for listed in _of_source(catalog, name)]
        if source is None:
            refused = catalog.fields.waiting(refresh=True).refused
            found += [_listed("", _unindexed(missing, why)) for missing, why in refused.items()]
            found += [_listed("", _foreign(point)) for point in sorted(catalog.ledger.foreign_points())]
        return found


def _of_source(catalog: Catalog, name: str) -> Iterator[Listed]:
    yield from (_listed(name, _with_remedy(name, problem)) for problem in catalog.problems.of_source(name))
    found = [problem.at(item.file.path) for item in catalog.problems.items(name) for problem in item.problems]
    yield from (_listed(name, problem) for problem in sorted(found, key=lambda each: (each.path or "", each.kind)))


def _unindexed(missing: Missing, why: str) -> Problem:
    filters = "filters with '~' on it" if missing.words else "filters and facets of it"
    detail = (
        f"field '{printable(missing.field)}': the engine refused to make its index, so {filters} are refused: {why}. "
        "The next start of the daemon tries again"
    )
    return Problem(ProblemKind.UNINDEXED, detail, field=missing.field)


def _with_remedy(name: str, problem: Problem) -> Problem:
    """The problem with the command that solves it or confirms it; an older recq stored the command with the problem."""
    if problem.kind is ProblemKind.DOUBLED:
        return replace(problem, detail=undoubled(name, problem.detail))
    if problem.kind is not ProblemKind.HELD or IF_MEANT in problem.detail:
        return problem
    return replace(problem, detail=meant(name, problem.detail))


def _foreign(point: str) -> Problem:
    detail = (
        f"point {point} was written by another program, without what an item has: "
        f"{command('recq-ingest', 'reconcile', '--remove-foreign')} removes it"
    )
    return Problem(ProblemKind.FOREIGN, detail, path=point)


def _listed(source: str, problem: Problem) -> Listed:
    return Listed(source, problem.path, str(problem.kind), problem.detail, problem.field, problem.line, problem.count)


def to_csv(found: Sequence[Listed]) -> str:
    """With a header; what has no value is empty."""
    names = [each.name for each in fields(Listed)]
    return csv_text([names, *([getattr(each, name) for name in names] for each in found)])
