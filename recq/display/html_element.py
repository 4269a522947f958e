"""HTML elements as trees that the standard library writes: texts and attributes cannot but be escaped.

    element("a", "sofa & bed", href="#top")

is written as `<a href="#top">sofa &amp; bed</a>`.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element, tostring

__all__ = ["Element", "element", "markup"]


def element(tag: str, *content: Element | str, **attributes: str) -> Element:
    """An element with its text and children in order; `class_` is the attribute `class`."""
    made = Element(tag, {name.rstrip("_"): value for name, value in attributes.items()})
    last: Element | None = None
    for each in content:
        if not isinstance(each, str):
            made.append(each)
            last = each
        elif last is None:
            made.text = (made.text or "") + each
        else:
            last.tail = (last.tail or "") + each
    return made


def markup(made: Element) -> str:
    """The element as HTML."""
    return tostring(made, encoding="unicode", method="html")
