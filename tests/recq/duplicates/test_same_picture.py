"""Two pictures are one or not: whatever was done to a copy, and however little another picture differs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from recq.duplicates.alignment import View
from recq.duplicates.kinds import Kind
from recq.duplicates.same_picture import relation
from tests.recq.duplicates import scenes
from tests.recq.duplicates.scenes import Change, cut, resized, saved, scene, view_of


def kind(one: Image.Image, other: Image.Image, *, mirror: bool = False) -> Kind | None:
    view = view_of(one)
    found = relation(view, view_of(other), mirrored=view.mirrored() if mirror else None)
    return None if found is None else found.kind


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (resized(0.5), Kind.COPY),
        (resized(0.3), Kind.COPY),
        (resized(2), Kind.COPY),
        (saved("JPEG", quality=60), Kind.COPY),
        (saved("JPEG", quality=30), Kind.COPY),
        (saved("WEBP", quality=60), Kind.COPY),
        (saved("PNG"), Kind.COPY),
        (cut(0.02, 0.02, 0.02, 0.02), Kind.CROP),
        (cut(0.05, 0.05, 0.05, 0.05), Kind.CROP),
        (cut(0.1, 0.1, 0.1, 0.1), Kind.CROP),
        (cut(0.0, 0.15, 0.0, 0.0), Kind.CROP),
        (cut(0.1, 0.0, 0.02, 0.05), Kind.CROP),
        (scenes.framed, Kind.CROP),
        (scenes.mirror, None),
        (scenes.recoloured, None),
        (scenes.lettered, None),
        (scenes.brighter, None),
    ],
)
def test_what_was_done_to_a_copy_is_told(number: int, change: Change, expected: Kind | None) -> None:
    original = scene(number)
    assert kind(change(original), original) == expected
    assert kind(original, change(original)) == expected


@pytest.mark.parametrize("number", range(3))
def test_changes_go_together(number: int) -> None:
    original = scene(number)
    small = saved("JPEG", quality=60)(resized(0.5)(cut(0.06, 0.06, 0.06, 0.06)(original)))
    assert kind(small, original) == Kind.CROP
    assert kind(scenes.mirror(small), original) is None
    assert kind(scenes.mirror(small), original, mirror=True) == Kind.MIRROR


def test_crops_that_each_lack_another_edge_are_one_picture() -> None:
    original = scene(1)
    assert kind(cut(0.08, 0, 0, 0)(original), cut(0, 0, 0.08, 0)(original)) == Kind.CROP


def test_two_frames_of_a_panorama_are_two_pictures() -> None:
    original = scene(2, (900, 360))
    assert kind(cut(0.4, 0, 0, 0)(original), cut(0, 0, 0.4, 0)(original)) is None


def test_it_is_told_which_shows_more() -> None:
    original = scene(3)
    crop = view_of(cut(0.05, 0.05, 0.05, 0.05)(original))
    whole = view_of(original)
    forth, back = relation(crop, whole), relation(whole, crop)
    assert forth is not None
    assert back is not None
    assert forth.seen == pytest.approx((0.9, 0.9), abs=0.01)
    assert forth.shown == pytest.approx((1, 1), abs=0.01)
    assert (forth.shows_more, back.shows_more) == (False, True)
    assert back.beyond == pytest.approx(0.19, abs=0.02)


@pytest.mark.parametrize("number", range(4))
def test_other_scenes_are_other_pictures(number: int) -> None:
    assert kind(scene(number), scene(number + 10), mirror=True) is None


def test_letters_in_one_layout_are_not_one_page() -> None:
    pages = [scenes.page(number) for number in range(3)]
    assert kind(pages[0], pages[1]) is None
    assert kind(pages[1], pages[2]) is None
    assert kind(saved("JPEG", quality=60)(resized(0.5)(pages[0])), pages[0]) == Kind.COPY


def test_plain_colours_are_told_by_their_colour() -> None:
    def plain(*colour: int) -> Image.Image:
        return Image.new("RGB", (120, 80), colour)

    assert kind(plain(90, 120, 60), resized(0.5)(plain(90, 120, 60))) == Kind.COPY
    assert kind(plain(90, 120, 60), plain(92, 119, 61)) == Kind.COPY
    assert kind(plain(90, 120, 60), plain(110, 120, 60)) is None
    assert kind(plain(90, 120, 60), scene(1)) is None


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from(["noise", "plain", "line"]),
)
def test_no_shape_is_too_odd(height: int, width: int, other_height: int, other_width: int, what: str) -> None:
    def made(height: int, width: int) -> View:
        rgb = np.full((height, width, 3), 200, np.uint8)
        if what == "noise":
            rgb = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        elif what == "line":
            rgb[height // 2] = 0
        return View(rgb)

    one, other = made(height, width), made(other_height, other_width)
    for found in (relation(one, other, mirrored=one.mirrored()), relation(one, made(height, width))):
        if found is not None:
            assert 0 <= found.difference <= 1
            assert all(0 < share <= 1 for share in (*found.seen, *found.shown))
    assert relation(one, made(height, width)) is not None
