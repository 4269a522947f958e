"""What every page that recq writes begins with: one file that contains everything, without a script.

Names and metadata are not trusted: they become only text of elements, and a content security policy in the page lets a
browser load nothing but the pictures within it.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files

from recq.display.html_element import Element, element, markup

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def opening(title: str, *styles: str) -> Iterator[str]:
    """The document up to the inside of its body; `styles` are files of this room."""
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n'
    # Before any name or value: the encoding, and what may be loaded.
    yield line(element("meta", charset="utf-8"))
    yield line(element("meta", **{"http-equiv": "Content-Security-Policy", "content": _POLICY}))
    yield line(element("meta", name="viewport", content="width=device-width, initial-scale=1"))
    yield line(element("title", f"{title} - recq"))
    for each in styles:
        yield line(element("style", "\n" + files("recq.display").joinpath(each).read_text("utf-8")))
    yield "</head>\n<body>\n"


def line(made: Element) -> str:
    """The element as a line of its own."""
    return markup(made) + "\n"
