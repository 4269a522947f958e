"""The epochs of a training: what each changes, when to stop, and going on where a process was killed.

Decided from the losses so far alone, so that what is stored of them is all that going on needs to know.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from recq.errors import UsageError
from recq.learn.checkpoint import Checkpoint
from recq.learn.examples import Floats, Rows
from recq.progress import Progress, silent

if TYPE_CHECKING:
    from recq.models.keras_finetune import FineTuner

Part = Literal["head", "top", "whole"]
Pixels = npt.NDArray[np.uint8]

PATIENCE = 3
"""Epochs without a lower loss of the validation part, after which training stops."""

_HEAD = 4  # one epoch in so many, the first ones, changes the new layers alone


@dataclass(frozen=True)
class Epoch:
    """One epoch: the `part` of the network that it changed, the mean loss of its batches and of the validation part,
    None where there is none."""

    part: Part
    loss: float
    validation: float | None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        validation = None if self.validation is None else round(self.validation, 5)
        return {"part": self.part, "loss": round(self.loss, 5), "validation_loss": validation}


def planned(epochs: int, *, scratch: bool) -> tuple[Part, ...]:
    """What each epoch changes: first the new layers alone, whose random weights would spoil those below."""
    head = 0 if scratch else math.ceil(epochs / _HEAD)
    later: Part = "whole" if scratch else "top"
    return tuple("head" if number < head else later for number in range(epochs))


def best_of(history: Sequence[Epoch]) -> int:
    """The place of the lowest validation loss, the first of several; the last one where nothing was validated."""
    losses = [each.validation for each in history if each.validation is not None]
    return losses.index(min(losses)) if losses else len(history) - 1


def finished(history: Sequence[Epoch], plan: Sequence[Part]) -> bool:
    """Whether there is no further epoch: all are done, or the last part has had `PATIENCE` of them for nothing."""
    if len(history) == len(plan):
        return True
    own = [each for each in history if each.part == plan[-1]]
    return len(own) > PATIENCE and best_of(history) < len(history) - PATIENCE


class Run:
    """One training. `learned` and `validation`: rows of `pixels` (n, size, size, 3) and of `targets` (n, classes).

    Without a validation part all epochs are made, and the last weights are the best.
    """

    def __init__(
        self,
        tuner: FineTuner,
        checkpoint: Checkpoint,
        plan: Sequence[Part],
        pixels: Pixels,
        targets: Floats,
        learned: Rows,
        validation: Rows | None,
    ) -> None:
        self.history: list[Epoch] = []
        self._tuner, self._checkpoint, self._plan = tuner, checkpoint, plan
        self._pixels, self._targets = pixels, targets
        self._learned, self._validation = learned, validation
        self._best: list[npt.NDArray[Any]] = []

    def resume(self) -> int:
        """Take up what a process that was killed has left; the number of epochs that it had done."""
        stored = self._checkpoint.read()
        if stored is None:
            return 0
        history, arrays = stored
        self.history = [Epoch(**each) for each in history]
        self._best = arrays.pop("best")
        self._tuner.begin(self.history[-1].part)
        self._tuner.restore(arrays)
        return len(self.history)

    def train(self, progress: Progress = silent, what: str = "training") -> None:
        """All epochs that are left; the network has the best weights afterwards. `what` is told to `progress`.

        Raises UsageError for losses that are no numbers, or a checkpoint that cannot be written.
        """
        batches = self._tuner.batches(len(self._learned))
        while not finished(self.history, self._plan):
            number = len(self.history)
            part = self._plan[number]
            if not self.history or self.history[-1].part != part:
                self._tuner.begin(part)
            losses = []
            for loss in self._tuner.epoch(number, self._pixels, self._targets, self._learned):
                losses.append(loss)
                progress(what, number * batches + len(losses), len(self._plan) * batches)
            validation = self._validated()
            if not np.isfinite([*losses, 0.0 if validation is None else validation]).all():
                raise UsageError("the loss of the training is not finite any more: leave out what has no clear label")
            self.history.append(Epoch(part, float(np.mean(losses)), validation))
            if best_of(self.history) == number:
                self._best = self._tuner.weights()
            notes = [asdict(each) for each in self.history]
            self._checkpoint.write(notes, {**self._tuner.arrays(), "best": self._best})
        self._tuner.use(self._best)

    def _validated(self) -> float | None:
        return None if self._validation is None else self._tuner.loss(self._pixels, self._targets, self._validation)
