"""The directions in which vectors differ most: what is kept where they are reduced to fewer numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def right_singular(rows: Floats, most: int) -> Floats:
    """float32 (d, `most` or fewer) of (n, d): from the eigenvectors of the smaller product of the rows with themselves.

    Each has its largest number positive, so that the same rows give the same vectors.
    """
    wide = len(rows) < rows.shape[1]
    wanted = min(most, *rows.shape)
    _, vectors = np.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
    first = vectors[:, : -wanted - 1 : -1]
    found = rows.T @ first if wide else first
    found = found / np.maximum(np.linalg.norm(found, axis=0), 1e-12)
    signs = np.sign(found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])])
    return np.ascontiguousarray(found * np.where(signs == 0, 1, signs), np.float32)
