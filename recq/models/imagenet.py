"""ImageNet's 1,000 classes: what the shipped networks were trained to name, read from the mean of their last map.

    classifier = imagenet(settings, catalog.space)
    with open_embedder(classifier.space, settings) as embedder:
        classifier.labels(embedder.submit(pixels).result())

A classifier is what writes predictions into an index as well: its `name`, a `fingerprint` of all that decides what it
answers, and `labels`, which takes what one pass of the network gives beside the vector (`Embedder.submit_pass`).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from recq.catalog_names import IMAGENET
from recq.models.options import ModelOptions
from recq.models.runtimes import is_keras
from recq.models.weights import BUNDLED, bundled_manifest, classes_manifest
from recq.models.zoo import DEFAULT_MODEL, find_network, network_space
from recq.settings import Settings
from recq.space import EmbeddingSpace, Precision

if TYPE_CHECKING:
    from recq.models.pooling import Floats


@dataclass(frozen=True)
class Label:
    """A name, and the probability that the picture shows it."""

    name: str
    probability: float


@dataclass(frozen=True)
class Confidence:
    """What the classifier's numbers are worth: they are divided by `temperature` before they become probabilities.

    A first label of probability `sure` or more is right nine times out of ten. Both are measured on photographs by
    benchmarks/imagenet.py (docs/learning.md).
    """

    temperature: float
    sure: float


CONFIDENCE: dict[tuple[str, Precision, int], Confidence] = {
    ("efficientnet_lite2", "int8", 320): Confidence(0.72, 0.95),
    ("efficientnet_lite2", "int8", 384): Confidence(0.56, 0.96),
    ("efficientnet_lite2", "f32", 320): Confidence(0.72, 0.96),
    ("efficientnet_lite2", "f32", 384): Confidence(0.56, 0.92),
    ("mobilenet_v2", "int8", 224): Confidence(1.02, 0.97),
    ("mobilenet_v2", "f32", 224): Confidence(1.05, 0.99),
}
"""Of each shipped network, precision and size that was measured; pictures are padded."""


@dataclass(frozen=True)
class ImageNet:
    """The classifier of one shipped network. `space` is that of the means it reads: as they are, of length unscaled."""

    space: EmbeddingSpace
    confidence: Confidence

    name = IMAGENET

    @cached_property
    def fingerprint(self) -> str:
        """12 hex digits of all that decides the labels: network, input, classifier, names, confidence."""
        parts = [
            self.space.fingerprint,
            bundled_manifest()[self.space.model]["files"][_file(self.space.model)],
            *classes_manifest()["files"].values(),
            self.confidence.temperature,
            self.confidence.sure,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What pictures are called: 998 names, since two classes have the name of another one."""
        return tuple(dict.fromkeys(class_names()))

    def probabilities(self, means: Floats) -> Floats:
        """float32 (n, channels), means of last maps -> float32 (n, names)."""
        kernel, scale, bias = self._arrays
        scores = (means @ kernel.T * scale + bias) / np.float32(self.confidence.temperature)
        chances = np.exp(scores - scores.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        merged: Floats = np.stack([np.bincount(self._numbers, row, len(self.names)) for row in chances])
        return merged.astype(np.float32)

    def labels(self, means: Floats, top: int = 3) -> tuple[Label, ...]:
        """float32 (channels,), the mean of the last map -> the `top` most probable labels, most probable first."""
        (chances,) = self.probabilities(means[np.newaxis])
        order = np.argsort(-chances, kind="stable")[:top].tolist()
        return tuple(Label(self.names[n], float(chances[n])) for n in order)

    def first(self, means: Floats) -> list[Label]:
        """float32 (n, channels), means of last maps -> the most probable label of each."""
        chances = self.probabilities(means)
        return [Label(self.names[n], float(row[n])) for row, n in zip(chances, chances.argmax(axis=1), strict=True)]

    def is_sure(self, label: Label) -> bool:
        """Whether a first label of that probability is right nine times out of ten."""
        return label.probability >= self.confidence.sure

    @cached_property
    def _arrays(self) -> tuple[Floats, Floats, Floats]:
        """Kernel (1000, channels), whole numbers from -127 to 127; the scale of each row, and its bias."""
        with np.load(BUNDLED / _file(self.space.model)) as data:
            return data["kernel"].astype(np.float32), data["scale"], data["bias"]

    @cached_property
    def _numbers(self) -> list[int]:
        """For each of the 1,000 classes the number of its name."""
        place = {name: number for number, name in enumerate(self.names)}
        return [place[name] for name in class_names()]


def imagenet(settings: Settings, space: EmbeddingSpace | None = None) -> ImageNet:
    """The classifier for pictures of a catalog of `space`: of its network where that is a shipped one, else the
    default network's.

    Always with an input that its confidence was measured with: another size is the network's own, and pictures are
    padded. Raises ModelUnavailable where this machine cannot run it.
    """
    shipped = space if space is not None and space.model in bundled_manifest() else None
    model = shipped.model if shipped else DEFAULT_MODEL
    floats = is_keras(settings.runtime) or (shipped is not None and shipped.precision != "int8")
    precision: Precision = "f32" if floats else "int8"
    size = shipped.size if shipped and (model, precision, shipped.size) in CONFIDENCE else None
    asked = ModelOptions(model, size=size, precision=precision, pooling="mean", resize="pad", distance="euclid")
    found = network_space(find_network(asked, settings), asked)
    return ImageNet(found, CONFIDENCE[model, precision, found.size])


def of_one_pass(settings: Settings, space: EmbeddingSpace) -> ImageNet | None:
    """The classifier that reads the means of the same pass as the network's own `space` (`Embedder.submit_pass`).

    None where that pass is not what `imagenet` reads: another network or layer, another size, another resize. Then the
    picture needs a pass of its own, through `imagenet(settings, space).space`.
    """
    if space.model not in bundled_manifest():
        return None
    found = imagenet(settings, space)
    parts = ("model", "weights", "layer", "size", "resize", "preprocessing", "precision")
    same = all(getattr(found.space, each) == getattr(space, each) for each in parts)
    return found if same else None


def class_names() -> list[str]:
    """The names of the 1,000 classes in their order; two of them twice."""
    return (BUNDLED / "imagenet-classes.txt").read_text("utf-8").splitlines()


def _file(model: str) -> str:
    return f"{model}-imagenet.npz"
