"""Colour profiles made on the spot (ICC.1:2010, version 2.4): primaries and a gamma."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from PIL import ImageCms

_D50 = (0.9642, 1.0, 0.8249)  # the profile connection space's white


class Space(NamedTuple):
    """Chromaticities (x, y) of red, green, blue and white, and the exponent."""

    red: tuple[float, float]
    green: tuple[float, float]
    blue: tuple[float, float]
    white: tuple[float, float]
    gamma: float


_D65 = (0.3127, 0.3290)
ADOBE_RGB = Space((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), _D65, 563 / 256)
DISPLAY_P3 = Space((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65, 2.2)
PROPHOTO = Space((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), (0.3457, 0.3585), 1.8)
LINEAR = Space((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65, 1.0)


def rgb_profile(space: Space) -> bytes:
    """Of a display."""
    columns = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in space[:3]]).T
    x, y = space.white
    white = np.array([x / y, 1.0, (1 - x - y) / y])
    matrix = columns * np.linalg.solve(columns, white)
    # Bradford's adaptation to D50 (ICC.1:2010, annex E).
    cone = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    adapted = np.linalg.inv(cone) @ np.diag((cone @ _D50) / (cone @ white)) @ cone @ matrix
    tags = {name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), adapted.T, strict=True)}
    tags |= {name: _gamma(space.gamma) for name in (b"rTRC", b"gTRC", b"bTRC")}
    return profile_of(b"mntr", b"RGB ", b"XYZ ", tags)


def gray_profile(gamma: float) -> bytes:
    return profile_of(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _gamma(gamma)})


def srgb_variant() -> bytes:
    """sRGB by its own curve under another name, as most cameras write it."""
    plain = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    return bytes(plain.replace("sRGB".encode("utf-16-be"), "cRGB".encode("utf-16-be")))


def profile_of(kind: bytes, space: bytes, connection: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    described = {b"desc": _description(b"made for a test"), b"wtpt": _xyz(np.array(_D50)), b"cprt": _text(b"none")}
    entries, body = b"", b""
    everything = described | dict(tags)
    start = 128 + 4 + 12 * len(everything)
    for name, value in everything.items():
        entries += name + struct.pack(">II", start + len(body), len(value))
        body += value + b"\0" * (-len(value) % 4)
    head = struct.pack(
        ">I4sI4s4s4s6H4s4sII4s8sI3i4s", start + len(body), b"none", 0x02400000, kind, space, connection,
        2026, 1, 1, 0, 0, 0, b"acsp", b"none", 0, 0, b"none", b"", 0, *(round(v * 65536) for v in _D50), b"none",
    )  # fmt: skip
    return head.ljust(128, b"\0") + struct.pack(">I", len(everything)) + entries + body


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(float(value) * 65536) for value in values))


def _gamma(exponent: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(exponent * 256))


def _text(words: bytes) -> bytes:
    return b"text" + bytes(4) + words + b"\0"


def _description(words: bytes) -> bytes:
    return b"desc" + bytes(4) + struct.pack(">I", len(words) + 1) + words + b"\0" + bytes(78)
