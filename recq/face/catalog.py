"""One catalog to ask, as a notebook, a program and the command line do: what `recq.open` returns.

    import recq

    with recq.open("images") as catalog:
        answer = catalog.similar("sofa_226.jpg", k=5, filters=["category=sofa", "price<=500"])

An embedded folder is opened for each question and let go of, also while a picture is read and embedded: a catalog that
stays open keeps no daemon from starting and meets one that has started or ended. A server's connection and the network
are kept until `close` (`recq.search.session`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

import numpy as np

from recq.duplicates.kinds import Kind
from recq.errors import TargetNotFound, UsageError
from recq.face.arguments import checked
from recq.face.question import Compared, Matching, Ranking, parameters_of
from recq.face.targets import Target, given_all, given_of, given_or_failed
from recq.progress import Progress, silent
from recq.search.session import Session
from recq.settings import Settings

if TYPE_CHECKING:
    from recq.face.findings import Comparison, Duplicates, Evaluation, Explanation, IndexEvaluation
    from recq.face.results import Answer, Answers, Facets, Fields, Item
    from recq.search.many import FailedTarget
    from recq.space import EmbeddingSpace
    from recq.transfer.transfer import Transferred

DEFAULT_KINDS = (Kind.COPY.value, Kind.CROP.value)
"""What it looks for by default. A mirrored picture is often meant to be another."""


class ImageCatalog:
    """A catalog of indexed images, which `recq.open` returns.

    Every method raises errors of `recq.errors` alone. Targets are what `similar` says; filters are those of the command
    line. It is a context manager, and may be closed by `close`; several threads may ask it.
    """

    def __init__(self, settings: Settings) -> None:
        self._session = Session(settings)

    # -- which ----------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The catalog's name."""
        return self._session.settings.catalog

    @property
    def settings(self) -> Settings:
        """The settings that it was opened with."""
        return self._session.settings

    @property
    def space(self) -> EmbeddingSpace:
        """What its vectors are: `model`, `dim`, `distance`, `fingerprint`, `label` and more."""
        with self._session.opened() as catalog:
            return catalog.space

    def __repr__(self) -> str:
        return f"<recq catalog {self.name!r}>"

    def __len__(self) -> int:
        return self.count()

    def __bool__(self) -> bool:
        """A catalog is one, whatever it holds."""
        return True

    # -- questions ------------------------------------------------------------------------------------------------

    @checked(Ranking)
    def similar(self, target: Target, **asked: Unpack[Ranking]) -> Answer:
        """The items that look most like `target`, best first, ties by path; the target itself is never among them.

        `target` is a name, path or id as on the command line (str), always the file (`pathlib.Path`), a picture
        (`PIL.Image`, its bytes, or RGB pixels, numpy uint8 (h, w, 3)), a result or an item, or a vector, numpy
        float32 (dim,). An indexed target is compared by its stored vector: no model is loaded.

        Raises TargetNotFound, AmbiguousTarget and TargetError for the target, FilterError and UsageError for the rest,
        SpaceError where this machine lacks the model, IndexError_ where the index cannot be asked.
        """
        from recq.search.search import similar

        parameters = parameters_of(Ranking, asked)
        return self._answer(similar(self._session, given_of(target), parameters))

    @checked(Ranking)
    def similar_many(
        self, targets: Iterable[Target], *, progress: Progress = silent, **asked: Unpack[Ranking]
    ) -> Answers:
        """`similar` of many targets in one batch: pictures are embedded at the same time, requests made together.

        The answers are in the order of the targets. A target that has none becomes a `FailedTarget`, and the others go
        on. `progress(what, done, of)` is called now and then. Raises what concerns all targets.
        """
        from recq.face.results import Answers

        return Answers(tuple(self.iter_similar(targets, progress=progress, **asked)), self.settings)

    @checked(Ranking)
    def iter_similar(
        self, targets: Iterable[Target], *, progress: Progress = silent, **asked: Unpack[Ranking]
    ) -> Iterator[Answer | FailedTarget]:
        """`similar_many`, each answer as soon as it is known: for more targets than answers should be held.

        Until the last is taken an embedded folder may be held, which nobody else can use then.
        """
        from recq.search.many import similar_many
        from recq.search.results import Answer

        given = [given_or_failed(each) for each in targets]
        found = similar_many(self._session, given, parameters_of(Ranking, asked), progress)
        return (self._answer(each) if isinstance(each, Answer) else each for each in found)

    @checked(Ranking)
    def recommend(
        self,
        like: Iterable[Target],
        dislike: Iterable[Target] = (),
        *,
        strategy: Literal["average", "best", "sum"] = "average",
        **asked: Unpack[Ranking],
    ) -> Answer:
        """The items nearest to what is liked and far from what is disliked; none of these is among them.

        `strategy`: near to the middle of all that is liked ("average"), to the best of them, or to each a little
        ("sum"). Raises what `similar` raises.
        """
        from recq.search.recommend import recommend

        parameters = parameters_of(Ranking, asked)
        return self._answer(recommend(self._session, given_all(like), given_all(dislike), strategy, parameters))

    @checked(Matching)
    def search(self, **asked: Unpack[Matching]) -> Answer:
        """The first `k` items that all filters hold for, ordered by path or as `sort` says; no picture is compared."""
        from recq.search.search import search

        return self._answer(search(self._session, parameters_of(Matching, asked)))

    @checked(Compared)
    def compare(self, target: Target, against: Sequence[str], **asked: Unpack[Compared]) -> Comparison:
        """`similar` in this catalog and in those `against`, such as one for each model, and what they have in common.

        A target that one of them does not know is embedded there, by its own model.
        """
        from recq.face.findings import Comparison
        from recq.face.results import shown_as
        from recq.search.compare import compare

        parameters = parameters_of(Compared, asked)
        found = compare(self._session, given_of(target), [self.name, *against], parameters)
        return shown_as(Comparison, found, settings=self.settings)

    @checked()
    def explain(self, target: Target, result: Target) -> Explanation:
        """Which regions of two pictures agree: where their similarity comes from.

        Both are read anew, so they have to be on this machine. Raises TargetError where they are not, UsageError for a
        vector.
        """
        from recq.face.findings import Explanation
        from recq.face.results import shown_as
        from recq.search.explain import explain

        return shown_as(Explanation, explain(self._session, given_of(target), given_of(result)))

    @checked()
    def show(self, target: Target) -> Item:
        """Everything known of one item, failed ones included. Raises TargetNotFound for what is not indexed."""
        from recq.face.results import Item, shown_as
        from recq.search.search import show

        return shown_as(Item, show(self._session, given_of(target)), settings=self.settings)

    # -- what there is --------------------------------------------------------------------------------------------

    @checked()
    def fields(self) -> Fields:
        """The fields that filters can ask for: type, how many items have one, its values or their range, an example."""
        from recq.face.results import Fields
        from recq.search.inventory import fields

        return Fields(fields(self._session))

    @checked()
    def facets(self, field: str, *, filters: Sequence[str] = (), limit: int = 50) -> Facets:
        """The values of a field and how many items have each, `limit` at most; ranges for numbers and dates."""
        from recq.face.results import Facets, shown_as
        from recq.search.search import facets

        if limit < 1:
            raise UsageError(f"--limit {limit} cannot be answered: ask for 1 value or more")
        found, no_items = facets(self._session, field, tuple(filters), limit)
        return shown_as(Facets, found, no_items=no_items)

    @checked()
    def count(self, *, filters: Sequence[str] = ()) -> int:
        """How many items all filters hold for; failed ones are not counted."""
        with self._session.opened() as catalog:
            return catalog.items.count(tuple(filters))

    @checked()
    def text_fields(self) -> list[str]:
        """The fields of texts, by name: those that words can be searched in (`title~leather`)."""
        from recq.search.inventory import text_fields

        return text_fields(self._session)

    # -- vectors --------------------------------------------------------------------------------------------------

    @checked()
    def vectors(self, *, filters: Sequence[str] = ()) -> tuple[list[str], np.ndarray]:
        """The ids of all items that the filters hold for and their vectors, float32 (n, dim), a row for each.

        Read a page at a time into the one array. Vectors have length 1 where the catalog compares cosines.
        """
        with self._session.opened() as catalog:
            rows = np.empty((catalog.items.count(tuple(filters)), catalog.space.dim), np.float32)
            ids: list[str] = []
            for entry in catalog.items.entries(tuple(filters)):
                if entry.vector is None:
                    continue
                if len(ids) == len(rows):  # items have come since they were counted
                    rows = np.concatenate([rows, np.empty((max(64, len(rows) // 8), rows.shape[1]), np.float32)])
                rows[len(ids)] = entry.vector
                ids.append(entry.item.id)
        return ids, rows[: len(ids)]

    @checked()
    def embed(self, image: Target) -> np.ndarray:
        """The vector of a picture in this catalog's space, float32 (dim,), as the daemon would make it.

        Of an item the stored one. Raises what `similar` raises for its target.
        """
        with self._session.prepared([given_of(image)], lambda _: None) as (catalog, (query,)):
            if not isinstance(query.example, str):
                return query.example
            stored = catalog.items.vectors([query.example]).get(query.example)
        if stored is None:
            raise TargetNotFound(f"item {query.example} has just gone")
        return stored

    # -- measuring ------------------------------------------------------------------------------------------------

    @checked()
    def evaluate(
        self,
        label: str,
        *,
        ks: Iterable[int] = (1, 5, 10),
        against: Sequence[str] = (),
        sample: int | None = None,
        seed: int = 0,
        query_filters: Sequence[str] = (),
        gallery_filters: Sequence[str] = (),
        progress: Progress = silent,
    ) -> Evaluation:
        """How often what lies nearest shares the value of the field `label`: precision, recall and mAP.

        Every item asks for all others, or `sample` of them at random; `against` are other catalogs of the same files.
        Raises UsageError, FilterError for an unknown field, TargetNotFound for an unknown catalog.
        """
        from recq.evaluate.evaluate import evaluate
        from recq.face.findings import Evaluation
        from recq.face.results import shown_as

        if sample is not None and sample < 1:
            raise UsageError(f"--sample {sample} cannot be drawn: ask for 1 or more")
        if seed < 0:
            raise UsageError(f"--seed {seed} cannot be used: give 0 or more")
        found = evaluate(
            self._session,
            label,
            ks=tuple(ks),
            against=tuple(against),
            sample=sample,
            seed=seed,
            query_filters=tuple(query_filters),
            gallery_filters=tuple(gallery_filters),
            progress=progress,
        )
        return shown_as(Evaluation, found)

    @checked()
    def evaluate_index(
        self,
        *,
        k: int = 10,
        sample: int = 100,
        seed: int = 0,
        filters: Sequence[str] = (),
        progress: Progress = silent,
    ) -> IndexEvaluation:
        """How much of the exact answer the index gives: recall at `k` without a filter and under each shape of filter.

        `sample` random items ask, under filters drawn from the catalog's own values, and under `filters` where given.
        A server with many items looks for the nearest in a graph, which may miss some; an embedded index is exact.
        Raises UsageError, FilterError.
        """
        from recq.evaluate.index_recall import evaluate_index
        from recq.face.findings import IndexEvaluation
        from recq.face.results import shown_as

        if sample < 2:
            raise UsageError(f"--sample {sample} cannot be drawn: ask for 2 or more")
        if seed < 0:
            raise UsageError(f"--seed {seed} cannot be used: give 0 or more")
        found = evaluate_index(self._session, k=k, sample=sample, seed=seed, filters=tuple(filters), progress=progress)
        return shown_as(IndexEvaluation, found)

    @checked()
    def duplicates(
        self,
        *,
        kinds: Iterable[str] = DEFAULT_KINDS,
        exact: bool = False,
        min_score: float | None = None,
        max_distance: float | None = None,
        filters: Sequence[str] = (),
        progress: Progress = silent,
    ) -> Duplicates:
        """Groups of items that are the same picture: the same bytes, a copy, a crop; with `exact` the same bytes only.

        `kinds` are "copy", "crop" and "mirror". Pictures that look alike (a cosine from `min_score` on, 0.6 when None)
        are read and compared. Nothing is deleted.
        """
        from recq.duplicates.groups import duplicates
        from recq.face.findings import Duplicates
        from recq.face.results import shown_as

        wanted = frozenset() if exact else frozenset(map(Kind, kinds))
        if isinstance(min_score, str) or isinstance(max_distance, str):
            raise UsageError("duplicates takes a number for min_score and max_distance, not 'auto'")
        found = duplicates(
            self._session,
            kinds=wanted,
            min_score=min_score,
            max_distance=max_distance,
            filters=tuple(filters),
            progress=progress,
        )
        return shown_as(Duplicates, found, settings=self.settings)

    # -- carrying -------------------------------------------------------------------------------------------------

    @checked()
    def export(
        self,
        path: str | Path,
        *,
        form: Literal["jsonl", "parquet"] | None = None,
        filters: Sequence[str] | None = None,
        progress: Progress = silent,
    ) -> Transferred:
        """Write ids, metadata, vectors and what made them into a file, which appears whole or not at all.

        The name says the `form` where it is not given. Without filters every item, failed ones included.
        `recq.import_catalog` reads it.
        """
        from recq.transfer.transfer import ArchiveFormat, export_catalog

        chosen = None if form is None else ArchiveFormat(form)
        asked = None if filters is None else list(filters)
        return export_catalog(self._session, Path(path), chosen, asked, progress)

    # -- life -----------------------------------------------------------------------------------------------------

    @contextmanager
    def held(self) -> Iterator[Self]:
        """What this thread asks in the block, it asks of one opening: quicker where many questions follow each other.

        Nobody else can use an embedded folder meanwhile, so a daemon waits for the end of the block.
        """
        with self._session.held():
            yield self

    def close(self) -> None:
        """Give back the connection and the network. A closed catalog answers no more."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self, found: Any) -> Answer:
        from recq.face.results import Answer, shown_as

        return shown_as(Answer, found, settings=self.settings)
