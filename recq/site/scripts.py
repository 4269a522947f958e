"""The data of a site as scripts: a page that is opened as a file may load scripts, and nothing else.

Each file is one call, `take("items",3,[...])`, with JSON as its last argument. JSON is JavaScript since ECMAScript
2019; here it is ASCII besides, and has no `<`, so that it stays data wherever somebody puts it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from recq.site.quantise import Quantised


def script(kind: str, number: int, content: Any) -> bytes:
    """The call that hands over the part `number` of a kind."""
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return f'take("{kind}",{number},{text});\n'.encode("ascii")


def coarse_script(number: int, vectors: Quantised) -> bytes:
    """The coarse part of vectors: all `scale`, all `miss`, all `coarse`, little-endian, in base64."""
    return script("vectors", number, _numbers([vectors.scale, vectors.miss, vectors.coarse]))


def rest_script(number: int, rest: npt.NDArray[np.int16]) -> bytes:
    """The rests of some vectors likewise."""
    return script("rests", number, _numbers([rest]))


def _numbers(arrays: Sequence[npt.NDArray[Any]]) -> str:
    little = (each.astype(each.dtype.newbyteorder("<")).tobytes() for each in arrays)
    return base64.b64encode(b"".join(little)).decode("ascii")
