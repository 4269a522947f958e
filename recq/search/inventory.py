"""The catalogs of an index and the fields of a catalog: what `recq catalogs` and `recq fields` print."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from recq.errors import FilterError, IndexPending, RecqError, TargetNotFound
from recq.index.grammar import Condition
from recq.index.operators import Op
from recq.index.predicted import part_of
from recq.search.session import Session

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from recq.index.catalog import Catalog
    from recq.index.kept import Kept
    from recq.index.schema import FieldType, Value
    from recq.space import EmbeddingSpace

MOST_VALUES = 1000
"""The most different values of a field that are counted."""

_OF_FILES = ("file.source", "file.folders", "file.format")
"""recq's own fields that are useful in filters; the others differ from item to item."""


@dataclass(frozen=True)
class CatalogSummary:
    """One catalog. `indexed` is when the newest item was written (ISO 8601, UTC), None where there is none.

    For a catalog that cannot be read, `problem` is the reason and the rest is empty. `unfinished` are collections of a
    rebuild that is running or was killed, `kept` is the one that the last rebuild replaced, until it is pruned.
    """

    name: str
    items: int = 0
    failed: int = 0
    space: EmbeddingSpace | None = None
    sources: tuple[str, ...] = ()
    indexed: str | None = None
    unfinished: tuple[str, ...] = ()
    problem: str | None = None
    kept: Kept | None = None

    def to_json(self) -> dict[str, Any]:
        """One element of the list that `--format json` prints."""
        return {
            **{name: value for name, value in vars(self).items() if name not in ("space", "kept")},
            "space": None if self.space is None else self.space.summary(),
            "sources": list(self.sources),
            "unfinished": list(self.unfinished),
            "kept": None if self.kept is None else self.kept.to_json(),
        }


@dataclass(frozen=True)
class FieldSummary:
    """One field. `distinct` counts the values of a text or a boolean, None for others and beyond `MOST_VALUES`.

    `least` and `greatest` are the range of numbers and dates, `example` is the value of one item. `waiting`: its index
    is still being built, and only items are counted; also where it could not be built, with the reason in `problem`.
    """

    name: str
    type: FieldType
    items: int
    distinct: int | None = None
    least: int | float | str | None = None
    greatest: int | float | str | None = None
    example: Value | None = None
    waiting: bool = False
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        """One element of the list that `--format json` prints."""
        return {**asdict(self), "type": str(self.type)}


def catalogs(session: Session) -> list[CatalogSummary]:
    """The catalogs of the session's index, alphabetically. Raises IndexError_ and UsageError."""
    from recq.index.catalogs import names

    with session.client() as client:
        return [summarised(client, name) for name in names(client)]


def summarised(client: QdrantClient, name: str) -> CatalogSummary:
    """One catalog; for one that this recq cannot read, with the reason."""
    from recq.index.catalog import Catalog
    from recq.index.catalogs import holdings

    try:
        catalog = Catalog.open(client, name)
        return CatalogSummary(
            name,
            catalog.items.count(),
            catalog.ledger.count_failed(),
            catalog.space,
            tuple(sorted(catalog.sources.all())),
            catalog.items.newest(),
            holdings(client, name).left,
            kept=catalog.kept(),
        )
    except TargetNotFound:  # removed since it was listed
        return CatalogSummary(name, problem="has just been dropped")
    except RecqError as error:
        return CatalogSummary(name, problem=str(error))


def fields(session: Session) -> list[FieldSummary]:
    """The fields of a catalog that filters can use: the metadata by name, predictions, then the fields of files."""
    from recq.index.schema import FILE_FIELDS

    own = {name: FILE_FIELDS[name] for name in _OF_FILES}
    with session.opened() as catalog:
        known = catalog.fields.types(refresh=True)
        types = {**{name: known[name] for name in sorted(known, key=lambda name: (_is_predicted(name), name))}, **own}
        return [_summary(catalog, name, field_type) for name, field_type in types.items()]


def _is_predicted(name: str) -> bool:
    """Whether a field is a prediction."""
    return part_of(name) is not None


def text_fields(session: Session) -> list[str]:
    """The text fields, by name."""
    from recq.index.schema import FieldType

    with session.opened() as catalog:
        return sorted(name for name, kind in catalog.fields.types().items() if kind is FieldType.STRING)


def _summary(catalog: Catalog, name: str, field_type: FieldType) -> FieldSummary:
    from recq.index.schema import FieldType

    having = Condition(name, Op.EXISTS)
    try:
        items = catalog.items.count([having])
    except FilterError as error:  # an older recq made the index, without the field
        return FieldSummary(name, field_type, 0, problem=str(error))
    example = catalog.values.example(name) if items else None
    try:
        if field_type.is_number or field_type is FieldType.DATE:
            least, greatest = map(_told, catalog.values.extremes(name) or (None, None))
            return FieldSummary(name, field_type, items, None, least, greatest, example)
        values = len(catalog.values.facets(name, limit=MOST_VALUES + 1).rows)
        return FieldSummary(name, field_type, items, values if values <= MOST_VALUES else None, example=example)
    except IndexPending:
        return FieldSummary(name, field_type, items, example=example, waiting=True)
    except FilterError as error:
        return FieldSummary(name, field_type, items, example=example, problem=str(error))


def _told(end: float | datetime | None) -> float | str | None:
    """One end of a field's range; a date in its stored form."""
    from recq.index.dates import date_text

    return date_text(end) if isinstance(end, datetime) else end
