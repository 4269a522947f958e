"""Finds where one picture lies in another: the scale and the shift that align two thumbnails.

    box, likeness = find(view, other)      # a coarse search over all scales and places
    box = refine(view, other, box)         # to a tenth of a pixel

A box is the position of the other's frame in the view: left, top, right, bottom in the view's pixels, perhaps beyond
its edges. Both steps compare luminance and handle no rotation or shear: copies are resized and cropped. Pure.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from recq.images.pixels import RGBArray

Grey = npt.NDArray[np.float32]
"""Luminance, (height, width)."""

Box = tuple[float, float, float, float]

Sizes = tuple[tuple[int, int], ...]
"""Heights and widths."""

COMPARED = 96
"""The longer side, in pixels, at which colours are compared: half a thumbnail's, so that crops are sampled as finely.
At 64 the pages of two letters are as alike as copies."""

COARSE = 32
"""The longer side, in pixels, at which all scales and places are tried."""

_INNER = 0.8
"""The part of a side that is searched for: the rest may have been cropped from the picture that is searched."""

_EXTENTS = tuple(float(extent) for extent in np.geomspace(1.05, 0.55, 16))
"""The tried ratios of the other's longer side to the view's: crops down to a little more than half."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601

_FAINTEST = 0.5
"""Levels (of 255) of standard deviation that a window is taken to have at least: noise is no structure."""

_LEVELS = ((24, 6), (48, 4), (96, 4))
"""Pixels of the longer side, and steps of Gauss-Newton at most, one after the other."""

_UNLIKE = 0.1
"""One minus the correlation of luminance after the first level from which two are surely different pictures. Copies of
four packs of pictures, cropped and recompressed, stay below 0.02."""

_KEPT_WINDOWS = 3

_CONVERGED = 0.02  # pixels of the level


class View:
    """A thumbnail, uint8 (h, w, 3), with the arrays that the search needs, each made on first use."""

    def __init__(self, rgb: RGBArray) -> None:
        self.rgb = rgb
        self.height, self.width = rgb.shape[:2]
        scale = COARSE / max(self.height, self.width)
        self.small = max(1, round(self.height * scale)), max(1, round(self.width * scale))
        self._grids: dict[int, Grey] = {}
        self._windows: dict[Sizes, Grey] = {}

    def mirrored(self) -> View:
        """The same, left and right exchanged."""
        return View(np.ascontiguousarray(self.rgb[:, ::-1]))

    @cached_property
    def grey(self) -> Grey:
        """Its luminance, 0 to 255."""
        found: Grey = self.rgb.astype(np.float32) @ _LUMA
        return found

    @property
    def is_flat(self) -> bool:
        """Whether there is nothing to align."""
        return float(self._field.std()) < _FAINTEST

    def shape(self, longer: int) -> tuple[int, int]:
        """Height and width at that longer side."""
        scale = longer / max(self.height, self.width)
        return max(4, round(self.height * scale)), max(4, round(self.width * scale))

    def grid(self, longer: int) -> Grey:
        """The whole luminance at that longer side."""
        if longer not in self._grids:
            self._grids[longer] = sampled(self.grey, (0, 0, self.width, self.height), self.shape(longer))
        return self._grids[longer]

    @cached_property
    def colours(self) -> Grey:
        """The whole in colour, at the longer side `COMPARED`: (h, w, 3)."""
        return sampled(self.rgb.astype(np.float32), (0, 0, self.width, self.height), self.shape(COMPARED))

    def differs_at_a_glance(self, other: View) -> bool:
        """Whether two pictures of one aspect, compared without a shift, are surely different."""
        one, two = (view.grid(_LEVELS[0][0]) for view in (self, other))
        return one.shape == two.shape and not self.is_flat and not other.is_flat and _uncorrelated(one, two) > _UNLIKE

    @cached_property
    def _field(self) -> Grey:
        """The coarse luminance less its mean."""
        small = sampled(self.grey, (0, 0, self.width, self.height), self.small, cached=True)
        found: Grey = small - small.mean()
        return found

    @cached_property
    def spectrum(self) -> npt.NDArray[np.complex64]:
        """Of the coarse luminance in a square field, (COARSE, COARSE // 2 + 1)."""
        return np.asarray(np.fft.rfft2(_in_field(self._field)), np.complex64)

    @cached_property
    def template_sizes(self) -> Sizes:
        """Height and width of the inner part at each of `_EXTENTS`."""
        scales = [COARSE * extent * _INNER / max(self.height, self.width) for extent in _EXTENTS]
        return tuple((max(2, round(self.height * scale)), max(2, round(self.width * scale))) for scale in scales)

    @cached_property
    def templates(self) -> npt.NDArray[np.complex64]:
        """Conjugate spectra of the inner part at each size, mean 0 and norm 1: (sizes, COARSE, COARSE // 2 + 1)."""
        left, top = self.width * (1 - _INNER) / 2, self.height * (1 - _INNER) / 2
        inner = left, top, self.width - left, self.height - top
        fields = np.zeros((len(_EXTENTS), COARSE, COARSE), np.float32)
        for field, size in zip(fields, self.template_sizes, strict=True):
            part = sampled(self.grey, inner, size, cached=True)
            part = part - part.mean()
            norm = float(np.sqrt((part * part).sum()))
            if norm > 0:
                field[: size[0], : size[1]] = part / norm
        return np.asarray(np.conj(np.fft.rfft2(fields)), np.complex64)

    @cached_property
    def _sums(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Integral images of the coarse luminance and of its square."""
        field = _in_field(self._field).astype(np.float64)
        padded = np.pad(field, ((1, 0), (1, 0)))
        return padded.cumsum(0).cumsum(1), (padded * padded).cumsum(0).cumsum(1)

    def windows(self, sizes: Sizes) -> Grey:
        """One by the norm of each window of those sizes less its mean, 0 where it does not fit in: (sizes, ...)."""
        if sizes not in self._windows:
            while len(self._windows) >= _KEPT_WINDOWS:  # pictures of one shop have few aspects
                del self._windows[next(iter(self._windows))]
            self._windows[sizes] = self._made_windows(sizes)
        return self._windows[sizes]

    def _made_windows(self, sizes: Sizes) -> Grey:
        sums, squares = self._sums
        found = np.zeros((len(sizes), COARSE, COARSE), np.float32)
        for each, (height, width) in zip(found, sizes, strict=True):
            down, across = self.small[0] - height + 1, self.small[1] - width + 1
            if down > 0 and across > 0:
                total, square = _boxes(sums, height, width), _boxes(squares, height, width)
                count = height * width
                spread = (square - total * total / count)[:down, :across]
                each[:down, :across] = 1 / np.sqrt(np.maximum(spread, _FAINTEST**2 * count))
        return found


def find(view: View, other: View) -> tuple[Box, float]:
    """The box of the other in the view, found by its inner part, and how well it fits: a correlation up to 1.

    Normalised cross-correlation at every place and at the scales of `_EXTENTS` (J. P. Lewis, *Fast Normalized
    Cross-Correlation*, 1995). It finds only boxes with the other's inner part wholly within the view: try both orders.
    """
    scores = np.fft.irfft2(other.templates * view.spectrum, s=(COARSE, COARSE)) * view.windows(other.template_sizes)
    size, top, left = (int(each) for each in np.unravel_index(int(scores.argmax()), scores.shape))
    height, width = other.template_sizes[size]
    down, across = view.height / view.small[0], view.width / view.small[1]
    edge = (1 / _INNER - 1) / 2
    box = (
        (left - edge * width) * across,
        (top - edge * height) * down,
        (left + width + edge * width) * across,
        (top + height + edge * height) * down,
    )
    return box, float(scores[size, top, left])


def refine(view: View, other: View, box: Box) -> Box | None:
    """The refined box; None where the pictures are different.

    Gauss-Newton on the luminance, whatever its mean, for the box's four edges: scale and shift of each axis, since a
    picture that is resized to whole pixels is stretched a little. Differences beyond twice their median count less.
    """
    found = np.array(box, np.float64)
    for longer, steps in _LEVELS:
        if not _descend(view, other, found, longer, steps):
            return None
        if longer == _LEVELS[0][0] and _unlikeness(view, other, found, longer) > _UNLIKE:
            return None
    return float(found[0]), float(found[1]), float(found[2]), float(found[3])


def _descend(view: View, other: View, box: npt.NDArray[np.float64], longer: int, steps: int) -> bool:
    """Move the box in place. Returns whether it is still valid."""
    wanted = other.grid(longer)
    height, width = wanted.shape
    across = ((np.arange(width) + 0.5) / width).astype(np.float32)
    down = (((np.arange(height) + 0.5) / height).astype(np.float32))[:, np.newaxis]
    longest = max(view.height, view.width) / 10
    for _ in range(steps):
        seen = sampled(view.grey, box, wanted.shape)
        within = _within(view, box, wanted.shape).ravel()
        if not within.any():
            return False
        slope_y, slope_x = np.gradient(seen)
        slope_x *= width / (box[2] - box[0])
        slope_y *= height / (box[3] - box[1])
        edges = np.stack([slope_x * (1 - across), slope_y * (1 - down), slope_x * across, slope_y * down])
        edges = edges.reshape(4, -1)
        left = (wanted - seen).ravel()
        left = left - left[within].mean()
        typical = 1.4826 * float(np.median(np.abs(left[within]))) + 2
        weighted = edges * (within / (1 + (left / (2 * typical)) ** 2))
        normal = weighted @ edges.T
        normal[np.diag_indices(4)] += 1e-3 * normal.diagonal() + 1e-3
        move = np.clip(np.linalg.solve(normal, weighted @ left), -longest, longest)
        box += move
        if box[2] - box[0] < 8 or box[3] - box[1] < 8:
            return False
        if np.abs(move).max() < _CONVERGED * (box[2] - box[0]) / width:
            break
    return True


def _unlikeness(view: View, other: View, box: npt.NDArray[np.float64], longer: int) -> float:
    """One minus the correlation of luminance where both pictures are visible."""
    wanted = other.grid(longer)
    within = _within(view, box, wanted.shape)
    if not within.any():
        return 1.0
    return _uncorrelated(sampled(view.grey, box, wanted.shape)[within], wanted[within])


def _uncorrelated(one: Grey, two: Grey) -> float:
    """One minus the correlation; 1 where one of the two is constant."""
    spread = float(one.std() * two.std())
    return 1.0 if spread < _FAINTEST**2 else 1 - float(((one - one.mean()) * (two - two.mean())).mean()) / spread


def _within(view: View, box: npt.NDArray[np.float64] | Box, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Which samples of the box are inside the view."""
    rows, columns = inside(box[1], box[3], shape[0], view.height), inside(box[0], box[2], shape[1], view.width)
    return np.logical_and.outer(rows, columns)


def inside(start: float, stop: float, count: int, length: int) -> npt.NDArray[np.bool_]:
    """Which of the `count` samples of [start, stop) lie in [0, length], or at least half a pixel of each."""
    step = (stop - start) / count
    centres = start + (np.arange(count) + 0.5) * step
    edge = min(0.5, step / 2) - 1e-6
    return np.asarray((centres >= edge) & (centres <= length - edge))


def sampled(pixels: Grey, box: npt.NDArray[np.float64] | Box, shape: tuple[int, ...], *, cached: bool = False) -> Grey:
    """The box of the pixels, (h, w) or (h, w, c), as `shape`: a tent as wide as the scale, the edges repeated beyond.

    `cached` keeps the weights: for boxes that many pictures have.
    """
    weights = _kept_weights if cached else _weights
    down = weights(float(box[1]), float(box[3]), pixels.shape[0], shape[0])
    across = weights(float(box[0]), float(box[2]), pixels.shape[1], shape[1])
    if pixels.ndim == 2:
        return np.asarray(down @ pixels @ across.T, np.float32)
    channels = [down @ pixels[..., channel] @ across.T for channel in range(pixels.shape[2])]
    return np.asarray(np.stack(channels, axis=-1), np.float32)


def _weights(start: float, stop: float, source: int, target: int) -> Grey:
    """What each of `source` pixels adds to each of `target` samples of [start, stop): float32 (target, source)."""
    step = (stop - start) / target
    centres = np.clip(start + (np.arange(target) + 0.5) * step - 0.5, 0, source - 1)
    distance = np.abs(np.arange(source, dtype=np.float32) - centres[:, np.newaxis].astype(np.float32))
    weights = np.maximum(0, 1 - distance / np.float32(max(1.0, step)))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


_kept_weights = lru_cache(maxsize=4096)(_weights)


def _in_field(small: Grey) -> Grey:
    field = np.zeros((COARSE, COARSE), np.float32)
    field[: small.shape[0], : small.shape[1]] = small
    return field


def _boxes(sums: npt.NDArray[np.float64], height: int, width: int) -> npt.NDArray[np.float64]:
    """The sum of every box of that size."""
    found: npt.NDArray[np.float64] = (
        sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    )
    return found
