"""The HTML grid: one file, nothing loaded from anywhere, whatever names and metadata are text and nothing else."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from recq.display.grid_html import MOST_FIGURES, page
from recq.display.grid_sheet import Card, Row, Sheet, sheet_of
from recq.display.html_element import element, markup
from recq.search.results import Result
from tests.query.conftest import HOSTILE, LATIN1, Shop, picture
from tests.query.pictures.test_grid import LIMITS, RED, answer

VOID = {"meta", "img"}
EVIL = "</style><script>alert('x')</script><img src=x onerror=alert(1)> & \"quoted\" &amp; ]]> -->"


@dataclass
class Node:
    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)
    text: str = ""

    def all(self, tag: str, class_: str | None = None) -> list[Node]:
        found = [self] if self.tag == tag and class_ in (None, self.attributes.get("class")) else []
        return found + [node for child in self.children for node in child.all(tag, class_)]

    def one(self, tag: str, class_: str | None = None) -> Node:
        (found,) = self.all(tag, class_)
        return found


class Tree(HTMLParser):
    """Strict: every element that is opened is closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.root = Node("")
        self.open = [self.root]
        self.feed(text)
        self.close()
        assert self.open == [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].text += data


def tree(sheet: Sheet) -> Node:
    return Tree("".join(page(sheet, LIMITS))).root


def walk(node: Node) -> list[Node]:
    return [node, *(each for child in node.children for each in walk(child))]


def found(location: Path | None, name: str = "a.png", rank: int = 1, **metadata: object) -> Result:
    file = {"size": 1, "width": 3, "height": 2}
    return Result(rank, 0.5, "id", "shop", name, name, location, {**metadata, "file": file})


def test_everything_is_inside_the_page(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", RED, (800, 400))
    root = tree(sheet_of(answer(tmp_path / "a.png", found(tmp_path / "a.png"), filters=("category=sofa",))))
    tags = {node.tag for node in walk(root)}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form", "svg"}
    for node in walk(root):
        assert not any(name.startswith("on") or name in ("srcset", "style") for name in node.attributes)
        assert node.attributes.get("src", "data:image/webp;base64,").startswith("data:image/webp;base64,")
        assert node.attributes.get("href", "file:///").startswith("file:///")
    style = root.one("style").text
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style
    metas = [node.attributes for node in root.all("meta")]
    assert metas[0] == {"charset": "utf-8"}  # within the first bytes, before any text of anybody's
    assert metas[1]["content"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert metas[2]["content"] == "width=device-width, initial-scale=1"


def test_rank_score_name_metadata_filters_and_space_are_told(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", RED, (800, 400))
    shown = answer(
        tmp_path / "a.png",
        found(tmp_path / "a.png", rank=3, category="sofa", brand="Smith"),
        filters=("category=sofa", "price<=5"),
    )
    root = tree(sheet_of(shown))
    assert root.one("title").text == "Like a.png - recq"
    assert [node.text for node in root.one("p", "filters").children] == ["category=sofa", "price<=5"]
    assert root.one("p", "space").text == shown.space.label
    target, result = root.all("figure")
    assert target.one("div", "head").text == "target"
    head = result.one("div", "head")
    assert (head.one("span").text, head.one("strong").text) == ("3", "0.50")
    assert result.one("a", "name").text == "a.png"
    names, values = ([node.text for node in result.all(tag)] for tag in ("dt", "dd"))
    assert list(zip(names, values, strict=True)) == [
        ("category", "sofa"),
        ("brand", "Smith"),
        ("path", "a.png"),
        ("source", "shop"),
        ("pixels", "3x2"),
    ]
    assert [node.text for node in result.one("details").all("dt")] == names[1:]


def test_thumbnails_are_small_pictures_of_the_files(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", RED, (1600, 400))
    image = tree(sheet_of(answer(None, found(tmp_path / "a.png")))).one("img")
    content = base64.b64decode(image.attributes["src"].partition(",")[2])
    with Image.open(io.BytesIO(content)) as thumbnail:
        assert thumbnail.size == (320, 80)
        assert all(abs(a - b) < 12 for a, b in zip(thumbnail.getpixel((160, 40)), RED, strict=True))  # type: ignore[arg-type]
    assert (image.attributes["width"], image.attributes["height"]) == ("320", "80")


def test_what_cannot_be_read_says_why_and_only_what_is_there_is_linked(tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(b"")
    root = tree(sheet_of(answer(None, found(tmp_path / "cut.png"), found(tmp_path / "gone.png"), found(None))))
    figures = root.all("figure")
    assert [figure.one("div", "tile").text for figure in figures] == [
        "the file is empty",
        "not on this machine, or deleted",
        "no folder on record",
    ]
    assert [len(figure.all("a")) for figure in figures] == [1, 0, 0]


def test_links_lead_to_the_file_whatever_its_name(tmp_path: Path) -> None:
    for name in (HOSTILE, LATIN1, 'a"><b>#?%41 &.png'):
        path = tmp_path / name
        path.write_bytes(b"")
        href = tree(sheet_of(answer(None, found(path)))).one("a", "name").attributes["href"]
        assert unquote_to_bytes(href.removeprefix("file://")) == bytes(path)


def test_hostile_names_values_fields_and_filters_are_text() -> None:
    metadata: dict[str, Any] = {EVIL: EVIL}
    shown = answer(None, found(None, EVIL, **metadata), filters=(EVIL,))
    root = tree(sheet_of(shown))
    assert root.one("p", "filters").children[0].text == EVIL
    assert root.one("span", "name").text == EVIL
    assert (root.all("dt")[0].text, root.all("dd")[0].text) == (EVIL, EVIL)
    assert not root.all("script")
    assert not root.all("img")


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=40))
def test_any_text_comes_through_the_page_as_it_prints(text: str) -> None:
    root = tree(sheet_of(answer(None, found(None, text, field=text), filters=(text,))))
    (name,) = [node.text for node in root.all("span", "name")]
    assert name.isprintable()
    assert "".join(page(sheet_of(answer(None, found(None, text))), LIMITS)).encode()  # no lone surrogate is left


def test_a_long_value_is_shortened() -> None:
    root = tree(sheet_of(answer(None, found(None, title="x" * 100_000))))
    assert root.all("dd")[0].text == "x" * 400 + "…"


def test_titles_of_rows_nothing_found_and_what_is_left_out() -> None:
    many = tuple(Card(str(n), f"{n}.png", None) for n in range(MOST_FIGURES))
    root = tree(Sheet("Two", (Row((), title="none"), Row((*many, *many[:7]), title="many"))))
    assert [node.text for node in root.all("h2")] == ["none", "many"]
    assert [node.text for node in root.all("p", "note")] == ["Nothing matches.", "257 more not shown"]
    assert len(root.all("figure")) == MOST_FIGURES // 2


def test_the_command_writes_a_page(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "grid.HTML"
    reply = shop.ask("similar", "two.png", "-k", "20", "--grid", str(file), "--format", "json")
    assert (reply.code, reply.err) == (0, f"recq: picture grid written to {file}\n")
    root = Tree(file.read_bytes().decode()).root
    assert len(root.all("figure")) == 8
    assert len(root.all("img")) == 8


def test_elements_hold_text_and_children_in_order() -> None:
    made = element("p", "a < b ", element("b", "&"), " c", element("br"), "d", class_="x", title='"&<')
    assert markup(made) == '<p class="x" title="&quot;&amp;<">a &lt; b <b>&amp;</b> c<br>d</p>'


@pytest.mark.parametrize("name", ["grid.jpg", "grid", "grid.htm"])
def test_another_suffix_is_refused_before_any_work(shop: Shop, tmp_path: Path, name: str) -> None:
    reply = shop.ask("similar", "no such target", "--grid", str(tmp_path / name))
    assert reply.code == 2
    assert "a grid is a PNG or an HTML page, name it grid.png or grid.html" in reply.err
