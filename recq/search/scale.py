"""The scale that scores are shown on: a catalog's random pairs say which are unusual, and what is no good match.

Between a question and the index: `unusual` becomes a score, or a distance, of this catalog.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from recq.errors import UsageError

if TYPE_CHECKING:
    from recq.index.background import Background
    from recq.index.catalog import Catalog
    from recq.index.parameters import Parameters


@dataclass(frozen=True)
class Scaled:
    """A question with a limit of this catalog, the random pairs (None of too few items), and what to say of it."""

    parameters: Parameters
    background: Background | None
    notes: tuple[str, ...] = ()


def scaled(catalog: Catalog, parameters: Parameters) -> Scaled:
    """The question as this catalog's random pairs read it.

    Raises UsageError where only what is unusual is parameters, and there are too few items to know.
    """
    from recq.index.background import FEWEST_ITEMS, UNUSUAL

    background = catalog.background_at_opening()
    if not parameters.unusual:
        return Scaled(parameters, background)
    cosine = catalog.space.higher_is_better
    option, example = ("--min-score", "0.6") if cosine else ("--max-distance", "20")
    if (parameters.unusual == "min_score") is not cosine:
        raise UsageError(f"catalog {catalog.name!r} compares by {catalog.space.distance}: write {option} auto")
    if background is None:
        raise UsageError(
            f"{option} auto needs {FEWEST_ITEMS} items to tell what is unusual, catalog {catalog.name!r} has fewer: "
            f"give a number, such as {option} {example}"
        )
    limit = background.unusual
    limited = replace(parameters, unusual=None)
    limited = replace(limited, min_score=limit) if cosine else replace(limited, max_distance=limit)
    far = "less alike" if cosine else "farther apart"
    note = f"{option} auto is {limit:.3f}: {UNUSUAL:.0%} of {background.pairs:,} random pairs are {far}"
    return Scaled(limited, background, (note,))
