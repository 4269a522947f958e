"""Decodes bytes into one upright 8-bit RGB picture, or raises one ImageError with the reason.

The content decides the decoder from the allow-list, never the name. JPEG is decoded by simplejpeg in strict mode, twice
as fast as Pillow; what it refuses, and every other format, is decoded by Pillow. A picture is whole or refused: a
truncated one is never accepted.
"""

from __future__ import annotations

import struct
import warnings
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

import numpy as np
import simplejpeg

# Importing the plugins registers them: Pillow then never loads the forty others (EPS, PDF, FLI ...) to look for one.
from PIL import (
    AvifImagePlugin,  # noqa: F401
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    JpegImagePlugin,
    MpoImagePlugin,  # noqa: F401
    PngImagePlugin,
    TiffImagePlugin,  # noqa: F401
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
)

from recq.errors import ImageError, Reason
from recq.images import bmp, jpeg, png, tiff, tiff_pages
from recq.images.formats import FORMATS, is_cut_short, other_kind, sniff
from recq.images.frames import first_shown
from recq.images.heif import largest_declared
from recq.images.opening import opened
from recq.images.pixels import Raster, RGBArray, image_of, of_four_bytes, raster, to_rgb, upright
from recq.images.profiles import conversion
from recq.images.tiff_pages import Page, beginning_with, the_picture
from recq.paths import printable

if TYPE_CHECKING:
    from recq.settings import Settings

_ORIENTATION = 0x0112
_CHECKED_FIRST = frozenset({"PNG", "GIF", "WEBP", "AVIF", "HEIF"})
"""Formats whose decoders accept a file although its container shows that it is cut."""

_ESSENTIAL = {"PNG": png.essential, "JPEG": jpeg.essential}
"""Functions that remove metadata from a file, since the decoder would refuse good pixels for damaged metadata."""

_ANIMATED = frozenset({"PNG", "GIF", "WEBP", "AVIF"})

_CUT = ("truncated", "unexpected end of file")
"""The words of decoders (Pillow, libheif) for data that ends too early."""

_NO_MEMORY = ("out of memory", "memory allocation error", "failed to map segment")
"""The words of decoders (Pillow's codecs, libheif, its loader) that do not raise MemoryError."""

_UNIDENTIFIED = "not identified by this driver"  # PIL.ImageFile, of a plugin that is called directly

# Pillow's warnings on odd metadata, palettes and frame counts: only an exception decides.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


@dataclass(frozen=True)
class Limits:
    """The limits of one picture: bytes of its file, pixels (width x height) of its first frame."""

    max_bytes: int
    max_pixels: int

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The limits of `max_bytes` and `max_pixels`."""
        return cls(settings.max_bytes, settings.max_pixels)


@dataclass(frozen=True)
class Picture:
    """A decoded picture: `rgb` is uint8 (h, w, 3), upright, perhaps smaller than the original's `width` x `height`.

    `since` is the decoder's revision (`recq.images.revision`) that was the first to make these pixels of the file.
    """

    rgb: RGBArray
    format: str
    width: int
    height: int
    since: int


def decode(data: bytes, limits: Limits, *, reduce_to: int | None = None) -> Picture:
    """The picture in the image file `data`: of an animation the first frame that shows anything.

    With `reduce_to=S` the caller makes an S x S input of it: a JPEG may then be decoded at 1/2, 1/4 or 1/8, as
    long as its *shorter* side stays at 2*S or above (so that cropping and stretching keep their pixels too).
    Raises ImageError with EMPTY, NOT_AN_IMAGE, TRUNCATED, CORRUPT, UNSUPPORTED, TOO_LARGE or OUT_OF_MEMORY, and
    nothing else.
    """
    if not data:
        raise ImageError(Reason.EMPTY, "the file has no bytes")
    if len(data) > limits.max_bytes:
        raise too_many_bytes(len(data), limits)
    fmt = sniff(data[:64])
    if fmt is None:
        kind = other_kind(data[:1024])
        told = f"it is {kind}: " if kind is not None else ""
        raise ImageError(Reason.NOT_AN_IMAGE, f"{told}its content is none of {', '.join(FORMATS)}")
    try:
        return _decoded(data, fmt, limits, reduce_to)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(Reason.OUT_OF_MEMORY, f"decoding this {fmt} needs more memory than there is") from error
    except Image.DecompressionBombError as error:
        raise ImageError(Reason.TOO_LARGE, str(error)) from error
    # Parsers meet hostile bytes here. Pillow was seen to raise OSError, ValueError, TypeError, SyntaxError,
    # NotImplementedError, EOFError, KeyError, IndexError, OverflowError, ZeroDivisionError and struct.error.
    except Exception as error:
        raise _refusal(error, data, fmt) from error


def _refusal(error: Exception, data: bytes, fmt: str) -> ImageError:
    """The ImageError for a decoder's exception."""
    said = str(error) or type(error).__name__
    words = said.lower()
    if any(each in words for each in _NO_MEMORY) and "limit" not in words:  # libheif has limits of its own
        return ImageError(Reason.OUT_OF_MEMORY, f"decoding this {fmt} needs more memory than there is")
    cut = any(each in words for each in _CUT) or isinstance(error, EOFError) or is_cut_short(fmt, data)
    if not cut and fmt == "JPEG" and (kind := jpeg.kind(data)) is not None:
        return ImageError(Reason.UNSUPPORTED, f"{kind}, which recq cannot read")
    if not cut and "unsupported" in words:
        said = printable(" ".join(said.split()))
        return ImageError(Reason.UNSUPPORTED, f"a kind of {fmt} that recq cannot read ({said})")
    if isinstance(error, UnidentifiedImageError) or said == _UNIDENTIFIED:  # of no use, or with a buffer's address
        said = f"the {fmt} data stops before its end" if cut else f"it begins like {fmt}, but is damaged"
    # Some quote the file, whose text must not reach a terminal.
    return ImageError(Reason.TRUNCATED if cut else Reason.CORRUPT, printable(" ".join(said.split())))


def too_many_bytes(size: int, limits: Limits) -> ImageError:
    """The error of a file of `size` bytes."""
    return ImageError(Reason.TOO_LARGE, f"{size:,} bytes, more than max_bytes = {limits.max_bytes:,}")


def reduction(width: int, height: int, reduce_to: int | None) -> int:
    """The largest of 8, 4, 2, 1 that keeps the shorter side at `2 * reduce_to` or above.

    Only powers of two: libjpeg-turbo has fast code for those alone.
    """
    if reduce_to is None:
        return 1
    return next((factor for factor in (8, 4, 2) if min(width, height) // factor >= 2 * reduce_to), 1)


def _decoded(data: bytes, fmt: str, limits: Limits, reduce_to: int | None) -> Picture:
    since = 0
    if fmt == "TIFF" and (pages := _pages(data)):
        page = the_picture(pages, tiff.can_be_read)
        _require_affordable(*page.size, limits)
        if tiff.way(page) is tiff.Way.HERE:
            return _finished(to_rgb(tiff.read(data, page), page.profile), fmt, page.size, page.orientation, since=1)
        since = 0 if page is pages[0] else 1
        data = beginning_with(data, page)
    if fmt == "BMP" and (layout := bmp.masked(data)) is not None:
        _require_affordable(layout.width, layout.height, limits)
        return _finished(to_rgb(bmp.read(data, layout), None), fmt, (layout.width, layout.height), 1, since=1)
    profile = None
    if fmt in _ESSENTIAL:
        data, profile = _ESSENTIAL[fmt](data)
    with opened(data, fmt) as im:
        profile = profile or im.info.get("icc_profile")
        since = 1 if conversion(profile) is not None else since
        return _by_pillow(im, data, fmt, profile, limits, reduce_to, since)


def _pages(data: bytes) -> list[Page]:
    """The pages of a TIFF; none where it is damaged, which Pillow then reports."""
    try:
        return tiff_pages.pages(data)
    except (struct.error, OverflowError):
        return []


def _finished(rgb: RGBArray, fmt: str, size: tuple[int, int], orientation: int, *, since: int) -> Picture:
    """A picture turned upright; `size` is width and height as stored."""
    width, height = size[::-1] if orientation >= 5 else size
    turned = upright(rgb, orientation)
    return Picture(rgb if turned is rgb else np.ascontiguousarray(turned), fmt, width, height, since)


def _by_pillow(
    im: Image.Image, data: bytes, fmt: str, profile: bytes | None, limits: Limits, reduce_to: int | None, since: int
) -> Picture:
    size = width, height = im.size
    _require_affordable(width, height, limits)
    if fmt == "HEIF":
        _require_affordable(*largest_declared(data), limits)
    if fmt in _CHECKED_FIRST and is_cut_short(fmt, data):
        raise ImageError(Reason.TRUNCATED, f"the {fmt} data stops before its end")
    factor = reduction(width, height, reduce_to) if fmt == "JPEG" else 1
    rgb = _fast_jpeg(im, data, factor, profile) if fmt == "JPEG" else None
    if rgb is None:
        # Whether Pillow accepts a JPEG that lacks only its end marker depends on its buffers.
        if fmt == "JPEG" and is_cut_short(fmt, data):
            raise ImageError(Reason.TRUNCATED, "the JPEG data stops before its end")
        if factor > 1 and isinstance(im, JpegImagePlugin.JpegImageFile):
            im.draft(None, (width // factor, height // factor))
        if fmt in _ANIMATED:
            rgb, number = first_shown(im, partial(_rendered, profile=profile), most_pixels=limits.max_pixels)
            since = 1 if number else since
        else:
            rgb = _rendered(im, profile)
    if fmt != "JPEG":  # which may be reduced; others may be turned while they are loaded
        size = rgb.shape[1], rgb.shape[0]
    # HEIF turns its pixels itself; its EXIF orientation only tells how they had been.
    return _finished(rgb, fmt, size, _orientation(im) if fmt != "HEIF" else 1, since=since)


def _rendered(im: Image.Image, profile: bytes | None) -> RGBArray:
    """The frame that `im` stands at."""
    rawmode = _rawmode(im)
    im.load()
    return to_rgb(raster(im, rawmode), profile)


def _require_affordable(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.max_pixels:
        raise ImageError(
            Reason.TOO_LARGE,
            f"{width:,} x {height:,} = {width * height:,} pixels, more than max_pixels = {limits.max_pixels:,}",
        )


def _fast_jpeg(im: Image.Image, data: bytes, factor: int, profile: bytes | None) -> RGBArray | None:
    """The pixels by simplejpeg, or None where it refuses or the colour model is not for it."""
    if im.mode not in ("RGB", "L"):
        return None
    width, height = im.size
    try:
        rgb = of_four_bytes(
            simplejpeg.decode_jpeg(
                data,
                "RGBX",
                min_width=-(-width // factor) if factor > 1 else 0,
                min_height=-(-height // factor) if factor > 1 else 0,
                strict=True,
            )
        )
    except ValueError:
        return None
    found = conversion(profile)
    if found is None or found.mode != im.mode:
        return rgb
    grey = im.mode == "L"
    return to_rgb(Raster(Image.fromarray(np.ascontiguousarray(rgb[..., 0])) if grey else image_of(rgb)), profile)


def _rawmode(im: Image.Image) -> str:
    """How a PNG not yet loaded stores its samples ("RGB;16B", "L;2"); "" for other formats."""
    args = im.tile[0][3] if isinstance(im, PngImagePlugin.PngImageFile) and im.tile else ""
    return args if isinstance(args, str) else ""


def _orientation(im: Image.Image) -> int:
    """EXIF orientation 1-8 of a loaded picture; 1 where there is none, or none that can be read."""
    try:
        value = im.getexif().get(_ORIENTATION)
    except Exception:  # broken metadata is no reason to refuse good pixels
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
