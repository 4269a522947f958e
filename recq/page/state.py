"""What the page shows, as its address says it: targets, filters, order, place. Pure.

An address has everything: it can be shared, kept as a bookmark, and the browser's back button works. Names of the
parameters are those of `recq.face` where it has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self
from urllib.parse import urlencode

from recq.errors import UsageError
from recq.index.grammar import escape, escape_field

PAGE_SIZE = 60
"""Tiles of a page."""

SIZES = ("s", "m", "l")
"""Sizes of tiles: dense, usual, large."""

MOST_LIKED = 20
"""Chips of each kind: an address has room for no more."""

MOST_TEXT = 2_000
"""Characters of one parameter."""


@dataclass(frozen=True)
class State:
    """What is asked and how it is shown.

    `like` and `dislike` are ids of items, `filters` are written as for `--filter`, `text` are words that a name or a
    text field has. `region` is the part of the only liked item that is meant (`x,y,w,h`). `picture`: a picture of the
    user's is the target, which the address does not have. `page` counts from 1, `size` is one of `SIZES`.
    """

    catalog: str | None = None
    like: tuple[str, ...] = ()
    dislike: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    text: str = ""
    region: str = ""
    sort: str = ""
    group_by: str = ""
    diversity: float = 0.0
    copies: bool = False
    page: int = 1
    size: str = "m"
    picture: bool = False

    @classmethod
    def of(cls, parameters: Iterable[tuple[str, str]]) -> Self:
        """The state of an address. Unknown parameters are left alone. Raises UsageError naming a wrong one.

        `range` with `low` and `high`, as the form of a field's values has them, becomes filters in place of its others.
        """
        given: dict[str, list[str]] = {}
        for name, value in parameters:
            if len(value) > MOST_TEXT:
                raise UsageError(f"{name} is longer than {MOST_TEXT:,} characters")
            given.setdefault(name, []).append(value)

        def last(name: str) -> str:
            return given.get(name, [""])[-1].strip()

        def several(name: str) -> tuple[str, ...]:
            return tuple(dict.fromkeys(each.strip() for each in given.get(name, ()) if each.strip()))

        for name in ("like", "dislike"):
            if len(several(name)) > MOST_LIKED:
                raise UsageError(f"{len(several(name))} pictures to {name}: {MOST_LIKED} are the most")
        filters, ranged = several("filters"), last("range")
        if ranged and (last("low") or last("high")):
            filters = (*without_range(filters, ranged), *range_filters(ranged, last("low"), last("high")))
        size = last("size") or "m"
        if size not in SIZES:
            raise UsageError(f"size={size!r} is no size of tiles: {', '.join(SIZES)}")
        return cls(
            catalog=last("catalog") or None,
            like=several("like"),
            dislike=tuple(each for each in several("dislike") if each not in several("like")),
            filters=filters,
            text=" ".join(last("text").split()),
            region=last("region"),
            sort=last("sort"),
            group_by=last("group_by"),
            diversity=_number("diversity", last("diversity"), 0.0, 1.0),
            copies=last("copies") == "1",
            page=int(_number("page", last("page") or "1", 1, 1_000_000)),
            size=size,
        )

    @property
    def ranks(self) -> bool:
        """Whether pictures are compared; else items are listed."""
        return bool(self.like or self.dislike or self.picture)

    @property
    def browses(self) -> bool:
        """Whether items are listed, the newest first."""
        return not (self.ranks or self.sort or self.group_by)

    def query(self) -> str:
        """The parameters of the address, without those that have their defaults."""
        return urlencode(self.pairs())

    def pairs(self) -> list[tuple[str, str]]:
        """The same, by name and value."""
        pairs: list[tuple[str, str]] = []
        for each in fields(self):
            value = getattr(self, each.name)
            if value == each.default or each.name == "picture":
                continue
            if isinstance(value, tuple):
                pairs += [(each.name, one) for one in value]
            else:
                pairs.append(
                    (each.name, "1" if value is True else f"{value:g}" if each.name == "diversity" else str(value))
                )
        return pairs

    @property
    def address(self) -> str:
        """Where the page shows this. What looks like a picture of the user's has a path of its own."""
        path, query = "/look" if self.picture else "/", self.query()
        return f"{path}?{query}" if query else path

    # -- other states -------------------------------------------------------------------------------------------------

    def at(self, page: int) -> Self:
        """Another page of the same."""
        return replace(self, page=page)

    def liking(self, item: str) -> Self:
        """With one more picture that is liked."""
        others = tuple(each for each in self.dislike if each != item)
        return self._afresh(like=_with(self.like, item), dislike=others, region="")

    def disliking(self, item: str) -> Self:
        """With one more picture that is not."""
        others = tuple(each for each in self.like if each != item)
        return self._afresh(dislike=_with(self.dislike, item), like=others, region="")

    def like_only(self, item: str, region: str = "") -> Self:
        """More like this, and nothing else: filters stay."""
        return self._afresh(like=(item,), dislike=(), region=region, picture=False, sort="")

    def without(self, item: str) -> Self:
        """Without a picture that is liked or disliked."""
        like = tuple(each for each in self.like if each != item)
        dislike = tuple(each for each in self.dislike if each != item)
        return self._afresh(like=like, dislike=dislike, region="")

    def filtered(self, filter_: str) -> Self:
        """With one more filter; without it where it is there already."""
        if filter_ in self.filters:
            return self._afresh(filters=tuple(each for each in self.filters if each != filter_))
        return self._afresh(filters=(*self.filters, filter_))

    def with_(self, **changes: object) -> Self:
        """With other values, on the first page."""
        return self._afresh(**changes)

    def _afresh(self, **changes: object) -> Self:
        return replace(self, page=1, **changes)  # type: ignore[arg-type]


def negated(filter_: str, field: str) -> str:
    """The filter for all items that the filter `FIELD=VALUE` does not find."""
    name = escape_field(field)
    return f"{name}!={filter_.removeprefix(f'{name}=')}"


_ENDS = (">=", "<=")


def range_filters(field: str, low: str, high: str) -> tuple[str, ...]:
    """The filters for values of a field from `low` to `high`, both in; "" is no end."""
    name = escape_field(field)
    return tuple(f"{name}{sign}{escape(end)}" for sign, end in zip(_ENDS, (low, high), strict=True) if end)


def without_range(filters: Iterable[str], field: str) -> tuple[str, ...]:
    """Filters without those that `range_filters` makes of a field."""
    starts = tuple(f"{escape_field(field)}{sign}" for sign in _ENDS)
    return tuple(each for each in filters if not each.startswith(starts))


def range_of(filters: Iterable[str], field: str) -> tuple[str, str]:
    """The ends that `range_filters` made filters of."""
    low, high = (f"{escape_field(field)}{sign}" for sign in _ENDS)
    found = list(filters)
    ends = [next((each.removeprefix(start) for each in found if each.startswith(start)), "") for start in (low, high)]
    return ends[0], ends[1]


def words_filters(text: str, fields_: Sequence[str]) -> list[str]:
    """The groups of alternatives by which every word is in one of the fields, two at the least (names unescaped)."""
    return [" || ".join(f"{escape_field(field)}~{escape(word)}" for field in fields_) for word in text.split()]


def _with(items: tuple[str, ...], item: str) -> tuple[str, ...]:
    return items if item in items else (*items, item)[-MOST_LIKED:]


def _number(name: str, text: str, least: float, most: float) -> float:
    try:
        value = float(text or 0)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise UsageError(f"{name}={text!r} is no number from {least:g} to {most:g}")
    return value
