"""The items that are left out because they belong to the targets: the targets, copies of them, their groups. Pure.

`similar` and `recommend` leave out the same:

    the target itself                  always
    other items of its bytes           unless `keep_duplicates`
    items of its group                 where `group_by` is given, unless `keep_own_group`

A picture outside the index is no item and has no group. An item with its bytes is what its owner looks for, and a
result like any other; but an item with the bytes of a disliked picture is left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from recq.index.field_value import field_value
from recq.index.parameters import Parameters
from recq.index.ranking import Own, group_of
from recq.search.prepare import Query
from recq.search.target import IndexedTarget, PartTarget, whole_of


def own_of(parameters: Parameters, queries: Sequence[Query], disliked: Sequence[Query] = ()) -> Own:
    """What is left out for these targets, including the `disliked` ones."""
    everything = [*queries, *disliked]
    targets = [whole_of(query.target) for query in everything]
    items = [target.item for target in targets if isinstance(target, IndexedTarget)]
    groups: set[str | None] = set()
    if parameters.group_by is not None and not parameters.keep_own_group:
        groups = {group_of(field_value(item.to_payload(), parameters.group_by)) for item in items}
    digests: set[str | None] = set()
    if not parameters.keep_duplicates:
        digests = {item.file.sha256 for item in items}
        digests |= {hashlib.sha256(query.content).hexdigest() for query in disliked if query.content is not None}
    return Own(_known(groups), _known(digests), _parts(everything))


def _parts(queries: Sequence[Query]) -> frozenset[str]:
    """The items that a region of is asked with: an engine leaves out only what it is asked with by its id."""
    wholes = [query.target.whole for query in queries if isinstance(query.target, PartTarget)]
    return frozenset(whole.item.id for whole in wholes if isinstance(whole, IndexedTarget))


def _known(some: Iterable[str | None]) -> frozenset[str]:
    return frozenset(each for each in some if each is not None)
