"""What a program asks with becomes a target: a name, a file, a picture in memory, a result, a vector.

'sofa_226.jpg'            as on the command line: an indexed name or path, an id, any picture's path
Path('sofa_226.jpg')      always the file
PIL.Image, bytes          the picture; a PIL.Image with its orientation, colour profile and transparency
numpy uint8 (h, w, 3)     RGB pixels
a result, an item         that item
numpy floats (dim,)       a vector of the catalog's space
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np

from recq.errors import TargetError, UsageError
from recq.search.results import ItemDetails, Result
from recq.search.target import ContentTarget, Given, VectorTarget

if TYPE_CHECKING:
    from PIL.Image import Image

    from recq.search.many import FailedTarget

Target: TypeAlias = "str | os.PathLike[str] | bytes | Image | np.ndarray | Result | ItemDetails"
"""Whatever a question can start from."""

_ORIENTATION = 0x0112  # EXIF's tag
_IN_PNG = frozenset({"1", "L", "LA", "I;16", "P", "RGB", "RGBA"})
_IN_TIFF = frozenset({"CMYK", "YCbCr", "LAB", "I", "I;16B", "I;16L", "F"})
_TRANSPARENT = {"La": "LA", "PA": "RGBA", "RGBa": "RGBA"}
"""Modes that no file has, and those of the same picture that a file can have."""


def given_of(target: Any) -> Given:
    """The target as `recq.search` takes it. Raises UsageError for what is none, TargetError for what cannot be read."""
    if isinstance(target, str):
        return target
    if isinstance(target, Result):
        return target.id
    if isinstance(target, ItemDetails):
        return target.item.id
    if isinstance(target, bytes | bytearray | memoryview):
        return ContentTarget(bytes(target))
    if isinstance(target, np.ndarray):
        return _of_array(target)
    if _is_image(target):
        return _of_image(target)
    if isinstance(target, os.PathLike):
        return os.fspath(Path(os.fsdecode(os.fspath(target))).absolute())
    raise UsageError(
        f"a {type(target).__name__} is no target: give a name, a pathlib.Path, a PIL.Image, the bytes of a picture, "
        "RGB pixels (numpy uint8), a result, or a vector (numpy float32)"
    )


def given_all(targets: Iterable[Any]) -> list[Given]:
    """`given_of` each."""
    return [given_of(each) for each in targets]


def given_or_failed(target: Any) -> Given | FailedTarget:
    """`given_of`, and a `FailedTarget` for what cannot be read. Raises UsageError for what is no target."""
    try:
        return given_of(target)
    except TargetError as error:
        from recq.search.many import FailedTarget

        return FailedTarget(_name_of(target), str(error))


def _is_image(target: object) -> TypeGuard[Image]:
    pil = sys.modules.get("PIL.Image")  # who has one has imported it
    return pil is not None and isinstance(target, pil.Image)


def _of_array(array: np.ndarray) -> Given:
    if array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3 and array.size:
        from PIL import Image

        return ContentTarget(_encoded(Image.fromarray(np.ascontiguousarray(array)), "PNG"), "the pixels given")
    if np.issubdtype(array.dtype, np.floating) and array.ndim == 1:
        with np.errstate(over="ignore"):  # told below
            vector = array.astype(np.float32)
        if not np.isfinite(vector).all() or not vector.any():
            raise UsageError("the vector given has numbers that are not finite, or nothing but zeros")
        return VectorTarget(vector)
    raise UsageError(
        f"an array of {array.dtype} {array.shape} is no target: pixels are uint8 (height, width, 3), RGB, "
        "a vector is float32 (dim,)"
    )


def _of_image(image: Image) -> Given:
    """The picture without loss, for the decoder that reads all others: it knows orientation, profile, transparency."""
    name = _name_of(image)
    try:
        if image.mode in _IN_PNG:
            return ContentTarget(_encoded(image, "PNG"), name)
        if image.mode in _IN_TIFF:
            return ContentTarget(_encoded(image, "TIFF"), name)
        return ContentTarget(_encoded(image.convert(_TRANSPARENT.get(image.mode, "RGB")), "PNG"), name)
    except (OSError, ValueError, SyntaxError, MemoryError) as error:
        raise TargetError(f"the picture given cannot be read: {' '.join(str(error).split())}") from error


def _name_of(image: Any) -> str:
    """The name of the file that an image was opened from."""
    file = getattr(image, "filename", "")
    return Path(os.fsdecode(file)).name if file and isinstance(file, str | bytes | os.PathLike) else "the picture given"


def _encoded(image: Image, form: str) -> bytes:
    from PIL.Image import Exif

    stream = io.BytesIO()
    exif = Exif()
    orientation = image.getexif().get(_ORIENTATION)
    if orientation is not None:
        exif[_ORIENTATION] = orientation
    profile = image.info.get("icc_profile")
    options: dict[str, Any] = {"compress_level": 1} if form == "PNG" else {}
    image.save(stream, form, exif=exif, icc_profile=profile, **options)
    return stream.getvalue()
