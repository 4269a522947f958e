"""The trainings of which a fine-tuning is made: one for each holdout, for classes left out, and for all items.

    trainings = Trainings(base, pixels, examples, folder, identity, 3)
    answers = trainings.answers(task)
    tuner, answers = trainings.network(last)

The state of the one that is under way is stored after each epoch, and what a finished one answered once: a process that
is killed loses an epoch at most, and the next one comes to the same bits.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recq.learn.calibration import lines_of
from recq.learn.checkpoint import Checkpoint
from recq.learn.epochs import Epoch, Part, Run, best_of
from recq.learn.examples import Examples, Floats, Rows
from recq.learn.pictures import Base, Pixels
from recq.progress import Progress, silent

if TYPE_CHECKING:
    from recq.models.keras_finetune import FineTuner


_ARRAYS = ("vectors", "scores", "scale", "offset")
"""Of answers, as they are stored."""


@dataclass(frozen=True, eq=False)
class Task:
    """A training with a `name` of its own: rows that are `learned` from, those that say when to stop (None: all of the
    `plan` is done), and those that the network is `asked` about. `classes` are the labels that it learns."""

    name: str
    learned: Rows
    validation: Rows | None
    asked: Rows
    classes: tuple[str, ...]
    plan: tuple[Part, ...]
    seed: int


@dataclass(frozen=True, eq=False)
class Answers:
    """What a training came to: its epochs, and of the rows asked about vectors (n, d) and scores (n, classes).

    `scale` and `offset` (classes,) make probabilities of the scores that are right as often as they say
    (`recq.learn.calibration.lines_of`): learned from the rows that said when to stop, and nothing where there are none.
    `resumed`: how many epochs an earlier process had done.
    """

    history: tuple[Epoch, ...]
    vectors: Floats
    scores: Floats
    scale: Floats
    offset: Floats
    resumed: int

    @property
    def best(self) -> int:
        """How many epochs gave the weights that answered."""
        return best_of(self.history) + 1


class Trainings:
    """Trainings on `pixels` (n, size, size, 3) of the examples, `of` in all, whose states lie in `folder`.

    `identity` stands for everything that decides what they come to, but for the tasks themselves.
    """

    def __init__(
        self,
        base: Base,
        pixels: Pixels,
        examples: Examples,
        folder: Path,
        identity: str,
        of: int,
        progress: Progress = silent,
    ) -> None:
        self._base, self._pixels, self._examples = base, pixels, examples
        self._folder, self._identity = folder, identity
        self._done, self._of, self._progress = 0, of, progress

    def answers(self, task: Task) -> Answers:
        """Train, unless an earlier process has, and ask. Raises UsageError as `Run.train` does."""
        finished = Checkpoint(self._folder / f"answers-{task.name}.npz", self._identity_of(task))
        stored = finished.read()
        if stored is not None:
            self._done += 1
            history, arrays = stored
            epochs = tuple(Epoch(**each) for each in history)
            return Answers(epochs, **{name: arrays[name][0] for name in _ARRAYS}, resumed=len(epochs))
        found = self.network(task)[1]
        told = {name: [getattr(found, name)] for name in _ARRAYS}
        finished.write([asdict(each) for each in found.history], told)
        return found

    def network(self, task: Task) -> tuple[FineTuner, Answers]:
        """The same, with the network, which is gone once another is trained: so this is for the last task."""
        self._done += 1
        targets = self._examples.indicators(task.classes).astype(np.float32)
        tuner = _tuner(self._base, targets[task.learned], several=self._examples.several, seed=task.seed)
        checkpoint = Checkpoint(self._folder / "checkpoint.npz", self._identity_of(task))
        run = Run(tuner, checkpoint, task.plan, self._pixels, targets, task.learned, task.validation)
        resumed = run.resume()
        run.train(self._progress, "training" if self._of == 1 else f"training {self._done} of {self._of}")
        vectors, scores = tuner.answers(self._pixels, task.asked)
        scale, offset = np.ones(len(task.classes), np.float32), np.zeros(len(task.classes), np.float32)
        if task.validation is not None:
            validated = tuner.answers(self._pixels, task.validation)[1]
            truth = targets[task.validation].astype(bool)
            scale, offset = lines_of(validated, truth, several=self._examples.several)
        return tuner, Answers(tuple(run.history), vectors, scores, scale, offset, resumed)

    def _identity_of(self, task: Task) -> str:
        return f"{self._identity}/{task.name}/{len(task.plan)}"


def positive_weights(targets: Floats, *, several: bool) -> Floats:
    """float32 (classes,): how much a label's positive examples count, the more the rarer it is.

    Of `several` labels each has two sides of the same weight, its positive and its negative examples; of one label each
    all classes have the same, and the mean example counts 1.
    """
    positive = np.maximum(targets.sum(axis=0), 1)
    weights = (len(targets) - positive) / positive if several else len(targets) / (targets.shape[1] * positive)
    return np.asarray(np.maximum(weights, 1 / len(targets)), np.float32)


def _tuner(base: Base, targets: Floats, *, several: bool, seed: int) -> FineTuner:
    from recq.models.keras_finetune import FineTuner

    positive = positive_weights(targets, several=several)
    return FineTuner(base.archive, base.input.size, positive, several=several, seed=seed, preprocess=base.preprocess)
