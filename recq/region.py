"""The part of a picture that is meant: a rectangle as it is written, and as pixels of an upright picture. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Self

from recq.errors import UsageError

WHOLE = "all"
"""Stands for no region where others of the same list have one."""

NEEDED = "x,y,w,h of a region in pixels or per cent"
EXAMPLES = "120,40,300,200 or 10%,5%,50%,40%"

_NUMBER = re.compile(r"\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+))\s*(%?)\s*")


class Beside(Exception):
    """A region lies beside its picture, which is `width` x `height` pixels."""

    def __init__(self, region: Region, width: int, height: int) -> None:
        super().__init__(f"has no region {region}: it is {width} x {height} pixels")
        self.width = width
        self.height = height


@dataclass(frozen=True)
class Region:
    """A rectangle, from the left and upper edge of a picture as it is seen, after its orientation.

    Numbers are pixels of the picture as it is stored, not of a reduced one, or with `percent` shares of its sides. What
    lies beside the picture counts for nothing.
    """

    x: float
    y: float
    width: float
    height: float
    percent: bool = False

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.x, self.y, self.width, self.height))):
            raise UsageError(f"the region {self} has a number that is not finite")
        if self.width <= 0 or self.height <= 0:
            raise UsageError(f"the region {self} has no area: width and height are needed above 0")

    @classmethod
    def parse(cls, text: str) -> Self:
        """`x,y,w,h`, each in pixels, or each in per cent. Raises UsageError."""
        found = [_NUMBER.fullmatch(part) for part in text.split(",")]
        if len(found) != 4 or None in found:
            raise UsageError(f"{text!r} is no region: {NEEDED} are needed, as in {EXAMPLES}")
        signs = {each[2] for each in found if each}
        if len(signs) > 1:
            raise UsageError(f"the region {text!r} mixes pixels and per cent: write all four alike, as in {EXAMPLES}")
        x, y, width, height = (float(each[1]) for each in found if each)
        return cls(x, y, width, height, percent=signs == {"%"})

    def __str__(self) -> str:
        sign = "%" if self.percent else ""
        return ",".join(f"{number:.10g}{sign}" for number in (self.x, self.y, self.width, self.height))

    def box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, upper, right and lower edge in a picture of `width` x `height` pixels, one pixel at the least.

        Raises Beside.
        """
        across, down = (width / 100, height / 100) if self.percent else (1.0, 1.0)
        left, right = _within(self.x * across, (self.x + self.width) * across, width)
        upper, lower = _within(self.y * down, (self.y + self.height) * down, height)
        if left >= right or upper >= lower:
            raise Beside(self, width, height)
        return left, upper, right, lower


def _within(start: float, end: float, length: int) -> tuple[int, int]:
    """The whole pixels nearest to an interval, within `length`; as many as none where nothing of it is there."""
    if end <= 0 or start >= length:
        return 0, 0
    first, last = round(max(0.0, start)), round(min(length, end))  # whole numbers of what is finite
    if first < last:
        return first, last
    within = math.floor(max(0.0, start))  # less than a pixel: the one that it begins in
    return within, within + 1
