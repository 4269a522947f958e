"""The gated residual projection: it begins as the identity, and what it learns brings the labels together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recq.learn.fits import Fit, PlainRecipe, ResidualRecipe
from recq.learn.selection import Retrieval
from tests.recq.learn.drawn import drawn

pytestmark = pytest.mark.keras


@pytest.fixture(autouse=True)
def tensorflow() -> None:
    """Not imported before: every process of the tests collects this file."""
    pytest.importorskip("tensorflow")


def test_it_begins_as_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recq.models.keras_residual.STEPS", 0)
    fit = Fit(drawn(4, 10))
    begun, plain = fit.head(ResidualRecipe(1.0, 8)), fit.head(PlainRecipe("reduction", 8))
    vectors = fit.examples.vectors
    assert np.allclose(begun.apply(vectors), plain.apply(vectors), atol=2e-3)


@pytest.mark.parametrize("several", [False, True])
def test_what_it_learns_holds_for_items_it_has_not_seen(several: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recq.models.keras_residual.STEPS", 200)
    examples = replace(drawn(6, 60), several=several)
    learned, held = (examples.at(np.arange(start, 360, 2)) for start in (0, 1))
    fit = Fit(learned)
    retrieval = Retrieval(held, None, 0)
    plain, weak, whole = (
        retrieval.through(fit.head(recipe)).map
        for recipe in (PlainRecipe("reduction", 24), ResidualRecipe(0.3, 24), ResidualRecipe(1.0, 24))
    )
    assert whole > weak > plain
    assert whole > plain + 0.1
    assert np.array_equal(
        Fit(learned).head(ResidualRecipe(1.0, 24)).apply(held.vectors),
        fit.head(ResidualRecipe(1.0, 24)).apply(held.vectors),
    )
