"""The tags that people collect: kept with the catalog, taken back, made into patches, placed. For one service.

They are kept in the index, beside the decisions about duplicates, not in the browser or in the address: so no reload,
no other browser and no restart loses them, two people collect into one patch, and a rebuild takes them along.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TypeVar

from recq.api.service import Served, Service
from recq.errors import TargetNotFound, UsageError
from recq.evaluate.evaluate import labels_of
from recq.index.catalog import Catalog
from recq.index.grammar import Condition
from recq.index.operators import Op
from recq.index.taggings import How, Tagging
from recq.learn.patch import LabelPatch
from recq.page.collected import MOST_COLLECTED, MOST_ITEMS, Collected, by_item, collected, field_of, values_of
from recq.page.placing import place
from recq.paths import printable

T = TypeVar("T")

_LOOKED_AT = 50  # items with a field that tell whether it holds lists


@dataclass(frozen=True)
class Tag:
    """What somebody typed: `typed` values, `|` between those of a list, for the items (ids)."""

    how: How
    typed: str
    items: tuple[str, ...]


@dataclass
class Tags:
    """Collects tags."""

    service: Service

    def all(self, catalog: str | None) -> list[Tagging]:
        """Every tagging that is collected, the latest last."""
        return self._ask(catalog, lambda index: index.taggings.all())

    def give(self, catalog: str | None, field: str, tags: Sequence[Tag]) -> None:
        """Collect tags of a field, which are taken back together. Raises UsageError where one cannot be given."""
        at = datetime.now(UTC).isoformat(timespec="microseconds")

        def ask(index: Catalog) -> None:
            types = index.fields.types()
            name = field_of(field, types)
            if sum(len(each.items) for each in tags) > MOST_ITEMS:
                raise UsageError(f"{MOST_ITEMS:,} pictures at a time are the most that can be tagged")
            there = index.lookups.get_many([item for each in tags for item in each.items])
            made: dict[tuple[How, tuple[str, ...]], list[str]] = {}
            for each in tags:
                values = values_of(each.typed, name, types)
                if not values and each.how in (How.IS, How.ALSO):
                    raise UsageError(f"give a value of {printable(name)}, or choose to take it away")
                for item in dict.fromkeys(each.items):
                    if item in there:
                        found = labels_of(there[item], name) if each.how is How.RIGHT else values
                        made.setdefault((each.how, found), []).append(item)
            taggings = [Tagging(name, how, values, tuple(items), at) for (how, values), items in made.items()]
            before = sum(len(each.items) for each in index.taggings.all())
            if before + sum(len(each.items) for each in taggings) > MOST_COLLECTED:
                raise UsageError(f"{before:,} tags are collected: make a patch of them first, and forget them")
            index.taggings.take(taggings)

        self._ask(catalog, ask)

    def undo(self, catalog: str | None) -> None:
        """Take back what was given last, if anything was."""

        def ask(index: Catalog) -> None:
            taggings = index.taggings.all()
            index.taggings.forget(*(each.key for each in taggings if each.at == taggings[-1].at))

        self._ask(catalog, ask)

    def standing(self, catalog: str | None, taggings: Sequence[Tagging]) -> Collected:
        """What the taggings amount to now."""
        return self._ask(catalog, lambda index: _collected(index, taggings))

    def patch(self, catalog: str | None, source: str) -> LabelPatch:
        """The patch of a source. Raises TargetNotFound where nothing is collected about it."""
        return self._patch(catalog, source)[0]

    def place(self, catalog: str | None, source: str, name: str) -> str:
        """Put the patch of a source into its root, and forget what is in it. In words what was done.

        Raises UsageError where the service may not, and where it cannot.
        """
        if not self.service.settings.place_patches:
            raise UsageError("patches are only downloaded here: the setting place_patches has them placed")
        patch, taggings = self._patch(catalog, source)
        root = self._ask(catalog, lambda index: index.sources.get(source).root_here())
        if root is None:
            raise UsageError(f"the folder of {printable(source)} is on another machine: download the patch instead")
        later = place(root, name, patch.data)
        self._forget(catalog, taggings, patch.source)
        told = f"metadata.{name}.csv is in the folder of {printable(source)}, with {patch.rows:,} rows"
        if patch.left_out:
            told += f"; {len(patch.left_out):,} files are left out, since no table can name them or their values"
        return told + (f". Where they say something else, {', '.join(later)} win" if later else "")

    def forget(self, catalog: str | None, source: str) -> None:
        """Forget the tags of a source's pictures, which are in a file now, and of those that have gone."""
        self._forget(catalog, self.all(catalog), source)

    def _patch(self, catalog: str | None, source: str) -> tuple[LabelPatch, list[Tagging]]:
        taggings = self.all(catalog)
        found = next((each for each in self.standing(catalog, taggings).patches if each.source == source), None)
        if found is None:
            raise TargetNotFound(f"no tags are collected for the source {source!r}")
        return found, taggings

    def _forget(self, catalog: str | None, taggings: Sequence[Tagging], source: str) -> None:
        """Those that have come meanwhile stay."""

        def ask(index: Catalog) -> None:
            changing = [each for each in taggings if each.how is not How.RIGHT]
            tagged = [item for each in changing for item in each.items]
            there = index.lookups.get_many(list(dict.fromkeys(tagged)))
            done = {each for each in tagged if each not in there or there[each].file.source == source}
            left = [each.without(done) for each in changing]
            index.taggings.take(each for each in left if each.items)
            index.taggings.forget(*(each.key for each in left if not each.items))

        self._ask(catalog, ask)

    def _ask(self, catalog: str | None, ask: Callable[[Catalog], T]) -> T:
        def asked(at: Served) -> T:
            with at.session.opened() as index:
                return ask(index)

        return self.service.ask(catalog, asked)


def _collected(index: Catalog, taggings: Sequence[Tagging]) -> Collected:
    tagged = by_item(taggings)
    items = index.lookups.get_many(list(tagged))
    named = {name for fields in tagged.values() for name in fields}
    known = index.fields.types()
    lists = {name for name in named if name in known and _holds_lists(index, name)}
    lists |= {name for item in items.values() for name in named if isinstance(item.metadata.get(name), list)}
    return collected(taggings, items, frozenset(lists))


def _holds_lists(index: Catalog, field: str) -> bool:
    rows = islice(index.items.rows([Condition(field, Op.EXISTS)], [field]), _LOOKED_AT)
    return any(isinstance(each.metadata.get(field), list) for each in rows)
