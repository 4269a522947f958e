"""The routes: each asks `recq.face` or `recq.operate` one question, and answers the JSON that a command line prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from fastapi import Path as InPath
from starlette.requests import Request
from starlette.responses import Response

from recq.api import pictures
from recq.api import questions as asked
from recq.api.asking import asked as asked_by_command
from recq.api.changes import Following
from recq.api.documents import HEADERS, answer
from recq.api.errors import Forbidden
from recq.api.metrics import MEDIA_TYPE, Metrics
from recq.api.schemas import answering, documented, taking_picture
from recq.api.service import Served, Service
from recq.errors import IndexError_, UsageError
from recq.evaluate.judgements import judgement_of
from recq.face.question import Compared, Matching, Ranking
from recq.index.edge.serving import Access
from recq.index.parameters import MAX_RESULTS
from recq.operate.confirmation import confirm as ask_for_confirmation
from recq.operate.failures import list_failures
from recq.operate.held import list_held
from recq.operate.problems import list_problems
from recq.operate.requests import retry as ask_for_retry
from recq.operate.status import find_status
from recq.search.inventory import catalogs as list_catalogs

PREFIX = "/api/v1"

ItemId = Annotated[str, InPath(description="The item's id, as answers give it.")]
FieldName = Annotated[str, InPath(description="A field, as filters name it.")]
Known = Annotated[str | None, Header(alias="If-None-Match", description="The ETag that the client has.")]
LastEvent = Annotated[str | None, Header(alias="Last-Event-ID", description="The id of the last event that came.")]
_BINARY = {"type": "string", "format": "binary"}


async def _body(request: Request) -> bytes:
    return await request.body()


def _operating(request: Request) -> None:
    """Raise Forbidden where the token only reads."""
    if request.scope["access"] < Access.FULL:
        raise Forbidden


def _own(request: Request) -> None:
    """Raise Forbidden for everybody but recq's own command line."""
    if request.scope["access"] is not Access.OWN:
        raise Forbidden


def routes(service: Service, metrics: Metrics) -> APIRouter:
    """All routes below `PREFIX`."""
    router = APIRouter(prefix=PREFIX)
    _questions(router, service)
    _items(router, service)
    _keeping(router, service, metrics)
    return router


def _questions(router: APIRouter, service: Service) -> None:
    def of(question: asked.Asked, ask: Callable[[Served], Any]) -> Response:
        return answer(service.ask(question.catalog, ask))

    @router.get("/similar", **documented("answer"))
    def similar_to_item(question: Annotated[asked.SimilarQuery, Query()]) -> Response:
        """What looks most like an item, by its stored vector; of a region of it the file is read."""
        target = asked.part_of(asked.target_of(question.target), question.region)
        wanted = asked.keywords(question, Ranking)
        return of(question, lambda at: at.catalog.similar(target, **wanted).to_json())

    @router.post("/similar", **documented("answer"))
    def similar(question: asked.Similar) -> Response:
        """What looks most like an item, a picture or a vector."""
        target, wanted = asked.target_of(question.target), asked.keywords(question, Ranking)
        return of(question, lambda at: at.catalog.similar(target, **wanted).to_json())

    @router.post("/similar/picture", **documented("answer"), openapi_extra=taking_picture())
    def similar_to_picture(
        question: Annotated[asked.SimilarPicture, Query()], content: Annotated[bytes, Depends(_body)]
    ) -> Response:
        """What looks most like the picture that is sent as the body."""
        target = asked.part_of(asked.uploaded(content, question.name), question.region)
        wanted = asked.keywords(question, Ranking)
        return of(question, lambda at: at.catalog.similar(target, **wanted).to_json())

    @router.post("/similar/batch", **documented("answer_or_failure", several=True))
    def similar_to_several(question: asked.SimilarMany) -> Response:
        """What looks most like each of several targets: for each its answer, or the reason why it has none."""
        count = len(question.targets)
        if count * max(1, question.k) > MAX_RESULTS:
            raise UsageError(
                f"{count:,} targets with -k {question.k} cannot be answered together: "
                f"ask for {MAX_RESULTS:,} results at most"
            )
        targets, wanted = list(map(asked.target_of, question.targets)), asked.keywords(question, Ranking)
        return of(question, lambda at: at.catalog.similar_many(targets, **wanted).to_json())

    @router.post("/recommend", **documented("answer"))
    def recommend(question: asked.Recommend) -> Response:
        """Items near to the targets that are liked and far from those disliked."""
        like, dislike = (list(map(asked.target_of, some)) for some in (question.like, question.dislike))
        wanted = asked.keywords(question, Ranking) | {"strategy": question.strategy}
        return of(question, lambda at: at.catalog.recommend(like, dislike, **wanted).to_json())

    @router.get("/search", **documented("answer"))
    def search(question: Annotated[asked.SearchQuery, Query()]) -> Response:
        """Items that match all filters, ordered by path or by a field."""
        return of(question, lambda at: at.catalog.search(**asked.keywords(question, Matching)).to_json())

    @router.post("/search", **documented("answer"))
    def search_by_document(question: asked.Search) -> Response:
        """The same, for filters that are too long for an address."""
        return of(question, lambda at: at.catalog.search(**asked.keywords(question, Matching)).to_json())

    @router.post("/explain", **documented("explanation"))
    def explain(question: asked.Explain) -> Response:
        """Which regions of two pictures make them similar."""
        target, result = asked.target_of(question.target), asked.target_of(question.result)
        with service.explaining():
            return of(question, lambda at: at.catalog.explain(target, result).to_json())

    @router.post("/compare", **documented("comparison"))
    def compare(question: asked.Compare) -> Response:
        """What looks most like a target in several catalogs, and what they have in common."""
        target, wanted = asked.target_of(question.target), asked.keywords(question, Compared)
        return of(question, lambda at: at.catalog.compare(target, question.against, **wanted).to_json())

    @router.post("/predict", **documented("prediction_or_failure", several=True))
    def predict(question: asked.Predict) -> Response:
        """What each target is, in the labels of a trained space or in ImageNet's classes."""
        targets = list(map(asked.target_of, question.targets))

        def ask(at: Served) -> list[dict[str, Any]]:
            found = at.catalog.predict(targets, space=question.space, top=question.top)
            return [each.to_json() for each in found]

        return of(question, ask)

    @router.post("/duplicates", **documented("duplicates"))
    def duplicates(question: asked.Duplicates) -> Response:
        """Groups of items that are the same picture. Pictures are read: one such question at a time."""
        asked.require_short(*question.filters)
        wanted = question.model_dump(exclude={"catalog"})
        with service.alone():
            return of(question, lambda at: at.catalog.duplicates(**wanted).to_json())

    @router.post("/evaluate", **documented("evaluation"))
    def evaluate(question: asked.Evaluate) -> Response:
        """How often the nearest items have the same label. Every item asks: one such question at a time."""
        asked.require_short(*question.query_filters, *question.gallery_filters)
        wanted = question.model_dump(exclude={"catalog"})
        with service.alone():
            return of(question, lambda at: at.catalog.evaluate(**wanted).to_json())

    @router.post("/evaluate/judgements", **documented("judged"))
    def evaluate_judgements(question: asked.EvaluateJudgements) -> Response:
        """How near the answers are to what people judged. Every item is compared: one such question at a time."""
        given = [judgement_of(each.model_dump()) for each in question.judgements]
        wanted = question.model_dump(exclude={"catalog", "judgements"})
        with service.alone():
            return of(question, lambda at: at.catalog.evaluate_judgements(given, **wanted).to_json())


def _items(router: APIRouter, service: Service) -> None:
    @router.get("/items/{item_id}", **documented("item"))
    def item(item_id: ItemId, question: Annotated[asked.Asked, Query()]) -> Response:
        """Everything that is known about one item, also a failed one."""
        wanted = pictures.named(item_id)
        return answer(service.ask(question.catalog, lambda at: at.catalog.show(wanted).to_json()))

    @router.get("/items/{item_id}/image", **answering("image/*", _BINARY, conditional=True))
    def image(item_id: ItemId, question: Annotated[asked.Asked, Query()], known: Known = None) -> Response:
        """The item's file as it is now."""
        return pictures.image(service, question.catalog, item_id, known)

    @router.get("/items/{item_id}/thumbnail", **answering("image/jpeg", _BINARY, conditional=True))
    def thumbnail(item_id: ItemId, question: Annotated[asked.Thumbnail, Query()], known: Known = None) -> Response:
        """The item's picture, reduced."""
        return pictures.thumbnail(service, question, item_id, known)

    @router.get("/facets/{field}", **documented("facets"))
    def facets(field: FieldName, question: Annotated[asked.Facets, Query()]) -> Response:
        """The values of a field with the number of items of each; ranges for numbers and dates."""

        asked.require_short(*question.filters)

        def ask(at: Served) -> dict[str, Any]:
            return at.catalog.facets(field, filters=question.filters, limit=question.limit).to_json()

        return answer(service.ask(question.catalog, ask))

    @router.get("/fields", **documented("field", several=True))
    def fields(question: Annotated[asked.Asked, Query()]) -> Response:
        """The fields that filters can use."""
        return answer(service.ask(question.catalog, lambda at: at.catalog.fields().to_json()))

    following = Following(service)

    @router.get("/changes", **documented("changes"))
    async def changes(question: Annotated[asked.Changes, Query()]) -> Response:
        """What was indexed, changed, went and failed since a cursor."""
        return await following.changes(question.catalog, question.since, question.limit, question.wait)

    @router.get("/changes/stream", **answering("text/event-stream", {"type": "string"}))
    async def stream(question: Annotated[asked.Stream, Query()], last: LastEvent = None) -> Response:
        """The same as server-sent events, as long as the client listens."""
        return await following.stream(question.catalog, last or question.since)

    @router.get("/catalogs", **documented("catalog", several=True))
    def catalogs() -> Response:
        """The catalogs of the index."""
        return answer(service.ask_index(lambda session: [each.to_json() for each in list_catalogs(session)]))


def _keeping(router: APIRouter, service: Service, metrics: Metrics) -> None:
    @router.get("/failed", **documented("failed"))
    def failed(question: Annotated[asked.Asked, Query()]) -> Response:
        """The items that could not be indexed, each with the reason."""
        found = service.ask(question.catalog, lambda at: list_failures(at.session))
        return answer([each.to_json() for each in found])

    @router.get("/problems", **documented("problems"))
    def problems(question: Annotated[asked.Problems, Query()]) -> Response:
        """What is wrong with metadata, and what is skipped."""
        found = service.ask(question.catalog, lambda at: list_problems(at.session, question.source))
        return answer([each.to_json() for each in found])

    @router.get("/status", **documented("status"))
    def status(question: Annotated[asked.Asked, Query()]) -> Response:
        """How far the daemon is, or what the index holds where none runs on this machine."""
        return answer(service.ask(question.catalog, lambda at: find_status(at.session)).to_json())

    @router.post("/retry", dependencies=[Depends(_operating)], **documented("asked"))
    def retry(question: asked.Retry) -> Response:
        """Try failed items again. It needs the token that operates, where tokens are set."""
        return answer(service.ask(question.catalog, lambda at: ask_for_retry(at.session, question.pattern)).to_json())

    @router.get("/held", **documented("held"))
    def held(question: Annotated[asked.Held, Query()]) -> Response:
        """The items that would go, or lose metadata, when that is confirmed: a running daemon knows which."""
        given = question.source, question.offset, question.limit
        return answer(service.ask(question.catalog, lambda at: list_held(at.session, *given)).to_json())

    @router.post("/confirm", dependencies=[Depends(_operating)], **documented("asked"))
    def confirm(question: asked.Confirm) -> Response:
        """Have what is held carried out. It needs the token that operates, where tokens are set."""
        return answer(
            service.ask(question.catalog, lambda at: ask_for_confirmation(at.session, question.source)).to_json()
        )

    @router.post("/ask", dependencies=[Depends(_own)], include_in_schema=False)
    def ask(content: Annotated[bytes, Depends(_body)]) -> Response:
        """What recq's own command line asks."""
        return asked_by_command(service, content)

    @router.get("/healthz", **documented("health"))
    async def healthz() -> Response:
        """That the service runs. It needs no token."""
        return answer({"status": "ok"})

    @router.get("/readyz", **documented("health"))
    def readyz() -> Response:
        """Whether the index answers; 503 where it does not. It needs no token."""
        ready = service.is_ready()
        return answer({"status": "ok" if ready else "index-unavailable"}, 200 if ready else 503)

    @router.get("/metrics", **answering("text/plain", {"type": "string"}))
    def numbers(question: Annotated[asked.Asked, Query()]) -> Response:
        """What was answered and what the catalog holds, for Prometheus; without an index what was answered."""
        try:
            found = service.ask(question.catalog, lambda at: find_status(at.session))
        except IndexError_:  # what was answered tells of just that
            found = None
        text = metrics.text(question.catalog or service.settings.catalog, found)
        return Response(text, headers=HEADERS, media_type=MEDIA_TYPE)
