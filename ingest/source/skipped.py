"""Pictures and folders that a walk skips, counted by rule and folder, since a user may miss them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ingest.source.ignore_files import Rule
from recq.index.problems import MOST_KEPT, Problem, ProblemKind
from recq.paths import printable

_NO_FILE = "as a link out of the root or to nothing, or as no regular file"


@dataclass
class _Count:
    first: str
    pictures: int = 0
    folders: int = 0


class Skipped:
    """Counts by rule and folder; beyond `MOST_KEPT` of these, by rule alone."""

    def __init__(self) -> None:
        self._counts: dict[tuple[Rule | None, str | None], _Count] = {}

    def add(self, rule: Rule | None, path: str, *, folder: bool) -> None:
        """Count the picture or folder at `path` (text form), skipped by `rule`, or (None) as no file of the root."""
        key: tuple[Rule | None, str | None] = rule, path.rpartition("/")[0]
        if key not in self._counts and len(self._counts) >= MOST_KEPT:
            key = rule, None
        count = self._counts.setdefault(key, _Count(path))
        count.folders += folder
        count.pictures += not folder

    def problems(self) -> Iterator[Problem]:
        """One for each rule and folder, by folder."""
        for (rule, folder), count in sorted(
            self._counts.items(), key=lambda each: (each[0][1] or "", str(each[0][0] or ""))
        ):
            skipped = [
                f"{number:,} {noun}{'' if number == 1 else 's'}"
                for number, noun in ((count.pictures, "picture"), (count.folders, "folder"))
                if number
            ]
            total = count.pictures + count.folders
            where = "more folders" if folder is None else printable(folder or "the root")
            why = _NO_FILE if rule is None else f"by {rule}"
            detail = (
                f"{' and '.join(skipped)} in {where} {'is' if total == 1 else 'are'} skipped {why} "
                f"(first: {printable(count.first)})"
            )
            yield Problem(ProblemKind.IGNORED, detail, path=count.first, count=total)
