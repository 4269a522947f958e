"""What the likes and dislikes of an address say, as a file of judgements for `recq evaluate --judgements`.

The first picture that is liked is the query; those that are liked beside it are right for it, those that are disliked
are not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from starlette.requests import Request
from starlette.responses import Response

from recq.api.service import Served, Service
from recq.errors import TargetNotFound
from recq.evaluate.judgements import judgement_json
from recq.index.schema import Item
from recq.page.state import State
from recq.search.target import IndexedName


def has_judgements(state: State) -> bool:
    """Whether the address judges anything: a picture of the user's, which is in no index, is no query."""
    return bool(state.like) and not state.picture and len(state.like) + len(state.dislike) > 1


def judged(state: State, items: Mapping[str, Item]) -> Iterator[dict[str, str]]:
    """A judgement for each picture that is judged, with the paths of both for people; `items` by their names."""
    query, *liked = state.like
    for each in (*liked, *state.dislike):
        paths = {"query_path": items[query].file.path, "item_path": items[each].file.path}
        yield judgement_json(items[query].id, items[each].id, liked=each in liked) | paths


def judgements_file(service: Service, request: Request) -> Response:
    """The judgements of an address, as JSON Lines. Raises TargetNotFound where it has none, or an item has gone."""
    state = State.of(request.query_params.multi_items())
    if not has_judgements(state):
        raise TargetNotFound("nothing is judged: like a picture, then others, too, or not")

    def ask(at: Served) -> dict[str, Item]:
        return {each: at.catalog.show(IndexedName(each)).item for each in (*state.like, *state.dislike)}

    lines = [json.dumps(each) + "\n" for each in judged(state, service.ask(state.catalog, ask))]
    headers = {
        "Content-Disposition": 'attachment; filename="judgements.jsonl"',
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return Response("".join(lines), headers=headers, media_type="application/x-ndjson")
