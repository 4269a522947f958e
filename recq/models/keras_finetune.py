"""A Keras network that is trained on labelled pictures: how it is built, one epoch of it, and its whole state.

Imports Keras with what it runs on. What is learned from, in which order, and when to stop is decided by
`recq.learn.finetune`.

The network takes RGB from 0 to 255; its layer `embedding` gives the vector, of one length for every picture: what is
learned are angles, which is how vectors are compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from recq.models.applications import NORMALISATION
from recq.models.backend import compiles, make_deterministic
from recq.models.keras_build import keras_package, silenced, weights_digest
from recq.models.keras_cut import INPUT, normalise
from recq.models.keras_file import from_file
from recq.space import Preprocess

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]
Part = Literal["head", "top", "whole"]
"""What an epoch changes: the new layers alone, these and the top blocks of the network below, or everything."""

EMBEDDING = "embedding"
NUMBERS = 128
"""Of the embedding."""

BATCH = 32
_LENGTH = 16.0
"""Of embeddings: from unit vectors no softmax of ten classes comes near 0 or 1 (Wang et al., NormFace, 2017)."""

_RATES: dict[Part, float] = {"head": 1e-3, "top": 1e-4, "whole": 1e-3}
_TOP = 1 / 3
"""Of the layers with weights, the share that counts as top blocks."""

_FILTERS = (32, 64, 128, 256, 256)
_SMALLEST_MAP = 4
_DROPPED = 0.2


class FineTuner:
    """The network, its optimiser, and everything random about it: `arrays` is its whole state.

    `base` is the Keras archive of the network that it starts from, None for a small one of our own with random weights.
    `positive` (classes,) weighs each label's positive examples in the loss; items have `several` labels, or one each.
    Every operation is made deterministic, for the whole process: the same calls give the same bits on one machine (on a
    GPU with TensorFlow alone).
    """

    layer = EMBEDDING

    def __init__(
        self,
        base: Path | None,
        size: int,
        positive: Floats,
        *,
        several: bool,
        seed: int,
        preprocess: Preprocess = "unit",
    ) -> None:
        with silenced():
            keras = keras_package()
        make_deterministic()
        keras.utils.clear_session()  # of networks before this one: their memory, and numbers in the names of layers
        self._keras = keras
        self._several, self._positive, self._seed = several, np.asarray(positive, np.float32), seed
        pictures = keras.Input((size, size, 3), name=INPUT)
        if base is None:
            below = _small(keras, size, seed)
            features = below(normalise(keras, pictures, NORMALISATION["none" if preprocess == "own" else preprocess]))
        else:
            below = single_precision(keras, keras.models.load_model(base, compile=False))
            features = below(pictures, training=False)  # batch normalisation stays as it was learned
        self._below = below
        layers = keras.layers
        if len(features.shape) == 4:
            features = layers.GlobalAveragePooling2D(name="pool")(features)
        features = layers.Dropout(_DROPPED, seed=seed, name="dropout")(features)
        features = layers.Dense(NUMBERS, kernel_initializer=_drawn(keras, seed), name="projection")(features)
        features = layers.Rescaling(_LENGTH, name=EMBEDDING)(layers.UnitNormalization(name="unit")(features))
        last = layers.Dense(len(positive), kernel_initializer=_drawn(keras, seed + 1), name="scores")
        scores = last(features)
        probabilities = layers.Activation("sigmoid" if several else "softmax", name="predictions")(scores)
        self._network = keras.Model(pictures, probabilities, name="finetuned")
        self._scores = last
        self._asked = keras.Model(pictures, [features, scores])
        self._asked.jit_compile = compiles()
        # Apart from what learns, which JAX could not compile with them.
        self._augment = keras.Sequential(
            [
                keras.Input((size, size, 3)),
                layers.RandomFlip("horizontal", seed=seed),
                layers.RandomZoom(0.15, fill_mode="nearest", seed=seed),
                layers.RandomTranslation(0.08, 0.08, fill_mode="nearest", seed=seed),
                layers.RandomBrightness(0.15, seed=seed),
            ]
        )
        self._learner = keras.Model(pictures, scores)
        self._variables = [*self._network.variables, *self._augment.variables]
        self._weights = list(self._network.weights)
        self._optimizer: Any = None

    def begin(self, part: Part) -> None:
        """Later epochs change `part`, with a new optimiser."""
        self._below.trainable = True
        weighted = [layer for layer in _leaves(self._below) if layer.weights]
        first = {"head": len(weighted), "top": len(weighted) - math.ceil(_TOP * len(weighted)), "whole": 0}[part]
        for number, layer in enumerate(weighted):
            layer.trainable = number >= first and (
                part == "whole" or not isinstance(layer, self._keras.layers.BatchNormalization)
            )
        self._optimizer = self._keras.optimizers.Adam(_RATES[part])
        self._learner.compile(self._optimizer, self._losses, jit_compile=compiles())
        self._optimizer.build(self._learner.trainable_variables)

    def batches(self, rows: int) -> int:
        """How many an epoch of so many rows has."""
        return math.ceil(rows / BATCH)

    def epoch(self, number: int, pixels: Pixels, targets: Floats, rows: Rows) -> Iterator[float]:
        """Learn from those rows once, in an order that `number` decides; yields the loss of each batch.

        `pixels` uint8 (n, size, size, 3), `targets` (n, classes) of 0 and 1.
        """
        for at, each in enumerate(each for each in self._variables if each.name == "seed_generator_state"):
            each.assign(np.array([self._seed + 1_000 * number + at, 0], each.dtype))
        order = np.random.default_rng([self._seed, number]).permutation(rows)
        for batch in np.array_split(order, self.batches(len(order))):
            shown = self._augment(pixels[batch].astype(np.float32), training=True)
            yield float(self._learner.train_on_batch(shown, targets[batch]))

    def loss(self, pixels: Pixels, targets: Floats, rows: Rows) -> float:
        """The mean loss of those rows as they are: not augmented, nothing dropped."""
        total = 0.0
        for batch in np.array_split(rows, self.batches(len(rows))):
            total += len(batch) * float(self._learner.test_on_batch(pixels[batch], targets[batch]))
        return total / len(rows)

    def answers(self, pixels: Pixels, rows: Rows) -> tuple[Floats, Floats]:
        """What it gives for those rows: vectors (n, `NUMBERS`) of length 1, and the labels' scores (n, classes)."""
        vectors = np.empty((len(rows), NUMBERS), np.float32)
        scores = np.empty((len(rows), len(self._positive)), np.float32)
        for at in range(0, len(rows), BATCH):
            some = slice(at, at + BATCH)
            vectors[some], scores[some] = self._asked.predict_on_batch(pixels[rows[some]])
        return vectors / np.float32(_LENGTH), scores

    def calibrate(self, scale: Floats, offset: Floats) -> None:
        """Have its scores become `scale` times what they are, and `offset` more, each (classes,): its probabilities are
        calibrated then. The embedding stays; nothing can be learned afterwards."""
        kernel, bias = self._scores.get_weights()
        self._scores.set_weights([kernel * scale, bias * scale + offset])

    def arrays(self) -> dict[str, list[npt.NDArray[Any]]]:
        """Everything that later epochs depend on, but for the part that is changed."""
        found = {"network": self._variables, "optimizer": list(self._optimizer.variables)}
        return {name: self._copies(variables) for name, variables in found.items()}

    def restore(self, arrays: dict[str, list[npt.NDArray[Any]]]) -> None:
        """What `arrays` gave, after `begin` of the same part. Raises ValueError where it does not fit."""
        _assign(self._variables, arrays["network"])
        _assign(list(self._optimizer.variables), arrays["optimizer"])

    def weights(self) -> list[npt.NDArray[Any]]:
        """Those of the network."""
        return self._copies(self._weights)

    def use(self, weights: Sequence[npt.NDArray[Any]]) -> None:
        """What `weights` gave."""
        _assign(self._weights, weights)

    def save(self, path: Path) -> str:
        """Write the network, labels and all, as `path` (.keras); the digest that a space has of its weights."""
        self._network.save(path)
        return weights_digest(from_file(path, None, EMBEDDING, "own").network.get_weights())

    def _copies(self, variables: Sequence[Any]) -> list[npt.NDArray[Any]]:
        return [np.array(self._keras.ops.convert_to_numpy(each.value)) for each in variables]

    def _losses(self, targets: Any, scores: Any) -> Any:
        """Weighted cross-entropies, whose mean Keras takes; from scores: probabilities near 0 or 1 have lost theirs."""
        ops = self._keras.ops
        if self._several:
            losses = ops.binary_crossentropy(targets, scores, from_logits=True)
            return losses * ops.where(targets > 0, self._positive, 1.0)
        losses = ops.categorical_crossentropy(targets, scores, from_logits=True)
        return losses * ops.sum(targets * self._positive, axis=1)


def single_precision(keras: Any, model: Any) -> Any:
    """`model` with weights and arithmetic in 32 bits: steps of training are lost in 16."""
    if all(layer.compute_dtype == layer.variable_dtype == "float32" for layer in _leaves(model)):
        return model

    def widened(layer: Any) -> Any:
        return layer.__class__.from_config({**layer.get_config(), "dtype": "float32"})

    wide = keras.models.clone_model(model, clone_function=widened, recursive=True)
    wide.set_weights([np.asarray(each, np.float32) for each in model.get_weights()])
    return wide


def _small(keras: Any, size: int, seed: int) -> Any:
    """A network of our own: convolutions of 3 x 3, each followed by half the side, down to a map of 4 to 8."""
    layers = keras.layers
    pictures = features = keras.Input((size, size, 3), name="pictures")
    side = size
    for number, filters in enumerate(_FILTERS):
        if number and side < 2 * _SMALLEST_MAP:
            break
        drawn = keras.initializers.HeNormal(seed=seed + 10 + number)
        # All have names of their own: Keras' numbers are of the process, so that equal networks would differ.
        features = layers.Conv2D(
            filters, 3, padding="same", use_bias=False, kernel_initializer=drawn, name=f"convolution_{number}"
        )(features)
        # Keras' own momentum would take hundreds of batches to forget what it began with.
        features = layers.BatchNormalization(momentum=0.9, name=f"normalisation_{number}")(features)
        features = layers.Activation("relu", name=f"relu_{number}")(features)
        features = layers.MaxPooling2D(2, name=f"half_{number}")(features)
        side //= 2
    return keras.Model(pictures, features, name="small")


def _drawn(keras: Any, seed: int) -> Any:
    return keras.initializers.GlorotUniform(seed=seed)


def _leaves(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _leaves(layer)
        else:
            yield layer


def _assign(variables: Sequence[Any], arrays: Sequence[npt.NDArray[Any]]) -> None:
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
