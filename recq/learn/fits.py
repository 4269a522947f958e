"""Fits heads to examples with scikit-learn. What it makes needs numpy alone (`recq.models.heads`).

A recipe says which head; recipes that share a classifier share its fit, which is nearly all of the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from recq.errors import UsageError
from recq.learn.directions import right_singular
from recq.learn.examples import Examples
from recq.models.heads import Classifier, Head, Joined, Linear, RandomFeatures, join, random_signs

Floats = npt.NDArray[np.float32]

INVERSE_REGULARISATION = 10.0
"""scikit-learn's C of the logistic regression; 3 gave 2 points of mAP less on clothing photographs, 30 one more."""

SHRINKAGE = 0.5
"""Of the covariance towards a multiple of the identity (Ledoit & Wolf's estimate gives less and is worse)."""

RANDOM_FEATURES = 5_000
RIDGE = 1_000.0
"""RanPAC's number of features and penalty."""

RANDOM_SEED = 0
MOST_DIRECTIONS, MOST_PRINCIPAL = 128, 256
_STEPS = 300
_CERTAIN = 10.0  # the score of what is always so: a probability of 0.99995


@dataclass(frozen=True)
class JoinedRecipe:
    """Class probabilities with `weight` beside the vector, reduced to `dim` numbers unless that is None."""

    weight: float
    dim: int | None = None

    @property
    def told(self) -> str:
        """For tables."""
        return f"probabilities, weight {self.weight:g}" + ("" if self.dim is None else f", {self.dim} numbers")


@dataclass(frozen=True)
class PlainRecipe:
    """A head without a choice: linear discriminants, ridge on random features, or a reduction that uses no label."""

    kind: Literal["discriminant", "random", "reduction"]
    dim: int | None = None

    @property
    def told(self) -> str:
        """For tables."""
        names = {
            "discriminant": "discriminants (shrinkage LDA)",
            "random": "ridge on random features",
            "reduction": "reduction without labels",
        }
        return names[self.kind] + ("" if self.dim is None else f", {self.dim} numbers")


Recipe: TypeAlias = JoinedRecipe | PlainRecipe


class Fit:
    """The heads that are learned from some examples; what several recipes need is fitted once.

    A `quick` fit ends earlier: it ranks recipes as the whole one does, and takes half of the time.
    """

    def __init__(self, examples: Examples, *, quick: bool = False) -> None:
        self.examples = examples
        self._tolerance = 1e-3 if quick else 1e-4
        self._reduced: dict[float | None, Floats] = {}

    @cached_property
    def classifier(self) -> Classifier:
        """Multinomial logistic regression; one against the rest, balanced, where items have several labels."""
        from sklearn.linear_model import LogisticRegression

        examples = self.examples
        if examples.several:
            return self._one_against_the_rest()
        one = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=_STEPS, tol=self._tolerance)
        fitted = one.fit(examples.vectors, examples.numbers())
        weights, bias = fitted.coef_, fitted.intercept_
        if len(weights) == 1:  # of two classes scikit-learn keeps the second one's scores alone
            weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
        return Classifier(examples.classes, np.asarray(weights, np.float32), np.asarray(bias, np.float32))

    def _one_against_the_rest(self) -> Classifier:
        """A label that all items have is taken for certain."""
        from sklearn.linear_model import LogisticRegression

        examples, dim = self.examples, self.examples.vectors.shape[1]
        indicators = examples.indicators()
        weights, bias = (
            np.zeros((indicators.shape[1], dim), np.float32),
            np.full(indicators.shape[1], _CERTAIN, np.float32),
        )
        for label in np.flatnonzero(~indicators.all(axis=0)).tolist():
            one = LogisticRegression(
                C=INVERSE_REGULARISATION, max_iter=_STEPS, tol=self._tolerance, class_weight="balanced"
            )
            fitted = one.fit(examples.vectors, indicators[:, label])
            weights[label], bias[label] = fitted.coef_[0], fitted.intercept_[0]
        return Classifier(examples.classes, weights, bias, several=True)

    @cached_property
    def probabilities(self) -> Floats:
        """Of the examples themselves, (n, classes)."""
        return self.classifier.probabilities(self.examples.vectors)

    def head(self, recipe: Recipe) -> Head:
        """The head of a recipe."""
        if isinstance(recipe, JoinedRecipe):
            if recipe.dim is None:
                return Joined(self.classifier, recipe.weight)
            return Joined(self.classifier, recipe.weight, self._directions(recipe.weight)[:, : recipe.dim])
        if recipe.kind == "reduction":
            return Linear(self._directions(None)[:, : recipe.dim])
        if recipe.kind == "discriminant":
            return self._discriminant()
        return self._random()

    @cached_property
    def _principal(self) -> Floats:
        """float32 (d, `MOST_PRINCIPAL` or fewer): the vectors' first right singular vectors, not centred."""
        return right_singular(self.examples.vectors, MOST_PRINCIPAL)

    def _directions(self, weight: float | None) -> Floats:
        """float32 (classes + d, `MOST_DIRECTIONS` or fewer): the first right singular vectors of the joined vectors,
        not centred; of the vectors alone for None.

        They are found within the vectors' own first directions, so that a weight costs next to nothing.
        """
        if weight is None:
            return self._principal[:, :MOST_DIRECTIONS]
        if weight not in self._reduced:
            within = join(self.probabilities, self.examples.vectors @ self._principal, weight)
            found = right_singular(within, MOST_DIRECTIONS)
            classes = self.probabilities.shape[1]
            self._reduced[weight] = np.concatenate([found[:classes], self._principal @ found[classes:]])
        return self._reduced[weight]

    def _discriminant(self) -> Linear:
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

        vectors, numbers = self._one_label_each()
        fitted = LinearDiscriminantAnalysis(solver="eigen", shrinkage=SHRINKAGE).fit(vectors, numbers)
        return Linear(fitted.scalings_[:, : len(self.examples.classes) - 1], vectors.mean(axis=0))

    def _random(self) -> RandomFeatures:
        """Ridge by its normal equations: of the features, or of the items where those are fewer."""
        vectors = self.examples.vectors
        signs = random_signs(vectors.shape[1], RANDOM_FEATURES, RANDOM_SEED)
        made = np.maximum(vectors @ signs, 0)
        wanted = self.examples.indicators().astype(np.float32)
        if len(made) < RANDOM_FEATURES:
            inner = made @ made.T
            inner[np.diag_indices_from(inner)] += RIDGE
            matrix = made.T @ np.linalg.solve(inner, wanted)
        else:
            inner = made.T @ made
            inner[np.diag_indices_from(inner)] += RIDGE
            matrix = np.linalg.solve(inner, made.T @ wanted)
        return RandomFeatures(RANDOM_FEATURES, RANDOM_SEED, vectors.shape[1], matrix / np.abs(matrix).max())

    def _one_label_each(self) -> tuple[Floats, npt.NDArray[np.int64]]:
        """An item with several labels once for each."""
        rows, numbers = np.nonzero(self.examples.indicators())
        return self.examples.vectors[rows], numbers.astype(np.int64)


def require_scikit_learn() -> None:
    """Raise UsageError where scikit-learn is not installed."""
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise UsageError("learning from labels needs the package scikit-learn: pip install 'recq[train]'") from error


def joined_recipes(weights: Sequence[float], dims: Sequence[int]) -> list[Recipe]:
    """Every weight at every number of dimensions."""
    return [JoinedRecipe(weight, dim) for weight in weights for dim in dims]


def plain_recipes(dims: Sequence[int], *, several: bool) -> list[Recipe]:
    """What has no weight; discriminants need one label each."""
    reductions: list[Recipe] = [PlainRecipe("reduction", dim) for dim in dims]
    return [*reductions, PlainRecipe("random"), *([] if several else [PlainRecipe("discriminant")])]
