"""Raw pixels as vectors: the baseline, without any network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recq.errors import DimensionTooLarge, ImageError, ModelUnavailable, Reason
from recq.models import ModelOptions, describe_space, describe_variant, open_embedder
from recq.models.maps import open_maps
from recq.settings import Settings

PICTURE = np.arange(2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 3) * 20


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load(cache_dir=tmp_path / "cache")


def test_the_space_of_pixels(settings: Settings) -> None:
    space = describe_space("pixels:32", settings)
    assert (space.model, space.size, space.resize, space.pooling, space.dim) == (
        "pixels:32", 32, "stretch", "flatten", 3072,
    )  # fmt: skip
    assert (space.layer, space.weights, space.preprocessing) == ("input", "", "rgb/255-mean")
    assert describe_variant(space, ModelOptions("pixels:32", preprocess="own", size=32), settings) == space
    padded = describe_variant(space, ModelOptions(resize="pad"), settings)
    assert (padded.resize, padded.preprocessing) == ("pad", "rgb/255-mean")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (ModelOptions("pixels:2", distance="euclid"), (np.arange(12) - 5.5) * 20 / 255),
        (ModelOptions("pixels:2", distance="euclid", preprocess="unit"), np.arange(12) * 20 / 255),
        (ModelOptions("pixels:2", distance="euclid", preprocess="none", pooling="mean"), [90, 110, 130]),
        (ModelOptions("pixels:2", distance="euclid", preprocess="tf", pooling="max"), [0.41176, 0.56863, 0.72549]),
        (ModelOptions("pixels:2", distance="euclid", preprocess="caffe", pooling="mean"), [26.061, -6.779, -33.68]),
        (ModelOptions("pixels:2"), (np.arange(12) - 5.5) / 143**0.5),
    ],
    ids=["centred", "unit", "mean colour", "tf", "caffe", "cosine"],
)  # fmt: skip
def test_what_becomes_of_a_picture(settings: Settings, options: ModelOptions, expected: np.ndarray) -> None:
    with open_embedder(describe_space(options, settings), settings) as embedder:
        np.testing.assert_allclose(embedder.submit(PICTURE).result(), expected, rtol=1e-4, atol=1e-5)


def test_pixels_are_their_own_map(settings: Settings) -> None:
    """What `recq explain` takes the similarity apart by."""
    with open_maps(describe_space("pixels:2", settings), settings) as maps:
        np.testing.assert_allclose(maps.map_of(PICTURE).ravel(), (np.arange(12) - 5.5) * 20 / 255, atol=1e-6)


def test_a_single_grey_has_no_signal_unless_the_mean_is_left_in(settings: Settings) -> None:
    grey = np.full((4, 4, 3), 128, np.uint8)
    with open_embedder("pixels:4", settings) as embedder, pytest.raises(ImageError) as caught:
        embedder.submit(grey).result()
    assert caught.value.reason is Reason.NO_SIGNAL
    with open_embedder(describe_space(ModelOptions("pixels:4", preprocess="unit"), settings), settings) as embedder:
        assert embedder.submit(grey).result() == pytest.approx([48**-0.5] * 48)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (ModelOptions("pixels"), "unknown model 'pixels': "),
        (ModelOptions("pixels:"), "unknown model 'pixels:': raw pixels are named with their size, such as pixels:32"),
        (ModelOptions("pixels:0"), "such as pixels:32"),
        (ModelOptions("pixels:1e3"), "such as pixels:32"),
        (ModelOptions("pixels:32", size=64), "pixels:32 is 32 pixels a side, not 64: use --model pixels:64"),
        (ModelOptions("pixels:32", layer="fc2"), "pixels:32 is no network and has no layer 'fc2': leave --layer out"),
        (ModelOptions("pixels:32", pooling="none"), "layer input gives a map of 32 x 32 x 3: make one vector of it"),
    ],
)
def test_what_pixels_cannot_be(settings: Settings, options: ModelOptions, said: str) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        describe_space(options, settings)
    assert said in str(caught.value)


def test_too_many_pixels(settings: Settings) -> None:
    assert describe_space("pixels:147", settings).dim == 64_827
    with pytest.raises(DimensionTooLarge, match="65,712 numbers"):
        describe_space("pixels:148", settings)


def test_neither_keras_nor_openvino_is_loaded(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "from recq.models import open_embedder\n"
        "from recq.settings import Settings\n"
        f"with open_embedder('pixels:2', Settings(cache_dir={str(tmp_path)!r})) as embedder:\n"
        "    embedder.submit(np.arange(12, dtype=np.uint8).reshape(2, 2, 3)).result()\n"
        "print({'openvino', 'keras', 'tensorflow'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "set()", done.stderr
