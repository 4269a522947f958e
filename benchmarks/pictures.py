"""Pictures for the benchmarks: those of the packs beside the checkout, and made ones, in folders under build/."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.measure import ROOT, progress

DATA = ROOT / "build" / "bench-data"
SAMPLES = ROOT / "samples"
PACKS = ("clothing", "furniture", "luma_products", "movie_posters", "demo_catalog")
LARGE = (4000, 3000)
"""12 megapixels: a telephone's or a camera's photograph."""


def pack(name: str) -> list[Path]:
    """The JPEG files of a pack, in `RECQ_TEST_DATA`, else `../shared/data`; where it is absent the bundled samples."""
    data = Path(os.environ.get("RECQ_TEST_DATA") or ROOT.parent / "shared" / "data") / name
    return sorted((data if data.is_dir() else SAMPLES).rglob("*.jpg"))


def is_there(name: str) -> bool:
    """Whether the pack is on this machine."""
    return pack(name)[0].parents[-1:] != [] and SAMPLES not in pack(name)[0].parents


def some_of(name: str, count: int) -> Path:
    """A folder with `count` files of a pack, spread evenly over it; more than it has are others with a byte more."""
    found = pack(name)
    return _made(f"{name}-{count}", count, lambda number: _again(found, number, count))


def varied(count: int) -> Path:
    """A folder with `count` pictures, no two alike: those of all packs, then parts of them, of 60 to 95 % a side."""
    found = [path for name in PACKS for path in pack(name)]
    found = list(dict.fromkeys(found))
    return _made(
        f"varied-{count}",
        count,
        lambda number: found[number].read_bytes() if number < len(found) else _part(found, number),
    )


def large(count: int) -> Path:
    """A folder with `count` photographs of 12 megapixels: those of a pack, enlarged, with a camera's grain."""
    found = pack("clothing")
    return _made(f"large-{count}", count, lambda number: _enlarged(found[number % len(found)], number))


def small(count: int, side: int = 64) -> Path:
    """A folder with `count` different small photographs, in folders of a thousand."""
    found = pack("clothing")
    thumbnails = [_thumbnail(path, side) for path in found[:: max(1, len(found) // 200)]]
    return _made(f"small-{side}-{count}", count, lambda number: thumbnails[number % len(thumbnails)] + _tail(number))


def another(number: int) -> bytes:
    """A sample's bytes and a few more: the same picture, but a file of its own, whose vector nobody has."""
    found = pack("clothing")
    return found[number % len(found)].read_bytes() + _tail(number + 1)


def _made(name: str, count: int, content: Callable[[int], bytes]) -> Path:
    """The folder `name`; it is whole, or not there."""
    folder = DATA / name
    if folder.is_dir():
        return folder
    progress(f"    making {count:,} pictures in build/bench-data/{name}")
    unfinished = folder.with_name(f"{name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    for number in range(count):
        file = unfinished / f"f{number // 1000:03d}" / f"{number:06d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content(number))
    unfinished.replace(folder)
    return folder


def _again(found: list[Path], number: int, count: int) -> bytes:
    if count <= len(found):
        return found[number * len(found) // count].read_bytes()
    return found[number % len(found)].read_bytes() + (_tail(number) if number >= len(found) else b"")


def _tail(number: int) -> bytes:
    """Bytes behind the picture's end, which every decoder ignores."""
    return b"\0" + number.to_bytes(8, "big")


def _thumbnail(path: Path, side: int) -> bytes:
    with Image.open(path) as image:
        picture = image.convert("RGB")
        picture.thumbnail((side, side))
    return _jpeg(picture)


def _part(found: list[Path], number: int) -> bytes:
    random = np.random.default_rng(number)
    with Image.open(found[number % len(found)]) as image:
        picture = image.convert("RGB")
    width, height = (max(8, round(side * random.uniform(0.6, 0.95))) for side in picture.size)
    left, top = random.integers(picture.width - width + 1), random.integers(picture.height - height + 1)
    return _jpeg(picture.crop((int(left), int(top), int(left) + width, int(top) + height)))


def _enlarged(path: Path, number: int) -> bytes:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB").resize(LARGE, Image.Resampling.BICUBIC), np.int16)
    grain = np.random.default_rng(number).integers(-6, 7, (LARGE[1], LARGE[0], 1), dtype=np.int16)
    return _jpeg(Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8)))


def _jpeg(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=88)
    return out.getvalue()
