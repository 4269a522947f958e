"""TIFFs of every kind that tifffile can write, all of one scene: what they have to look like is known."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from tests.recq.images.encoded import scene

Values = npt.NDArray[Any]

WIDTH, HEIGHT = 37, 29  # neither a whole number of tiles nor, packed, of bytes

MODELS = ("minisblack", "miniswhite", "rgb", "palette", "separated", "cielab", "icclab")
DEPTHS = ("u1", "u2", "u3", "u4", "u5", "u7", "u8", "u10", "u12", "u14", "u16", "u17", "u24", "u31", "u32", "u64")
SIGNED = ("i8", "i16", "i32", "i64")
FLOATS = ("f16", "f32", "f64")
COMPRESSIONS = (None, "zlib", "lzw", "packbits", "zstd", "lzma", "jpeg", "webp", "jpegxl", "lerc", "jpeg2000", "png")


@dataclass(frozen=True)
class Kind:
    """What a TIFF is, in tifffile's words."""

    model: str
    depth: str
    alpha: str = "none"  # or unspecified, assocalpha, unassalpha
    order: str = "<"
    planar: str = "contig"
    compression: str | None = None
    predictor: bool = False
    tiled: bool = False
    big: bool = False

    def __str__(self) -> str:
        return "-".join(str(value) for value in astuple(self))

    @property
    def bits(self) -> int:
        return int(self.depth[1:])

    @property
    def type(self) -> np.dtype[Any]:
        size = next(size for size in (8, 16, 32, 64) if size >= self.bits)
        return np.dtype(f"{self.depth[0]}{size // 8}")


@cache
def shown(gray: bool) -> Values:
    """The scene, uint8 (h, w, 3)."""
    rgb = np.asarray(scene(WIDTH, HEIGHT))
    rgb = np.clip((rgb.astype(np.int16) - rgb.min()) * 255 // (int(rgb.max()) - int(rgb.min())), 0, 255)
    rgb[0, 0], rgb[0, 1] = 0, 255  # the whole range: what has no fixed white is stretched to it
    return (np.repeat(rgb[..., 1:2], 3, axis=2) if gray else rgb).astype(np.uint8)


def opaque() -> Values:
    """How opaque each pixel is, uint8 (h, w)."""
    return np.tile(np.linspace(255, 60, WIDTH).astype(np.uint8), (HEIGHT, 1))


def over_white(rgb: Values, opacity: Values) -> Values:
    share = opacity[..., None] / 255
    return np.asarray(np.rint(rgb * share + 255 * (1 - share)), np.uint8)


def stored(values: Values, kind: Kind) -> Values:
    """8-bit values in the depth of `kind`."""
    if kind.depth[0] == "f":
        return np.asarray(values / 255, kind.type)
    most = 2**kind.bits - 1
    scaled = np.array([[round(int(value) * most / 255) if kind.bits <= 48 else int(value) * (most // 255)] for value in
                       range(256)], object)[values][..., 0]  # fmt: skip
    if kind.depth[0] == "i":
        scaled = scaled - 2 ** (kind.bits - 1)
    return np.asarray(scaled).astype(kind.type)


def made(kind: Kind, *, profile: bytes | None = None) -> tuple[bytes, Values] | None:
    """The file, and what it shows, uint8 (h, w, 3); None where no such file can be."""
    if kind.order == ">" and kind.bits != 8 * kind.type.itemsize and kind.depth != "u1":
        return None  # imagecodecs packs the bytes of big-endian numbers in the wrong order (2026.3.6)
    gray = kind.model in ("minisblack", "miniswhite")
    rgb = shown(gray)
    options: dict[str, Any] = {"iccprofile": profile}
    if kind.model == "palette":
        if kind.depth not in ("u1", "u2", "u4", "u8", "u16") or kind.alpha != "none" or kind.compression == "jpeg":
            return None
        table = np.random.default_rng(3).integers(0, 256, (2**kind.bits, 3)) * 257
        numbers = np.random.default_rng(4).integers(0, 2**kind.bits, (HEIGHT, WIDTH)).astype(kind.type)
        options["colormap"] = table.T.astype(np.uint16)
        expected, channels = (table[numbers] // 257).astype(np.uint8), numbers[..., None]
    elif kind.model in ("cielab", "icclab"):
        if kind.depth not in ("u8", "u16") or kind.alpha != "none" or kind.planar != "contig":
            return None
        expected, channels = _gray_lab(kind)
    else:
        rgb, opacity = _quantised(rgb, kind), _quantised(opaque(), kind)
        share = opacity[..., None] / 255 if kind.alpha == "assocalpha" else 1.0
        if kind.alpha == "assocalpha" and kind.bits < 8:
            return None  # nothing is left of a product of so few bits
        channels = stored(_colours(kind, rgb, share), kind)
        expected = rgb if kind.alpha in ("none", "unspecified") else over_white(rgb, opacity)
        if kind.alpha != "none":
            channels = np.concatenate([channels, _opacity(kind)], axis=-1)
            options["extrasamples"] = [kind.alpha]
    data = _written(kind, channels, options)
    if kind.compression == "jpeg" and kind.model == "rgb" and kind.alpha == "none" and kind.planar == "contig":
        expected = tifffile.imread(io.BytesIO(data))  # JPEG loses colour
    return data, expected


def _quantised(values: Values, kind: Kind) -> Values:
    """8-bit values of which no more is left than a depth below 8 bits keeps."""
    most = 2 ** min(kind.bits, 8) - 1
    return np.asarray(np.rint(np.rint(values * (most / 255)) * (255 / most)), np.uint8)


def _opacity(kind: Kind) -> Values:
    if kind.depth[0] == "i":
        return np.asarray(opaque()[..., None].astype(object) * (2 ** (kind.bits - 1) - 1) // 255).astype(kind.type)
    return stored(opaque()[..., None], kind)


def _colours(kind: Kind, rgb: Values, share: Values | float) -> Values:
    """The colour channels, multiplied by `share`. White where it is 0 is a matter of storing: it comes after that."""
    match kind.model:
        case "minisblack":
            channels = rgb[..., :1] * share
        case "miniswhite":
            channels = 255 - rgb[..., :1] * share
        case "rgb":
            channels = rgb * share
        case _:  # CMYK without black
            channels = np.concatenate([255 - rgb, np.zeros((HEIGHT, WIDTH, 1), np.uint8)], axis=-1) * share
    return np.rint(channels).astype(np.uint8)


def _gray_lab(kind: Kind) -> tuple[Values, Values]:
    """A ramp without colour: sRGB gray of L* by the formulas of CIE and IEC 61966-2-1."""
    lightness = np.tile(np.linspace(0, 100, WIDTH), (HEIGHT, 1))
    y = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness / 903.3)
    gray = np.where(y <= 0.0031308, 12.92 * y, 1.055 * y ** (1 / 2.4) - 0.055)
    top = {("cielab", 8): 255, ("icclab", 8): 255, ("cielab", 16): 65_535, ("icclab", 16): 0xFF00}[
        kind.model, kind.bits
    ]
    none = 0 if kind.model == "cielab" else 1 << (kind.bits - 1)
    channels = np.stack([np.rint(lightness / 100 * top), *[np.full_like(lightness, none)] * 2], axis=-1)
    return np.repeat(np.rint(gray * 255).astype(np.uint8)[..., None], 3, axis=2), channels.astype(kind.type)


def _written(kind: Kind, channels: Values, options: dict[str, Any]) -> bytes:
    """Raises what tifffile raises where it does not write such a file."""
    if kind.bits != 8 * kind.type.itemsize:
        options["bitspersample"] = kind.bits
    if kind.tiled:
        options["tile"] = (16, 32)
    else:
        options["rowsperstrip"] = 7
    if channels.shape[-1] > 1:
        options["planarconfig"] = kind.planar
        channels = np.ascontiguousarray(channels.transpose(2, 0, 1)) if kind.planar == "separate" else channels
    else:
        channels = channels[..., 0]
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        channels,
        photometric=kind.model,
        byteorder=kind.order,  # type: ignore[arg-type]
        compression=kind.compression,
        predictor=kind.predictor,
        bigtiff=kind.big,
        metadata=None,
        **options,
    )
    return buffer.getvalue()


def kinds() -> Iterator[Kind]:
    """Every combination that makes sense to ask tifffile for."""
    for model, depth, alpha in product(
        MODELS, DEPTHS + SIGNED + FLOATS, ("none", "unspecified", "assocalpha", "unassalpha")
    ):
        if depth[0] != "u" and model not in ("minisblack", "miniswhite", "rgb"):
            continue
        for order, planar, compression, predictor, tiled in product(
            "<>", ("contig", "separate"), COMPRESSIONS, (False, True), (False, True)
        ):
            if predictor and compression in (None, "jpeg", "webp", "jpegxl", "lerc", "jpeg2000", "png"):
                continue
            if planar == "separate" and model in ("minisblack", "miniswhite", "palette") and alpha == "none":
                continue
            yield Kind(model, depth, alpha, order, planar, compression, predictor, tiled, big=(tiled and order == ">"))


def off_by(found: Values, expected: Values) -> float:
    """The mean difference, in levels of 255."""
    assert found.shape == expected.shape
    return float(np.abs(found.astype(np.float64) - expected).mean())


def tiff_file(
    order: str,
    width: int,
    height: int,
    raw: bytes,
    tags: Mapping[int, int | Sequence[int]],
    *,
    before: bytes = b"",
    as_bytes: frozenset[int] = frozenset(),
) -> bytes:
    """A TIFF by hand, of one uncompressed strip; `before` is a file whose pages come first, `as_bytes` are tags of
    type UNDEFINED; all others are SHORT."""
    head = before or (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 0)
    made = bytearray(head + b"\0" * (len(head) % 2))
    start = len(made)
    made += raw + b"\0" * (len(raw) % 2)
    everything: dict[int, int | Sequence[int]] = {256: width, 257: height, 273: start, 278: height, 279: len(raw)}
    entries: list[bytes] = []
    for tag, value in sorted((everything | dict(tags)).items()):
        values = [value] if isinstance(value, int) else list(value)
        if tag in everything:
            entries.append(struct.pack(f"{order}HHII", tag, 4, 1, values[0]))
        elif tag in as_bytes:
            entries.append(struct.pack(f"{order}HHII", tag, 7, len(values), len(made)))
            made += bytes(values).ljust(4, b"\0") + b"\0" * (len(values) % 2)
        elif len(values) <= 2:
            entries.append(
                struct.pack(f"{order}HHI", tag, 3, len(values)) + struct.pack(f"{order}2H", *[*values, 0][:2])
            )
        else:
            entries.append(struct.pack(f"{order}HHII", tag, 3, len(values), len(made)))
            made += struct.pack(f"{order}{len(values)}H", *values)
    directory = len(made)
    made += struct.pack(f"{order}H", len(entries)) + b"".join(entries) + struct.pack(f"{order}I", 0)
    at = 4
    while (following := struct.unpack_from(f"{order}I", made, at)[0]) != 0:
        at = following + 2 + 12 * struct.unpack_from(f"{order}H", made, following)[0]
    struct.pack_into(f"{order}I", made, at, directory)
    return bytes(made)
