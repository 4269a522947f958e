"""Learns the gated residual projection that `recq.models.heads.Residual` applies. Imports Keras with what it runs
on.

    z = v + gate * W2 relu(W1 v)

`gate` begins at 0, so that the projection begins as the identity and leaves it as far as the labels ask for. The loss
is a softmax over the cosines to one learned proxy of each class (Movshovitz-Attias et al., 2017; Wang et al., NormFace,
2017), or where items have several labels a sigmoid of each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from recq.models.backend import compiles
from recq.models.keras_build import keras_package, silenced

Floats = npt.NDArray[np.float32]

HIDDEN = 256
STEPS, BATCH = 600, 128
"""Batches that are learned from, whatever the number of items is."""

SCALE = 16.0
"""Of cosines: from those of unit vectors no softmax of ten classes comes near 0 or 1."""

_RATE = 1e-3
_one_at_a_time = Lock()
"""Keras keeps names and the graph that is being built for the whole process."""


@dataclass(frozen=True, eq=False)
class Learned:
    """`into` (d, hidden), `back` (hidden, d), and the gate."""

    into: Floats
    back: Floats
    gate: float


def learn_residual(vectors: Floats, indicators: npt.NDArray[np.bool_], *, several: bool, seed: int) -> Learned:
    """From vectors (n, d) of length 1 and which of the classes (n, classes) each has."""
    with _one_at_a_time:
        return _learned(vectors, indicators, several=several, seed=seed)


def _learned(vectors: Floats, indicators: npt.NDArray[np.bool_], *, several: bool, seed: int) -> Learned:
    with silenced():
        keras = keras_package()
    ops, (dim, classes) = keras.ops, (vectors.shape[1], indicators.shape[1])
    random = np.random.default_rng(seed)

    def drawn(*shape: int) -> Floats:
        return random.standard_normal(shape, dtype=np.float32) / np.float32(math.sqrt(shape[0]))

    scores = _scores(keras, drawn(dim, HIDDEN), drawn(HIDDEN, dim), drawn(dim, classes), offset=several)
    # A rare class counts as much as a common one.
    weights = (len(indicators) / (classes * np.maximum(indicators.sum(axis=0), 1))).astype(np.float32)

    def losses(truth: Any, found: Any) -> Any:
        if several:
            return ops.sum(ops.binary_crossentropy(truth, found, from_logits=True), axis=1)
        return ops.categorical_crossentropy(truth, found, from_logits=True) * ops.sum(truth * weights, axis=1)

    model = keras.Sequential([keras.Input((dim,)), scores])
    model.compile(keras.optimizers.Adam(_RATE), losses, jit_compile=compiles())
    truth = indicators.astype(np.float32)
    order = random.permutation(len(vectors))
    at = 0
    for _ in range(STEPS):
        if at >= len(order):
            order, at = random.permutation(len(vectors)), 0
        rows = order[at : at + BATCH]
        at += BATCH
        model.train_on_batch(vectors[rows], truth[rows])
    into, back, gate = (ops.convert_to_numpy(each.value) for each in (scores.into, scores.back, scores.gate))
    return Learned(into, back, float(gate))


def _scores(keras: Any, into: Floats, back: Floats, proxies: Floats, *, offset: bool) -> Any:
    """The layer that moves vectors (n, d) and compares them with the classes' proxies: float32 (n, classes).

    With an `offset` of each class, which a softmax has no use for.
    """
    ops = keras.ops

    class Scores(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.into, self.back, self.proxies = (self._weight(each) for each in (into, back, proxies))
            self.gate = self._weight(np.float32(0))
            self.offset = self._weight(np.zeros(proxies.shape[1], np.float32)) if offset else None

        def call(self, batch: Any) -> Any:
            moved = batch + self.gate * ops.matmul(ops.relu(ops.matmul(batch, self.into)), self.back)
            cosines = ops.matmul(ops.normalize(moved, axis=1), ops.normalize(self.proxies, axis=0))
            return SCALE * cosines if self.offset is None else SCALE * cosines + self.offset

        def _weight(self, begins: Any) -> Any:
            return self.add_weight(shape=np.shape(begins), initializer=lambda *_, **__: ops.convert_to_tensor(begins))

    return Scores()
