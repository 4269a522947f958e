"""Samples of any depth -> 8 bits.

Unsigned integers are scaled by their white, the largest number of so many bits. Signed integers, floats and
integers of 32 bits and more have no white that a file names: their values decide which scale was meant. The rules
are in docs/images.md, since they are part of what a vector means.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]

_NO_DATA = 1e30
"""Floats as large as this mean "nothing measured" in maps, and are no brightness."""

_OUTLIERS = 0.01  # the share of floats beyond 0 and 1 that is overshoot of a filter, or a lamp, and clipped
_SAMPLE = 1 << 20  # values that tell a picture's range


def eight_bits(values: Samples, bits: int) -> Bytes:
    """`values`, in whatever shape, as uint8 of the same shape; `bits` is how many of their type's are used.

    All values of one picture at once, since they may have to tell the scale; transparency apart.
    """
    if values.dtype == np.uint8 and bits == 8:
        return values
    if values.dtype.kind == "u" and bits < 32:
        return _scaled(values, bits)
    low, white = _float_range(values) if values.dtype.kind == "f" else _integer_range(values, bits)
    if white <= low:
        return np.zeros(values.shape, np.uint8)
    scaled = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    scaled[np.abs(scaled) >= _NO_DATA] = 0.0
    scaled -= low
    scaled *= 255.0
    scaled /= white - low
    return np.rint(scaled.clip(0.0, 255.0, out=scaled), out=scaled).astype(np.uint8)


def opacity(values: Samples, bits: int) -> Bytes:
    """The same for transparency, whose scale is fixed: opaque is 1 of floats, the largest number of integers."""
    if values.dtype.kind == "f":
        return np.rint(np.nan_to_num(values.astype(np.float64)).clip(0.0, 1.0) * 255.0).astype(np.uint8)
    if values.dtype.kind == "i":
        return np.rint(values.clip(0).astype(np.float64) * (255.0 / (2.0 ** (bits - 1) - 1))).astype(np.uint8)
    return _scaled(values, bits)


def _scaled(values: Samples, bits: int) -> Bytes:
    """Unsigned integers by their largest number, rounded."""
    most = (1 << bits) - 1
    if bits <= 16:
        table = ((np.arange(most + 1, dtype=np.uint32) * 255 + most // 2) // most).astype(np.uint8)
        return np.asarray(table[values])
    return np.rint(values.astype(np.float64) * (255.0 / most)).astype(np.uint8)


def _integer_range(values: Samples, bits: int) -> tuple[float, float]:
    """What is black and what is white among signed integers, or those of 32 bits and more.

    Values that reach into the type's uppermost bits use its whole range. Others up to 255 are 8-bit and up to 65,535
    16-bit numbers in a larger type; what is left is stretched from its least to its greatest value.
    """
    low, high = float(values.min()), float(values.max())
    signed = values.dtype.kind == "i"
    least, most = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if signed else (0.0, 2.0**bits - 1)
    if low < 0:
        whole = bits <= 8 or low < least / 2 or high > most / 2
        return (least, most) if whole else (low, high)
    for white in (255.0, 65_535.0):
        if high <= white < most:
            return 0.0, white
    return (0.0, most) if bits <= 16 or high > most / 256 else (low, high)


def _float_range(values: Samples) -> tuple[float, float]:
    """The same of floats: up to 1 (a few beyond are clipped) they are fractions, then as with integers."""
    sample = values.reshape(-1)[:: max(1, values.size // _SAMPLE)].astype(np.float64)
    sample = np.where(np.isfinite(sample) & (np.abs(sample) < _NO_DATA), sample, 0.0)
    least, most = float(sample.min()), float(sample.max())
    low, high = np.quantile(sample, (_OUTLIERS, 1 - _OUTLIERS))
    if low >= 0 and high <= 1 and (most > 0 or least < 0):
        return 0.0, 1.0
    if least < 0:
        return least, most
    return next(((0.0, white) for white in (255.0, 65_535.0) if most <= white), (least, most))
