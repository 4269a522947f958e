"""The groups of options that commands of `recq` share; `recq.cli_groups.grouped` spreads them out for Typer."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from query.cli.options import (
    AnyOfOption,
    DiversityOption,
    FieldsOption,
    FilterOption,
    FormatOption,
    GridOption,
    GroupByOption,
    KeepDuplicatesOption,
    KeepOwnGroupOption,
    KOption,
    MaxDistanceOption,
    MinScoreOption,
    NullOption,
    OffsetOption,
    OpenOption,
    PageOption,
    PreviewOption,
    SortOption,
    SpaceOption,
)
from query.text.formats import PATHS, TABLE
from recq.cli_groups import Index
from recq.errors import UsageError

if TYPE_CHECKING:
    from query.cli.picture_outputs import Pictures
    from recq.api.client import AskedFirst
    from recq.face.catalog import ImageCatalog

AUTO = "auto"
"""In place of a score or a distance: the catalog's random pairs decide."""


def open_catalog(index: Index) -> ImageCatalog:
    """The catalog of an index, of which nothing is asked yet."""
    from recq.face.catalog import ImageCatalog

    return ImageCatalog(index.settings())


def asked_first(index: Index) -> AskedFirst:
    """The same for questions that a running service may answer."""
    from recq.api.client import AskedFirst

    return AskedFirst(index.settings())


@dataclass(frozen=True)
class PictureFiles:
    """Where pictures are wanted, too."""

    grid: GridOption = None
    preview: PreviewOption = False
    open_: OpenOption = False

    def ready(self) -> Pictures:
        """What shows them. Raises UsageError for what is impossible here."""
        from query.cli.picture_outputs import Pictures

        return Pictures(self.grid, self.preview, self.open_)


@dataclass(frozen=True)
class Output:
    """How an answer is printed."""

    form: FormatOption = TABLE
    null: NullOption = False

    def require_sane(self) -> None:
        """Raise UsageError for -0 with anything but paths."""
        require_paths(self.form, self.null)


def require_paths(form: str, null: bool) -> None:
    """Raise UsageError for -0 (`null`) with another format than paths."""
    if null and form != PATHS:
        raise UsageError(f"-0 ends paths, and --format {form} prints none: add --format paths")


@dataclass(frozen=True)
class Ranked:
    """What `similar` and `recommend` ask for."""

    k: KOption = 5
    offset: OffsetOption = None
    page: PageOption = None
    filters: FilterOption = None
    any_of: AnyOfOption = None
    min_score: MinScoreOption = None
    max_distance: MaxDistanceOption = None
    group_by: GroupByOption = None
    keep_own_group: KeepOwnGroupOption = False
    diversity: DiversityOption = 0.0
    keep_duplicates: KeepDuplicatesOption = False
    sort: SortOption = None
    fields: FieldsOption = None
    space: SpaceOption = None


@dataclass(frozen=True)
class Matched:
    """What `search` asks for."""

    filters: FilterOption = None
    any_of: AnyOfOption = None
    k: KOption = 20
    offset: OffsetOption = None
    page: PageOption = None
    group_by: GroupByOption = None
    diversity: DiversityOption = 0.0
    keep_duplicates: KeepDuplicatesOption = False
    sort: SortOption = None
    fields: FieldsOption = None


def asked(question: Ranked | Matched) -> dict[str, Any]:
    """The keywords of `recq.face` that the options stand for; texts are read where it takes none. Raises UsageError."""
    given = {each.name: getattr(question, each.name) for each in fields(question)}
    for name, option, example in (("min_score", "--min-score", "0.8"), ("max_distance", "--max-distance", "12.5")):
        if name in given:
            given[name] = _limit(given[name], option, example)
    return given | {
        "filters": question.filters or [],
        "any_of": question.any_of or [],
        "fields": field_list(question.fields),
    }


def _limit(text: str | None, option: str, example: str) -> float | str | None:
    """The value of --min-score or --max-distance. Raises UsageError."""
    if text is None or text == AUTO:
        return text
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{option} {text!r} is no number: write {option} {example}, or {option} {AUTO}") from None


def field_list(text: str | None) -> list[str] | None:
    """The value of --fields: names between commas. Raises UsageError."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise UsageError(f"--fields {text!r} has an empty name: write --fields title,price")
    return names
