"""Small real JPEG files, each of its own bytes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image


def jpeg(seed: int, side: int = 64) -> bytes:
    """A colourful picture; the same seed gives the same bytes."""
    colours = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(colours).resize((side, side), Image.Resampling.BILINEAR).save(out, "JPEG", quality=90)
    return out.getvalue()


def put(path: Path, seed: int) -> Path:
    """A picture at `path`, its folders made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg(seed))
    return path
