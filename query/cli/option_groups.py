"""Options that commands have together, each group declared once: a parameter of a command stands for all of its group.

    @grouped
    def search(question: Matching, output: Output, index: Index) -> None: ...

Typer sees a command with all the options, in the order of the groups' fields; the command gets records.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

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
)
from query.text.formats import PATHS, TABLE
from recq.cli_options import CatalogOption, DataDirOption, DebugOption, UrlOption
from recq.errors import UsageError

if TYPE_CHECKING:
    from query.cli.picture_outputs import Pictures
    from recq.face.catalog import ImageCatalog
    from recq.settings import Settings

R = TypeVar("R")

AUTO = "auto"
"""In place of a score or a distance: the catalog's random pairs decide."""


@dataclass(frozen=True)
class Index:
    """Which index and which catalog."""

    catalog: CatalogOption = None
    url: UrlOption = None
    data_dir: DataDirOption = None
    _debug: DebugOption = False

    def settings(self) -> Settings:
        """The settings in force."""
        from recq.settings import Settings

        return Settings.load(catalog=self.catalog, url=self.url, data_dir=self.data_dir)

    def open(self) -> ImageCatalog:
        """The catalog, of which nothing is asked yet."""
        from recq.face.catalog import ImageCatalog

        return ImageCatalog(self.settings())


@dataclass(frozen=True)
class WholeIndex:
    """Which index, for commands about several catalogs."""

    url: UrlOption = None
    data_dir: DataDirOption = None
    _debug: DebugOption = False

    def settings(self) -> Settings:
        """The settings in force."""
        return Index(None, self.url, self.data_dir).settings()


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
        if self.null and self.form != PATHS:
            raise UsageError(f"-0 ends paths, and --format {self.form} prints none: add --format paths")


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
        "fields": _field_list(question.fields),
    }


def _limit(text: str | None, option: str, example: str) -> float | str | None:
    """The value of --min-score or --max-distance. Raises UsageError."""
    if text is None or text == AUTO:
        return text
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{option} {text!r} is no number: write {option} {example}, or {option} {AUTO}") from None


def _field_list(text: str | None) -> list[str] | None:
    """The value of --fields: names between commas. Raises UsageError."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise UsageError(f"--fields {text!r} has an empty name: write --fields title,price")
    return names


def grouped(function: Callable[..., R]) -> Callable[..., R]:
    """A command for Typer: each parameter that is a group of options becomes the group's options."""
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, type] = {}
    parameters: list[inspect.Parameter] = []
    for each in inspect.signature(function).parameters.values():
        kind = hints[each.name]
        if not is_dataclass(kind):
            parameters.append(each.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        assert isinstance(kind, type)
        groups[each.name] = kind
        types = get_type_hints(kind, include_extras=True)
        parameters += [
            inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=types[one.name])
            for one in fields(kind)
        ]

    @functools.wraps(function)
    def wrapper(**given: Any) -> R:
        records = {
            name: kind(**{one.name: given.pop(one.name) for one in fields(kind)}) for name, kind in groups.items()
        }
        return function(**given, **records)

    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {each.name: each.annotation for each in parameters}
    del wrapper.__wrapped__
    return wrapper
