"""Which labels are likely mistakes: those that neither a classifier nor the neighbours would have given.

Items are in the order of what the others give their own label, the least first (self-confidence out of fold, as in
confident learning: Northcutt, Jiang and Chuang, 2021). Of lists each label is judged by itself: it may be wrong, or
missing. `recq.learn.label_questions` asks.
"""

from __future__ import annotations

import numpy as np

from recq.learn.examples import Examples
from recq.learn.label_findings import Change
from recq.learn.opinions import Opinions

DOUBTED = 0.5
"""A label of a list is doubted where the others find the contrary more probable than this."""


def changes_of(examples: Examples, said: Opinions) -> list[Change]:
    """What should be changed in the opinion of the others, most certain first."""
    changes = _label_by_label(examples, said) if examples.several else _one_for_another(examples, said)
    return sorted(changes, key=lambda each: -each.certainty)


def _one_for_another(examples: Examples, said: Opinions) -> list[Change]:
    """Where another label is more probable than an item's own."""
    rows = np.arange(len(examples))
    own, best = examples.numbers(), said.probabilities.argmax(axis=1)
    certain = 1 - said.probabilities[rows, own]
    classes = examples.classes
    return [
        Change(examples.ids[row], (classes[own[row]],), (classes[best[row]],), float(certain[row]))
        for row in np.flatnonzero((best != own) & said.judged[rows, own]).tolist()
    ]


def _label_by_label(examples: Examples, said: Opinions) -> list[Change]:
    """Labels that an item has and should not, and those that it lacks."""
    has, classes = examples.indicators(), examples.classes
    certain = np.where(has, 1 - said.probabilities, said.probabilities)
    return [
        Change(
            examples.ids[row],
            (classes[column],) if has[row, column] else (),
            () if has[row, column] else (classes[column],),
            float(certain[row, column]),
        )
        for row, column in np.argwhere((certain > DOUBTED) & said.judged).tolist()
    ]
