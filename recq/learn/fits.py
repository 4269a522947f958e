"""Fits heads to examples with scikit-learn. What it makes needs numpy alone (`recq.models.heads`).

A recipe says which head; recipes that share a classifier share its fit, which is nearly all of the work.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from recq.errors import UsageError
from recq.learn.directions import right_singular
from recq.learn.examples import Examples
from recq.models.heads import Classifier, Head, Joined, Linear, RandomFeatures, Residual, join, moved, random_signs

if TYPE_CHECKING:
    from recq.models.keras_residual import Learned

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
_STEPS, _ENOUGH, _FEWEST = 300, 100, 20
_WORK, _QUICK_WORK = 1.5e11, 2e10  # items by classes by numbers by steps: a minute or less, and seconds, of a processor
_NARROWER = (512, 256)
_BLOCK = 8_192  # items whose random features are made at a time
_CERTAIN = 10.0  # the score of what is always so: a probability of 0.99995


@dataclass(frozen=True)
class JoinedRecipe:
    """Class probabilities with `weight` beside the vector, reduced to `dim` numbers unless that is None."""

    weight: float
    dim: int | None = None

    @property
    def family(self) -> str:
        """What it has in common with recipes that differ in a number alone."""
        return "joined"

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
    def family(self) -> str:
        """What it has in common with recipes that differ in a number alone."""
        return self.kind

    @property
    def told(self) -> str:
        """For tables."""
        names = {
            "discriminant": "discriminants (shrinkage LDA)",
            "random": "ridge on random features",
            "reduction": "reduction without labels",
        }
        return names[self.kind] + ("" if self.dim is None else f", {self.dim} numbers")


@dataclass(frozen=True)
class ResidualRecipe:
    """A gated residual projection (Keras), of which only a share `strength` is added, reduced to `dim` numbers."""

    strength: float
    dim: int

    @property
    def family(self) -> str:
        """What it has in common with recipes that differ in a number alone."""
        return "residual"

    @property
    def told(self) -> str:
        """For tables."""
        return f"gated residual, strength {self.strength:g}, {self.dim} numbers"


Recipe: TypeAlias = JoinedRecipe | PlainRecipe | ResidualRecipe


class Fit:
    """The heads that are learned from some examples; what several recipes need is fitted once.

    A `quick` fit ends earlier: it ranks recipes as the whole one does, and takes half of the time.
    """

    def __init__(self, examples: Examples, *, quick: bool = False) -> None:
        self.examples = examples
        self._tolerance = 1e-3 if quick else 1e-4
        self._work = _QUICK_WORK if quick else _WORK
        self._reduced: dict[float | None, Floats] = {}
        self._reduced_residual: dict[float, Floats] = {}
        self._heads: dict[Recipe, Head] = {}

    @cached_property
    def classifier(self) -> Classifier:
        """Multinomial logistic regression; one against the rest, balanced, where items have several labels."""
        from sklearn.linear_model import LogisticRegression

        examples, (vectors, within, steps) = self.examples, self._effort
        if examples.several:
            return self._one_against_the_rest()
        one = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=steps, tol=self._tolerance)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "lbfgs failed to converge")  # steps are limited on purpose
            fitted = one.fit(vectors, examples.numbers())
        weights, bias = fitted.coef_ @ within.T if within is not None else fitted.coef_, fitted.intercept_
        if len(weights) == 1:  # of two classes scikit-learn keeps the second one's scores alone
            weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
        return Classifier(examples.classes, np.asarray(weights, np.float32), np.asarray(bias, np.float32))

    def _one_against_the_rest(self) -> Classifier:
        """A label that all items have is taken for certain."""
        from sklearn.linear_model import LogisticRegression

        examples, (vectors, within, steps) = self.examples, self._effort
        indicators = examples.indicators()
        weights = np.zeros((indicators.shape[1], vectors.shape[1]), np.float32)
        bias = np.full(indicators.shape[1], _CERTAIN, np.float32)
        for label in np.flatnonzero(~indicators.all(axis=0)).tolist():
            one = LogisticRegression(
                C=INVERSE_REGULARISATION, max_iter=steps, tol=self._tolerance, class_weight="balanced"
            )
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "lbfgs failed to converge")
                fitted = one.fit(vectors, indicators[:, label])
            weights[label], bias[label] = fitted.coef_[0], fitted.intercept_[0]
        return Classifier(examples.classes, weights if within is None else weights @ within.T, bias, several=True)

    @property
    def _effort(self) -> tuple[Floats, Floats | None, int]:
        """The vectors that the classifier is learned from, the directions (d, fewer) within which they are where that
        is not all of them, and the most steps."""
        vectors = self.examples.vectors
        items, own = vectors.shape
        numbers, steps = effort(items, own, len(self.examples.classes), self._work)
        if numbers >= min(items, own):
            return vectors, None, steps
        within = right_singular(vectors, numbers)
        return vectors @ within, within, steps

    @cached_property
    def probabilities(self) -> Floats:
        """Of the examples themselves, (n, classes)."""
        return self.classifier.probabilities(self.examples.vectors)

    def head(self, recipe: Recipe) -> Head:
        """The head of a recipe, made once."""
        if recipe not in self._heads:
            self._heads[recipe] = self._head(recipe)
        return self._heads[recipe]

    def _head(self, recipe: Recipe) -> Head:
        if isinstance(recipe, JoinedRecipe):
            if recipe.dim is None:
                return Joined(self.classifier, recipe.weight)
            return Joined(self.classifier, recipe.weight, self._directions(recipe.weight)[:, : recipe.dim])
        if isinstance(recipe, ResidualRecipe):
            return self._residual(recipe)
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
        """Ridge by its normal equations: of the features, or of the items where those are fewer.

        Features are made for some items at a time: of all items at once they may be gigabytes.
        """
        vectors = self.examples.vectors
        signs = random_signs(vectors.shape[1], RANDOM_FEATURES, RANDOM_SEED)
        wanted = self.examples.indicators().astype(np.float32)
        if len(vectors) < RANDOM_FEATURES:
            made = np.maximum(vectors @ signs, 0)
            matrix = made.T @ _solved(made @ made.T, wanted)
        else:
            inner = np.zeros((RANDOM_FEATURES, RANDOM_FEATURES), np.float32)
            right = np.zeros((RANDOM_FEATURES, wanted.shape[1]), np.float32)
            for start in range(0, len(vectors), _BLOCK):
                made = np.maximum(vectors[start : start + _BLOCK] @ signs, 0)
                inner += made.T @ made
                right += made.T @ wanted[start : start + _BLOCK]
            matrix = _solved(inner, right)
        return RandomFeatures(RANDOM_FEATURES, RANDOM_SEED, vectors.shape[1], matrix / np.abs(matrix).max())

    @cached_property
    def _learned_residual(self) -> Learned:
        from recq.models.keras_residual import learn_residual

        examples = self.examples
        return learn_residual(examples.vectors, examples.indicators(), several=examples.several, seed=RANDOM_SEED)

    def _residual(self, recipe: ResidualRecipe) -> Residual:
        learned = self._learned_residual
        gate = recipe.strength * learned.gate
        if recipe.strength not in self._reduced_residual:
            rows = moved(self.examples.vectors, learned.into, learned.back, gate)
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            self._reduced_residual[recipe.strength] = right_singular(rows, MOST_DIRECTIONS)
        return Residual(learned.into, learned.back, gate, self._reduced_residual[recipe.strength][:, : recipe.dim])

    def _one_label_each(self) -> tuple[Floats, npt.NDArray[np.int64]]:
        """An item with several labels once for each."""
        rows, numbers = np.nonzero(self.examples.indicators())
        return self.examples.vectors[rows], numbers.astype(np.int64)


def effort(items: int, numbers: int, classes: int, work: float) -> tuple[int, int]:
    """Within how many numbers of each vector a classifier is learned, and in how many steps at most.

    Of 20,000 photographs in ten classes 60 steps within 512 of 1,280 numbers give the accuracy of 300 within all.
    """
    found = numbers, 0
    for narrower in (numbers, *(each for each in _NARROWER if each < numbers)):
        found = narrower, int(work / (items * classes * narrower))
        if found[1] >= _ENOUGH:
            break
    return found[0], min(max(found[1], _FEWEST), _STEPS)


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


def residual_recipes(strengths: Sequence[float], dims: Sequence[int]) -> list[Recipe]:
    """Every strength at every number of dimensions."""
    return [ResidualRecipe(strength, dim) for strength in strengths for dim in dims]


def _solved(inner: Floats, right: Floats) -> Floats:
    """The ridge's solution; `inner` (n, n), products of rows with each other, is overwritten."""
    from scipy.linalg import solve

    inner[np.diag_indices_from(inner)] += RIDGE
    return np.asarray(solve(inner, right, assume_a="pos", overwrite_a=True), np.float32)
