"""What the training of a network came to: the network, what it gives, and every training that was needed for that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recq.images.indexed_files import Unread
from recq.learn.epochs import Epoch
from recq.learn.held_out import Bin, CurvePoint, LabelPrecision, Spread, Taken
from recq.learn.training_result import ClassQuality, LabelRanking, Quality
from recq.models.trained import TrainedNetwork
from recq.paths import printable
from recq.space import EmbeddingSpace


@dataclass(frozen=True)
class NetworkTraining:
    """One of the trainings: how many items it `learned` from, its epochs, and the number of the best one.

    `name` is `holdout-SEED`, `unseen-SPLIT`, `labels-COUNT` or `all`; the last training made the network that is kept.
    """

    name: str
    learned: int
    epochs: tuple[Epoch, ...]
    best: int

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "name": self.name,
            "learned": self.learned,
            "best_epoch": self.best,
            "epochs": [each.to_json() for each in self.epochs],
        }


@dataclass(frozen=True)
class UnseenClasses:
    """Classes that a network has not seen: mAP of their items, looking for each other among all, in the catalog's space
    and in that of the network."""

    classes: tuple[str, ...]
    before: float
    after: float

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"classes": list(self.classes), "before": round(self.before, 4), "after": round(self.after, 4)}


@dataclass(frozen=True)
class Finetuning:
    """What was trained, and what it gives.

    `before`, `after`: the items that were held out, `held` in each seed, in the catalog's space and in that of networks
    that have not seen them: with bootstrap intervals over the items of one seed, over the seeds where there are more.
    `ranking` is what the probabilities are worth where items have several labels; `bins` and `calibration_error` say
    how far they can be believed, `calibration_by_chance` what exact ones would show of as many items, `taken`, of one
    label each, which classes were predicted, `precisions`, of several, how each label ranks. `curve`, empty unless
    asked for, has intervals over the items of the first seed. `unread` are pictures that could not be used, by reason;
    `resumed` counts the epochs that an earlier process had done.
    """

    label: str
    network: TrainedNetwork
    file: Path
    space: EmbeddingSpace
    items: int
    held: int
    groups: int
    seeds: int
    unread: Mapping[Unread, int]
    trainings: tuple[NetworkTraining, ...]
    before: Quality
    after: Quality
    unseen: tuple[UnseenClasses, ...]
    ranking: LabelRanking | None
    classes: tuple[ClassQuality, ...]
    calibration_error: Spread
    calibration_by_chance: float
    bins: tuple[Bin, ...]
    taken: tuple[Taken, ...]
    precisions: tuple[LabelPrecision, ...]
    curve: tuple[CurvePoint, ...]
    resumed: int
    took_s: float

    @property
    def kept(self) -> NetworkTraining:
        """The training of the network that is kept."""
        return self.trainings[-1]

    @property
    def gains(self) -> tuple[float, ...]:
        """mAP that classes won, or lost, in a network that has not seen them."""
        return tuple(each.after - each.before for each in self.unseen)

    def to_json(self) -> dict[str, Any]:
        """The document that `--json` prints."""
        network, gains = self.network, self.gains
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
            "seeds": self.seeds,
            "trainings": [each.to_json() for each in self.trainings],
            "resumed_after": self.resumed,
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "unseen": {
                "mean_gain": round(float(np.mean(gains)), 4) if gains else None,
                "worst_gain": round(min(gains), 4) if gains else None,
                "splits": [each.to_json() for each in self.unseen],
            },
            "ranking": None if self.ranking is None else self.ranking.to_json(),
            "classes": [each.to_json() for each in self.classes],
            "calibration_error": self.calibration_error.to_json(),
            "calibration_error_by_chance": round(self.calibration_by_chance, 4),
            "calibration": [each.to_json() for each in self.bins],
            "predicted": [each.to_json() for each in self.taken],
            "label_precisions": [each.to_json() for each in self.precisions],
            "curve": [each.to_json() for each in self.curve],
            "took_s": round(self.took_s, 1),
        }
