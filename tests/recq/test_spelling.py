"""Which known name somebody meant: case, accents and signs do not count, then spelling; folders, numbers of paths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recq.spelling import did_you_mean, fold, nearest, nearest_paths, one_of, stem

KNOWN = ["Footwear", "Furniture", "Büro", "Home Furnishing", "T-Shirt", "bed"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("footwear", ["Footwear"]),
        ("FOOTWEAR", ["Footwear"]),
        ("Fóotwear", ["Footwear"]),
        ("foot wear", ["Footwear"]),
        ("Footwaer", ["Footwear"]),
        ("Buro", ["Büro"]),
        ("bu\u0308ro", ["Büro"]),
        ("home-furnishing", ["Home Furnishing"]),
        ("tshirt", ["T-Shirt"]),
        ("beds", ["bed"]),
        ("elephant", []),
        ("", []),
        ("---", []),
    ],
)
def test_the_name_that_is_meant(name: str, meant: list[str]) -> None:
    assert nearest(name, KNOWN) == meant


def test_the_likeliest_comes_first_and_equals_before_alikes() -> None:
    assert nearest("sofas", ["sofa", "sofaz", "SOFAS", "so-fas", "table"], 9) == ["SOFAS", "so-fas", "sofa", "sofaz"]
    assert nearest("sofas", ["SOFAS", "sofas"], 1) == ["SOFAS"]


PATHS = [
    "shoes/running-shoe_runx.jpg", "shoes/old/sofa_226.jpg", "sofas/sofa_226.jpg", "sofas/sofa_227.jpg",
    "a.jpg", "b.jpg", "café/Größe.png", "v1.2/no-extension", ".hidden",
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("runing-shoe_runx.jpg", "shoes/running-shoe_runx.jpg"),
        ("RUNNING-SHOE_RUNX.JPG", "shoes/running-shoe_runx.jpg"),
        ("running-shoe_runx", "shoes/running-shoe_runx.jpg"),
        ("running-shoe_runx.png", "shoes/running-shoe_runx.jpg"),
        ("boots/running-shoe_runx.jpg", "shoes/running-shoe_runx.jpg"),
        ("C:\\pictures\\running-shoe_runx.jpg", "shoes/running-shoe_runx.jpg"),
        ("sofa/sofa_226.jpg", "sofas/sofa_226.jpg"),
        ("shoes/sofa_226", "shoes/old/sofa_226.jpg"),
        ("sofa_228.jpg", "sofas/sofa_226.jpg"),
        ("grosse.png", "café/Größe.png"),
        ("no-extension.jpg", "v1.2/no-extension"),
        ("c.jpg", None),
        ("", None),
        ("/", None),
    ],
)
def test_the_path_that_is_meant(path: str, meant: str | None) -> None:
    assert next(iter(nearest_paths(path, PATHS)), None) == meant


def test_other_numbers_come_last_or_not_at_all() -> None:
    assert nearest_paths("soffa_226.jpg", PATHS, 3)[0].endswith("sofa_226.jpg")
    assert nearest_paths("soffa_227.jpg", PATHS, 3)[0] == "sofas/sofa_227.jpg"
    assert nearest_paths("sofa_228.jpg", PATHS, same_numbers=True) == []


@given(st.text(max_size=12), st.lists(st.text(max_size=12), max_size=5))
def test_whatever_is_written_is_compared(name: str, known: list[str]) -> None:
    assert set(nearest(name, known, 3)) <= set(known)
    assert set(nearest_paths(name, known, 3)) <= set(known)
    if name:
        assert nearest(name, [*known, name], 1)
    assert fold(fold(name)) == fold(name)
    stem(name)


def test_suggestions_in_words() -> None:
    assert [one_of(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a or b", "a, b or c"]
    assert did_you_mean(["a", "b"]) == ": did you mean a or b?"
    assert did_you_mean([]) == ""
