"""A trained space that a question names: its order in place of the catalog's own, and what the answer says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recq.paths import printable
from recq.search.results import Trained

if TYPE_CHECKING:
    from recq.index.candidates import Candidate
    from recq.index.catalog import Catalog
    from recq.index.finder import Finder
    from recq.index.parameters import Parameters


def candidate_of(catalog: Catalog, parameters: Parameters) -> Candidate | None:
    """The trained space that the question names, None for the catalog's own. Raises what `finder_of` raises."""
    return None if parameters.space is None else catalog.tried(parameters.space).candidate


def finder_of(catalog: Catalog, parameters: Parameters) -> Finder:
    """What answers the question. Raises TargetNotFound for a trained space that the catalog does not have,
    SpaceMismatch for one that was learned in another space than the catalog's."""
    return catalog.finder if parameters.space is None else catalog.tried(parameters.space).finder


def remarks_on(candidate: Candidate | None) -> tuple[str, ...]:
    """What has to be known of answers in that space."""
    if candidate is None or not candidate.closed_set:
        return ()
    name, label = printable(candidate.name), printable(candidate.label)
    return (f"{name} is a closed-set space: pictures of kinds without a {label} may be found worse",)


def trained_of(candidate: Candidate | None) -> Trained | None:
    """How the answer names it."""
    return None if candidate is None else Trained(candidate.name, candidate.label, candidate.from_)
