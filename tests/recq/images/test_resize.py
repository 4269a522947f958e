from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from recq.images import to_input
from recq.images.pixels import RGBArray
from recq.space import InputSpec, Resize
from tests.recq.images.encoded import scene


def two_halves(width: int, height: int) -> RGBArray:
    """Left half black, right half blue."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[:, width // 2 :, 2] = 200
    return rgb


@pytest.mark.parametrize("resize", ["pad", "stretch", "crop"])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 500), (3000, 2), (260, 260), (533, 400), (31, 17)])
def test_shape(resize: Resize, width: int, height: int) -> None:
    pixels = to_input(np.zeros((height, width, 3), np.uint8), InputSpec(64, resize))
    assert pixels.shape == (64, 64, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable


def test_a_square_of_the_right_size_is_left_alone() -> None:
    rgb = np.asarray(scene(64, 64))
    for resize in ("pad", "stretch", "crop"):
        assert np.array_equal(to_input(rgb, InputSpec(64, resize)), rgb)


def test_pad_fits_the_whole_picture_in_centred_on_white() -> None:
    wide = to_input(two_halves(200, 100), InputSpec(40, "pad"))
    assert (wide[:10] == 255).all()
    assert (wide[30:] == 255).all()
    assert (wide[10:30, :19] == 0).all()
    assert (wide[10:30, 21:] == (0, 0, 200)).all()
    tall = to_input(np.zeros((100, 50, 3), np.uint8), InputSpec(40, "pad"))
    assert (tall[:, :10] == 255).all()
    assert (tall[:, 30:] == 255).all()
    assert (tall[:, 10:30] == 0).all()


def test_stretch_fills_the_square() -> None:
    pixels = to_input(two_halves(200, 100), InputSpec(40, "stretch"))
    assert (pixels[:, :19] == 0).all()
    assert (pixels[:, 21:] == (0, 0, 200)).all()


def test_crop_takes_the_middle() -> None:
    rgb = np.full((100, 300, 3), 255, np.uint8)
    rgb[:, 100:200] = (10, 20, 30)
    assert (to_input(rgb, InputSpec(40, "crop"))[:, 1:-1] == (10, 20, 30)).all()


def test_every_pixel_counts() -> None:
    """Antialiased: a fine pattern becomes its mean, not one of its colours."""
    rgb = np.zeros((520, 520, 3), np.uint8)
    rgb[:, ::2] = 200
    inner = to_input(rgb, InputSpec(65, "stretch"))[5:-5, 5:-5]
    assert np.abs(inner.astype(np.int16) - 100).max() <= 2


def test_very_large_pictures_differ_little_from_one_exact_step() -> None:
    rgb = np.asarray(scene(400, 300).resize((2400, 1800), Image.Resampling.BICUBIC))
    exact = np.asarray(Image.fromarray(rgb).resize((100, 100), Image.Resampling.BILINEAR), np.int16)
    difference = np.abs(to_input(rgb, InputSpec(100, "stretch")) - exact)
    assert difference.mean() < 1
    assert difference.max() <= 8
