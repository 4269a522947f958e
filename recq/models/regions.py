"""The regions of a feature map that R-MAC pooling looks at.

Tolias, Sicre, Jégou, "Particular object retrieval with integral max-pooling of CNN activations" (ICLR 2016), section
3.2. Networks see squares here, so maps are square: the paper's rule for the longer side of a map (as many regions as
bring the overlap near to 40 %) never applies, and neighbours overlap by half.
"""

from __future__ import annotations

from dataclasses import dataclass

SCALES = 3
"""The paper's L: 1, 4 and 9 regions."""


@dataclass(frozen=True)
class Region:
    """A square of a map, `width` cells a side."""

    top: int
    left: int
    width: int


def regions(side: int, scales: int = SCALES) -> list[Region]:
    """The regions of a map of (side, side): at scale l, l x l squares of width 2 side / (l + 1), evenly spread."""
    found = []
    for scale in range(1, scales + 1):
        width = max(1, 2 * side // (scale + 1))
        step = (side - width) / max(1, scale - 1)
        starts = [int(step * place) for place in range(scale)]
        found += [Region(top, left, width) for top in starts for left in starts]
    return found
