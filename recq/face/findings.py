"""The answers of longer work: comparisons, explanations, evaluations and groups of duplicates.

They are apart from `recq.face.results` because those need no module that reads pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recq.display.evaluation_table import evaluation_tables
from recq.display.index_table import index_table
from recq.display.judged_table import judged_table
from recq.display.label_table import label_table
from recq.display.table import TextTable, comparison_table, duplicates_table
from recq.duplicates import groups
from recq.evaluate import index_results, judged_results
from recq.evaluate import results as evaluation
from recq.face.arguments import checked
from recq.face.results import Pictured, Shown, record_of
from recq.learn import label_findings
from recq.paths import printable
from recq.search import compare, explain
from recq.search.results import score_text

if TYPE_CHECKING:
    from recq.learn.patch import LabelPatch
    from recq.settings import Settings


@dataclass(frozen=True, repr=False, eq=False)
class Comparison(Pictured, compare.Comparison):
    """The answers of several catalogs to one question: `columns`, each with `catalog` (its name) and `answer`.

    `overlap()` counts the results that all catalogs have in common, `overlap(0, 1)` those of the first two.
    """

    settings: Settings | None = field(default=None, repr=False, kw_only=True)

    def _tables(self) -> Sequence[TextTable]:
        return [comparison_table(self)]

    def _remarks(self) -> Sequence[str]:
        same = self.overlap()
        counted = [f"{same.told} results are the same in all catalogs"] if same.of else []
        return [*map(printable, self.notes), *counted]

    def _records(self) -> list[dict[str, Any]]:
        return [
            {"catalog": column.catalog, **record_of(result, None)}
            for column in self.columns
            for result in column.answer.results
        ]


@dataclass(frozen=True, repr=False, eq=False)
class Explanation(explain.Explanation):
    """Which regions make two pictures similar: `score`, and the two pictures as `target` and `result`.

    `target.added` and `result.added`, float32 (h, w), have for each cell of the feature map what it adds to the cosine:
    their sum is the cosine. A notebook shows both pictures with the regions in colour.
    """

    @checked()
    def save(self, path: str | Path) -> None:
        """Write both pictures with their regions in colour into a PNG file. Raises UsageError where that fails."""
        from recq.display.explanation import write_picture

        write_picture(self, Path(path))

    def __str__(self) -> str:
        return "\n".join([score_text(self.score, self.share), *map(printable, self.notes)])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        from recq.display.explanation import draw
        from recq.display.notebook import picture_html

        return picture_html(draw(self), str(self))


@dataclass(frozen=True, repr=False, eq=False)
class Evaluation(Shown, evaluation.Evaluation):
    """How often the nearest items have the same label: `measures` (`map`, `precision`, `recall`) with their `interval`,
    `per_class`, `confusion`, and for each catalog in `against` the same and the difference. docs/quality.md defines
    every number."""

    def to_json(self) -> dict[str, Any]:
        """The document that `recq evaluate --format json` prints."""
        return evaluation.evaluation_json(self)

    def _tables(self) -> Sequence[TextTable]:
        return evaluation_tables(self)

    def _records(self) -> list[dict[str, Any]]:
        """One for each catalog."""
        document = self.to_json()
        return [
            {
                "catalog": each["catalog"],
                "model": each["space"]["model"],
                "map": each["map"],
                "map_low": each["interval"]["map"][0],
                "map_high": each["interval"]["map"][1],
                **{f"{what}@{k}": value for what in ("precision", "recall") for k, value in each[what].items()},
            }
            for each in (document, *document["against"])
        ]


@dataclass(frozen=True, repr=False, eq=False)
class JudgedEvaluation(Shown, judged_results.JudgedEvaluation):
    """How near the answers are to what people judged: the `first` catalog and those `against` it, each with the nDCG
    of the judged items' `order` and of the first k of all `at`, with their intervals; `not_used` counts judgements.
    docs/quality.md defines every number."""

    def to_json(self) -> dict[str, Any]:
        """The document that `recq evaluate --judgements --format json` prints."""
        return judged_results.judged_json(self)

    def _tables(self) -> Sequence[TextTable]:
        return [judged_table(self)]

    def _remarks(self) -> Sequence[str]:
        return self.remarks

    def _records(self) -> list[dict[str, Any]]:
        """One for each catalog."""
        return [
            {
                "catalog": each.catalog,
                "model": each.space.model,
                "queries": self.queries,
                "ndcg": None if each.order is None else each.order.mean,
                **{f"ndcg@{k}": gained.mean for k, gained in each.at.items()},
            }
            for each in (self.first, *self.against)
        ]


@dataclass(frozen=True, repr=False, eq=False)
class IndexEvaluation(Shown, index_results.IndexEvaluation):
    """How much of the exact answer the index gives: `overall`, and for each of `shapes` a `recalled` with `recall`, its
    interval `low` to `high`, the `worst` query and how many were `perfect`. docs/quality.md defines every number."""

    def to_json(self) -> dict[str, Any]:
        """The document that `recq evaluate --index --format json` prints."""
        return index_results.index_evaluation_json(self)

    def _tables(self) -> Sequence[TextTable]:
        return [index_table(self)]

    def _remarks(self) -> Sequence[str]:
        return [self.verdict]

    def _records(self) -> list[dict[str, Any]]:
        """One for each shape and band of selectivity."""
        names = ("shape", "filters", "example", "queries", "recall", "worst", "perfect", "ms", "exact_ms")
        return [
            {
                **{name: each[name] for name in names},
                **dict(zip(("share_low", "share_high"), each["share"], strict=True)),
                **dict(zip(("recall_low", "recall_high"), each["interval"], strict=True)),
            }
            for each in self.to_json()["shapes"]
        ]


@dataclass(frozen=True, repr=False, eq=False)
class Duplicates(Pictured, groups.Duplicates):
    """Groups of items that are the same picture, largest first.

    A group has `results`, the first of which is the one to keep, `why` with the reason for that choice, and `kinds`
    with the kind of each result.
    """

    settings: Settings | None = field(default=None, repr=False, kw_only=True)

    def __len__(self) -> int:
        return len(self.groups)

    def __iter__(self) -> Iterator[groups.Group]:
        return iter(self.groups)

    def _tables(self) -> Sequence[TextTable]:
        return [duplicates_table(self)]

    def _remarks(self) -> Sequence[str]:
        if self.no_items is not None:
            return [self.no_items.text]
        return [] if self.groups else [f"no duplicates among {self.items:,} items"]

    def _repr_html_(self) -> str:
        return super()._repr_html_() if self.groups else Shown._repr_html_(self)

    def _records(self) -> list[dict[str, Any]]:
        return [
            {"group": number, **{name: member[name] for name in ("kind", "pixels", "bytes")}, **record_of(result, None)}
            for number, group in enumerate(self.groups, start=1)
            for result, member in zip(group.results, group.to_json()["results"], strict=True)
        ]


@dataclass(frozen=True, repr=False, eq=False)
class LabelFindings(Pictured, label_findings.LabelFindings):
    """What an audit or a suggestion says of the labels in a `field`: `findings`, the first of `total`.

    A finding has the item as `result`, its labels `now`, those to be `removed` and `added`, and the `certainty` of
    that, 0 to 1; it is `unknown` where nothing that has a label is like the item. `items` were looked at; of `unjudged`
    ones nothing could be said.
    """

    settings: Settings | None = field(default=None, repr=False, kw_only=True)

    def __len__(self) -> int:
        return len(self.findings)

    def __iter__(self) -> Iterator[label_findings.LabelFinding]:
        return iter(self.findings)

    @checked()
    def write_patch(self, path: str | Path) -> LabelPatch:
        """Write the findings as a patch: a table to look at, to edit and to put into the source's root.

        There it takes effect as `metadata.NAME.csv`. Returns its `source`, the number of `rows`, and the files that
        were `left_out`, since no table can hold their values. Raises UsageError where there is nothing to write, where
        the findings are of several sources, and for a path that cannot be written.
        """
        from recq.learn.patch import write_patch

        return write_patch(self, Path(path))

    def _tables(self) -> Sequence[TextTable]:
        return [label_table(self)]

    def _remarks(self) -> Sequence[str]:
        return [self.told]

    def _repr_html_(self) -> str:
        return super()._repr_html_() if self.findings else Shown._repr_html_(self)

    def _records(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.to_json()["findings"]
        return rows
