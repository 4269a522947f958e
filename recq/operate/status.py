"""The state of a catalog and its daemon: what `recq-ingest status --json` prints and a daemon answers on loopback.

`GET /recq/status` on the daemon's loopback server (its address and key stand in the data folder) gives the same JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

from recq import paths
from recq.catalog_names import IMAGENET
from recq.paths import printable
from recq.settings import Settings, shown_url
from recq.waiting import waiting

if TYPE_CHECKING:
    from pathlib import Path

    from recq.index.catalog import Catalog
    from recq.search.session import Session

ROUTE = "/recq/status"
_ANSWER_WITHIN = 10.0  # seconds for a daemon on the same machine
_MOST_PROBLEMS = 20  # that are reported in words


@dataclass(frozen=True)
class PartStatus:
    """A part of a source that several daemons share. `host`, `pid` and `at` (ISO 8601) are of the daemon that recorded
    last that it has it, a quarter of a minute ago at most while it runs; None where none has it.

    `pending` is as it was then; `items`, `ignored`, `held` and `held_metadata` as its last comparison left them.
    """

    partition: str
    host: str | None = None
    pid: int | None = None
    at: str | None = None
    pending: int = 0
    items: int = 0
    ignored: int = 0
    held: int = 0
    held_metadata: int = 0

    def __str__(self) -> str:
        """One line."""
        if self.host is None:
            return f"part {self.partition}: no daemon has it, and nobody sees to its files"
        return (
            f"part {self.partition}: process {self.pid} on {printable(self.host)} at {self.at}, {self.items:,} items, "
            f"{self.pending:,} pending"
        )


@dataclass(frozen=True)
class SourceStatus:
    """One source. `items` = indexed + failed + files that are new and not written yet.

    `pending`: paths that wait or are under way; None where no daemon runs. `oldest_pending_seconds`: for how long the
    one that came first has; None where there is none. `problems`: what is wrong
    with the source as a whole, the first few; `problem_counts`: how many problems there are, of it and of its items, by
    kind. `held`: deletions that wait to be confirmed, `held_metadata`: items that keep metadata until then. `parts`: of
    a source that several daemons share; what is `pending` is in the part of the daemon here then.
    """

    name: str
    root: str | None
    items: int
    indexed: int
    failed: int
    ignored: int
    pending: int | None
    problems: tuple[str, ...] = ()
    held: int = 0
    held_metadata: int = 0
    problem_counts: Mapping[str, int] = field(default_factory=dict)
    oldest_pending_seconds: float | None = None
    parts: tuple[PartStatus, ...] = ()


@dataclass(frozen=True)
class Rebuilding:
    """A rebuild beside the running daemon: the `space` that the catalog moves to (None while that is not known yet).

    `trained` is the name of a trained space. `stage` is what is being done, `done` of `total` items are in the new
    collection. `detail` is the reason why it waits for the index, such as a full disk.
    """

    space: Mapping[str, Any] | None
    trained: str | None
    stage: str
    done: int
    total: int
    detail: str | None = None


@dataclass(frozen=True)
class PredictedStatus:
    """A field that is predicted by a trained space, or by ImageNet's classes (`imagenet`).

    So many items have a label, so many are `unknown`, and `waiting` are those of which nothing was said yet. `detail`
    is the reason why it cannot be predicted.
    """

    field: str
    by: str
    labelled: int = 0
    unknown: int = 0
    waiting: int = 0
    detail: str | None = None

    def __str__(self) -> str:
        """One line."""
        by = "ImageNet's classes" if self.by == IMAGENET else f"the trained space {self.by}"
        if self.detail is not None:
            return f"{printable(self.field)} by {by}: cannot be predicted: {printable(self.detail)}"
        counts = f"{self.labelled:,} have a label, {self.unknown:,} unknown, {self.waiting:,} wait"
        return f"{printable(self.field)} by {by}: {counts}"


@dataclass(frozen=True)
class Status:
    """A catalog and its sources.

    `engine` is `embedded` or the server's URL, those of several nodes with commas between; `node` is the one that
    answers (None for the embedded engine, and before one has). `space` names the embedding space (None before there is
    one), `state` is one of starting, reconciling, indexing, idle, waiting (for the index), draining, and `stopped`
    without a daemon. `detail` is the reason why it waits: the index's last error, or for how long it has not answered.
    `indexes_waiting`: payload indexes of new fields that are still to be made; a filter that needs one is refused.
    `indexes_refused`: those that the engine would not make, which `recq-ingest problems` lists. `runtime` and `device`:
    what runs a daemon's network, and where. `kept`: what the last rebuild replaced, until that is pruned
    (`recq.index.catalogs.Kept`). `predicted`: the fields that are predicted. `rebuilding`: the rebuild that the running
    daemon carries out. `placement`: how the catalog lies on a server's nodes (`recq.index.placement`). `quantised`:
    how the server keeps its vectors small (`recq.index.quantisation`).
    """

    catalog: str
    engine: str
    space: Mapping[str, Any] | None
    running: bool
    pid: int | None
    state: str
    detail: str | None
    sources: tuple[SourceStatus, ...]
    indexes_waiting: int = 0
    indexes_refused: int = 0
    runtime: str | None = None
    device: str | None = None
    kept: Mapping[str, Any] | None = None
    predicted: tuple[PredictedStatus, ...] = ()
    rebuilding: Rebuilding | None = None
    placement: Mapping[str, Any] | None = None
    quantised: Mapping[str, Any] | None = None
    node: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The status that `to_json` wrote; keys that only a newer recq has are left out."""
        sources = tuple(
            SourceStatus(
                **{
                    **_known(SourceStatus, source),
                    "problems": tuple(source["problems"]),
                    "parts": tuple(PartStatus(**_known(PartStatus, each)) for each in source.get("parts", ())),
                }
            )
            for source in data["sources"]
        )
        predicted = tuple(PredictedStatus(**_known(PredictedStatus, each)) for each in data.get("predicted", ()))
        rebuilding = data.get("rebuilding")
        known = None if rebuilding is None else Rebuilding(**_known(Rebuilding, rebuilding))
        return cls(**{**_known(cls, data), "sources": sources, "predicted": predicted, "rebuilding": known})


def _known(kind: type, data: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of `data` that the dataclass has a field for."""
    names = {each.name for each in fields(kind)}
    return {name: value for name, value in data.items() if name in names}


@dataclass(frozen=True)
class Counted:
    """What the index has of a source."""

    indexed: int
    failed: int
    problems: tuple[str, ...] = ()
    problem_counts: Mapping[str, int] = field(default_factory=dict)
    parts: tuple[PartStatus, ...] = ()

    def status(self, name: str, root: Path | None, *, new: int, **more: Any) -> SourceStatus:
        """The status of the source, with what else is known; `new` files are not written yet.

        Of a source in parts that is the sum of what they have recorded.
        """
        if self.parts:
            for counted_ in ("ignored", "held", "held_metadata"):
                more[counted_] = sum(getattr(each, counted_) for each in self.parts)
        return SourceStatus(
            name=name,
            root=None if root is None else paths.to_text(str(root))[0],
            items=self.indexed + self.failed + new,
            indexed=self.indexed,
            failed=self.failed,
            problems=self.problems,
            problem_counts=self.problem_counts,
            parts=self.parts,
            **more,
        )


def counted(catalog: Catalog, name: str) -> Counted:
    """Ask the index about a source."""
    problems = tuple(problem.detail for problem in catalog.problems.of_source(name)[:_MOST_PROBLEMS])
    counts = {str(kind): number for kind, number in catalog.problems.count(name).items()}
    items, failed = catalog.items.count(source=name), catalog.ledger.count_failed(source=name)
    return Counted(items, failed, problems, counts, parts_in(catalog, name))


def parts_in(catalog: Catalog, name: str) -> tuple[PartStatus, ...]:
    """The parts of a source that several daemons share; none of one that is not shared."""
    from recq.index.parts import lacking

    known = catalog.parts.all(name)
    shown = [
        PartStatus(
            partition=str(each.part),
            host=None if each.watcher is None else each.watcher.host,
            pid=None if each.watcher is None else each.watcher.pid,
            at=None if each.watcher is None else each.watcher.at,
            pending=each.pending,
            items=each.items,
            ignored=each.ignored,
            held=each.held,
            held_metadata=each.held_metadata,
        )
        for each in known
    ]
    return (*shown, *(PartStatus(str(part)) for part in lacking(known)))


def kept_in(catalog: Catalog) -> Mapping[str, Any] | None:
    """What the last rebuild replaced, as JSON; None where nothing is kept."""
    found = catalog.kept()
    return None if found is None else found.to_json()


def predicted_in(catalog: Catalog, settings: Settings) -> tuple[PredictedStatus, ...]:
    """The fields that are predicted, as the index has them."""
    chosen = catalog.predicting.all()
    if not chosen:
        return ()
    from recq.learn.predictors import predictors_of

    found, missing = predictors_of(catalog, settings)
    counts = {each.name: catalog.ledger.count_predictions(each.name, each.fingerprint)._asdict() for each in found}
    return tuple(
        PredictedStatus(field, by, **counts.get(field, {}), detail=missing.get(field)) for field, by in chosen.items()
    )


def find_status(session: Session) -> Status:
    """The running daemon's answer, else the status from the index alone.

    Raises TargetNotFound without such a catalog, and the errors of `recq.index.connect`.
    """
    return ask_daemon(session.settings) or read_status(session)


def ask_daemon(settings: Settings) -> Status | None:
    """The answer of the daemon of this data folder and catalog; None when none runs."""
    import httpx

    from recq.index.edge.address import read_address
    from recq.index.local_connections import no_certificates

    address = read_address(settings.data_dir)
    if address is None:
        return None
    try:
        with waiting(f"process {address.pid}, which has the data folder, to answer", _ANSWER_WITHIN):
            response = httpx.get(
                address.url + ROUTE,
                headers={"api-key": address.key},
                timeout=_ANSWER_WITHIN,
                trust_env=False,
                verify=no_certificates(),
            )
        response.raise_for_status()
        status = Status.from_json(response.json())
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None
    return status if (status.catalog, status.engine) == (settings.catalog, engine_of(settings)) else None


def read_status(session: Session) -> Status:
    """The status of a catalog that no daemon works on here, from the index."""
    settings = session.settings
    with session.opened() as catalog:
        sources = []
        for name, source in catalog.sources.all().items():
            sources.append(
                counted(catalog, name).status(
                    name,
                    source.any_root(),
                    new=0,
                    ignored=source.ignored,
                    pending=None,
                    held=source.held,
                    held_metadata=source.held_metadata,
                )
            )
        waiting = catalog.fields.waiting(refresh=True)
        return Status(
            settings.catalog,
            engine_of(settings),
            catalog.space.summary(),
            running=False,
            pid=None,
            state="stopped",
            detail=None,
            sources=tuple(sources),
            indexes_waiting=waiting.left,
            indexes_refused=len(waiting.refused),
            kept=kept_in(catalog),
            predicted=predicted_in(catalog, settings),
            placement=placement_in(catalog, settings),
            quantised=quantised_in(catalog),
            node=catalog.node,
        )


def placement_in(catalog: Catalog, settings: Settings) -> Mapping[str, Any] | None:
    """How it lies on a server's nodes; None for the embedded engine."""
    return None if settings.url is None else catalog.placement.to_json()


def quantised_in(catalog: Catalog) -> Mapping[str, Any] | None:
    """How the server keeps the vectors small; None where it does not."""
    found = catalog.quantised
    return None if found is None else found.to_json()


def engine_of(settings: Settings) -> str:
    """`embedded`, or the address of the server."""
    return shown_url(settings.url) if settings.url else "embedded"
