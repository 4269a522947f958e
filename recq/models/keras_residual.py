"""Learns the gated residual projection that `recq.models.heads.Residual` applies. Imports TensorFlow.

    z = v + gate * W2 relu(W1 v)

`gate` begins at 0, so that the projection begins as the identity and leaves it as far as the labels ask for. The loss
is a softmax over the cosines to one learned proxy of each class (Movshovitz-Attias et al., 2017; Wang et al., NormFace,
2017), or where items have several labels a sigmoid of each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from threading import Lock

import numpy as np
import numpy.typing as npt

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
        import tensorflow as tf

    dim, classes = vectors.shape[1], indicators.shape[1]
    random = np.random.default_rng(seed)

    def drawn(*shape: int) -> Floats:
        return random.standard_normal(shape, dtype=np.float32) / np.float32(math.sqrt(shape[0]))

    into, back = (tf.Variable(drawn(*shape)) for shape in ((dim, HIDDEN), (HIDDEN, dim)))
    proxies, gate = tf.Variable(drawn(dim, classes)), tf.Variable(0.0)
    offset = tf.Variable(tf.zeros(classes))
    trained = [into, back, proxies, gate, offset]
    optimizer = keras.optimizers.Adam(_RATE)
    optimizer.build(trained)
    # A rare class counts as much as a common one.
    weights = tf.constant(len(indicators) / (classes * np.maximum(indicators.sum(axis=0), 1)), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((None, dim), tf.float32), tf.TensorSpec((None, classes), tf.float32)])
    def step(batch, truth):  # type: ignore[no-untyped-def]
        with tf.GradientTape() as tape:
            moved = batch + gate * tf.matmul(tf.nn.relu(tf.matmul(batch, into)), back)
            cosines = tf.matmul(tf.math.l2_normalize(moved, axis=1), tf.math.l2_normalize(proxies, axis=0))
            if several:
                each = tf.nn.sigmoid_cross_entropy_with_logits(truth, SCALE * cosines + offset)
                loss = tf.reduce_mean(tf.reduce_sum(each, axis=1))
            else:
                own = tf.reduce_sum(truth * weights, axis=1)
                loss = tf.reduce_mean(own * tf.nn.softmax_cross_entropy_with_logits(truth, SCALE * cosines))
        found = tape.gradient(loss, trained, unconnected_gradients="zero")
        optimizer.apply(found, trained)

    truth = indicators.astype(np.float32)
    order = random.permutation(len(vectors))
    at = 0
    for _ in range(STEPS):
        if at >= len(order):
            order, at = random.permutation(len(vectors)), 0
        rows = order[at : at + BATCH]
        at += BATCH
        step(vectors[rows], truth[rows])
    return Learned(np.asarray(into), np.asarray(back), float(gate))
