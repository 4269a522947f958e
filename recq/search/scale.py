"""The scale of scores: a catalog's random pairs show which scores are unusual, and so what is a good match.

It comes between a question and the index: `auto` becomes a score, or a distance, of this catalog.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from recq.errors import UsageError
from recq.search.trained import candidate_of, remarks_on

if TYPE_CHECKING:
    from recq.index.background import Background
    from recq.index.catalog import Catalog
    from recq.index.parameters import Parameters


@dataclass(frozen=True)
class Scaled:
    """Parameters with the limit of this catalog, the random pairs (None where there are too few items), and notes."""

    parameters: Parameters
    background: Background | None
    notes: tuple[str, ...] = ()


def scaled(catalog: Catalog, parameters: Parameters) -> Scaled:
    """The parameters with the limit that this catalog's random pairs give.

    Raises UsageError where the limit is `auto` and the catalog has too few items, or the scores are of a trained space,
    whose random pairs nobody has compared; TargetNotFound for an unknown trained space.
    """
    from recq.index.background import FEWEST_ITEMS, UNUSUAL

    candidate = candidate_of(catalog, parameters)
    if candidate is not None:
        if parameters.unusual:
            raise UsageError(
                f"--min-score auto is of the catalog's own space, and --space {candidate.name} has other scores: "
                "give a number, such as --min-score 0.6"
            )
        return Scaled(parameters, None, remarks_on(candidate))
    background = catalog.background_at_opening()
    if not parameters.unusual:
        return Scaled(parameters, background)
    cosine = catalog.space.higher_is_better
    option, example = ("--min-score", "0.6") if cosine else ("--max-distance", "20")
    if (parameters.unusual == "min_score") is not cosine:
        raise UsageError(f"catalog {catalog.name!r} compares by {catalog.space.distance}: write {option} auto")
    if background is None:
        raise UsageError(
            f"{option} auto needs {FEWEST_ITEMS} items, catalog {catalog.name!r} has fewer: "
            f"give a number, such as {option} {example}"
        )
    limit = background.unusual
    limited = replace(parameters, unusual=None)
    limited = replace(limited, min_score=limit) if cosine else replace(limited, max_distance=limit)
    far = "less alike" if cosine else "farther apart"
    note = f"{option} auto is {limit:.3f}: {UNUSUAL:.0%} of {background.pairs:,} random pairs are {far}"
    return Scaled(limited, background, (note,))
