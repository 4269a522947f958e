"""The class that `recq.open` returns: one catalog, for notebooks, programs and the command line.

    import recq

    with recq.open("images") as catalog:
        answer = catalog.similar("sofa_226.jpg", k=5, filters=["category=sofa", "price<=500"])

An embedded data folder is opened for each question and released after it, also while a picture is read and embedded.
So an open catalog does not keep a daemon from starting, and works on when one has started or ended. The connection to a
server and the network are kept until `close` (`recq.search.session`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

import numpy as np
import numpy.typing as npt

from recq.closing import ClosedAtEnd
from recq.duplicates.kinds import Kind
from recq.errors import TargetNotFound, UsageError
from recq.face.arguments import checked
from recq.face.question import Compared, Matching, Ranking, parameters_of
from recq.face.targets import Target, given_all, given_of, given_or_failed
from recq.progress import Progress, silent
from recq.search.session import Session
from recq.settings import Settings

if TYPE_CHECKING:
    from recq.evaluate.judgements import Judgement
    from recq.face.findings import (
        Comparison,
        Duplicates,
        Evaluation,
        Explanation,
        IndexEvaluation,
        JudgedEvaluation,
        LabelFindings,
    )
    from recq.face.results import Answer, Answers, Facets, Fields, Item
    from recq.index.changes import Changes
    from recq.learn.label_findings import Question
    from recq.learn.labels import LabelRules
    from recq.learn.prediction import Prediction
    from recq.search.many import FailedTarget
    from recq.site.export import ExportedSite
    from recq.space import EmbeddingSpace
    from recq.transfer.transfer import Transferred

DEFAULT_KINDS = (Kind.COPY.value, Kind.CROP.value)
"""What `duplicates` looks for by default. A mirrored picture is often meant to be a different one."""


class ImageCatalog(ClosedAtEnd):
    """A catalog of indexed images, which `recq.open` returns.

    Every method raises only errors of `recq.errors`. `similar` lists what can be a target; filters are written as on
    the command line. A catalog is a context manager; `close` closes it as well. Several threads may use it: those that
    ask an embedded index take turns.
    """

    def __init__(self, settings: Settings, *, session: Session | None = None) -> None:
        """`session` is that of a service, which it shares with others."""
        self._session = session if session is not None else Session(settings)

    # -- which ----------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The catalog's name."""
        return self._session.settings.catalog

    @property
    def settings(self) -> Settings:
        """The settings that the catalog was opened with, a `recq.Settings`."""
        return self._session.settings

    @property
    def space(self) -> EmbeddingSpace:
        """The embedding space of its vectors: `model`, `dim`, `distance`, `fingerprint`, `label` and more.

        Raises TargetNotFound where the catalog has been dropped, IndexError_ where the index does not answer.
        """
        with self._session.opened() as catalog:
            return catalog.space

    def __repr__(self) -> str:
        return f"<recq catalog {self.name!r}>"

    def __len__(self) -> int:
        return self.count()

    def __bool__(self) -> bool:
        """True, also for an empty catalog."""
        return True

    # -- questions ------------------------------------------------------------------------------------------------

    @checked(Ranking)
    def similar(self, target: Target, **asked: Unpack[Ranking]) -> Answer:
        """The items that look most like `target`, best first, ties by path. The target itself is not among them.

        `target` is one of:

        - str: a name, a path or an id, as on the command line; "-" is a picture on standard input
        - `pathlib.Path`: a picture file, also where its name is indexed as well
        - `PIL.Image`, bytes, or RGB pixels (numpy uint8 (height, width, 3)): a picture
        - a result or an item of an answer: that item
        - numpy float (dim,): a vector of the catalog's space
        - `recq.Part(target, region)`: a region of any of these pictures

        An indexed target is compared by its stored vector: no model is loaded.

        Raises TargetNotFound, AmbiguousTarget or TargetError for the target, FilterError or UsageError for another
        argument, SpaceError where this machine lacks the model, IndexError_ where the index does not answer.
        """
        from recq.search.search import similar

        parameters = parameters_of(Ranking, asked)
        return self._answer(similar(self._session, given_of(target), parameters))

    @checked(Ranking)
    def similar_many(
        self, targets: Iterable[Target], *, progress: Progress = silent, **asked: Unpack[Ranking]
    ) -> Answers:
        """`similar` for many targets in one batch: pictures are embedded together, and requests are made together.

        The answers are in the order of the targets. A target that cannot be answered, whatever the reason, becomes a
        `FailedTarget`; the others are answered. `progress(what, done, of)` is called from time to time with a text and
        two counts. Raises only what concerns all targets: FilterError and UsageError for the other arguments,
        SpaceError and IndexError_.
        """
        from recq.face.results import Answers

        return Answers(tuple(self.iter_similar(targets, progress=progress, **asked)), self.settings)

    @checked(Ranking)
    def iter_similar(
        self, targets: Iterable[Target], *, progress: Progress = silent, **asked: Unpack[Ranking]
    ) -> Iterator[Answer | FailedTarget]:
        """`similar_many` as an iterator: each answer as soon as it is known, for more answers than fit into memory.

        An embedded data folder may stay in use until the last answer is taken. Raises what `similar_many` raises.
        """
        from recq.search.many import similar_many
        from recq.search.results import Answer

        given = given_or_failed(targets, "targets")
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
        """The items that are near to the targets in `like` and far from those in `dislike`, none of which is a result.

        `strategy` says how several targets become one score: "average" compares with the mean of their vectors, "best"
        with the nearest of them, "sum" with each and adds the scores. Raises what `similar` raises.
        """
        from recq.search.recommend import recommend

        parameters = parameters_of(Ranking, asked)
        return self._answer(
            recommend(self._session, given_all(like, "like"), given_all(dislike, "dislike"), strategy, parameters)
        )

    @checked(Matching)
    def search(self, **asked: Unpack[Matching]) -> Answer:
        """The first `k` items that match all filters, ordered by path, or by the field `sort`. No picture is compared.

        Raises FilterError, UsageError and IndexError_.
        """
        from recq.search.search import search

        return self._answer(search(self._session, parameters_of(Matching, asked)))

    @checked(Compared)
    def compare(self, target: Target, against: Sequence[str], **asked: Unpack[Compared]) -> Comparison:
        """`similar` in this catalog and in the catalogs `against`, and how many results they have in common.

        The catalogs usually hold the same files, embedded by different models. Each catalog compares in its own space:
        by its stored vector of the target, or by a vector that its own model makes of the file. "other@name" is a
        trained space of another catalog, "@name" one of this catalog. Raises what `similar` raises, UsageError where
        `against` names no other catalog.
        """
        from recq.catalog_names import name_with_space
        from recq.face.findings import Comparison
        from recq.face.results import shown_as
        from recq.search.compare import compare

        parameters = parameters_of(Compared, asked)
        first = name_with_space(self.name, parameters.space)
        found = compare(self._session, given_of(target), [first, *against], parameters)
        return shown_as(Comparison, found, settings=self.settings)

    @checked()
    def explain(self, target: Target, result: Target) -> Explanation:
        """Which regions of two pictures make them similar.

        Both pictures are read again, so both files must be on this machine. Raises TargetError where one is not,
        UsageError for a vector, and what `similar` raises for a target.
        """
        from recq.face.findings import Explanation
        from recq.face.results import shown_as
        from recq.search.explain import explain

        return shown_as(Explanation, explain(self._session, given_of(target), given_of(result, "result")))

    @checked()
    def predict(
        self, targets: Iterable[Target], *, space: str | None = None, top: int = 3
    ) -> list[Prediction | FailedTarget]:
        """What each target is, in the labels that a space was trained on (`recq-ingest train`), in their order.

        A prediction has the `top` most probable labels as `guesses`, calibrated, and is `unknown` where nothing that
        has a label is like the target. `space` names the trained space, which may be left out where there is one.
        Where none was trained, and for "imagenet", the labels are ImageNet's 1,000 classes, read from the picture: a
        prediction is `unknown` where the first one is not right nine times out of ten.

        A target that cannot be read becomes a `FailedTarget`. Raises TargetNotFound for an unknown space, UsageError
        where there are several, SpaceError where this machine cannot run the network.
        """
        from recq.learn.predict import predict
        from recq.search.many import FailedTarget

        given = given_or_failed(targets, "targets")
        found = predict(
            self._session, [each for each in given if not isinstance(each, FailedTarget)], space=space, top=top
        )
        return [each if isinstance(each, FailedTarget) else next(found) for each in given]

    @checked()
    def show(self, target: Target) -> Item:
        """Everything that is known about one item, also a failed one. Raises TargetNotFound where it is not indexed."""
        from recq.face.results import Item, shown_as
        from recq.search.search import show

        return shown_as(Item, show(self._session, given_of(target)), settings=self.settings)

    # -- what there is --------------------------------------------------------------------------------------------

    @checked()
    def fields(self) -> Fields:
        """The fields that filters can use: for each its type, number of items, values or range, and an example."""
        from recq.face.results import Fields
        from recq.search.inventory import fields

        return Fields(fields(self._session))

    @checked()
    def facets(self, field: str, *, filters: Sequence[str] = (), limit: int = 50) -> Facets:
        """The values of a field with the number of items of each, at most `limit`; ranges for numbers and dates.

        Raises FilterError for an unknown field, UsageError for a `limit` below 1.
        """
        from recq.face.results import Facets, shown_as
        from recq.search.search import facets

        _require_limit(limit, "value")
        found, no_items = facets(self._session, field, tuple(filters), limit)
        return shown_as(Facets, found, no_items=no_items)

    @checked()
    def count(self, *, filters: Sequence[str] = ()) -> int:
        """How many items match all filters. Failed items are not counted. Raises FilterError."""
        with self._session.opened() as catalog:
            return catalog.items.count(tuple(filters))

    @checked()
    def text_fields(self) -> list[str]:
        """The names of the text fields: those in which words can be searched (`title~leather`)."""
        from recq.search.inventory import text_fields

        return text_fields(self._session)

    @checked()
    def changes(self, since: str | None = None, *, limit: int = 100) -> Changes:
        """What was indexed, changed, went and failed since the cursor `since`, oldest first, `limit` at the most.

        Without a cursor the first changes are all items that there are; "now" gives none, and a cursor for what comes
        from now on. `cursor` of the answer is the next question's `since`; with `more` there are more changes already.
        An item that changed twice since is there once, as it is now. Raises UsageError for what is no cursor,
        CursorGone where not all is known any more that changed since: begin anew then.
        """
        from recq.index.change_log import MOST_CHANGES
        from recq.index.changes import Changes, Cursor

        _require_limit(limit, "change")
        if limit > MOST_CHANGES:
            raise UsageError(f"limit={limit}: {MOST_CHANGES:,} changes at the most are needed")
        cursor = None if since in (None, "now") else Cursor.parse(str(since))
        with self._session.opened() as catalog:
            if since == "now":
                return Changes((), catalog.changes.now())
            return catalog.changes.since(cursor or catalog.changes.start(), limit)

    # -- vectors --------------------------------------------------------------------------------------------------

    @checked()
    def vectors(self, *, filters: Sequence[str] = ()) -> tuple[list[str], npt.NDArray[np.float32]]:
        """The ids of all items that match the filters, and their vectors as float32 (n, dim), a row for each id.

        Vectors have length 1 in a catalog that compares cosines. They are read page by page into one array, of 4 * dim
        bytes an item. Failed items have no vector and are left out. Raises FilterError.
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
    def embed(self, image: Target) -> npt.NDArray[np.float32]:
        """The vector of a picture in this catalog's space, float32 (dim,), as the daemon would make it.

        For an indexed item this is its stored vector. Raises what `similar` raises for its target.
        """
        with self._session.prepared([given_of(image, "image")], lambda _: None) as (catalog, (query,)):
            if not isinstance(query.example, str):
                return query.example
            stored = catalog.items.vectors([query.example]).get(query.example)
        if stored is None:
            raise TargetNotFound(f"item {query.example} has just been deleted")
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
        """How often the nearest items have the same value of the field `label`: precision, recall and mAP.

        Every item is a query, or `sample` of them, drawn at random with `seed`. `ks` are the numbers of results that
        precision and recall are counted at. `query_filters` choose the items that are queries, `gallery_filters` those
        that may be results. `against` are other catalogs of the same files, or trained spaces: "@name" of this catalog,
        "other@name" of another. Raises UsageError, FilterError for an unknown field, TargetNotFound for an unknown
        catalog or trained space.
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
    def evaluate_judgements(
        self,
        judgements: str | Path | Iterable[str | Path | Judgement],
        *,
        ks: Iterable[int] = (1, 5, 10),
        against: Sequence[str] = (),
        seed: int = 0,
        progress: Progress = silent,
    ) -> JudgedEvaluation:
        """How near the answers are to what people judged: nDCG of the judged items, and of the first of all items.

        `judgements` is a file of JSON Lines as the page writes it, or a list of such files and of
        `recq.evaluate.judgements.Judgement`: an item is worth `gain` as an answer for a query. `ks` are the numbers of
        results that nDCG looks at among all items; `against` are other catalogs of the same files, or trained spaces,
        as for `evaluate`. `seed` is that of the intervals of differences. Raises UsageError for a file that is none,
        and where no judgement can be used, TargetNotFound for an unknown catalog or trained space, AmbiguousTarget.
        """
        from recq.evaluate.judged import evaluate_judgements
        from recq.evaluate.judgements import all_judgements
        from recq.face.findings import JudgedEvaluation
        from recq.face.results import shown_as

        if seed < 0:
            raise UsageError(f"--seed {seed} cannot be used: give 0 or more")
        given = all_judgements([judgements] if isinstance(judgements, str | Path) else judgements)
        found = evaluate_judgements(
            self._session, given, ks=tuple(ks), against=tuple(against), seed=seed, progress=progress
        )
        return shown_as(JudgedEvaluation, found)

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
        """Groups of items that are the same picture: the same bytes, a copy, a crop; with `exact` only the same bytes.

        `kinds` are of "copy" (resized, recompressed), "crop" and "mirror". Pictures whose vectors are near are read and
        compared: with a cosine of `min_score` or more (None: 0.6), or a Euclidean distance of at most `max_distance`.
        Nothing is deleted. Raises UsageError, FilterError.
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

    # -- labels ---------------------------------------------------------------------------------------------------

    @checked()
    def audit_labels(
        self,
        label: str,
        *,
        rules: LabelRules | None = None,
        filters: Sequence[str] = (),
        group_by: str | None = None,
        limit: int = 20,
        progress: Progress = silent,
    ) -> LabelFindings:
        """Likely mistakes in the field `label`, the `limit` most certain ones first.

        A label is doubted where neither a classifier that has not seen the item nor its neighbours would have given
        it. Copies, near-duplicates and items of one value of `group_by` have no say about each other. `rules` are a
        `recq.learn.labels.LabelRules`: how values become labels. Raises UsageError where nothing can be learned or
        scikit-learn is missing, FilterError.
        """
        from recq.learn.label_findings import Question

        return self._labels(Question.AUDIT, label, rules, filters, group_by, limit, progress)

    @checked()
    def suggest_labels(
        self,
        label: str,
        *,
        rules: LabelRules | None = None,
        filters: Sequence[str] = (),
        group_by: str | None = None,
        limit: int = 20,
        progress: Progress = silent,
    ) -> LabelFindings:
        """The items without a value in the field `label` that are least certain, each with its most probable label.

        At most `limit`, no two near-duplicates. The other arguments are those of `audit_labels`. Raises UsageError
        where nothing can be learned, nothing lacks a label or scikit-learn is missing, FilterError.
        """
        from recq.learn.label_findings import Question

        return self._labels(Question.SUGGEST, label, rules, filters, group_by, limit, progress)

    def _labels(
        self,
        question: Question,
        label: str,
        rules: LabelRules | None,
        filters: Sequence[str],
        group_by: str | None,
        limit: int,
        progress: Progress,
    ) -> LabelFindings:
        from recq.face.findings import LabelFindings
        from recq.face.results import shown_as
        from recq.learn.label_questions import ask

        _require_limit(limit, "item")
        found = ask(
            self._session,
            question,
            label,
            rules,
            filters=tuple(filters),
            group_by=group_by,
            limit=limit,
            progress=progress,
        )
        return shown_as(LabelFindings, found, settings=self.settings)

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
        """Write the catalog into the file `path`: ids, metadata, vectors and the embedding space.

        Without `form` the ending of the name decides: .jsonl, .ndjson, .parquet or .pq. Without filters all items are
        written, failed ones as well. The file appears whole or not at all. "-" is standard output, as JSON lines; the
        caller must not print anything there meanwhile. `recq.import_catalog` reads the file. Returns the counts `items`
        and `failed`. Raises UsageError for a path that cannot be written and for a standard output that takes no bytes,
        such as a notebook's; FilterError.
        """
        from recq.output import require_place
        from recq.transfer.transfer import STREAM, ArchiveFormat, export_catalog

        chosen = None if form is None else ArchiveFormat(form)
        asked = list(filters) if filters else None  # with filters failed items are left out
        place = Path(path)
        if place != STREAM:
            require_place(place, "the export", or_stream=True)
        return export_catalog(self._session, place, chosen, asked, progress)

    @checked()
    def export_site(
        self,
        path: str | Path,
        *,
        filters: Sequence[str] = (),
        fields: Sequence[str] | None = None,
        without: Sequence[str] = (),
        title: str | None = None,
        thumbnail: int = 320,
        progress: Progress = silent,
    ) -> ExportedSite:
        """Write the items that match the filters as a site: a folder whose page any browser opens, without a server.

        `fields` are the metadata that go out: all of it and the path within the source where it is None, nothing of
        `without`. Pictures have `thumbnail` pixels on their longer side; the files themselves are not copied. `title`
        stands above the page, else the catalog's name. A site in the folder `path` is replaced when the new one is
        whole, and its pictures are used again. Returns the number of `items`, and in `unpictured` those whose picture
        could not be read. Raises UsageError for a folder that is neither empty nor a site, and where it cannot be
        written; FilterError; TargetNotFound where no item matches.
        """
        from recq.site.export import Choice, export_site

        asked = None if fields is None else tuple(fields)
        choice = Choice(tuple(filters), asked, tuple(without), title, thumbnail)
        return export_site(self._session, Path(path), choice, progress)

    # -- life -----------------------------------------------------------------------------------------------------

    @contextmanager
    def held(self) -> Iterator[Self]:
        """Keep an embedded data folder open within a `with` block: faster for many questions of one thread.

        No other process and no other thread can use the folder during the block; a daemon that starts waits for its
        end.
        """
        with self._session.held():
            yield self

    def close(self) -> None:
        """Close the connection and free the network. Every later question raises UsageError."""
        self._session.close()

    def _answer(self, found: Any) -> Answer:
        from recq.face.results import Answer, shown_as

        return shown_as(Answer, found, settings=self.settings)


def _require_limit(limit: int, noun: str) -> None:
    """Raise UsageError for a `limit` below 1."""
    if limit < 1:
        raise UsageError(f"--limit {limit} cannot be answered: ask for 1 {noun} or more")
