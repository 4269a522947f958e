"""docs/openapi.json is what is served, nothing in it breaks a client, and no request that it allows meets a 5xx."""

from __future__ import annotations

import json
from typing import Any

import make_openapi
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recq.api.errors import KINDS, OF_HTTP, UNEXPECTED, kind_of
from recq.api.schemas import SCHEMAS
from recq.errors import RecqError
from recq.face.arguments import keywords_of
from recq.face.question import Compared, Matching, Ranking
from tests.query.conftest import GOODS
from tests.recq.api.serving import JSON, Api

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
    "GET /items/{item_id}": {"item_id"},
    "GET /items/{item_id}/image": {"item_id"},
    "GET /items/{item_id}/thumbnail": {"item_id"},
    "GET /facets/{field}": {"field"},
    "GET /fields": set(),
    "GET /catalogs": set(),
    "GET /failed": set(),
    "GET /problems": set(),
    "GET /status": set(),
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
    text = json.dumps(PUBLISHED)
    names = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= PUBLISHED["components"]["schemas"].keys()


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


TEXTS = st.one_of(
    st.sampled_from(
        [*GOODS, "category", "price", "category=sofa", "price<=100", "file.path", "a || b", "-", "", ":", "*"]
    ),
    st.text(max_size=30),
)
NUMBERS = st.one_of(st.integers(), st.floats(), st.booleans())
VALUES = st.recursive(
    st.one_of(st.none(), NUMBERS, TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["vector", "picture", "name", "x"]), inner, max_size=3),
    ),
    max_leaves=6,
)
SLOW = {"POST /explain", "POST /predict"}
"""Each valid one runs a network."""

QUICK = sorted(name for name in PROMISED if name not in SLOW)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_request_meets_a_5xx(data: st.DataObject, open_api: Api) -> None:
    no_5xx(data, open_api)


@pytest.mark.long
@settings(max_examples=1_500, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_none_of_many_requests_meets_a_5xx(data: st.DataObject, open_api: Api) -> None:
    no_5xx(data, open_api)


def no_5xx(data: st.DataObject, open_api: Api) -> None:
    """One request that OpenAPI describes, with values of any kind."""
    name = data.draw(st.sampled_from(QUICK))
    known, needed = parameters(operations()[name])
    chosen = needed | set(data.draw(st.lists(st.sampled_from(sorted(known | {"other"})), max_size=4)))
    values = {each: data.draw(st.one_of(TEXTS, VALUES), label=each) for each in sorted(chosen - {"item_id", "field"})}
    method, _, route = name.partition(" ")
    within = data.draw(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20))
    path = route.replace("{item_id}", within).replace("{field}", within)
    if method == "POST" and route != "/similar/picture":
        reply = open_api.client.post(f"/api/v1{path}", content=json.dumps(values), headers=JSON)
    else:
        flat = {
            each: list(map(_text, value)) if isinstance(value, list) else _text(value) for each, value in values.items()
        }
        content = data.draw(st.binary(max_size=50)) if method == "POST" else None
        reply = open_api.client.request(method, f"/api/v1{path}", params=flat, content=content)
    assert reply.status_code < 500, reply.text
    if reply.status_code >= 400:
        assert reply.json().keys() == {"code", "exit_code", "message"}


def _text(value: Any) -> str:
    """A value as an address can have it."""
    return str(value).encode("utf-8", "replace").decode()
