"""Trains a network of the catalogue's own on the pictures and labels of its items: `trained:NAME`.

    tuning = finetune(session, "category", FinetuneOptions(epochs=8))
    tuning.after.map.mean, tuning.network.model

Three parts of the items that share no group: what is learned from, what says when to stop, and what is measured at the
end. The state is stored after every epoch: killed at any time and begun again, it comes to the same bits as a training
that was never interrupted. Training never switches anything: a catalog is made with the network, or rebuilt.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from recq.errors import ModelUnavailable, UsageError
from recq.evaluate.metrics import bootstrap
from recq.images.indexed_files import Place, Unread, read_files
from recq.index.candidates import require_name
from recq.learn.checkpoint import Checkpoint
from recq.learn.epochs import Epoch, Run, best_of, planned
from recq.learn.examples import Examples, Floats, Rows, read_examples, with_views
from recq.learn.fits import require_scikit_learn
from recq.learn.held_out import Spread
from recq.learn.labels import LabelRules
from recq.learn.selection import KS, Retrieval, seen_splits
from recq.learn.training import ClassQuality, Quality, by_class, require_groups, require_holdout
from recq.models.embedder import open_embedder
from recq.models.options import ModelOptions
from recq.models.runtimes import require_keras
from recq.models.trained import TrainedNetwork, store_trained, trained_root
from recq.models.zoo import describe_space, find_network
from recq.paths import printable
from recq.private_files import make_private_folder
from recq.progress import Progress, silent
from recq.space import EmbeddingSpace, InputSpec, Preprocess, Resize

if TYPE_CHECKING:
    from recq.index.catalog import Catalog
    from recq.models.keras_finetune import FineTuner
    from recq.search.session import Session
    from recq.settings import Settings

Pixels = npt.NDArray[np.uint8]
Start = Literal["catalog", "scratch"]

EPOCHS = 12
SCRATCH_SIZE = 128
"""Pixels a side of a network from scratch."""

SEED = 0
_SMALLEST_SIZE = 16
_VALIDATION = 5  # one part in so many of what is not held out says when to stop
_SAVED = ".saved-"
_PAGE = 256  # items asked for at a time
_REVISION = 1  # of what a checkpoint can be gone on with: with another number trainings begin anew


@dataclass(frozen=True)
class FinetuneOptions:
    """What is learned from (`rules`, `filters`, `group_by`), how much is held out, and for how many epochs at most.

    `start`: with the catalog's own network, or from `scratch` with a small one. `size` and `resize` are the catalog's
    unless given (from scratch `SCRATCH_SIZE`); `preprocess` is for one from scratch.
    """

    name: str | None = None
    rules: LabelRules = field(default_factory=LabelRules)
    filters: tuple[str, ...] = ()
    group_by: str | None = None
    holdout: float = 0.2
    epochs: int = EPOCHS
    start: Start = "catalog"
    size: int | None = None
    resize: Resize | None = None
    preprocess: Preprocess | None = None


@dataclass(frozen=True)
class Finetuning:
    """What was trained, and what it gives.

    `before`, `after`: the `held` items that were held out, in the catalog's space and in that of the new network, with
    bootstrap intervals over them. `unread` are pictures that could not be used, by reason. `best` is the number of the
    epoch whose weights were kept, `resumed` how many epochs an earlier process had done.
    """

    label: str
    network: TrainedNetwork
    file: Path
    space: EmbeddingSpace
    items: int
    held: int
    groups: int
    unread: Mapping[Unread, int]
    epochs: tuple[Epoch, ...]
    best: int
    before: Quality
    after: Quality
    classes: tuple[ClassQuality, ...]
    resumed: int
    took_s: float

    def to_json(self) -> dict[str, Any]:
        """The document that `--json` prints."""
        network = self.network
        return {
            "label": self.label,
            "model": network.model,
            "weights": network.weights,
            "base": network.base,
            "file": printable(str(self.file)),
            "size": network.size,
            "resize": network.resize,
            "dim": self.space.dim,
            "items": self.items,
            "held_out": self.held,
            "groups": self.groups,
            "several_labels": network.several,
            "unread": {str(reason): count for reason, count in self.unread.items()},
            "epochs": [each.to_json() for each in self.epochs],
            "best_epoch": self.best,
            "resumed_after": self.resumed,
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "classes": [each.to_json() for each in self.classes],
            "took_s": round(self.took_s, 1),
        }


@dataclass(frozen=True)
class _Files:
    """The places and digests of the examples' files, in their order, and the space of the catalog."""

    space: EmbeddingSpace
    places: tuple[Place, ...]

    @classmethod
    def of(cls, catalog: Catalog, ids: Sequence[str]) -> _Files:
        sources = catalog.lookups.sources()
        places: list[Place] = []
        for start in range(0, len(ids), _PAGE):
            page = ids[start : start + _PAGE]
            items = catalog.lookups.get_many(page)
            for each in page:
                item = items.get(each)
                digest = None if item is None else item.file.sha256
                path = None if item is None or digest is None else catalog.sources.path_of(item, sources)
                places.append(Place(path, digest or ""))
        return cls(catalog.space, tuple(places))


@dataclass(frozen=True)
class _Base:
    """What the network begins with: a Keras archive, or None; and the pictures that it takes."""

    archive: Path | None
    space: EmbeddingSpace | None
    input: InputSpec
    preprocess: Preprocess


@dataclass(frozen=True, eq=False)
class _Parts:
    """Rows of the examples: three parts that share no group."""

    learned: Rows
    validation: Rows
    held: Rows

    @classmethod
    def of(cls, examples: Examples, holdout: float) -> _Parts:
        inner, held = next(seen_splits(examples, max(2, round(1 / holdout)), SEED))
        learned, validation = next(seen_splits(examples.at(inner), _VALIDATION, SEED))
        return cls(inner[learned], inner[validation], held)


def finetune(
    session: Session, label: str, options: FinetuneOptions | None = None, progress: Progress = silent
) -> Finetuning:
    """Train a network on the values of `label`, measure it, and store it as `trained:NAME`.

    Raises UsageError where nothing can be learned, pictures are gone or another process trains that name,
    ModelUnavailable without Keras or where there is no network to start from, FilterError for an unknown field.
    """
    options = options or FinetuneOptions()
    started = time.perf_counter()
    name, settings = require_name(options.name or label), session.settings
    _require_usable(options)
    with session.opened() as catalog:
        every = read_examples(
            catalog, label, options.rules, filters=options.filters, group_by=options.group_by, progress=progress
        )
        files = _Files.of(catalog, every.ids)
    base = _base_of(files.space, options, settings)
    folder = trained_root(settings) / name
    with _alone(folder, name), tempfile.TemporaryFile(prefix="recq-pictures-") as stored:
        pixels, kept, unread = _pictures(stored, files.places, base.input, settings, progress)
        examples = with_views(_usable(every, kept, unread, options.rules, label), files.space, progress)
        require_groups(examples, label)
        parts = _Parts.of(examples, options.holdout)
        targets = examples.indicators().astype(np.float32)
        identity = _identity(examples, [files.places[n].sha256 for n in kept], options, base)
        tuner = _tuner(base, targets[parts.learned], several=examples.several)
        checkpoint = Checkpoint(folder / "checkpoint.npz", identity)
        plan = planned(options.epochs, scratch=base.archive is None)
        run = Run(tuner, checkpoint, plan, pixels, targets, parts.learned, parts.validation)
        resumed = run.resume()
        run.train(progress)
        network = TrainedNetwork(
            name=name,
            field=label,
            labels=examples.classes,
            several=examples.several,
            size=base.input.size,
            resize=base.input.resize,
            layer=tuner.layer,
            weights="",
            base=None if base.space is None else base.space.label,
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        network, file = _kept(tuner, network, settings)
        space = describe_space(ModelOptions(network.model), settings)
        held = examples.at(parts.held)
        after = _vectors(pixels[parts.held], space, settings)
        checkpoint.remove()
    before, measured, classes = _measured(examples, held, after)
    return Finetuning(
        label=label,
        network=network,
        file=file,
        space=space,
        items=len(examples),
        held=len(held),
        groups=int(examples.groups.max()) + 1,
        unread=unread,
        epochs=tuple(run.history),
        best=best_of(run.history) + 1,
        before=before,
        after=measured,
        classes=classes,
        resumed=resumed,
        took_s=time.perf_counter() - started,
    )


def _require_usable(options: FinetuneOptions) -> None:
    """Raise UsageError or ModelUnavailable before anything is read."""
    require_holdout(options.holdout)
    if options.epochs < 1:
        raise UsageError(f"--epochs {options.epochs} cannot be used: give 1 or more")
    if options.start == "catalog" and options.preprocess is not None:
        raise UsageError("--preprocess is for a network from scratch: the catalog's own has its arithmetic")
    require_scikit_learn()
    require_keras()


def _base_of(space: EmbeddingSpace, options: FinetuneOptions, settings: Settings) -> _Base:
    """Raises ModelUnavailable where the catalog's network is not here."""
    resize = options.resize or space.resize
    if options.start == "scratch":
        size = options.size or SCRATCH_SIZE
        if size < _SMALLEST_SIZE:
            raise UsageError(f"--size {size} cannot be used: a network from scratch takes {_SMALLEST_SIZE} or more")
        return _Base(None, None, InputSpec(size, resize), options.preprocess or "unit")
    # The same network in floats, which those in 8 bits have another digest than.
    asked = replace(ModelOptions().completed(space), precision="f32", size=options.size or space.size)
    archive = find_network(asked, settings, None if space.precision == "int8" else space.weights).archive
    if archive is None:
        raise ModelUnavailable(f"{space.model} is no network to start from: use --from scratch")
    return _Base(archive, space, InputSpec(options.size or space.size, resize), "own")


@contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    """No other process trains that name. Raises UsageError."""
    try:
        make_private_folder(folder)
        lock = FileLock(folder / "training.lock", timeout=0)
        with lock:
            for left in folder.glob(f"{_SAVED}*"):  # by a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            yield
    except Timeout as error:
        raise UsageError(f"another process trains {name!r}: wait for it, or give another --name") from error


def _pictures(
    file: Any, places: Sequence[Place], spec: InputSpec, settings: Settings, progress: Progress
) -> tuple[Pixels, list[int], Counter[Unread]]:
    """The pictures that can be read, uint8 (n, size, size, 3) in `file`; which they are; and how many others."""
    shape = (spec.size, spec.size, 3)
    kept: list[int] = []
    unread: Counter[Unread] = Counter()
    try:
        for row, found in read_files([(n, [place]) for n, place in enumerate(places)], spec, settings, progress):
            if isinstance(found, Unread):
                unread[found] += 1
            else:
                file.write(np.ascontiguousarray(found.pixels).data)
                kept.append(row)
        file.flush()
    except OSError as error:
        raise UsageError(
            f"no room for the pictures in {tempfile.gettempdir()}: {error.strerror}; set TMPDIR to a folder with more "
            "room, or choose fewer items with --filter"
        ) from error
    if not kept:
        why = ", ".join(f"{count:,} {reason}" for reason, count in unread.items())
        raise UsageError(f"none of the pictures can be read here ({why}): train where the folders of the sources are")
    return np.memmap(file, np.uint8, "r", shape=(len(kept), *shape)), kept, unread


def _usable(
    every: Examples, kept: Sequence[int], unread: Mapping[Unread, int], rules: LabelRules, label: str
) -> Examples:
    """The examples whose pictures are here. Raises UsageError where too few of a class are."""
    examples = every.at(np.array(kept, np.int64))
    if not unread:
        return examples
    try:
        strict = replace(rules, drop_small=False)
        strict.usable(examples.labels, label)
    except UsageError as error:
        why = ", ".join(f"{count:,} {reason}" for reason, count in unread.items())
        raise UsageError(f"{error} (of {len(every):,} pictures, {why})") from error
    return examples


def _identity(examples: Examples, digests: Sequence[str], options: FinetuneOptions, base: _Base) -> str:
    """The digest of everything that decides what a training comes to: a checkpoint of another one is not taken up."""
    told = {
        "revision": _REVISION,
        "versions": [version(each) for each in ("keras", "tensorflow", "numpy")],
        "base": None if base.space is None else base.space.to_json(),
        "input": [base.input.size, base.input.resize, base.preprocess],
        "epochs": options.epochs,
        "holdout": options.holdout,
        "items": [
            [each, digest, labels, group]
            for each, digest, labels, group in zip(
                examples.ids, digests, examples.labels, examples.groups.tolist(), strict=True
            )
        ],
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def positive_weights(targets: Floats, *, several: bool) -> Floats:
    """float32 (classes,): how much a label's positive examples count, the more the rarer it is.

    Of `several` labels each has two sides of the same weight, its positive and its negative examples; of one label each
    all classes have the same, and the mean example counts 1.
    """
    positive = np.maximum(targets.sum(axis=0), 1)
    weights = (len(targets) - positive) / positive if several else len(targets) / (targets.shape[1] * positive)
    return np.asarray(np.maximum(weights, 1 / len(targets)), np.float32)


def _tuner(base: _Base, targets: Floats, *, several: bool) -> FineTuner:
    from recq.models.keras_finetune import FineTuner

    positive = positive_weights(targets, several=several)
    return FineTuner(base.archive, base.input.size, positive, several=several, seed=SEED, preprocess=base.preprocess)


def _kept(tuner: FineTuner, network: TrainedNetwork, settings: Settings) -> tuple[TrainedNetwork, Path]:
    """The network, stored with its digest, and its file."""
    with tempfile.TemporaryDirectory(prefix=_SAVED, dir=trained_root(settings) / network.name) as folder:
        saved = Path(folder) / "model.keras"
        weights = tuner.save(saved)
        network = replace(network, weights=weights[:16])
        return network, store_trained(network, saved, settings)


def _vectors(pixels: Pixels, space: EmbeddingSpace, settings: Settings) -> Floats:
    """float32 (n, dim): as an index in that space would have them."""
    with open_embedder(space, settings) as embedder:
        return np.stack([future.result() for future in [embedder.submit(each) for each in pixels]])


def _measured(examples: Examples, held: Examples, after: Floats) -> tuple[Quality, Quality, tuple[ClassQuality, ...]]:
    """The held-out items before and after, and so by class."""
    retrieval = Retrieval(held, None, SEED)
    ends = retrieval.rows(held.vectors), retrieval.rows(after)
    by_label = by_class([held.labels[query] for query in retrieval.queries.tolist()], *ends)
    counts = examples.indicators().sum(axis=0).tolist()
    classes = tuple(
        ClassQuality(each, count, *by_label.get(each, (None, None)))
        for each, count in zip(examples.classes, counts, strict=True)
    )
    return _quality(ends[0]), _quality(ends[1]), classes


def _quality(rows: npt.NDArray[np.float64]) -> Quality:
    if not len(rows):
        nothing = Spread(float("nan"), float("nan"), float("nan"))
        return Quality(nothing, dict.fromkeys(KS, nothing))
    low, high = bootstrap(rows, SEED)
    spreads = [Spread(*map(float, each)) for each in zip(rows.mean(axis=0), low, high, strict=True)]
    return Quality(spreads[0], dict(zip(KS, spreads[1:], strict=True)))
