"""The records of an answer, frozen, and their JSON, which docs/query.md documents.

This is the last step before rendering; nothing here prints. A `path` is absolute, in the text form of `recq.paths`;
`location` is the same path as the operating system writes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recq import paths
from recq.index import predicted
from recq.index.field_value import field_value

if TYPE_CHECKING:
    from recq.index.facets import Facets
    from recq.index.schema import Item
    from recq.index.similarity import Metric, Strategy
    from recq.region import Region
    from recq.search.no_results import NoResults
    from recq.space import EmbeddingSpace

SCORE_DIGITS = 6
"""Decimals of a score in JSON and CSV: as many as engines agree on for float32 cosines."""

_INTERNAL = frozenset({"metadata_digest", "ctime_ns", "decoder", "problems"})
"""recq's internal members of `file`; `recq-ingest problems` lists the last."""


@dataclass(frozen=True)
class Result:
    """One item of an answer. `score` is None where nothing was compared, `location` where no folder is on record.

    `payload` has the user's metadata at the top level, the facts of the file under `file`, and predictions under
    `predicted`. `copies` counts the
    items with the same bytes that the row stands for, itself included. `share`, 0 to 1, is the share of the catalog's
    random pairs that are less alike than the two. `catalog` is the catalog that answered, by name.
    """

    rank: int
    score: float | None
    id: str
    source: str
    name: str
    within: str
    location: Path | None
    payload: Mapping[str, Any]
    copies: int = 1
    share: float | None = None
    catalog: str | None = None

    @property
    def path(self) -> str | None:
        """The absolute path as text; None where no folder of its source is on record."""
        return None if self.location is None else paths.to_text(str(self.location))[0]

    @property
    def metadata(self) -> dict[str, Any]:
        """The user's metadata."""
        return {name: value for name, value in self.payload.items() if name not in ("file", predicted.KEY)}

    @property
    def predicted(self) -> dict[str, Any]:
        """The predictions, by field: each with its `label` and `confidence`, or `unknown`."""
        return dict(self.payload.get(predicted.KEY, {}))

    @property
    def predicted_fields(self) -> list[str]:
        """The predictions that the item has, as filters name them."""
        return predicted_names(self.payload)

    def value(self, field: str) -> Any:
        """The value of a field of the metadata, of `file.*` or of `predicted.*`; None where the item has none."""
        return field_value(self.payload, field)

    def to_json(self) -> dict[str, Any]:
        """One element of `results`, one line of jsonl."""
        return {
            "rank": self.rank,
            "score": None if self.score is None else round(self.score, SCORE_DIGITS),
            "percentile": percentile(self.share),
            "id": self.id,
            "source": self.source,
            "path": self.path,
            "name": self.name,
            "copies": self.copies,
            "payload": dict(self.payload),
        }


@dataclass(frozen=True)
class Asked:
    """What was compared with: `text` is the target as typed.

    `id` and `source` are None for a picture outside the index, `location` for standard input. `content` holds the
    bytes of a picture that was read for the query. `region` is the part of the picture that was meant, None for all.
    """

    text: str
    name: str
    id: str | None = None
    source: str | None = None
    location: Path | None = None
    content: bytes | None = None
    region: Region | None = None

    def to_json(self) -> dict[str, Any]:
        """The value of `target`."""
        return {
            "text": paths.to_text(self.text)[0],
            "id": self.id,
            "source": self.source,
            "path": None if self.location is None else paths.to_text(str(self.location))[0],
            "name": self.name,
            "region": None if self.region is None else str(self.region),
        }


@dataclass(frozen=True)
class Examples:
    """The targets of `recommend`, and the strategy."""

    liked: tuple[Asked, ...]
    disliked: tuple[Asked, ...]
    strategy: Strategy

    def to_json(self) -> dict[str, Any]:
        """The value of `examples`."""
        return {
            "like": [each.to_json() for each in self.liked],
            "dislike": [each.to_json() for each in self.disliked],
            "strategy": str(self.strategy),
        }


@dataclass(frozen=True)
class Trained:
    """The trained space that an answer is in: its `name`, the `label` that it was learned of, and the fingerprint of
    the catalog's own space, whose nearest were put into its order."""

    name: str
    label: str
    from_: str

    def to_json(self) -> dict[str, Any]:
        """The value of `space.trained`."""
        return {"name": self.name, "label": self.label, "from": self.from_}


@dataclass(frozen=True)
class Answer:
    """The answer of `similar`, `recommend` and `search`.

    `metric` is the kind of the scores, None where nothing was compared. `took_ms` is the time in the library; `filters`
    are filters and groups as typed; `named` are the fields that the question names, `fields` those to be shown, all
    when None; `notes` are for standard error. `no_results` explains an answer without results. `space` is that of the
    scores: the catalog's own, or where `trained` names it another one, which nothing is stored in.
    """

    space: EmbeddingSpace
    results: tuple[Result, ...]
    took_ms: float
    target: Asked | None = None
    filters: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    metric: Metric | None = None
    examples: Examples | None = None
    named: tuple[str, ...] = ()
    fields: tuple[str, ...] | None = None
    no_results: NoResults | None = None
    trained: Trained | None = None

    def to_json(self) -> dict[str, Any]:
        """The document that `--format json` prints."""
        return {
            "target": None if self.target is None else self.target.to_json(),
            **({} if self.examples is None else {"examples": self.examples.to_json()}),
            "space": self.space.summary() | ({} if self.trained is None else {"trained": self.trained.to_json()}),
            "metric": None if self.metric is None else self.metric.name,
            "higher_is_better": None if self.metric is None else self.metric.higher_is_better,
            "results": [result.to_json() for result in self.results],
            **({} if self.no_results is None else {"no_results": self.no_results.to_json()}),
            "took_ms": round(self.took_ms, 1),
        }


@dataclass(frozen=True)
class ItemDetails:
    """Everything about one item of the catalog named `catalog`; `error` tells why it has no vector."""

    item: Item
    location: Path | None
    catalog: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The document that `recq show --format json` prints."""
        error = self.item.error
        return {
            "id": self.item.id,
            "source": self.item.file.source,
            "path": None if self.location is None else paths.to_text(str(self.location))[0],
            "name": self.item.file.name,
            "payload": payload_of(self.item),
            "error": None if error is None else {**asdict(error), "reason": str(error.reason)},
        }


def score_text(score: float, share: float | None) -> str:
    """A score for people, with the share of random pairs that are less alike, 0 to 1, where that is known.

    The share is rounded down, so that nothing seems closer than it is.
    """
    return f"{score:.2f}" if share is None else f"{score:.2f} · {scale_text(share)}"


def scale_text(share: float) -> str:
    """What a score means in this catalog, in words."""
    return "closer than all pairs" if share >= 1 else f"closer than {percent_text(share)} of pairs"


def percent_text(share: float) -> str:
    """A share of pairs, 0 to 1: one decimal of the per cent, two above 99.9 %, rounded down."""
    if share >= 1:
        return "100 %"
    per_cent = 100 * share + 1e-9  # 99.7 that became 99.69999 stays 99.7
    digits = 2 if per_cent >= 99.9 else 1
    return f"{math.floor(per_cent * 10**digits) / 10**digits:.{digits}f} %"


def percentile(share: float | None) -> float | None:
    """The value of `percentile`: the share of random pairs that are less alike, in per cent."""
    return None if share is None else round(100 * share, 2)


def facets_json(facets: Facets) -> dict[str, Any]:
    """The document that `recq facets --format json` prints."""
    rows = [
        {"value": value, "count": count, "filter": filter_}
        for (value, count), filter_ in zip(facets.rows, facets.filters, strict=True)
    ]
    return {"field": facets.field, "type": str(facets.type), "total": facets.total, "values": rows}


def predicted_names(payload: Mapping[str, Any]) -> list[str]:
    """The predictions in a payload, as filters name them: the label, and how sure it is or that it is unknown."""
    return [
        predicted.name_of(predicted.Part(field, member))
        for field, found in payload.get(predicted.KEY, {}).items()
        for member in (predicted.LABEL, *predicted.SHOWN)
        if member in found
    ]


def payload_of(item: Item) -> dict[str, Any]:
    """The user's metadata, `file`, and what was predicted."""
    payload = item.to_payload()
    payload.pop("error", None)
    payload["file"] = {name: value for name, value in payload["file"].items() if name not in _INTERNAL}
    return payload


def result_of(
    rank: int,
    item: Item,
    score: float | None,
    location: Path | None,
    *,
    share: float | None = None,
    copies: int = 1,
    fields: Sequence[str] | None = None,
    catalog: str | None = None,
) -> Result:
    """An item as a result, with only the metadata `fields` where they are given."""
    facts = item.file
    payload = payload_of(item)
    if fields is not None:
        parts = {part.field for name in fields if (part := predicted.part_of(name)) is not None}
        kept = {name: value for name, value in payload.get(predicted.KEY, {}).items() if name in parts}
        payload = {name: value for name, value in payload.items() if name == "file" or name in fields}
        payload |= {predicted.KEY: kept} if kept else {}
    return Result(rank, score, item.id, facts.source, facts.name, facts.path, location, payload, copies, share, catalog)
