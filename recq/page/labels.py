"""The label workbench: queues of pictures to decide, neighbours to tag together, and the patch that comes out.

Nothing here changes an item: tags become a patch (`recq.page.tags`), which the daemon reads from the folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from recq.api.service import Served
from recq.errors import FilterError, IndexPending, TargetNotFound, UsageError
from recq.index.schema import FieldType, field_problem
from recq.index.taggings import How
from recq.learn.label_findings import Question
from recq.page.collected import by_item
from recq.page.label_neighbours import neighbours
from recq.page.label_queues import LabelQueues, answered
from recq.page.placing import file_name, usual_name
from recq.page.site import Site, form_of, operates, require_operating
from recq.page.state import State
from recq.page.tags import Tag, Tags

MOST_VALUES = 100
"""Values of the field that are offered."""

HOWS = {How.IS: "is", How.ALSO: "is also", How.NOT: "is not"}
"""How pictures are tagged together, in words."""

Make = Callable[[Request, bytes], Response]


@dataclass(frozen=True)
class Asked:
    """What an address of the workbench asks for: a `field`, a `queue` or the neighbours of an `item`, and where.

    `bare`: only neighbours that have nothing in the field. `how` and `value` are what was tagged last.
    """

    catalog: str | None
    field: str
    queue: Question | None
    item: str
    skip: int
    page: int
    bare: bool
    how: How
    value: str

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Self:
        """From its parameters. Raises UsageError for a wrong one."""
        queue, how = given.get("queue", ""), given.get("how", How.IS)
        if queue and queue not in list(Question):
            raise UsageError(f"there is no queue {queue!r}: {', '.join(Question)}")
        if how not in HOWS:
            raise UsageError(f"how={how!r} is no way to tag: {', '.join(HOWS)}")
        return cls(
            given.get("catalog") or None,
            given.get("field", "").strip(),
            Question(queue) if queue else None,
            given.get("item", ""),
            _count(given.get("skip", "")),
            max(1, _count(given.get("page", ""))),
            given.get("bare") == "1",
            How(how),
            given.get("value", ""),
        )

    def address(self, path: str = "/labels", **others: str | int | None) -> str:
        """An address of the workbench with the same parameters, but for `others`; what is empty is left out."""
        own: dict[str, str | int | None] = {
            "catalog": self.catalog,
            "field": self.field,
            "queue": self.queue,
            "item": self.item,
            "skip": self.skip,
            "page": self.page if self.page > 1 else 0,
            "bare": int(self.bare),
            "how": self.how if self.how is not How.IS else "",
            "value": self.value,
        }
        query = urlencode({name: value for name, value in (own | others).items() if value})
        return f"{path}?{query}" if query else path


class Labelling:
    """The routes of the workbench."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._tags = Tags(site.service)
        self._queues = LabelQueues(site.service)

    def add_to(self, router: APIRouter) -> None:
        """Its routes."""
        reading: Mapping[str, Make] = {"": self.labels, "/near": self.near, "/patch": self.patch}
        for path, make in reading.items():
            router.add_api_route(f"/labels{path}", self._site.shown(make), methods=["GET"])
        router.add_api_route("/labels/look", self._site.shown(self.look), methods=["POST"])
        changing: Mapping[str, Make] = {
            "answer": self.answer,
            "tag": self.tag,
            "undo": self.undo,
            "forget": self.forget,
            "place": self.place,
        }
        for name, make in changing.items():
            router.add_api_route(f"/labels/{name}", self._site.shown(_operating(make)), methods=["POST"])

    # -- queues -------------------------------------------------------------------------------------------------------

    def labels(self, request: Request, _: bytes) -> Response:
        """What is collected, and a queue: the next pictures to decide, or how far the look for them is."""
        return self._labels(request)

    def _labels(self, request: Request, said: str = "") -> Response:
        asked = _asked(request)
        looking = None if asked.queue is None else self._queues.looking(asked.catalog, asked.queue, asked.field)
        taggings = self._tags.all(asked.catalog)
        queue = None
        if looking is not None and looking.found is not None:
            queue = self._queues.standing(asked.catalog, looking.found, taggings, asked.skip)
        return self._page(
            request,
            "labels.html",
            asked,
            said=said,
            looking=looking,
            queue=queue,
            taggings=taggings[::-1],
            collected=self._tags.standing(asked.catalog, taggings),
            places=self._site.service.settings.place_patches,
            usual_name=usual_name(),
        )

    def look(self, request: Request, content: bytes) -> Response:
        """Begin to look for what a queue has."""
        asked = _asked(request, content)
        if asked.queue is None or not asked.field:
            raise UsageError("choose the field whose labels are meant")
        self._queues.look(asked.catalog, asked.queue, asked.field)
        return RedirectResponse(asked.address(), 303)

    def answer(self, request: Request, content: bytes) -> Response:
        """Collect what was decided about the pictures of a queue, and go on."""
        asked, given = _asked(request), form_of(content)
        if asked.queue is None:
            raise TargetNotFound("there is no such queue")
        tags = answered(asked.queue, given)
        if tags:
            self._tags.give(asked.catalog, asked.field, tags)
        left = sum(name == "seen" for name, _ in given) - len(tags)
        return RedirectResponse(asked.address(skip=asked.skip + left), 303)

    # -- neighbours ---------------------------------------------------------------------------------------------------

    def near(self, request: Request, _: bytes) -> Response:
        """A picture and its neighbours, to be tagged together."""
        asked = _asked(request)
        tagged = by_item(self._tags.all(asked.catalog))
        near = self._site.ask(
            asked.catalog,
            lambda at: neighbours(at, asked.item, asked.field, tagged, bare=asked.bare, page=asked.page),
        )
        return self._page(request, "near.html", asked, near=near, hows=HOWS)

    def tag(self, request: Request, content: bytes) -> Response:
        """Collect a tag of all that are ticked."""
        asked = _asked(request, content)
        ticked = tuple(value for name, value in form_of(content) if name == "tick")
        if not ticked:
            raise UsageError("tick the pictures that are meant")
        self._tags.give(asked.catalog, asked.field, [Tag(asked.how, asked.value, ticked)])
        return RedirectResponse(asked.address("/labels/near"), 303)

    # -- what is collected --------------------------------------------------------------------------------------------

    def undo(self, request: Request, _: bytes) -> Response:
        """Take back what was given last."""
        asked = _asked(request)
        self._tags.undo(asked.catalog)
        return RedirectResponse(asked.address("/labels/near" if asked.item else "/labels"), 303)

    def patch(self, request: Request, _: bytes) -> Response:
        """The patch of a source, as a file to be put into its root."""
        asked, source = _asked(request), request.query_params.get("source", "")
        name = file_name(request.query_params.get("name") or usual_name())
        headers = {
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(self._tags.patch(asked.catalog, source).data, headers=headers, media_type="text/csv")

    def forget(self, request: Request, _: bytes) -> Response:
        """Forget the tags of a source, which are in a file now."""
        asked = _asked(request)
        self._tags.forget(asked.catalog, request.query_params.get("source", ""))
        return RedirectResponse(asked.address(), 303)

    def place(self, request: Request, content: bytes) -> Response:
        """Put the patch of a source into its root."""
        asked, name = _asked(request), dict(form_of(content)).get("name", "").strip()
        said = self._tags.place(asked.catalog, request.query_params.get("source", ""), name)
        return self._labels(request, said)

    # -- all ----------------------------------------------------------------------------------------------------------

    def _page(self, request: Request, template: str, asked: Asked, **values: Any) -> Response:
        fields, known = self._site.ask(asked.catalog, lambda at: _offered(at, asked.field))
        return self._site.templates.page(
            request,
            template,
            state=State(catalog=asked.catalog),
            asked=asked,
            fields=fields,
            values=known,
            operates=operates(request),
            **values,
        )


def _offered(at: Served, name: str) -> tuple[list[str], list[str]]:
    """The fields that people give, and the values that one of them has, the most frequent first."""
    with at.session.opened() as index:
        fields = sorted(each for each in index.fields.types() if field_problem(each) is None)
    values: list[str] = []
    if name in fields:
        try:
            found = at.catalog.facets(name, limit=MOST_VALUES)
            values = [value for value, _ in found.rows] if found.type in (FieldType.STRING, FieldType.BOOL) else []
        except (FilterError, IndexPending):  # it has gone meanwhile, or its index is being made
            values = []
    return fields, values


def _operating(make: Make) -> Make:
    """A route that the token that only reads does not open."""

    def made(request: Request, content: bytes) -> Response:
        require_operating(request)
        return make(request, content)

    return made


def _asked(request: Request, form: bytes = b"") -> Asked:
    """What the address asks for, and the form that was sent with it."""
    return Asked.of({**request.query_params, **dict(form_of(form))})


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0
