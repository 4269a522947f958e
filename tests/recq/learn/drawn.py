"""Examples that are drawn: classes around centres, beside a direction that has nothing to do with them."""

from __future__ import annotations

import numpy as np

from recq.learn.examples import Examples

DIM = 24


def drawn(classes: int = 6, each: int = 20, *, noise: float = 1.6, seed: int = 0) -> Examples:
    """`each` items of each class; the nearest of an item is often one of another class."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((classes, DIM))
    numbers = np.repeat(np.arange(classes), each)
    rows = centres[numbers] + noise * random.standard_normal((len(numbers), DIM))
    rows[:, :3] += 4 * random.standard_normal((len(numbers), 3))  # what differs most says nothing of the class
    vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    ids = tuple(f"{n:04}" for n in range(len(numbers)))
    return Examples(ids, vectors, tuple((f"class {n}",) for n in numbers.tolist()), np.arange(len(numbers)), False)
