"""The options of a question, by keyword: those of `similar`, `recommend`, `search` and others.

Names, meanings and defaults are those of the command line, which passes its options on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypedDict

from recq.errors import UsageError
from recq.face.arguments import AUTO, Keyword, keywords_of
from recq.index.parameters import Limit, Parameters, Sort

Score = float | Literal["auto"] | None
"""A score or a distance; "auto" where the catalog's random pairs decide, None where there is no limit."""

_HOW_MANY = "The largest number of results."


class Narrowed(TypedDict, total=False):
    """Which items may be found."""

    filters: Annotated[
        Sequence[str], Keyword((), "Only items that match all of these, such as `['category=sofa', 'price<=500']`.")
    ]
    any_of: Annotated[
        Sequence[str],
        Keyword(
            (),
            "Groups of alternatives: an item must match one of each group, such as `['category=sofa || price<=50']`.",
        ),
    ]


class FirstFive(TypedDict, total=False):
    """How many results a ranking has."""

    k: Annotated[int, Keyword(5, _HOW_MANY)]


class FirstTwenty(TypedDict, total=False):
    """How many results a search has."""

    k: Annotated[int, Keyword(20, _HOW_MANY)]


class Placed(TypedDict, total=False):
    """Which results are shown, and what of each."""

    offset: Annotated[int | None, Keyword(None, "How many of the first results are left out.")]
    page: Annotated[int | None, Keyword(None, "In place of `offset`: which page of `k` results, counted from 1.")]
    group_by: Annotated[
        str | None,
        Keyword(None, "A field: only the first item of each of its values, such as one view of each product."),
    ]
    diversity: Annotated[
        float,
        Keyword(0.0, "From the nearest (0) to the most varied (1): leave out items that look like earlier results."),
    ]
    keep_duplicates: Annotated[bool, Keyword(False, "Show every file of the same bytes, not only the first.")]
    sort: Annotated[str | None, Keyword(None, "Order the results by a field: `'price'`, or `'price:desc'`.")]
    fields: Annotated[
        Sequence[str] | None, Keyword(None, "Which fields of the metadata a result has; None: all of them.")
    ]


class Limited(TypedDict, total=False):
    """How near a result has to be."""

    min_score: Annotated[
        Score,
        Keyword(
            None,
            "Leave out less similar items (1 is the same picture); `'auto'`: those that score like random pairs.",
        ),
    ]
    max_distance: Annotated[
        Score, Keyword(None, "The same in a catalog of Euclidean distances: leave out items that are farther away.")
    ]
    keep_own_group: Annotated[bool, Keyword(False, "With `group_by`: show also items of the target's own group.")]


class Matching(FirstTwenty, Narrowed, Placed, total=False):
    """The keywords of `search`."""


class Tried(TypedDict, total=False):
    """In which space pictures are compared."""

    space: Annotated[
        str | None,
        Keyword(
            None,
            "The name of a trained space of the catalog: the 1,000 nearest are put into its order, so that it can be "
            "tried before anything is stored in it. None: the catalog's own space.",
        ),
    ]


class Ranking(FirstFive, Narrowed, Limited, Placed, Tried, total=False):
    """The keywords of `similar`, `similar_many` and `recommend`."""


class Compared(FirstFive, Narrowed, Tried, total=False):
    """The keywords of `compare`."""


def parameters_of(keywords: type, asked: Mapping[str, Any]) -> Parameters:
    """The parameters of a question from its keywords; those not given have their defaults. Raises UsageError."""
    given = {name: about.default for name, (_, about) in keywords_of(keywords).items()} | dict(asked)
    k, sort, fields = given["k"], given.get("sort"), given.get("fields")
    least, most = given.get("min_score"), given.get("max_distance")
    return Parameters(
        k=k,
        offset=_place(k, given.get("offset"), given.get("page")),
        filters=tuple(given["filters"]),
        any_of=tuple(given["any_of"]),
        min_score=None if least == AUTO else least,
        max_distance=None if most == AUTO else most,
        group_by=given.get("group_by"),
        diversity=given.get("diversity", 0.0),
        keep_duplicates=given.get("keep_duplicates", False),
        sort=None if sort is None else Sort.parse(sort),
        fields=None if fields is None else tuple(fields),
        unusual=_unusual(least, most),
        keep_own_group=given.get("keep_own_group", False),
        space=given.get("space"),
    )


def _place(k: int, offset: int | None, page: int | None) -> int:
    """How many results are skipped. Raises UsageError where offset and page are both given."""
    if offset is not None and page is not None:
        raise UsageError("--offset and --page both set the first result: give one of them")
    if page is None:
        return offset or 0
    if page < 1:
        raise UsageError(f"--page {page} cannot be answered: the first page is 1")
    return (page - 1) * k


def _unusual(least: Score, most: Score) -> Limit | None:
    """Which of the two is `auto`. Raises UsageError where both are."""
    if least == most == AUTO:
        raise UsageError("--min-score auto and --max-distance auto: give the one that the catalog compares by")
    return "min_score" if least == AUTO else "max_distance" if most == AUTO else None
