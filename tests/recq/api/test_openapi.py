"""docs/openapi.json is what is served, and nothing in it breaks a client. `test_schema` asks what it allows."""

from __future__ import annotations

import json
import re
from typing import Any

import make_openapi
import pytest

from recq.api.errors import KINDS, OF_HTTP, UNEXPECTED, kind_of
from recq.api.schemas import SCHEMAS
from recq.errors import RecqError
from recq.face.arguments import keywords_of
from recq.face.question import Compared, Matching, Ranking
from tests.recq.api.serving import Api

PUBLISHED: dict[str, Any] = json.loads(make_openapi.OPENAPI.read_text("utf-8"))
REMAKE = "run .venv/bin/python tools/make_openapi.py"


def test_both_files_are_up_to_date() -> None:
    assert SCHEMAS.read_text("utf-8") == make_openapi.written(make_openapi.gathered()), REMAKE
    assert make_openapi.OPENAPI.read_text("utf-8") == make_openapi.written(make_openapi.openapi()), REMAKE


def test_what_is_served_is_what_is_published(open_api: Api) -> None:
    assert open_api.get("/openapi.json").json() == PUBLISHED


# What version 1 has promised. A line may be added here; who removes one or changes it breaks clients, and has to serve
# a second version beside the first.
PROMISED = {
    "GET /similar": {"target"},
    "POST /similar": {"target"},
    "POST /similar/picture": set(),
    "POST /similar/batch": {"targets"},
    "POST /recommend": {"like"},
    "GET /search": set(),
    "POST /search": set(),
    "POST /explain": {"result", "target"},
    "POST /compare": {"against", "target"},
    "POST /predict": {"targets"},
    "POST /duplicates": set(),
    "POST /evaluate": {"label"},
    "POST /evaluate/judgements": {"judgements"},
    "GET /items/{item_id}": {"item_id"},
    "GET /items/{item_id}/image": {"item_id"},
    "GET /items/{item_id}/thumbnail": {"item_id"},
    "GET /facets/{field}": {"field"},
    "GET /fields": set(),
    "GET /catalogs": set(),
    "GET /changes": set(),
    "GET /changes/stream": set(),
    "GET /failed": set(),
    "GET /problems": set(),
    "GET /status": set(),
    "GET /held": set(),
    "POST /confirm": set(),
    "POST /retry": set(),
    "GET /healthz": set(),
    "GET /readyz": set(),
    "GET /metrics": set(),
}
"""Each route with what a request must have: a client that was written for it sends no more."""

KEPT = {
    "similar": set(keywords_of(Ranking)) | {"catalog", "target"},
    "search": set(keywords_of(Matching)) | {"catalog"},
    "compare": set(keywords_of(Compared)) | {"catalog", "target", "against"},
}
"""What a request may have, at the least."""


def operations() -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path.removeprefix('/api/v1')}": operation
        for path, found in PUBLISHED["paths"].items()
        for method, operation in found.items()
    }


def parameters(operation: dict[str, Any]) -> tuple[set[str], set[str]]:
    """What a request may have, and what it must have."""
    found = operation.get("parameters", [])
    known, needed = {each["name"] for each in found}, {each["name"] for each in found if each["required"]}
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is not None:
        schema = PUBLISHED["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
        known |= set(schema["properties"])
        needed |= set(schema.get("required", ()))
    return known, needed


def test_no_change_breaks_a_client() -> None:
    found = {name: parameters(operation)[1] for name, operation in operations().items()}
    assert found == PROMISED


@pytest.mark.parametrize("route", sorted(KEPT))
def test_questions_have_the_parameters_of_the_library(route: str) -> None:
    assert parameters(operations()[f"POST /{route}"])[0] == KEPT[route]


def test_every_reference_is_there() -> None:
    refs = set(re.findall(r'"\$ref": "([^"]*)"', json.dumps(PUBLISHED)))
    assert refs <= {f"#/components/schemas/{name}" for name in PUBLISHED["components"]["schemas"]}


def test_what_is_got_has_no_body() -> None:
    """The gate throws it away."""
    assert [name for name, operation in operations().items() if "requestBody" in operation] == [
        name for name in operations() if name.startswith("POST ")
    ]


def every_error(root: type[RecqError] = RecqError) -> set[type[RecqError]]:
    return {root}.union(*(every_error(each) for each in root.__subclasses__() if each.__module__ == "recq.errors"))


def test_every_error_has_its_kind_and_no_code_is_used_twice() -> None:
    assert KINDS.keys() <= every_error()
    for each in every_error() - {RecqError}:
        error = each.__new__(each)
        assert kind_of(error) is not UNEXPECTED, each
    statuses: dict[str, int] = {}
    for kind in [*KINDS.values(), *OF_HTTP, UNEXPECTED]:
        assert statuses.setdefault(kind.code, kind.status) == kind.status
