"""Turns what a program asks with into a target: a name, a file, a picture in memory, a result, a vector.

'sofa_226.jpg'            as on the command line: an indexed name or path, an id, any picture's path
Path('sofa_226.jpg')      always the file
PIL.Image, bytes          the picture; a PIL.Image with its orientation, colour profile and transparency
numpy uint8 (h, w, 3)     RGB pixels
a result, an item         that item
numpy floats (dim,)       a vector of the catalog's space
recq.Part                 a region of a picture that any of these but a vector names
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from recq.errors import TargetError, UsageError
from recq.face.arguments import type_name, value_text, wrong
from recq.region import EXAMPLES, NEEDED, Region
from recq.search.results import ItemDetails, Result
from recq.search.target import ContentTarget, Given, GivenPart, IndexedName, ItemTarget, SeenName, VectorTarget

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from recq.search.many import FailedTarget

Target: TypeAlias = (
    "str | os.PathLike[str] | bytes | Image | np.ndarray | Result | ItemDetails | Part | IndexedName | SeenName | "
    "ContentTarget"
)
"""Whatever a question can start from."""


@dataclass(frozen=True, eq=False)
class Part:
    """A region of a picture, wherever a question takes a target: `recq.Part("room.jpg", "10%,5%,50%,40%")`.

    `region` is `x, y, width, height` from the left and upper edge of the picture as it is seen, after its orientation:
    numbers of pixels, or a text as the command line takes it, in pixels or per cent. What lies beside the picture
    counts for nothing. A part of an item is read from its file, and the item is not among the results.
    """

    target: Target
    region: str | Sequence[float]


_TAKEN = (
    "a name (str), a pathlib.Path, a PIL.Image, the bytes of a picture, RGB pixels (numpy uint8), "
    "a result or an item of an answer, or a vector (numpy float32)"
)

_ORIENTATION = 0x0112  # EXIF's tag
_IN_PNG = frozenset({"1", "L", "LA", "I;16", "P", "RGB", "RGBA"})
_IN_TIFF = frozenset({"CMYK", "YCbCr", "LAB", "I", "I;16B", "I;16L", "F"})
_TRANSPARENT = {"La": "LA", "PA": "RGBA", "RGBa": "RGBA"}
"""Modes that no file has, and those of the same picture that a file can have."""


def given_of(target: Any, name: str = "target") -> Given:
    """The target in the argument `name` as `recq.search` takes it.

    Raises UsageError for a value that is no target, TargetError for a picture that cannot be read.
    """
    if isinstance(target, str | IndexedName | SeenName | ContentTarget):
        return target
    if isinstance(target, Result):
        return ItemTarget(target.id, target.within, target.catalog)
    if isinstance(target, ItemDetails):
        return ItemTarget(target.item.id, target.item.file.path, target.catalog)
    if isinstance(target, bytes | bytearray | memoryview):
        return ContentTarget(bytes(target))
    if _is_array(target):
        return _of_array(target, name)
    if _is_image(target):
        return _of_image(target)
    if isinstance(target, Part):
        return _of_part(target, name)
    if isinstance(target, os.PathLike):
        return os.fspath(Path(os.fsdecode(os.fspath(target))).absolute())
    raise wrong(name, target, _TAKEN, "'sofa_226.jpg'")


def given_all(targets: Iterable[Any], name: str) -> list[Given]:
    """`given_of` for each of the targets in the argument `name`."""
    return [given_of(each, f"{name}[{number}]") for number, each in enumerate(targets)]


def given_or_failed(targets: Iterable[Any], name: str) -> list[Given | FailedTarget]:
    """`given_of` for each of the targets in the argument `name`; a `FailedTarget` for one that raises."""
    return [_given_or_failed(each, f"{name}[{number}]") for number, each in enumerate(targets)]


def _given_or_failed(target: Any, name: str) -> Given | FailedTarget:
    try:
        return given_of(target, name)
    except (TargetError, UsageError) as error:
        from recq.search.many import FailedTarget

        return FailedTarget(_name_of(target), str(error))


def _is_array(target: object) -> TypeGuard[np.ndarray]:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(target, numpy.ndarray)


def _is_image(target: object) -> TypeGuard[Image]:
    pil = sys.modules.get("PIL.Image")  # who has one has imported it
    return pil is not None and isinstance(target, pil.Image)


def _of_part(part: Part, name: str) -> Given:
    given = given_of(part.target, f"{name}.target")
    if isinstance(given, VectorTarget | GivenPart):
        raise wrong(f"{name}.target", part.target, "a picture", "'sofa_226.jpg'")
    return GivenPart(given, _region(part.region, f"{name}.region"))


def _region(region: Any, name: str) -> Region:
    if isinstance(region, str):
        return Region.parse(region)
    try:
        numbers = [float(number) for number in region if not isinstance(number, str | bytes)]
    except (TypeError, ValueError, OverflowError):
        numbers = []
    if len(numbers) != 4 or len(region) != 4:
        raise wrong(name, region, NEEDED, f"{EXAMPLES.split()[-1]!r}")
    x, y, width, height = numbers
    return Region(x, y, width, height)


def _of_array(array: np.ndarray, name: str) -> Given:
    import numpy as np

    if array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3 and array.size:
        from PIL import Image

        return ContentTarget(_encoded(Image.fromarray(np.ascontiguousarray(array)), "PNG"), "the pixels given")
    if np.issubdtype(array.dtype, np.floating) and array.ndim == 1:
        with np.errstate(over="ignore"):  # reported below
            vector = array.astype(np.float32)
        shown = f"{name}=<{type_name(array)}>"
        if not np.isfinite(vector).all():
            raise UsageError(f"{shown}: the vector has numbers that are not finite in float32, finite ones are needed")
        if not vector.any():
            raise UsageError(f"{shown}: the vector has nothing but zeros, a number other than 0 is needed")
        return VectorTarget(vector)
    raise UsageError(
        f"{name}=<{type_name(array)}>: pixels, uint8 (height, width, 3) in RGB, or a vector, float32 (dim,), are needed"
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


def _name_of(target: Any) -> str:
    """What an answer calls a target: a picture by the name of the file that it was opened from."""
    if isinstance(target, Part):
        return _name_of(target.target)
    if _is_array(target):
        return "the vector given" if target.ndim == 1 else "the pixels given"
    if not _is_image(target):
        return value_text(target)
    file = getattr(target, "filename", "")
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
