"""What requests consist of: the parameters of questions are those of `recq.face`, with its names and defaults."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator
from pydantic_core import PydanticCustomError

from recq.errors import FilterError, TargetError, UsageError
from recq.face import targets
from recq.face.arguments import keywords_of
from recq.face.question import Compared, Matching, Ranking
from recq.face.targets import Target
from recq.index.diversity import comparisons
from recq.paths import printable
from recq.search.target import ContentTarget, IndexedName

MOST_TARGETS = 1_000
"""Targets of one request."""

MOST_COMPARED = 10_000_000
"""Pairs of candidates that the answers of one request are varied by: some ten seconds at 1,280 numbers, as much as ten
of the largest answers take."""

MOST_COMPARED = 10_000_000
"""Pairs of candidates that the answers of one request are varied by: some ten seconds at 1,280 numbers, as much as ten
of the largest answers take."""

MOST_OF_FILTERS = 32_768
"""Characters of all filters of a question: some thousand conditions, the most that the embedded engine takes."""

_LONGEST_NAME = 200  # characters of the name of a picture


class Asked(BaseModel):
    """What every request may have."""

    model_config = ConfigDict(extra="forbid")

    catalog: Annotated[str | None, Field(description="The catalog; without it the one that the service names.")] = None

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, given: Any) -> Any:
        """JSON can spell half a character, which no name has and nothing else takes."""
        if not _is_text(given):
            raise PydanticCustomError("half_a_character", "a text has an escape of half a character")
        return given


STRICT = ConfigDict(extra="forbid", strict=True)
"""Of what a document has: JSON has numbers and truths of its own, an address has texts alone."""


class Vector(BaseModel):
    """A vector of the catalog's space."""

    model_config = STRICT

    vector: Annotated[list[float], Field(min_length=1, max_length=65_536)]


class Picture(BaseModel):
    """A picture file, in base64. It is decoded in a process of its own and not kept."""

    model_config = STRICT

    picture: Annotated[str, Field(description="The bytes of the file, in base64.")]
    name: Annotated[str, Field(description="What the answer calls it.")] = "the picture given"


Rectangle = Annotated[
    str | None,
    Field(
        description="The part of the picture that is meant: `x,y,w,h` from its left and upper edge, in pixels or all "
        "four in per cent; None means all of it."
    ),
]


class Part(BaseModel):
    """A region of an item's picture, or of one that is sent."""

    model_config = STRICT

    target: str | Picture
    region: Annotated[str, Field(description="`x,y,w,h`, in pixels or all four in per cent.")]


Given = Annotated[
    str | Vector | Picture | Part,
    Field(description="The name, path or id of an item; a vector; a picture; or a region of one."),
]
"""A target as a request has it."""

Targets = Annotated[list[Given], Field(min_length=1, max_length=MOST_TARGETS)]


def target_of(given: str | Vector | Picture | Part) -> Target:
    """The target as `recq.face` takes it: a text is never a file. Raises TargetError."""
    if isinstance(given, Part):
        return part_of(target_of(given.target), given.region)
    if isinstance(given, str):
        return IndexedName(given)
    if isinstance(given, Vector):
        return np.array(given.vector, np.float64)
    try:
        content = base64.b64decode(given.picture, validate=True)
    except (binascii.Error, ValueError) as error:
        raise TargetError(f"the picture is not base64: {error}") from error
    return uploaded(content, given.name)


def part_of(target: Target, region: str | None) -> Target:
    """The region of a target, or all of it."""
    return target if region is None else targets.Part(target, region)


def uploaded(content: bytes, name: str) -> ContentTarget:
    """A picture that was sent, by a name that may be printed."""
    return ContentTarget(content, printable(name)[:_LONGEST_NAME])


def keywords(asked: Asked, of: type) -> dict[str, Any]:
    """The keywords of `recq.face` in a request.

    Raises FilterError for filters that would take long to read, UsageError for answers that would take long to vary.
    """
    given = {name: getattr(asked, name) for name in keywords_of(of)}
    require_short(*given["filters"], *given["any_of"])
    if isinstance(asked, SimilarMany) and given["diversity"]:
        _require_comparable(len(asked.targets), given["k"], given["offset"] or 0, given["page"] or 1)
    return given


def _require_comparable(targets: int, k: int, offset: int, page: int) -> None:
    """Raise UsageError for more varied answers than one request may have."""
    each = max(1, comparisons(k, max(offset + k, page * k)))
    if targets * each > MOST_COMPARED:
        raise UsageError(
            f"{targets:,} targets with -k {k} and --diversity cannot be answered together: ask for "
            f"{max(1, MOST_COMPARED // each):,} at a time, or for fewer results"
        )


def require_short(*filters: str) -> None:
    """Raise FilterError for more of them than an engine takes."""
    if (length := sum(map(len, filters))) > MOST_OF_FILTERS:
        raise FilterError(f"the filters have {length:,} characters together: {MOST_OF_FILTERS:,} can be answered")


def _is_text(given: Any) -> bool:
    """Whether all texts in a document are Unicode, however deep they lie; lists of numbers are not looked through."""
    left = [given]
    while left:
        match left.pop():
            case str(text) if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
                return False
            case dict(entries):
                left += [*entries, *entries.values()]
            case list(values) if values and not isinstance(values[0], float):
                left += values
    return True


def _model(name: str, keywords: type) -> type[Asked]:
    """A request with the parameters of a question."""
    fields: dict[str, Any] = {
        key: (list[str] if kind == Sequence[str] else kind, Field(_default(about.default), description=about.help))
        for key, (kind, about) in keywords_of(keywords).items()
    }
    return create_model(name, __base__=Asked, **fields)


def _default(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


if TYPE_CHECKING:

    class _Ranked(Asked):
        k: int

    class _Matched(Asked):
        pass

    class _Compared(Asked):
        pass
else:
    _Ranked, _Matched, _Compared = _model("Ranked", Ranking), _model("Matched", Matching), _model("Compared", Compared)


class SimilarQuery(_Ranked):
    """What is like an item."""

    target: Annotated[str, Field(description="The name, path or id of an item.")]
    region: Rectangle = None


class SimilarPicture(_Ranked):
    """What is like a picture that is sent."""

    name: Annotated[str, Field(description="What the answer calls the picture.")] = "the picture given"
    region: Rectangle = None


class Similar(_Ranked):
    """What is like a target."""

    model_config = STRICT

    target: Given


class SimilarMany(_Ranked):
    """What is like each of several targets."""

    model_config = STRICT

    targets: Targets


class Recommend(_Ranked):
    """What is near to some targets and far from others."""

    model_config = STRICT

    like: Annotated[list[Given], Field(max_length=MOST_TARGETS, description="What results are to be near to.")]
    dislike: Annotated[list[Given], Field(max_length=MOST_TARGETS, description="What they are to be far from.")] = []  # noqa: RUF012 - pydantic copies it
    strategy: Annotated[
        Literal["average", "best", "sum"],
        Field(description="How several targets become one score: their mean, the nearest, or the sum of scores."),
    ] = "average"


class SearchQuery(_Matched):
    """Which items."""


class Search(_Matched):
    """Which items."""

    model_config = STRICT


class Compare(_Compared):
    """What is like a target in several catalogs."""

    model_config = STRICT

    target: Given
    against: Annotated[list[str], Field(min_length=1, max_length=20, description="The catalogs to compare with.")]


class Explain(Asked):
    """Two pictures: items, or pictures that are sent."""

    model_config = STRICT

    target: Given
    result: Given


class Facets(Asked):
    """Which values of a field."""

    filters: Annotated[list[str], Field(description="Only items that match all of these.")] = []
    limit: Annotated[int, Field(description="The largest number of values.")] = 50


class Stream(Asked):
    """From where on."""

    since: Annotated[
        str | None, Field(description="The cursor of an answer, or `now`; without it the first change.")
    ] = None


class Changes(Stream):
    """Which changes."""

    limit: Annotated[int, Field(description="The largest number of changes.")] = 100
    wait: Annotated[float, Field(ge=0, le=60, description="Seconds to wait for a change where there is none.")] = 0


class Problems(Asked):
    """Whose problems."""

    source: Annotated[str | None, Field(description="One source; without it all.")] = None


class Held(Asked):
    """Which held items."""

    source: Annotated[str | None, Field(description="One source; without it all.")] = None
    offset: Annotated[int, Field(ge=0, le=2**31, description="So many items are left out before the first.")] = 0
    limit: Annotated[int, Field(ge=1, le=1_000, description="The largest number of items.")] = 100


class ThumbnailSize(IntEnum):
    """Pixels of a thumbnail's longer side: few sizes, so that few are kept."""

    TINY = 64
    SMALL = 128
    MEDIUM = 256
    LARGE = 512
    HUGE = 1024


class Thumbnail(Asked):
    """Which thumbnail."""

    size: Annotated[ThumbnailSize, Field(description="Pixels of the longer side; none is enlarged.")] = (
        ThumbnailSize.MEDIUM
    )
    sha256: Annotated[
        str | None,
        Field(
            pattern="^[0-9a-f]{64}$",
            description="The digest of the picture's bytes, as answers have it: of these bytes the thumbnail never "
            "changes, so it may be kept for ever, and one that is there is given without asking the index.",
        ),
    ] = None


class Predict(Asked):
    """What to name."""

    model_config = STRICT

    targets: Targets
    space: Annotated[str | None, Field(description="A trained space, or `imagenet`; None where there is one.")] = None
    top: Annotated[int, Field(description="How many labels each has.")] = 3


class Duplicates(Asked):
    """Which duplicates."""

    model_config = STRICT

    kinds: Annotated[list[Literal["copy", "crop", "mirror"]], Field(description="What is looked for.")] = [
        "copy",
        "crop",
    ]
    exact: Annotated[bool, Field(description="Only items of the same bytes.")] = False
    min_score: Annotated[float | None, Field(description="Compare pictures whose cosine is so large; None: 0.6.")] = (
        None
    )
    max_distance: Annotated[float | None, Field(description="The same in a catalog of Euclidean distances.")] = None
    filters: Annotated[list[str], Field(description="Only items that match all of these.")] = []


class Evaluate(Asked):
    """What is measured."""

    model_config = STRICT

    label: Annotated[str, Field(description="The field whose values count as right.")]
    ks: Annotated[list[int], Field(max_length=20, description="Numbers of results.")] = [1, 5, 10]
    against: Annotated[list[str], Field(max_length=20, description="Catalogs or trained spaces to compare with.")] = []
    sample: Annotated[int | None, Field(description="So many items, drawn at random, are queries; None: all.")] = None
    seed: Annotated[int, Field(description="What they are drawn with.")] = 0
    query_filters: Annotated[list[str], Field(description="Which items are queries.")] = []
    gallery_filters: Annotated[list[str], Field(description="Which items may be results.")] = []


class Judged(BaseModel):
    """That an item is right for a query, or not."""

    model_config = STRICT

    query: Annotated[str, Field(description="Name, path or id of an indexed item.")]
    item: Annotated[str, Field(description="That of another one.")]
    judgement: Annotated[float | Literal["like", "dislike"], Field(description="1 and 0, or a grade of your own.")]


class EvaluateJudgements(Asked):
    """What is measured by what people judged."""

    model_config = STRICT

    judgements: Annotated[list[Judged], Field(max_length=10_000, description="As in a file of judgements.")]
    ks: Annotated[list[int], Field(max_length=20, description="Numbers of results.")] = [1, 5, 10]
    against: Annotated[list[str], Field(max_length=20, description="Catalogs or trained spaces to compare with.")] = []
    seed: Annotated[int, Field(description="That of the intervals of differences.")] = 0


class Confirm(Asked):
    """What was meant."""

    model_config = STRICT

    source: Annotated[str | None, Field(description="One source; None: all that hold something.")] = None


class Retry(Asked):
    """What is tried again."""

    model_config = STRICT

    pattern: Annotated[
        str | None, Field(description="Items whose path, or SOURCE/path, looks like this; None: all that failed.")
    ] = None
