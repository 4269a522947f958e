"""Decides whether two thumbnails show the same picture, and how one was made from the other. Pure.

Vectors cannot decide that: a crop of a poster is farther from it than one colour of a shirt from another. So thumbnails
are aligned (`recq.duplicates.alignment`) and compared block by block, in colour. The block that differs
most decides: another colour of a product, another view or other letters differ in one place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from recq.duplicates.alignment import COMPARED, Box, View, find, inside, refine, sampled
from recq.duplicates.kinds import Kind

SIDE = 192
"""Pixels of a thumbnail's longer side."""


@dataclass(frozen=True)
class Relation:
    """The relation of a picture to another: `seen` is the share of the other's width and height that it shows, `shown`
    the reverse.

    `difference` is that of the block that differs most; from 1 on the pictures are different.
    """

    kind: Kind
    seen: tuple[float, float]
    shown: tuple[float, float]
    difference: float

    @property
    def beyond(self) -> float:
        """The share of its area that the other does not show."""
        return 1 - self.shown[0] * self.shown[1]

    @property
    def shows_more(self) -> bool:
        """Whether it shows more of the scene than the other."""
        return self.beyond > 1 - self.seen[0] * self.seen[1] + 2 * _SLACK


_BLOCK = 4  # pixels a side of a block

_MEAN_LEVELS, _MEAN_SLOPE, _MEAN_LIMIT = 10.0, 0.5, 1.0
_RMS_LEVELS, _RMS_SLOPE, _RMS_LIMIT = 15.0, 1.0, 0.85
"""The difference of a block's mean colour, and its root mean square difference, each as a share of levels (of 255) that
grow with the slope of what is seen there, since a copy that was made smaller or compressed is off at edges most. Chosen
by benchmarks/duplicates.py on one half of its pictures."""

_FITS = 0.75
"""The coarse correlation below which nothing is refined: copies of four packs have 0.85 and more."""

_INSIDE = 0.85
"""The least share of a picture's side that the other must show: crops of one picture may lack different edges."""

_SLACK = 0.01
"""The share of a side by which alignment, and resizing to whole pixels, are off."""

_ASPECTS = 0.03  # how far aspects differ that resizing to whole pixels makes of one


def relation(picture: View, other: View, *, mirrored: View | None = None) -> Relation | None:
    """The relation of `picture` to `other`; None for different pictures. `mirrored` is `picture` mirrored.

    MIRROR is looked for only where `mirrored` is given, and only after the other kinds.
    """
    found = nearest_relation(picture, other)
    if found is not None and found.difference <= 1:
        return found
    found = None if mirrored is None else nearest_relation(mirrored, other)
    return None if found is None or found.difference > 1 else replace(found, kind=Kind.MIRROR)


def nearest_relation(picture: View, other: View) -> Relation | None:
    """The relation of `picture` to `other` at the best fit, however much they differ; None where they do not fit."""
    whole = (0.0, 0.0, float(other.width), float(other.height))
    aspects = picture.width * other.height / (picture.height * other.width)
    as_it_is = None
    if abs(np.log(aspects)) < _ASPECTS and not picture.differs_at_a_glance(other):
        as_it_is = _compared(other, picture, whole)
    if picture.is_flat or other.is_flat:
        return as_it_is
    if as_it_is is not None and as_it_is.difference <= 1:
        return _better(as_it_is, _refined(other, picture, whole))
    best = as_it_is
    searched = [(*find(other, picture), False), (*find(picture, other), True)]
    for box, fits, reverse in sorted(searched, key=lambda each: -each[1]):
        if fits < _FITS or (best is not None and best.difference <= 1):
            break
        if reverse:
            found = _refined(picture, other, box)
            found = None if found is None else replace(found, seen=found.shown, shown=found.seen)
        else:
            found = _refined(other, picture, box)
        best = _better(best, found)
    return best


def _better(one: Relation | None, other: Relation | None) -> Relation | None:
    if one is None or other is None:
        return one or other
    return one if one.difference <= other.difference else other


def _refined(view: View, other: View, box: Box) -> Relation | None:
    exact = refine(view, other, box)
    return None if exact is None else _compared(view, other, exact)


def _compared(view: View, other: View, box: Box) -> Relation | None:
    """The relation of `other` to `view` where its frame is `box`; None where they overlap too little."""
    seen = _shared(box[0], box[2], view.width), _shared(box[1], box[3], view.height)
    shown = (
        min(1.0, seen[0] * view.width / (box[2] - box[0])),
        min(1.0, seen[1] * view.height / (box[3] - box[1])),
    )
    if any(max(pair) < _INSIDE for pair in zip(seen, shown, strict=True)):
        return None
    kind = Kind.CROP if min(*seen, *shown) < 1 - _SLACK else Kind.COPY
    return Relation(kind, seen, shown, _difference(view, other, box))


def _shared(start: float, stop: float, length: int) -> float:
    """How much of [0, length] lies in [start, stop]."""
    return max(0.0, min(stop, length) - max(start, 0.0)) / length


def _difference(view: View, other: View, box: Box) -> float:
    """The difference of the block of the overlap that differs most, as a share of the allowed difference."""
    shape = other.shape(COMPARED)
    rows = np.flatnonzero(inside(box[1], box[3], shape[0], view.height))
    columns = np.flatnonzero(inside(box[0], box[2], shape[1], view.width))
    if not len(rows) or not len(columns):
        return float("inf")
    overlap = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    one = sampled(view.rgb.astype(np.float32), box, shape)[overlap]
    two = other.colours[overlap]
    apart = np.asarray(one - two, np.float32)
    slope = np.sqrt(_blocks(np.asarray((_steepness(one) + _steepness(two)) / 2, np.float32)))
    mean = np.abs(_blocks(apart)).max(axis=-1) / (_MEAN_LEVELS + _MEAN_SLOPE * slope)
    rms = np.sqrt(_blocks(apart * apart)).max(axis=-1) / (_RMS_LEVELS + _RMS_SLOPE * slope)
    return max(float(mean.max()) / _MEAN_LIMIT, float(rms.max()) / _RMS_LIMIT)


def _steepness(rgb: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The squared slope of the steepest channel, levels by pixel: (h, w)."""
    total = np.zeros(rgb.shape, np.float32)
    for axis in (0, 1):
        if rgb.shape[axis] > 1:
            total += np.gradient(rgb, axis=axis) ** 2
    return np.asarray(total.max(axis=-1), np.float32)


def _blocks(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The mean of each block, of about `_BLOCK` pixels a side."""
    edges = [np.linspace(0, side, max(1, round(side / _BLOCK)) + 1).astype(int) for side in values.shape[:2]]
    sums = np.add.reduceat(np.add.reduceat(values, edges[0][:-1], axis=0), edges[1][:-1], axis=1)
    counts = np.multiply.outer(np.diff(edges[0]), np.diff(edges[1])).astype(np.float32)
    return np.asarray(sums / (counts[..., np.newaxis] if values.ndim == 3 else counts), np.float32)
