"""Pictures with EXIF, as Pillow writes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from tests.recq.images.encoded import encode, scene

CAMERA: Mapping[int, Any] = {0x010F: "Canon", 0x0110: "Canon EOS R5"}
TAKEN: Mapping[int, Any] = {
    0x9003: "2024:05:01 12:30:15",
    0x9011: "+02:00",
    0x9291: "25",
    0xA434: "RF24-105mm F4 L IS USM",
}
PLACE: Mapping[int, Any] = {1: "N", 2: (48.0, 12.0, 30.5), 3: "W", 4: (16.0, 22.0, 0.0)}


def exif(
    main: Mapping[int, Any] = CAMERA, detail: Mapping[int, Any] = TAKEN, place: Mapping[int, Any] = PLACE
) -> Image.Exif:
    """EXIF with those tags of the three directories."""
    made = Image.Exif()
    for tag, value in main.items():
        made[tag] = value
    made.get_ifd(0x8769).update(detail)
    made.get_ifd(0x8825).update(place)
    return made


def photo(form: str = "JPEG", made: Image.Exif | None = None) -> bytes:
    """A picture that has it."""
    return encode(scene(), form, exif=made or exif())


def put_photo(path: Path, made: Image.Exif | None = None) -> None:
    """A JPEG that has it, with pixels of its own by its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shade = sum(map(ord, path.name)) % 256
    Image.new("RGB", (96, 64), (shade, 80, 255 - shade)).save(path, "JPEG", exif=made or exif())
