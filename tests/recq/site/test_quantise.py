"""Vectors come out of their two parts as they were, and the coarse part never promises too much."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from recq.site.quantise import Quantised, quantised

VECTORS = arrays.arrays(
    np.float32, (6, 40), elements=st.floats(-1e4, 1e4, width=32, allow_nan=False, allow_infinity=False)
)


def coarse(parts: Quantised) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = parts.scale.astype(np.float64)[:, None] * parts.coarse
    return found


@given(VECTORS)
def test_both_parts_are_the_vector_to_a_hundred_thousandth_of_a_coarse_step(vectors: npt.NDArray[np.float32]) -> None:
    parts = quantised(vectors)
    assert (str(parts.coarse.dtype), str(parts.rest.dtype)) == ("int8", "int16")
    off = np.abs(parts.exact() - vectors)
    assert (off <= parts.scale[:, None] / 131_000).all()


@given(VECTORS)
def test_no_score_of_the_coarse_part_is_off_by_more_than_it_says(vectors: npt.NDArray[np.float32]) -> None:
    parts = quantised(vectors)
    exact, rough, miss = parts.exact(), coarse(parts), parts.miss.astype(np.float64)
    rounding = 1e-9 * (1 + np.abs(exact).max() ** 2)
    for question in exact:
        products = np.abs(exact @ question - rough @ question)
        assert (products <= miss * np.linalg.norm(question) + rounding).all()
        distances = np.linalg.norm(exact - question, axis=1) - np.linalg.norm(rough - question, axis=1)
        assert (np.abs(distances) <= miss + rounding).all()


def test_nothing_but_zeros_has_a_scale() -> None:
    parts = quantised(np.zeros((2, 3), np.float32))
    assert not parts.exact().any()
    assert (parts.scale == 1).all()


def test_tiny_numbers_are_not_divided_by_nothing() -> None:
    parts = quantised(np.full((1, 3), 1e-42, np.float32))
    assert np.isfinite(parts.exact()).all()


def test_cosines_are_those_of_the_vectors_themselves() -> None:
    """As near as 32-bit floats are to each other: a hundredth of what neighbours among thousands differ by."""
    random = np.random.default_rng(0)
    vectors = np.abs(random.normal(size=(300, 1280))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    parts = quantised(vectors)
    true = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    exact = parts.exact()
    assert np.abs(exact @ exact.T - true).max() < np.finfo(np.float32).eps
    assert np.abs(coarse(parts) @ exact.T - true).max() > 1e-5  # which the coarse part alone would not tell apart
