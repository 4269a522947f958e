"""How a server is to look for the nearest: the decision, row by row."""

from __future__ import annotations

import pytest
from qdrant_client import models

from recq.index import search_params as module
from recq.index.search_params import Graph, search_params, thorough, went_astray

LARGE = Graph(points=300_000, in_graphs=300_000, dim=1280, version=(1, 17))
FEW = min(module.EXACT_NUMBERS // LARGE.dim, int(module.FEW * LARGE.points))
HALF = LARGE.points // 2
MOST = int(LARGE.points * 0.9)
WALK = f"ef {module.WALK}"
STEPPING = f"ef {module.THOROUGH_WALK} acorn"


def told(params: models.SearchParams | None) -> str:
    """What a decision is, in words."""
    if params is None:
        return "own"
    if params.exact:
        return "exact"
    return f"ef {params.hnsw_ef}" + (" acorn" if params.acorn is not None and params.acorn.enable else "")


@pytest.mark.parametrize(
    ("graph", "matches", "limit", "expected"),
    [
        pytest.param(Graph(300_000, 0, 1280), 100, 17, "own", id="no graph: every engine compares all"),
        pytest.param(Graph(300_000, 0, 1280), None, 17, "own", id="no graph, no filter"),
        pytest.param(LARGE, 0, 17, "exact", id="nothing matches"),
        pytest.param(LARGE, FEW, 17, "exact", id="as many as are compared"),
        pytest.param(LARGE, FEW + 1, 17, WALK, id="one more"),
        pytest.param(LARGE, HALF, 17, WALK, id="half"),
        pytest.param(LARGE, MOST, 17, WALK, id="most"),
        pytest.param(LARGE, None, 17, WALK, id="no filter"),
        pytest.param(LARGE, None, 5_000, "ef 5000", id="many answers: the walk is as long at least"),
        pytest.param(LARGE, None, 100_000, "exact", id="a third of all"),
        pytest.param(LARGE, HALF, 20_000, "exact", id="a large share of what matches"),
        pytest.param(Graph(10_000, 10_000, 1280), None, 17, WALK, id="a small catalog"),
        pytest.param(Graph(10_000, 10_000, 1280), 5_000, 17, WALK, id="half of a small catalog: a whole graph"),
        pytest.param(Graph(10_000, 10_000, 1280), 500, 17, "exact", id="a little of a small catalog"),
        pytest.param(Graph(10_000, 10_000, 1280), 2_000, 17, "exact", id="as many as a server compares by itself"),
        pytest.param(Graph(10_000, 10_000, 1280), 2_001, 17, WALK, id="one more than it compares"),
        pytest.param(Graph(300_000, 9_000, 1280), HALF, 17, WALK, id="half built"),
        pytest.param(Graph(300_000, 300_000, 1280, exact=False), 10, 17, WALK, id="exact forbidden"),
        pytest.param(Graph(300_000, 300_000, 1280, exact=False, longest=77), HALF, 5_000, "ef 77", id="walks bounded"),
    ],
)
def test_how_a_question_is_searched_for(graph: Graph, matches: int | None, limit: int, expected: str) -> None:
    assert told(search_params(graph, matches, limit)) == expected


@pytest.mark.parametrize(
    ("graph", "matches", "expected"),
    [
        pytest.param(LARGE, HALF, "exact", id="as many as can be compared"),
        pytest.param(Graph(900_000, 900_000, 1280, (1, 17)), 800_000, STEPPING, id="too many to be compared"),
        pytest.param(LARGE, None, f"ef {module.THOROUGH_WALK}", id="no filter"),
        pytest.param(
            Graph(900_000, 900_000, 1280, (1, 15)), 800_000, f"ef {module.THOROUGH_WALK}", id="a server without ACORN"
        ),
        pytest.param(Graph(300_000, 300_000, 1280, (1, 17), exact=False), HALF, STEPPING, id="exact forbidden"),
        pytest.param(
            Graph(300_000, 300_000, 1280, (1, 17), exact=False, longest=77), HALF, "ef 77 acorn", id="walks bounded"
        ),
    ],
)
def test_how_it_is_searched_for_again(graph: Graph, matches: int | None, expected: str) -> None:
    assert told(thorough(graph, matches, 17)) == expected


@pytest.mark.parametrize(
    ("found", "wanted", "last", "expected"),
    [
        (17, 17, 1.0, False),
        (17, 17, module.TRUSTED, False),
        (17, 17, module.TRUSTED - 0.001, True),
        (16, 17, 1.0, True),
        (0, 17, None, True),
        (0, 0, None, False),
        (17, 17, None, False),
    ],
)
def test_an_answer_that_chance_could_have_given_is_not_trusted(
    found: int, wanted: int, last: float | None, expected: bool
) -> None:
    assert went_astray(found, wanted, last) is expected


def test_acorn_is_not_left_to_the_servers_own_estimate() -> None:
    """0.4 is where a server stops using it by itself."""
    params = thorough(Graph(900_000, 900_000, 1280, (1, 17)), 800_000, 17)
    assert params.acorn == models.AcornSearchParams(enable=True, max_selectivity=1.0)


@pytest.mark.parametrize("limit", [1, 17, 1_000, 30_000, 100_000])
def test_fewer_matches_are_never_searched_for_less_exactly(limit: int) -> None:
    seen = [told(search_params(LARGE, matches, limit)) for matches in range(0, LARGE.points, 997)]
    after = seen[seen.index(next(each for each in seen if each != "exact")) :] if set(seen) != {"exact"} else []
    assert "exact" not in after
