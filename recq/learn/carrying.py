"""What the other trained spaces of a catalog know goes along when it is switched to one of them.

Their classifiers take the network's own vectors, which are at hand wherever a picture is read: so they go on
predicting. Whether a picture is of a known kind is judged by its nearest neighbours in the catalog's vectors, and these
are of another space now; how near labelled items lie to each other there is measured here, once.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from recq.errors import SpaceMismatch
from recq.index.filters import known_name
from recq.index.grammar import Condition
from recq.index.operators import Op
from recq.index.ranking import Own
from recq.learn.calibration import NEIGHBOURS, levels_of
from recq.learn.classifying import nearness_in
from recq.learn.labelled import Labelled

if TYPE_CHECKING:
    from recq.index.catalog import Catalog

MEASURED = 1_000
"""Labelled items whose neighbours are looked at: the first in the order of ids, which are hashes."""


def carry(old: Catalog, new: Catalog) -> None:
    """Give `new`, which is filled and in a trained space of `old`, the other trained spaces of `old`.

    One that was learned in another embedding space, or made by a newer recq, stays behind, and so does one of a field
    that fewer items have than a neighbourhood takes. May be repeated.
    """
    own = new.trained
    assert own is not None, "it is in a trained space"
    carried: set[str] = set()
    for name in old.candidates.names():
        if name == own.candidate.name:
            continue
        try:
            candidate = old.candidates.get(name)
        except SpaceMismatch:
            continue
        near = _near(new, candidate.label) if candidate.from_ == new.base.fingerprint else ()
        if near:
            new.candidates.write(replace(candidate, near=near))
            carried.add(name)
    for name in set(new.candidates.names()) - carried:  # of an earlier switch
        new.candidates.forget(name)


def _near(catalog: Catalog, label: str) -> tuple[float, ...]:
    """The quantiles of the mean cosine of labelled items to their nearest; none of too few items."""
    types = catalog.fields.types()
    field = known_name(label, types)
    if field not in types:
        return ()
    rows = list(islice(catalog.items.rows([Condition(field, Op.EXISTS)]), MEASURED))
    vectors = catalog.items.vectors([item.id for item in rows])
    there = [item for item in rows if item.id in vectors]
    if len(there) <= NEIGHBOURS:
        return ()
    labelled = Labelled(label)
    labelled.load(catalog)
    found = labelled.nearness(catalog, [vectors[item.id] for item in there], [item.file.sha256 for item in there])
    if found is None:  # too many to be kept
        owns = [Own(digests=frozenset({item.file.sha256} if item.file.sha256 else ())) for item in there]
        found = nearness_in(catalog, label, [item.id for item in there], owns)
    return tuple(levels_of(np.asarray(found, np.float32)).tolist())
