"""Explains an empty answer and suggests what may have been meant: on standard error and in JSON.

    no item has category=footwear: did you mean Footwear?
    no item has both category=sofa (12 items) and price<=5 (3 items)
    no item reaches --min-score 0.9: the nearest has 0.712

The items that match are counted for each filter, then for pairs, then without each filter. Then the question is asked
again without what it leaves out itself: a limit, the target's group, copies of the target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations
from typing import TYPE_CHECKING, Any

from recq.commands import shell_word
from recq.index.grammar import AnyOf, Condition, Where, escape, escape_field, parse_all
from recq.index.operators import Op, opposite
from recq.paths import printable
from recq.spelling import did_you_mean, one_of

if TYPE_CHECKING:
    from recq.index.catalog import Catalog
    from recq.index.finder import Found
    from recq.index.parameters import Parameters

MOST_PAIRED = 12
"""The most filters that are tried in pairs and left out one by one."""

_REPORTED = 3  # causes of one kind that are reported


class CauseKind(StrEnum):
    """The kinds of causes of an empty answer."""

    NOTHING_INDEXED = "nothing-indexed"  # the catalog has no embedded item
    FILTER = "filter"  # no item matches it
    FILTERS = "filters"  # some items match each, no item matches all
    LIMIT = "limit"  # --min-score or --max-distance
    OWN_GROUP = "own-group"  # all remaining items are in the target's group
    COPIES = "copies"  # all remaining items have the target's bytes
    TARGET = "target"  # the only remaining item is the target itself
    OFFSET = "offset"  # fewer results than --offset or --page skips


@dataclass(frozen=True)
class Cause:
    """One cause, as `text`; the `filters` that it concerns, the `items` that match each, filters to use instead."""

    kind: CauseKind
    text: str
    filters: tuple[str, ...] = ()
    items: tuple[int, ...] = ()
    did_you_mean: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """One element of `causes`."""
        return {
            "kind": str(self.kind),
            "text": self.text,
            "filters": [{"filter": text, "items": items} for text, items in zip(self.filters, self.items, strict=True)],
            "did_you_mean": list(self.did_you_mean),
        }


_WHOLE = frozenset({CauseKind.NOTHING_INDEXED, CauseKind.OFFSET})  # their text needs no "nothing matches" before it


@dataclass(frozen=True)
class NoResults:
    """The causes of an empty answer, at least one."""

    causes: tuple[Cause, ...]

    @property
    def text(self) -> str:
        """For standard error: a line, or one for each of several causes."""
        first, *more = self.causes
        if more:
            return "\n".join(["nothing matches:", *(each.text for each in self.causes)])
        return first.text if first.kind in _WHOLE else f"nothing matches: {first.text}"

    def to_json(self) -> dict[str, Any]:
        """The value of `no_results`."""
        return {"causes": [each.to_json() for each in self.causes]}


Ask = Callable[["Parameters"], "Found"]
"""Asks the question again with other parameters."""


def why_no_results(catalog: Catalog, parameters: Parameters, ask: Ask, typed: Parameters | None = None) -> NoResults:
    """Why a question has no results; `ask` asks it again. Raises what the catalog raises.

    `typed` are the parameters before `auto` became a limit.
    """
    parameters = replace(parameters, k=1, sort=None, diversity=0.0)
    first = replace(parameters, offset=0)
    if parameters.offset and ask(first).hits:
        return _one(CauseKind.OFFSET, f"there are no more than {parameters.offset:,} results")
    found = why_no_items(catalog, parameters.conditions)
    if found is not None:
        return found
    narrowed = " that fits the filters" if parameters.conditions else ""
    near = replace(first, min_score=None, max_distance=None)
    if near != first and (hits := ask(near).hits):
        return _one(CauseKind.LIMIT, _too_far(parameters, typed or parameters, hits[0].score, narrowed))
    whole = replace(near, keep_own_group=near.group_by is not None)
    if whole != near and ask(whole).hits:
        group = f"the {printable(str(parameters.group_by))} of the target"
        return _one(CauseKind.OWN_GROUP, f"every item{narrowed} is in {group}: --keep-own-group shows it")
    copies = replace(whole, keep_duplicates=True)
    if copies != whole and ask(copies).hits:
        bytes_ = "has the same bytes as the target"
        return _one(CauseKind.COPIES, f"every item{narrowed} {bytes_}: --keep-duplicates shows it")
    return _one(CauseKind.TARGET, f"the only item{narrowed or ' of the catalog'} is the target itself")


def why_no_items(catalog: Catalog, filters: Sequence[Where]) -> NoResults | None:
    """Why no item matches all of the filters; None where some do."""
    conditions = list(dict.fromkeys(parse_all(filters)))
    if catalog.items.count(conditions):
        return None
    if not catalog.items.count():
        failed = catalog.ledger.count_failed()
        text = "nothing is indexed yet" if not failed else f"none of {_items(failed)} could be embedded"
        return _one(CauseKind.NOTHING_INDEXED, text)
    counts = [catalog.items.count([each]) for each in conditions] if len(conditions) > 1 else [0]
    none = [condition for condition, count in zip(conditions, counts, strict=True) if not count]
    if none:
        return NoResults(tuple(_of_one(catalog, each) for each in none))
    return NoResults(tuple(_together(catalog, conditions, counts)))


def _of_one(catalog: Catalog, condition: Condition | AnyOf) -> Cause:
    """The cause for a filter, or a group of alternatives, that no item matches."""
    from recq.search.filter_suggestions import suggestions_for

    text = printable(text_of(condition))
    meant = suggestions_for(catalog, condition)
    if isinstance(condition, AnyOf):
        said = f"no item fits {text}"
    elif condition.op is Op.EXISTS:
        said = f"no item has a {printable(condition.field)}"
    elif condition.op is Op.MISSING:
        said = f"every item has a {printable(condition.field)}"
    elif condition.op.negated and (positive := opposite(condition.op)) is not None:
        said = f"no item has {text}: every item has {printable(text_of(replace(condition, op=positive, text='')))}"
    else:
        said = f"no item has {text}"
    hint = did_you_mean([_to_paste(each.shown) for each in meant.suggestions])
    if not hint and meant.known:
        hint = f": {printable(meant.known)}"
    return Cause(
        CauseKind.FILTER, said + hint, (text_of(condition),), (0,), tuple(each.filter for each in meant.suggestions)
    )


def _together(catalog: Catalog, conditions: Sequence[Condition | AnyOf], counts: Sequence[int]) -> Iterator[Cause]:
    """The causes where some items match each filter: pairs that no item matches, else counts without one of them."""
    some = list(zip(conditions, counts, strict=True))[:MOST_PAIRED]
    pairs = [pair for pair in combinations(some, 2) if not catalog.items.count([condition for condition, _ in pair])]
    for pair in pairs[:_REPORTED]:
        told = " and ".join(f"{printable(text_of(condition))} ({_items(count)})" for condition, count in pair)
        either = _either(*(condition for condition, _ in pair))
        hint = f": {printable(either)} finds either" if either else ""
        yield Cause(
            CauseKind.FILTERS,
            f"no item has both {told}{hint}",
            tuple(text_of(condition) for condition, _ in pair),
            tuple(count for _, count in pair),
            (either,) if either else (),
        )
    if pairs:
        return
    texts, all_counts = tuple(map(text_of, conditions)), tuple(counts)
    without = [(catalog.items.count([one for one in conditions if one != each]), text_of(each)) for each, _ in some]
    best = sorted((pair for pair in without if pair[0]), key=lambda pair: -pair[0])[:_REPORTED]
    fits = f"no item fits all {len(conditions)} filters, each alone fits some"
    rest = one_of([f"{_items(count)} without {printable(text)}" for count, text in best], "and")
    yield Cause(CauseKind.FILTERS, f"{fits}: {rest}" if best else fits, texts, all_counts)


def _either(one: Condition | AnyOf, other: Condition | AnyOf) -> str | None:
    """The filter that finds the items of either filter, where the two ask for values of one field."""
    if isinstance(one, AnyOf) or isinstance(other, AnyOf) or one.field != other.field:
        return None
    if not one.op == other.op == Op.EQ:
        return None
    return text_of(Condition(one.field, Op.EQ, (*one.values, *other.values)))


def _too_far(parameters: Parameters, typed: Parameters, nearest: float, narrowed: str) -> str:
    near = parameters.min_score is not None
    option, limit = ("--min-score", parameters.min_score) if near else ("--max-distance", parameters.max_distance)
    given = f"auto ({limit:.3f})" if typed.unusual else f"{limit:g}"
    verb = "reaches" if near else "is within"
    return f"no item{narrowed} {verb} {option} {given}: the nearest has {nearest:.3f}"


def _one(kind: CauseKind, text: str) -> NoResults:
    return NoResults((Cause(kind, text),))


def _to_paste(text: str) -> str:
    """A suggestion on one line; characters that need escapes are written for the shell."""
    return text if text.isprintable() else shell_word(text)


def _items(count: int) -> str:
    return f"{count:,} item{'' if count == 1 else 's'}"


def text_of(condition: Condition | AnyOf) -> str:
    """A filter as it was typed, or as it would be typed."""
    if condition.text:
        return condition.text
    if isinstance(condition, AnyOf):
        return " || ".join(map(text_of, condition.alternatives))
    field = escape_field(condition.field)
    if condition.op.is_bare:
        return condition.op.asked_of(field)
    return f"{field}{condition.op}{'|'.join(map(escape, condition.values))}"
