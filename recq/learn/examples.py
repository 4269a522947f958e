"""What is learned from: the catalogue's vectors with their labels, and which of them belong together.

Copies, near-duplicates and views of one product are one group: a group is never parted between what is learned from
and what is measured on, since a model recognises what it has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from recq.commands import command
from recq.errors import UsageError
from recq.evaluate.evaluate import labels_of
from recq.index.field_value import field_value
from recq.index.filters import known_name, require_field
from recq.index.grammar import Condition, Where
from recq.index.operators import Op
from recq.index.ranking import group_of
from recq.learn.labels import LabelRules
from recq.learn.neighbours import near_pairs
from recq.models.trained import PREFIX as TRAINED
from recq.progress import Progress, silent

if TYPE_CHECKING:
    from recq.index.catalog import Catalog
    from recq.space import EmbeddingSpace

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

NEAR_DUPLICATE = 0.95
"""The cosine from which two pictures count as views of one thing, whatever their names are.

No two of the 1,192 clothing photographs, all of different things, are so near; from 0.90 on five of them are."""

_MANY = 100_000  # pairs that are not joined one by one
_PAGE = 100
_DIGITS = 8  # of an id, hexadecimal, that decide whether it is among the smallest


@dataclass(frozen=True, eq=False)
class Examples:
    """Items in the order of their ids: `vectors` float32 (n, dim) of length 1, `labels` and `groups` of each.

    `several`: items may have more than one label.
    """

    ids: tuple[str, ...]
    vectors: Floats
    labels: tuple[tuple[str, ...], ...]
    groups: Rows
    several: bool

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def classes(self) -> tuple[str, ...]:
        """All labels, sorted."""
        return tuple(sorted({label for each in self.labels for label in each}))

    def at(self, rows: Rows) -> Examples:
        """Those rows alone."""
        numbers = rows.tolist()
        return Examples(
            tuple(self.ids[n] for n in numbers),
            self.vectors[rows],
            tuple(self.labels[n] for n in numbers),
            self.groups[rows],
            self.several,
        )

    def numbers(self) -> Rows:
        """int64 (n,): the number of each item's class, for items with one label each."""
        number = {name: n for n, name in enumerate(self.classes)}
        return np.array([number[each[0]] for each in self.labels], np.int64)

    def indicators(self, classes: Sequence[str] | None = None) -> npt.NDArray[np.bool_]:
        """bool (n, classes): which of these labels, all of them for None, each item has."""
        number = {name: n for n, name in enumerate(self.classes if classes is None else classes)}
        found = np.zeros((len(self), len(number)), bool)
        for row, each in enumerate(self.labels):
            found[row, [number[label] for label in each if label in number]] = True
        return found


def read_examples(
    catalog: Catalog,
    label: str,
    rules: LabelRules,
    *,
    filters: Sequence[str] = (),
    group_by: str | None = None,
    progress: Progress = silent,
) -> Examples:
    """The embedded items that match the filters and have a label.

    Raises UsageError where nothing can be learned, FilterError for an unknown field.
    """
    types = catalog.fields.types()
    for field in (label, group_by):
        if field is not None:
            require_field(field, types)
    label, group_by = known_name(label, types), None if group_by is None else known_name(group_by, types)
    total = catalog.items.count(list(filters))
    vectors = np.empty((total, catalog.space.dim), np.float32)
    ids: list[str] = []
    labels: list[tuple[str, ...]] = []
    keys: list[tuple[str | None, str | None]] = []
    for n, entry in enumerate(catalog.items.entries(list(filters))):
        if n % _PAGE == 0:
            progress("reading vectors", n, total)
        found = rules.labels_of(labels_of(entry.item, label))
        if entry.vector is None or not found or len(ids) == total:
            continue
        vectors[len(ids)] = entry.vector
        ids.append(entry.item.id)
        labels.append(found)
        same = None if group_by is None else group_of(field_value(entry.item.to_payload(), group_by))
        keys.append((entry.item.file.sha256, same))
    if not ids:
        raise UsageError(f"no embedded item has a {label}: there is nothing to learn from")
    usable = rules.usable(labels, label)
    kept = [n for n, each in enumerate(usable) if each]
    order = np.array(sorted(kept, key=ids.__getitem__), np.int64)
    rows = vectors[order]
    numbers = order.tolist()
    return Examples(
        tuple(ids[n] for n in numbers),
        rows,
        tuple(usable[n] for n in numbers),
        groups_of([keys[n] for n in numbers]),
        any(len(usable[n]) > 1 for n in numbers),
    )


def read_unlabelled(
    catalog: Catalog, label: str, *, filters: Sequence[str] = (), most: int, progress: Progress = silent
) -> tuple[tuple[str, ...], Floats]:
    """The embedded items that match the filters and have no value at all in that field: ids, and vectors (n, dim).

    Of more than `most` about so many, always the same: ids are hashes, so that the smallest are a random choice.
    """
    wanted: list[Where] = [*filters, Condition(known_name(label, catalog.fields.types()), Op.MISSING)]
    total = catalog.items.count(wanted)
    limit = 1.0 if total <= most else most / total
    found: list[tuple[str, Floats]] = []
    for n, entry in enumerate(catalog.items.entries(wanted)):
        if n % _PAGE == 0:
            progress("reading vectors", n, total)
        if entry.vector is not None and int(entry.item.id[:_DIGITS], 16) < limit * 16**_DIGITS:
            found.append((entry.item.id, entry.vector))
    found.sort(key=lambda each: each[0])
    vectors = np.array([vector for _, vector in found], np.float32).reshape(len(found), catalog.space.dim)
    return tuple(item_id for item_id, _ in found), vectors


def require_own_vectors(catalog: Catalog) -> None:
    """Raise UsageError for a catalog whose vectors know the labels already, or do not compare by cosines."""
    space = catalog.space
    if space.trained_on is not None:
        raise UsageError(
            f"catalog {catalog.name!r} is in a space that was trained on {space.trained_on}, and labels are learned "
            "from the network's own vectors: go back to them with "
            f"{command('recq-ingest', 'rollback', catalog=catalog.name)} or "
            f"{command('recq-ingest', 'rebuild', '--model', space.model, catalog=catalog.name)}"
        )
    if not space.higher_is_better:
        raise UsageError(f"{space.label} compares distances: labels are learned from vectors that compare cosines")


class _Groups:
    """Disjoint sets of rows, joined two by two."""

    def __init__(self, count: int) -> None:
        self._parents = list(range(count))

    def root(self, row: int) -> int:
        parents = self._parents
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = parents[row]
        return row

    def join(self, one: int, other: int) -> None:
        self._parents[self.root(one)] = self.root(other)

    def numbers(self) -> Rows:
        roots = [self.root(row) for row in range(len(self._parents))]
        return np.unique(roots, return_inverse=True)[1].astype(np.int64)


def groups_of(keys: Sequence[Sequence[str | None]]) -> Rows:
    """int64 (n,): items have one number where they share one of their keys, each at its place; None is none."""
    groups = _Groups(len(keys))
    first: dict[tuple[int, str], int] = {}
    for row, each in enumerate(keys):
        for place, key in enumerate(each):
            if key is not None:
                groups.join(row, first.setdefault((place, key), row))
    return groups.numbers()


def with_views(examples: Examples, space: EmbeddingSpace, progress: Progress = silent) -> Examples:
    """The same, in groups with near-duplicates where the vectors of `space` can tell them.

    Those of what was trained on labels cannot: different things of one label lie as near to each other.
    """
    told = space.model.startswith(TRAINED) or space.trained_on is not None
    return examples if told else with_near_duplicates(examples, progress)


def with_near_duplicates(examples: Examples, progress: Progress = silent, near: float = NEAR_DUPLICATE) -> Examples:
    """The same, in groups with what has a cosine of `near` or more, and what is near to that."""
    groups = _Groups(len(examples))
    first: dict[int, int] = {}
    for row, number in enumerate(examples.groups.tolist()):
        groups.join(row, first.setdefault(number, row))
    for one, other in near_pairs(examples.vectors, near, progress):
        if len(one) > _MANY:  # most of them are of one group already
            numbers = groups.numbers()
            apart = numbers[one] != numbers[other]
            one, other = one[apart], other[apart]
        for pair in zip(one.tolist(), other.tolist(), strict=True):
            groups.join(*pair)
    return replace(examples, groups=groups.numbers())
