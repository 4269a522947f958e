"""The answers of a catalog: the records of `recq.search`, which can also display themselves.

Each class extends the record of the same name. A notebook shows its pictures or its table, a terminal its table, and
`to_pandas()` makes a data frame of its rows. `recq.face.findings` has the answers of longer work.
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
    """A record of `recq.search` as its class of the face."""
    return kind(**{each.name: getattr(found, each.name) for each in fields(found)}, **more)


class Shown:
    """Every answer prints as a table, at a prompt and in a notebook, and becomes a data frame by `to_pandas()`."""

    def _tables(self) -> Sequence[TextTable]:
        raise NotImplementedError

    def _remarks(self) -> Sequence[str]:
        """Lines that are shown below the table."""
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
    """An answer that a notebook shows as pictures."""

    settings: Settings | None

    def _limits(self) -> Limits:
        from recq.images import Limits
        from recq.settings import Settings

        return Limits.from_settings(self.settings if self.settings is not None else Settings.load())

    def _drawn(self) -> Any:
        """What the sheet of pictures is made from."""
        return self

    def _repr_html_(self) -> str:
        from recq.display.grid_sheet import sheet_of
        from recq.display.notebook import pictures_html

        return pictures_html(sheet_of(self._drawn()), self._limits(), self._remarks())


@dataclass(frozen=True, repr=False, eq=False)
class Answer(Pictured, results.Answer):
    """The answer of `similar`, `recommend` and `search`: a sequence of results, best first.

    Each element is a `Result`. `results` has them as a tuple, `target` is what was compared with (None for `search`),
    `space` the embedding space, `metric` what the scores are, `took_ms` the time in milliseconds. `notes` are remarks
    on the answer; `no_results` explains an answer without results, else it is None; `trained` names the trained space
    that was asked for (`name`, `label`), None for the catalog's own.
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
    """The answers of `similar_many`: for each target, in order, an `Answer`, or a `FailedTarget` with the reason."""

    each: tuple[Answer | many.FailedTarget, ...]
    settings: Settings | None = field(default=None, repr=False)

    @property
    def failed(self) -> tuple[many.FailedTarget, ...]:
        """The failed targets, each with its `text` and its `error`."""
        return tuple(each for each in self.each if isinstance(each, many.FailedTarget))

    @property
    def answers(self) -> tuple[Answer, ...]:
        """The answers, without the failed targets."""
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
        """For each target the document of its answer, or of its failure."""
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
    """Everything that is known about one item of the catalog named `catalog`."""

    settings: Settings | None = field(default=None, repr=False, kw_only=True)

    @property
    def id(self) -> str:
        """The item's id. The same path of the same source has the same id in every catalog."""
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
        """The absolute path as text; None where no folder of its source is on record."""
        return None if self.location is None else paths.to_text(str(self.location))[0]

    @property
    def metadata(self) -> dict[str, Any]:
        """The user's metadata."""
        return dict(self.item.metadata)

    @property
    def predicted(self) -> dict[str, Any]:
        """The predictions, by field: each with its `label` and `confidence`, or `unknown`."""
        return dict(self.to_json()["payload"].get("predicted", {}))

    @property
    def error(self) -> Any:
        """Why the item has no vector: `reason`, `detail`, `at` and `attempts`. None for an item that was embedded."""
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
    """The values of a field: a sequence of (value, number of items), most frequent first.

    Numbers and dates are counted in ranges, in ascending order. `filters` has for each row the filter that finds its
    items; `total` counts the items that have the field.
    """

    no_items: NoResults | None = field(default=None, kw_only=True)
    """Why no item has the field; None where some items have it."""

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
    """The fields of a catalog: each with `name`, `type`, the number of `items`, values or range, an `example`."""

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
    """The catalogs of an index: with `name`, `items`, `failed`, `space`, `sources`, and the last time, `indexed`."""

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
    """A result as a row: recq's own columns first, then the `chosen` fields of the metadata, all of them when None."""
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
    names = [*result.metadata, *result.predicted_fields] if chosen is None else list(chosen)
    return known | {f"payload.{name}" if name in known else name: result.value(name) for name in names}
