"""A sheet as one HTML page that contains everything: styles and thumbnails are inside (`recq.display.html_page`)."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterator

from recq.display.grid_sheet import Card, Facts, Row, Sheet
from recq.display.grid_tiles import is_there, thumbnail
from recq.display.html_element import Element, element
from recq.display.html_page import line, opening
from recq.images import Limits

MOST_FIGURES = 500
"""Results shown at most: some five megabytes and seven seconds of work, which a phone still opens."""

_SIDE = 320  # pixels of a thumbnail's longer side: sharp on a telephone, some 10 kB
_QUALITY = 80
_LONGEST = 400  # characters of a value


def page(sheet: Sheet, limits: Limits) -> Iterator[str]:
    """The document in parts, one for each figure: pictures are read as they are written, never held together."""
    sheet = sheet.within(MOST_FIGURES, row_at_least=5)
    yield from _head(sheet)
    aside = any(row.asked for row in sheet.rows)
    for row in sheet.rows:
        yield "<section>\n"
        if row.title:
            yield line(element("h2", row.title))
        yield '<div class="row">\n'
        if aside:  # empty where there is no target, so that all rows begin at the same place
            yield from _figures("asked", row.asked, limits)
        if row.found:
            yield from _figures("found", row.found, limits)
        else:
            yield line(element("p", "Nothing matches.", class_="note"))
        yield "</div>\n"
        yield from _left_out(row)
        yield "</section>\n"
    yield "</main>\n</body>\n</html>\n"


def _head(sheet: Sheet) -> Iterator[str]:
    yield from opening(sheet.title, "grid.css")
    yield "<header>\n"
    yield line(element("h1", sheet.title))
    if sheet.filters:
        yield line(element("p", *(element("code", each) for each in sheet.filters), class_="filters"))
    if sheet.spaces:
        yield line(element("p", sheet.spaces[0], class_="space"))
    yield "</header>\n<main>\n"


def _figures(kind: str, cards: tuple[Card, ...], limits: Limits) -> Iterator[str]:
    yield f'<div class="{kind}">'
    for card in cards:
        yield line(_figure(card, limits))
    yield "</div>\n"


def _left_out(row: Row) -> Iterator[str]:
    if row.left_out:
        yield line(element("p", f"{row.left_out:,} more not shown", class_="note"))


def _figure(card: Card, limits: Limits) -> Element:
    link = card.location.as_uri() if card.location is not None and is_there(card.location) else None
    scale = [element("small", card.scale)] if card.scale else []
    head = [card.heading] if card.asked else [element("span", card.heading), element("strong", card.score), *scale]
    name = element("a", card.name, class_="name", href=link) if link else element("span", card.name, class_="name")
    caption = element("figcaption", element("div", *head, class_="head"), name, *_facts(card.facts))
    if card.more:
        caption.append(element("details", element("summary", "more"), *_facts(card.more)))
    return element("figure", _tile(card, link, limits), caption)


def _tile(card: Card, link: str | None, limits: Limits) -> Element:
    picture, problem = thumbnail(card, limits, _SIDE)
    if picture is None:
        return element("div", problem, class_="tile")
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=_QUALITY)
    source = f"data:image/webp;base64,{b64encode(buffer.getvalue()).decode()}"
    size = {"width": str(picture.width), "height": str(picture.height)}
    if max(picture.size) < _SIDE:  # an icon is not enlarged further
        size["class"] = "small"
    image = element("img", src=source, alt=card.name, **size)
    return element("a", image, class_="tile", href=link) if link else element("div", image, class_="tile")


def _facts(facts: Facts) -> list[Element]:
    if not facts:
        return []
    pairs = [part for name, value in facts for part in (element("dt", name), element("dd", _shortened(value)))]
    return [element("dl", *pairs)]


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
