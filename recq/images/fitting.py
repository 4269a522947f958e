"""Who reads and decodes the picture of a question: this process, or one that can be lost (`recq.images.isolated`).

A command line reads and decodes what its user names. A service decodes what strangers send, elsewhere, and reads files
of items alone, from inside the folders of their sources.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from recq.images.decode import Limits, decode
from recq.images.pixels import RGBArray
from recq.images.resize import cut, to_input
from recq.region import Region
from recq.space import InputSpec

if TYPE_CHECKING:
    from recq.settings import Settings


@dataclass(frozen=True, eq=False)
class Displayed:
    """A whole picture upright, uint8 (h, w, 3), perhaps reduced from `width` x `height` pixels."""

    rgb: RGBArray
    width: int
    height: int


class Decoder(Protocol):
    """Reads pictures, and makes pixels of their bytes, or of a region of them. Several threads may call it."""

    def read(self, path: Path, root: Path | None) -> bytes:
        """The bytes of a file; `root` is the folder of the source of which it is an item.

        Raises what `recq.images.reading.read_content` raises.
        """

    def fitted(self, content: bytes, spec: InputSpec, region: Region | None = None) -> RGBArray:
        """The network's input: uint8 (size, size, 3). Raises ImageError and Beside."""

    def displayed(self, content: bytes, longest: int, region: Region | None = None) -> Displayed:
        """The picture, perhaps reduced to about `longest` pixels. Raises ImageError and Beside."""


class DecoderHere:
    """Decodes in this process, and reads any file."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def read(self, path: Path, root: Path | None) -> bytes:  # noqa: ARG002 - who asks may read it anyway
        """The bytes of a file. Raises what `recq.images.reading.read_content` raises."""
        from recq.images.reading import read_content

        return read_content(os.fspath(path), self._limits).data

    def fitted(self, content: bytes, spec: InputSpec, region: Region | None = None) -> RGBArray:
        """The network's input: uint8 (size, size, 3). Raises ImageError and Beside."""
        return to_input(self._of(content, spec.size, region).rgb, spec)

    def displayed(self, content: bytes, longest: int, region: Region | None = None) -> Displayed:
        """The picture, perhaps reduced. Raises ImageError and Beside."""
        return self._of(content, longest, region)

    def _of(self, content: bytes, size: int, region: Region | None) -> Displayed:
        found = decode(content, self._limits, reduce_to=size if region is None else None)
        if region is None:
            return Displayed(found.rgb, found.width, found.height)
        part = cut(found.rgb, region)
        return Displayed(part, part.shape[1], part.shape[0])


def decoder_of(given: Decoder | None, settings: Settings) -> Decoder:
    """The decoder that a service has, else this process."""
    return given if given is not None else DecoderHere(Limits.from_settings(settings))
