"""What requests consist of, and how much one of them may ask for."""

from __future__ import annotations

import pytest

from recq.api import questions as asked
from recq.errors import UsageError
from recq.face.question import Ranking

REFUSED: list[tuple[int, dict[str, int | float], int]] = [
    (11, {"k": 1_000, "diversity": 0.5}, 10),
    (11, {"k": 50_000, "diversity": 0.5}, 10),
    (1_000, {"k": 100, "diversity": 0.5}, 100),
    (11, {"k": 100, "offset": 900, "diversity": 0.1}, 10),
    (11, {"k": 100, "page": 10, "diversity": 0.1}, 10),
]


def keywords(targets: int, **given: float) -> dict[str, object]:
    return asked.keywords(asked.SimilarMany.model_validate({"targets": ["a.jpg"] * targets, **given}), Ranking)


@pytest.mark.parametrize(("targets", "given", "most"), REFUSED, ids=str)
def test_a_request_has_no_more_varied_answers_than_are_made_in_seconds(
    targets: int, given: dict[str, int | float], most: int
) -> None:
    assert keywords(most, **given)["k"] == given["k"]
    assert keywords(targets, **{**given, "diversity": 0.0})["diversity"] == 0.0
    with pytest.raises(UsageError, match=f"ask for {most:,} at a time"):
        keywords(targets, **given)


def test_one_varied_answer_may_be_as_large_as_any() -> None:
    for k, offset in ((1, 0), (100, 0), (100_000, 0), (1_000, 99_000), (-1, 0)):
        question = asked.Similar.model_validate({"target": "a.jpg", "k": k, "offset": offset, "diversity": 0.5})
        assert asked.keywords(question, Ranking)["k"] == k
        assert keywords(1, k=k, offset=offset, diversity=0.5)["k"] == k
    assert keywords(1_000, k=10, diversity=0.5)
