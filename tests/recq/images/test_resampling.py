"""The two ways to another size make the same picture, so that machines with and without the wheel share an index."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recq.images import resampling
from recq.images.pixels import RGBArray, of_four_bytes
from recq.images.resampling import by_pillow, by_vector_instructions, resampled
from recq.models import describe_space, open_embedder
from recq.settings import Settings
from recq.space import InputSpec
from tests.recq.images.encoded import scene
from tests.recq.models.photographs import SAMPLES, inputs, vectors_of

has_wheel = pytest.mark.skipif(
    resampling._resizer is None,
    reason="cykooz-resizer has no wheel for this machine",
)
SIDES = st.integers(1, 90)
LEVELS_OFF = 2


def differ(one: RGBArray, other: RGBArray) -> int:
    """The most levels between two pictures of one size."""
    assert one.shape == other.shape
    return int(np.abs(one.astype(np.int16) - other).max())


@has_wheel
@given(st.integers(0, 2**32 - 1), SIDES, SIDES, SIDES, SIDES, st.booleans())
@example(0, 1, 1, 90, 90, False)
@example(0, 90, 1, 1, 90, True)
@example(0, 533, 400, 320, 240, True)
def test_any_picture_is_the_same_by_both_ways(
    seed: int, width: int, height: int, new_width: int, new_height: int, four_bytes: bool
) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)
    rgb = of_four_bytes(noise) if four_bytes else np.ascontiguousarray(noise[..., :3])
    size = new_width, new_height
    if max(width / new_width, height / new_height) < 2 * resampling._REDUCING_GAP:
        assert differ(by_vector_instructions(rgb, size), by_pillow(rgb, size)) <= LEVELS_OFF
        assert np.array_equal(resampled(rgb, size), by_vector_instructions(rgb, size))
    else:
        assert np.array_equal(resampled(rgb, size), by_pillow(rgb, size))


def test_a_box_and_a_machine_without_the_wheel_are_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = np.asarray(scene(120, 90))
    box = (15.0, 0.5, 105.0, 89.5)
    assert np.array_equal(resampled(rgb, (40, 40), box), by_pillow(rgb, (40, 40), box))
    monkeypatch.setattr(resampling, "_resizer", None)
    assert np.array_equal(resampled(rgb, (40, 30)), by_pillow(rgb, (40, 30)))


@has_wheel
def test_arrays_that_are_no_plain_rows_are_read_as_they_are() -> None:
    rgb = np.asarray(scene(120, 90))
    for view in (rgb[::-1], rgb[:, ::-1], rgb.transpose(1, 0, 2), rgb[10:50, 20:100], np.repeat(rgb[..., :1], 3, 2)):
        size = view.shape[1] // 2, view.shape[0] // 2
        assert differ(resampled(view, size), by_pillow(view, size)) <= LEVELS_OFF


@has_wheel
@given(st.integers(0, 2**32 - 1), SIDES, SIDES, SIDES, SIDES)
def test_pixels_that_are_read_where_they_lie_are_those_of_a_copy(
    seed: int, width: int, height: int, new_width: int, new_height: int
) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)
    noise.flags.writeable = False
    before, size = noise.tobytes(), (new_width, new_height)
    made = by_vector_instructions(of_four_bytes(noise), size)
    assert np.array_equal(made, by_vector_instructions(np.ascontiguousarray(noise[..., :3]), size))
    assert noise.tobytes() == before


SHORT_OF_MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
from recq.images.pixels import of_four_bytes
from recq.images.resampling import by_vector_instructions
rgb = of_four_bytes(np.zeros((3000, 3000, 4), np.uint8))
by_vector_instructions(rgb[:100, :100], (50, 50))
mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_AS, (mapped + int(sys.argv[1]),) * 2)
try:
    by_vector_instructions(rgb, (1500, 1500))
except MemoryError:
    print("MemoryError")
"""


@has_wheel
@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux alone")
@pytest.mark.parametrize("megabytes", [4, 14, 20, 26, 40])
def test_a_lack_of_memory_is_an_error_and_ends_no_process(megabytes: int) -> None:
    """It makes 9 MB by way of 18."""
    command = [sys.executable, "-c", SHORT_OF_MEMORY, str(megabytes << 20)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert megabytes > 14 or done.stdout == "MemoryError\n"
    assert megabytes < 40 or not done.stdout


@has_wheel
def test_several_threads_may_resample_at_once() -> None:
    pictures = [np.asarray(scene(90 + number, 70)) for number in range(16)]
    alone = [resampled(each, (50, 40)) for each in pictures]
    found: list[bool] = []

    def work(first: int) -> None:
        for turn in range(200):
            number = (first + turn) % len(pictures)
            found.append(np.array_equal(resampled(pictures[number], (50, 40)), alone[number]))

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 800
    assert all(found)


@has_wheel
@pytest.mark.parametrize("model", ["efficientnet_lite2", "mobilenet_v2"])
def test_both_ways_make_the_same_vectors(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    space = describe_space(model, Settings.load())
    spec = InputSpec(space.size, "pad")
    found = {}
    with open_embedder(space, Settings.load()) as embedder:
        for way in (resampling._resizer, None):
            monkeypatch.setattr(resampling, "_resizer", way)
            found[way is None] = vectors_of(embedder, inputs(SAMPLES, spec))
    assert (found[True] * found[False]).sum(axis=1).min() > 0.99
