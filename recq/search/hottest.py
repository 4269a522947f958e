"""The region of a picture that an explanation finds hottest: where most of a similarity comes from. Pure."""

from __future__ import annotations

import numpy as np
from PIL import Image

from recq.region import Region
from recq.search.explain import Side

HOT = 0.5
"""Of the strongest place: what is warmer and hangs together with it belongs to the region."""

LEAST = 15.0
"""Per cent of a side that a region has at the least: the network sees little in less."""

_GRID = 40  # cells of a side that are looked at: a feature map has 7 to 20


def hottest(side: Side) -> Region | None:
    """The box around the warmest place of a picture, in per cent of its sides; None where nothing adds to the score."""
    height, width = side.rgb.shape[:2]
    cells = Image.fromarray(side.seen(), mode="F").resize((_GRID, _GRID), Image.Resampling.BOX)
    box = warmest(np.asarray(cells))
    if box is None:
        return None
    left, top, right, bottom = side.place.seen
    across, down = (right - left) / _GRID, (bottom - top) / _GRID
    x, w = _shares(left + box[0] * across, left + box[2] * across, width)
    y, h = _shares(top + box[1] * down, top + box[3] * down, height)
    return Region(x, y, w, h, percent=True)


def warmest(heat: np.ndarray) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of the cells that are warm and hang together with the warmest; float (h, w)."""
    row, column = divmod(int(np.argmax(heat)), heat.shape[1])
    peak = float(heat[row, column])
    if peak <= 0:
        return None
    warm = heat >= HOT * peak
    reached = {(row, column)}
    waiting = [(row, column)]
    while waiting:
        y, x = waiting.pop()
        for near in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            inside = 0 <= near[0] < heat.shape[0] and 0 <= near[1] < heat.shape[1]
            if inside and near not in reached and warm[near]:
                reached.add(near)
                waiting.append(near)
    rows, columns = [y for y, _ in reached], [x for _, x in reached]
    return min(columns), min(rows), max(columns) + 1, max(rows) + 1


def _shares(start: float, end: float, length: int) -> tuple[float, float]:
    """Where an interval begins and how wide it is, in per cent of a length, `LEAST` at the least and inside it."""
    wide = min(100.0, max(LEAST, 100 * (end - start) / length))
    middle = 50 * (start + end) / length
    first = min(100 - wide, max(0.0, middle - wide / 2))
    return round(first, 1), round(min(wide, 100 - first), 1)
