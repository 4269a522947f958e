"""What the face answers: records of `recq.search` which show themselves. Longer work has `recq.face.findings`.

Each is the record it is named after, with the same members and the same `to_json()`. A notebook shows its pictures or
its table, a terminal its table, and `to_pandas()` makes a data frame of its rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar, overload

from recq import paths
from recq.display.layout import plain
from recq.display.table import (
    TextTable,
    answer_table,
    catalogs_table,
    facets_table,
    fields_table,
    shown_table,
)
from recq.errors import UsageError
from recq.index import facets
from recq.paths import printable
from recq.search import many, results
from recq.search.inventory import CatalogSummary, FieldSummary
from recq.search.no_results import NoResults
from recq.search.results import SCORE_DIGITS, Result, facets_json, percentile

if TYPE_CHECKING:
    import pandas

    from recq.images import Limits
    from recq.settings import Settings

Answered = TypeVar("Answered")


def shown_as(kind: type[Answered], found: Any, **more: Any) -> Answered:
    """A record as the kind of it that shows itself."""
    return kind(**{each.name: getattr(found, each.name) for each in fields(found)}, **more)


class Shown:
    """What all answers have: a table at a prompt and in a notebook, and a data frame."""

    def _tables(self) -> Sequence[TextTable]:
        raise NotImplementedError

    def _remarks(self) -> Sequence[str]:
        """What there is to say besides."""
        return ()

    def _records(self) -> list[dict[str, Any]]:
        """The rows of the data frame, by column."""
        raise NotImplementedError

    def __str__(self) -> str:
        parts = []
        for table in self._tables():
            parts += [part.rstrip("\n") for part in (table.title, plain(table) if table.rows else "", table.caption)]
        return "\n".join([*(part for part in parts if part), *self._remarks()])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        from recq.display.notebook import tables_html

        return tables_html([table for table in self._tables() if table.rows or table.title], self._remarks())

    def to_pandas(self) -> pandas.DataFrame:
        """The rows as a data frame. Raises UsageError where pandas is not installed."""
        try:
            import pandas
        except ImportError as error:
            raise UsageError("to_pandas() needs pandas, which is not installed: pip install pandas") from error
        return pandas.DataFrame.from_records(self._records())


class Pictured(Shown):
    """What a notebook shows as pictures."""

    settings: Settings | None

    def _limits(self) -> Limits:
        from recq.images import Limits
        from recq.settings import Settings

        return Limits.from_settings(self.settings if self.settings is not None else Settings.load())

    def _drawn(self) -> Any:
        """What the sheet is made of."""
        return self

    def _repr_html_(self) -> str:
        from recq.display.grid_sheet import sheet_of
        from recq.display.notebook import pictures_html

        return pictures_html(sheet_of(self._drawn()), self._limits(), self._remarks())


@dataclass(frozen=True, repr=False, eq=False)
class Answer(Pictured, results.Answer):
    """The answer of `similar`, `recommend` and `search`: a sequence of results, best first.

    A result has `rank`, `score` (None where nothing was compared), `share` (of the catalog's random pairs, 0 to 1, so
    many are less alike), `id`, `source`, `name`, `path` (absolute; None where no folder is on record), `location` (the
    same as a `pathlib.Path`), `within` (the path in its source), `metadata`, `value(FIELD)`, and `copies`: of how many
    files of the same bytes it stands for. `notes` are remarks on the answer, `no_results` says why there are none.
    """

    settings: Settings | None = field(default=None, repr=False, kw_only=True)

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    @overload
    def __getitem__(self, place: int) -> Result: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Result, ...]: ...
    def __getitem__(self, place: int | slice) -> Result | tuple[Result, ...]:
        return self.results[place]

    def _tables(self) -> Sequence[TextTable]:
        return [answer_table(self)]

    def _remarks(self) -> Sequence[str]:
        return [*map(printable, self.notes), *([self.no_results.text] if self.no_results is not None else [])]

    def _records(self) -> list[dict[str, Any]]:
        return [record_of(result, self.fields) for result in self.results]


@dataclass(frozen=True, repr=False)
class Answers(Pictured):
    """What `similar_many` answers: an `Answer` for each target, in their order; a `FailedTarget` for one that has none.

    A `FailedTarget` has the target's `text` and the `error`.
    """

    each: tuple[Answer | many.FailedTarget, ...]
    settings: Settings | None = field(default=None, repr=False)

    @property
    def failed(self) -> tuple[many.FailedTarget, ...]:
        """The targets that have no answer."""
        return tuple(each for each in self.each if isinstance(each, many.FailedTarget))

    @property
    def answers(self) -> tuple[Answer, ...]:
        """The others."""
        return tuple(each for each in self.each if isinstance(each, Answer))

    def __len__(self) -> int:
        return len(self.each)

    def __iter__(self) -> Iterator[Answer | many.FailedTarget]:
        return iter(self.each)

    @overload
    def __getitem__(self, place: int) -> Answer | many.FailedTarget: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Answer | many.FailedTarget, ...]: ...
    def __getitem__(self, place: int | slice) -> Any:
        return self.each[place]

    def to_json(self) -> list[dict[str, Any]]:
        """A document for each target."""
        return [each.to_json() for each in self.each]

    def _tables(self) -> Sequence[TextTable]:
        return [answer_table(answer) for answer in self.answers]

    def _remarks(self) -> Sequence[str]:
        return [f"{printable(each.text)}: {each.error}" for each in self.failed]

    def _drawn(self) -> Any:
        return self.answers

    def _repr_html_(self) -> str:
        return super()._repr_html_() if self.answers else Shown._repr_html_(self)

    def _records(self) -> list[dict[str, Any]]:
        return [
            {"target": _asked(answer), **record_of(result, answer.fields)}
            for answer in self.answers
            for result in answer.results
        ]


def _asked(answer: results.Answer) -> str:
    return "" if answer.target is None else paths.to_text(answer.target.text)[0]


@dataclass(frozen=True, repr=False)
class Item(Pictured, results.ItemDetails):
    """Everything known of one item. `error` (`reason`, `detail`, `at`, `attempts`) tells why one has no vector."""

    settings: Settings | None = field(default=None, repr=False, kw_only=True)

    @property
    def id(self) -> str:
        """The item's id: the same for the same path of the same source, in every catalog."""
        return self.item.id

    @property
    def source(self) -> str:
        """The name of its source."""
        return self.item.file.source

    @property
    def name(self) -> str:
        """The file's name."""
        return self.item.file.name

    @property
    def path(self) -> str | None:
        """The absolute path as text; None where no folder is on record."""
        return None if self.location is None else paths.to_text(str(self.location))[0]

    @property
    def metadata(self) -> dict[str, Any]:
        """The user's metadata."""
        return dict(self.item.metadata)

    @property
    def error(self) -> Any:
        """Why the item could not be embedded; None where it was."""
        return self.item.error

    def _tables(self) -> Sequence[TextTable]:
        return [shown_table(self)]

    def _repr_html_(self) -> str:
        from recq.display.grid_sheet import Card
        from recq.display.notebook import card_html

        return card_html(Card("item", printable(self.name), self.location), shown_table(self), self._limits())

    def _records(self) -> list[dict[str, Any]]:
        document = self.to_json()
        return [{**{name: document[name] for name in ("id", "source", "path", "name")}, **self.metadata}]


@dataclass(frozen=True, repr=False)
class Facets(Shown, facets.Facets):
    """The values of a field, `rows` of (value, items), most frequent first; ranges in order for numbers and dates.

    `filters` has for each row the filter that finds its items, `total` counts the items that have the field.
    """

    no_items: NoResults | None = field(default=None, kw_only=True)
    """Why no item has the field; None: some have."""

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(self.rows)

    def to_json(self) -> dict[str, Any]:
        """The document that `recq facets --format json` prints."""
        return facets_json(self)

    def _tables(self) -> Sequence[TextTable]:
        return [facets_table(self)]

    def _remarks(self) -> Sequence[str]:
        return [] if self.no_items is None else [self.no_items.text]

    def _records(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.to_json()["values"]
        return rows


class Fields(Shown, tuple[FieldSummary, ...]):
    """The fields of a catalog, each with `name`, `type`, `items` that have one, values or their range, an `example`."""

    def __repr__(self) -> str:
        return str(self)

    def to_json(self) -> list[dict[str, Any]]:
        """The document that `recq fields --format json` prints."""
        return [each.to_json() for each in self]

    def _tables(self) -> Sequence[TextTable]:
        return [fields_table(self)]

    def _records(self) -> list[dict[str, Any]]:
        return self.to_json()


class Catalogs(Shown, tuple[CatalogSummary, ...]):
    """The catalogs of an index, each with `name`, `items`, `failed`, `space`, `sources`, and when one was `indexed`."""

    def __repr__(self) -> str:
        return str(self)

    def to_json(self) -> list[dict[str, Any]]:
        """The document that `recq catalogs --format json` prints."""
        return [each.to_json() for each in self]

    def _tables(self) -> Sequence[TextTable]:
        return [catalogs_table(self)]

    def _records(self) -> list[dict[str, Any]]:
        return [{**each, "space": each["space"] and each["space"]["model"]} for each in self.to_json()]


def record_of(result: Result, chosen: Sequence[str] | None) -> dict[str, Any]:
    """A result as a row: what recq knows first, then the metadata, `chosen` fields or all of it."""
    known: dict[str, Any] = {
        "rank": result.rank,
        "score": None if result.score is None else round(result.score, SCORE_DIGITS),
        "percentile": percentile(result.share),
        "path": result.path,
        "name": result.name,
        "source": result.source,
        "copies": result.copies,
        "id": result.id,
    }
    names = list(result.metadata) if chosen is None else list(chosen)
    return known | {f"payload.{name}" if name in known else name: result.value(name) for name in names}
