"""Trains a network of the catalogue's own on the pictures and labels of its items: `trained:NAME`.

    tuning = finetune(session, "category", FinetuneOptions(epochs=8))
    tuning.after.map.mean, tuning.network.model

Measured are networks that have not seen what they are asked about: for each seed one without a share of the items, and
where asked for others without whole classes. The one that is kept then learns from all items, for as many epochs as
were best. Everything may be killed at any time: begun again, it comes to the same bits as if it had never been.
Training never switches anything: a catalog is made with the network, or rebuilt.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from recq.errors import UsageError
from recq.evaluate.metrics import bootstrap
from recq.index.candidates import require_name
from recq.learn.calibration import calibration_error, calibration_error_by_chance
from recq.learn.checkpoint import remove_remainders, remove_states
from recq.learn.epochs import Part, planned
from recq.learn.examples import Examples, Floats, Rows, read_examples, with_views
from recq.learn.finetuning_result import Finetuning, NetworkTraining, UnseenClasses
from recq.learn.fits import require_scikit_learn
from recq.learn.held_out import (
    CurvePoint,
    Spread,
    bins_of,
    counts_of,
    label_precisions,
    some_of_each,
    taken_for,
)
from recq.learn.labels import LabelRules
from recq.learn.network_trainings import Answers, Task, Trainings
from recq.learn.pictures import Base, Files, Start, base_of, read_pictures, usable_examples
from recq.learn.selection import KS, Retrieval, class_splits, means_of, seen_splits, without_classes
from recq.learn.training import require_groups, require_holdout
from recq.learn.training_result import LabelRanking, Quality, by_class, class_qualities, ranked_labels
from recq.models.backend import backend_name, require_keras, require_tensorflow
from recq.models.heads import probabilities_of
from recq.models.options import ModelOptions
from recq.models.trained import TrainedNetwork, store_trained, trained_root
from recq.models.zoo import describe_space
from recq.private_files import make_private_folder
from recq.progress import Progress, silent
from recq.space import Preprocess, Resize

if TYPE_CHECKING:
    from recq.models.keras_finetune import FineTuner
    from recq.search.session import Session
    from recq.settings import Settings

EPOCHS = 12

_VALIDATION = 5  # one part in so many of what is not held out says when to stop
_SAVED = ".saved-"
_RESAMPLES = 500  # of one holdout, for the interval of its labels' average precisions
_REVISION = 4  # of what a checkpoint can be gone on with: with another number trainings begin anew


@dataclass(frozen=True)
class FinetuneOptions:
    """What is learned from (`rules`, `filters`, `group_by`), for how many epochs at most, and what is measured.

    `holdout` is held out in each of the `seeds`; in `unseen` further trainings classes are left out, all of them in
    turn where there are trainings enough. With `fit_all` the network that is kept learns from all items, else it is
    that of the first seed. With `curve` it is measured, in the first seed, what fewer labels of each class would give:
    each point is a training. `start`: with the catalog's own network, or from `scratch` with a small one. `size` and
    `resize` are the catalog's unless given (from scratch `SCRATCH_SIZE`); `preprocess` is for one from scratch.
    """

    name: str | None = None
    rules: LabelRules = field(default_factory=LabelRules)
    filters: tuple[str, ...] = ()
    group_by: str | None = None
    holdout: float = 0.2
    seeds: int = 1
    unseen: int = 0
    fit_all: bool = True
    curve: bool = False
    epochs: int = EPOCHS
    start: Start = "catalog"
    size: int | None = None
    resize: Resize | None = None
    preprocess: Preprocess | None = None


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
        files = Files.of(catalog, every.ids)
    base = base_of(files.space, options.start, options.size, options.resize, options.preprocess, settings)
    folder = trained_root(settings) / name
    with _alone(folder, name), tempfile.TemporaryFile(prefix="recq-pictures-") as stored:
        pixels, kept, unread = read_pictures(stored, files.places, base.input, settings, progress)
        examples = with_views(usable_examples(every, kept, unread, options.rules, label), files.space, progress)
        require_groups(examples, label)
        plan = planned(options.epochs, scratch=base.archive is None)
        holdouts = [_holdout(examples, options.holdout, seed, plan) for seed in range(options.seeds)]
        unseen = tasks_without_classes(examples, label, options.unseen, plan)
        fewer = _with_fewer_labels(examples, holdouts[0]) if options.curve else {}
        identity = _identity(examples, [files.places[n].sha256 for n in kept], options, base)
        of = len(holdouts) + len(unseen) + len(fewer) + options.fit_all
        trainings = Trainings(base, pixels, examples, folder, identity, of, progress)
        # The network that is kept comes last.
        measured = [*holdouts[0 if options.fit_all else 1 :], *unseen, *fewer.values()]
        found = {task.name: (task, trainings.answers(task)) for task in measured}
        last = _last([found[task.name][1] for task in holdouts], examples, plan) if options.fit_all else holdouts[0]
        tuner, answers = trainings.network(last)
        found[last.name] = last, answers
        tuner.calibrate(*_lines([found[task.name][1] for task in holdouts]))
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
        remove_states(folder)
    asked = [_Holdout.of(examples, *found[task.name]) for task in holdouts]
    before, after = (_quality([getattr(each, side) for each in asked]) for side in ("before", "after"))
    several, predictions = examples.several, [(examples.classes, each.probabilities, each.truth) for each in asked]
    return Finetuning(
        label=label,
        network=network,
        file=file,
        space=describe_space(ModelOptions(network.model), settings),
        items=len(examples),
        held=round(float(np.mean([len(task.asked) for task in holdouts]))),
        groups=int(examples.groups.max()) + 1,
        seeds=options.seeds,
        unread=unread,
        trainings=tuple(
            NetworkTraining(task.name, len(task.learned), each.history, each.best) for task, each in found.values()
        ),
        before=before,
        after=after,
        unseen=tuple(_unseen(examples, *found[task.name]) for task in unseen),
        ranking=_ranking(asked) if examples.several else None,
        classes=class_qualities(examples, [each.by_class for each in asked]),
        calibration_error=Spread.of(
            [calibration_error(each.probabilities, each.truth, several=several) for each in asked]
        ),
        calibration_by_chance=float(
            np.mean([calibration_error_by_chance(each.probabilities, several=several) for each in asked])
        ),
        bins=bins_of([(each.probabilities, each.truth) for each in asked], several=several),
        taken=() if several else taken_for(examples.classes, predictions),
        precisions=label_precisions(predictions) if several else (),
        curve=_curve(asked[0], {count: found[task.name][1] for count, task in fewer.items()}, examples, holdouts[0]),
        resumed=sum(each.resumed for _, each in found.values()),
        took_s=time.perf_counter() - started,
    )


def _require_usable(options: FinetuneOptions) -> None:
    """Raise UsageError or ModelUnavailable before anything is read."""
    require_holdout(options.holdout)
    for option, number, least in (("epochs", options.epochs, 1), ("seeds", options.seeds, 1)):
        if number < least:
            raise UsageError(f"--{option} {number} cannot be used: give {least} or more")
    if options.unseen < 0:
        raise UsageError(f"--unseen {options.unseen} cannot be used: give 0 or more")
    if options.start == "catalog" and options.preprocess is not None:
        raise UsageError("--preprocess is for a network from scratch: the catalog's own has its arithmetic")
    require_scikit_learn()
    require_keras()
    require_tensorflow()  # for the export of what was trained


@contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    """No other process trains that name. Raises UsageError."""
    try:
        make_private_folder(folder)
        lock = FileLock(folder / "training.lock", timeout=0)
        with lock:
            for left in folder.glob(f"{_SAVED}*"):  # by a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            remove_remainders(folder)
            yield
    except Timeout as error:
        raise UsageError(f"another process trains {name!r}: wait for it, or give another --name") from error


# -- what is trained -----------------------------------------------------------------------------------------------


def _holdout(examples: Examples, holdout: float, seed: int, plan: tuple[Part, ...]) -> Task:
    """Three parts that share no group: learned from, for when to stop, and asked about."""
    inner, held = next(seen_splits(examples, max(2, round(1 / holdout)), seed))
    learned, validation = _validated(examples, inner, seed)
    return Task(f"holdout-{seed}", learned, validation, held, examples.classes, plan, seed)


def tasks_without_classes(examples: Examples, label: str, count: int, plan: tuple[Part, ...]) -> list[Task]:
    """Trainings without some classes each, asked about all items. Raises UsageError where none can be left out."""
    if not count:
        return []
    tasks = []
    for number, classes in enumerate(class_splits(examples.classes, 0)[:count]):
        others, queries = without_classes(examples, classes)
        part = examples.at(others)
        # Of lists a label that nearly all items have leaves nothing to learn from.
        if len(np.unique(part.groups)) < _VALIDATION or len(part.classes) < 2 or not len(queries):
            continue
        learned, validation = _validated(examples, others, 0)
        everything = np.arange(len(examples))
        tasks.append(Task(f"unseen-{number}", learned, validation, everything, part.classes, plan, 0))
    if not tasks:
        raise UsageError(f"{label}: of {len(examples.classes)} classes none can be left out: leave --unseen away")
    return tasks


def _validated(examples: Examples, rows: Rows, seed: int) -> tuple[Rows, Rows]:
    """Those rows in two parts: learned from, and for when to stop."""
    learned, validation = next(seen_splits(examples.at(rows), _VALIDATION, seed))
    return rows[learned], rows[validation]


def _with_fewer_labels(examples: Examples, holdout: Task) -> dict[int, Task]:
    """Trainings on some items of each class of those that a holdout has, by how many, asked the same."""
    assert holdout.validation is not None, "it is told when to stop"
    inner = np.sort(np.concatenate([holdout.learned, holdout.validation]))
    indicators = examples.at(inner).indicators(holdout.classes)
    tasks = {}
    for count in counts_of(indicators.sum(axis=0).tolist()):
        some = inner[some_of_each(indicators, count, holdout.seed)]
        if len(np.unique(examples.groups[some])) < _VALIDATION:
            continue
        learned, validation = _validated(examples, some, holdout.seed)
        tasks[count] = replace(holdout, name=f"labels-{count}", learned=learned, validation=validation)
    return tasks


def _last(holdouts: Sequence[Answers], examples: Examples, plan: tuple[Part, ...]) -> Task:
    """All items, for as many epochs as were best in the median."""
    epochs = round(float(np.median([each.best for each in holdouts])))
    everything = np.arange(len(examples))
    return Task("all", everything, None, everything[:0], examples.classes, plan[:epochs], 0)


def _lines(holdouts: Sequence[Answers]) -> tuple[Floats, Floats]:
    """What calibrates the network that is kept: the median of the holdouts'."""
    scale, offset = (np.median([getattr(each, name) for each in holdouts], axis=0) for name in ("scale", "offset"))
    return scale.astype(np.float32), offset.astype(np.float32)


def _identity(examples: Examples, digests: Sequence[str], options: FinetuneOptions, base: Base) -> str:
    """The digest of everything that decides what trainings come to: a checkpoint of another one is not taken up."""
    told = {
        "revision": _REVISION,
        "versions": [f"{each} {version(each)}" for each in ("keras", backend_name(), "numpy")],
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


def _kept(tuner: FineTuner, network: TrainedNetwork, settings: Settings) -> tuple[TrainedNetwork, Path]:
    """The network, stored with its digest, and its file."""
    with tempfile.TemporaryDirectory(prefix=_SAVED, dir=trained_root(settings) / network.name) as folder:
        saved = Path(folder) / "model.keras"
        weights = tuner.save(saved)
        network = replace(network, weights=weights[:16])
        return network, store_trained(network, saved, settings)


# -- what it gives -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Holdout:
    """One seed: for each query of the items held out what `Retrieval.rows` gives, and the labels' probabilities."""

    before: npt.NDArray[np.float64]
    after: npt.NDArray[np.float64]
    by_class: dict[str, tuple[float, float]]
    probabilities: npt.NDArray[np.float32]
    truth: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, examples: Examples, task: Task, answers: Answers) -> _Holdout:
        held = examples.at(task.asked)
        retrieval = Retrieval(held, None, task.seed)
        before, after = retrieval.rows(held.vectors), retrieval.rows(answers.vectors)
        classes = by_class([held.labels[query] for query in retrieval.queries.tolist()], before, after)
        probabilities = probabilities_of(answers.scores * answers.scale + answers.offset, several=held.several)
        return cls(before, after, classes, probabilities, held.indicators(task.classes))


def _quality(seeds: Sequence[npt.NDArray[np.float64]]) -> Quality:
    """The means over the seeds; of one seed, with intervals over its queries."""
    if len(seeds) > 1:
        return Quality.of([means_of(rows) for rows in seeds])
    rows = seeds[0]
    if not len(rows):
        nothing = Spread(float("nan"), float("nan"), float("nan"))
        return Quality(nothing, dict.fromkeys(KS, nothing))
    low, high = bootstrap(rows, 0)
    spreads = [Spread(*map(float, each)) for each in zip(rows.mean(axis=0), low, high, strict=True)]
    return Quality(spreads[0], dict(zip(KS, spreads[1:], strict=True)))


def _curve(whole: _Holdout, fewer: Mapping[int, Answers], examples: Examples, holdout: Task) -> tuple[CurvePoint, ...]:
    """From the vectors as they are to all labels, with intervals over the items of one seed; empty where no fewer were
    tried."""
    if not fewer:
        return ()
    retrieval = Retrieval(examples.at(holdout.asked), None, holdout.seed)
    rows: dict[int | None, npt.NDArray[np.float64]] = {0: whole.before}
    rows |= {count: retrieval.rows(answers.vectors) for count, answers in fewer.items()}
    rows[None] = whole.after
    qualities = {count: _quality([each]) for count, each in rows.items()}
    return tuple(CurvePoint(count, each.map, each.precision[5]) for count, each in qualities.items())


def _ranking(holdouts: Sequence[_Holdout]) -> LabelRanking | None:
    """The same for how labels rank the items."""
    if len(holdouts) > 1:
        found = [each for one in holdouts if (each := ranked_labels(one.probabilities, one.truth)) is not None]
        return LabelRanking(*(Spread.of(each) for each in zip(*found, strict=True))) if len(found) > 1 else None
    one, random = holdouts[0], np.random.default_rng(0)
    whole = ranked_labels(one.probabilities, one.truth)
    if whole is None:
        return None
    draws = (random.integers(0, len(one.truth), len(one.truth)) for _ in range(_RESAMPLES))
    drawn = [each for rows in draws if (each := ranked_labels(one.probabilities[rows], one.truth[rows])) is not None]
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0).tolist()
    return LabelRanking(*(Spread(*each) for each in zip(whole, low, high, strict=True)))


def _unseen(examples: Examples, task: Task, answers: Answers) -> UnseenClasses:
    """The items with a class that the network has not learned look for each other among all."""
    classes = tuple(each for each in examples.classes if each not in task.classes)
    retrieval = Retrieval(examples, without_classes(examples, frozenset(classes))[1], task.seed)
    before, after = retrieval.measures(examples.vectors).map, retrieval.measures(answers.vectors).map
    return UnseenClasses(classes, before, after)
