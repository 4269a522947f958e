"""The page of a training: whole without any other file or script, whatever the classes are called."""

from __future__ import annotations

import re
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recq.display.training_page import page_of_finetuning, page_of_training
from recq.display.training_plots import MOST_MATRIX, confusion_plot, require_matplotlib
from recq.errors import UsageError
from recq.index.candidates import Candidate
from recq.learn.calibration import OutOfFold
from recq.learn.epochs import Epoch
from recq.learn.finetuning_result import Finetuning, NetworkTraining, UnseenClasses
from recq.learn.fits import JoinedRecipe
from recq.learn.held_out import Bin, CurvePoint, LabelPrecision, Spread, Taken
from recq.learn.selection import Selection, Trial
from recq.learn.training_result import ClassQuality, Quality, Training
from recq.models.heads import Classifier, Joined
from recq.models.trained import TrainedNetwork
from recq.space import EmbeddingSpace

HOSTILE = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "$\\frac{1}{0}$", "a\x1b[31m\x00b", "</svg></style>",
    "\udcff", "&lt;b&gt;", "url(#x);fill:red", "x" * 400, "日本語 🛋",
)  # fmt: skip
SPREAD = Spread(0.5, 0.4, 0.6)
QUALITY = Quality(SPREAD, {1: SPREAD, 5: SPREAD})
EMPTY = np.empty((0, 2), np.float32)
SPACE = EmbeddingSpace(
    model="trained:x", weights="0", layer="top", pooling="mean", size=8, resize="pad",
    preprocessing="none", precision="f32", dim=4,
)  # fmt: skip


def training(names: tuple[str, ...] = HOSTILE, **changes: Any) -> Training:
    trial = Trial(JoinedRecipe(0.8, 64), 0.5, (-0.01, 0.02))
    classifier = Classifier(names, np.zeros((len(names), 4), np.float32), np.zeros(len(names), np.float32))
    nothing = OutOfFold(EMPTY, EMPTY.astype(bool), EMPTY[:, 0], EMPTY[:, 0])
    made = Training(
        label=names[0],
        items=100,
        groups=90,
        several=False,
        selection=Selection((trial,), trial, nothing),
        candidate=Candidate(
            "space", names[0], Joined(classifier, 0.8), classifier, "0", "2026-01-01", closed_set=False
        ),
        stored=True,
        before=QUALITY,
        after=QUALITY,
        ungrouped=None,
        classes=tuple(ClassQuality(each, 10, 0.2, 0.5) for each in names),
        calibration_error=SPREAD,
        calibration_by_chance=0.02,
        ranking=None,
        sampled=(100, len(names)),
        bins=(Bin(10, 0.5, 0.6), Bin(90, 0.9, 0.9)),
        taken=tuple(Taken(one, other, 3) for one in names for other in names),
        precisions=tuple(LabelPrecision(each, 0.4, 0.1) for each in names),
        curve=(CurvePoint(0, SPREAD, SPREAD), CurvePoint(5, SPREAD, SPREAD), CurvePoint(None, SPREAD, SPREAD)),
        fits=5,
        took_s=1.0,
    )
    return replace(made, **changes)


class Reader(HTMLParser):
    """What a browser would have of a page: elements and attributes; and the text outside of styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self._style = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._style = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self._style else data

    def all(self, attribute: str) -> list[str]:
        return [value for _, name, value in self.attributes if name == attribute]


@pytest.fixture(scope="module")
def page() -> Reader:
    return Reader("".join(page_of_training(training(), "images")))


def test_no_label_becomes_markup(page: Reader) -> None:
    plain = Reader("".join(page_of_training(training(tuple(f"class {n}" for n in range(len(HOSTILE)))), "images")))
    assert page.tags.keys() == plain.tags.keys()
    assert not page.tags.keys() & {"script", "img", "iframe", "object", "link", "a"}
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert page.tags["section"] == plain.tags["section"] == 7
    for label in HOSTILE[:3]:
        assert label in page.text
    assert not re.search("[\x00\x1b\ud800-\udfff]", page.text)


def test_nothing_is_loaded_and_plots_do_not_share_names(page: Reader) -> None:
    assert "default-src 'none'" in page.all("content")[0]
    ids = page.all("id")
    assert len(ids) == len(set(ids))
    links = [
        *page.all("href"),
        *(each for value in page.all("clip-path") for each in re.findall(r"url\((.*?)\)", value)),
    ]
    assert links
    assert {each.removeprefix("#") for each in links} <= set(ids)
    assert not page.all("src")


def test_every_plot_is_told_and_has_its_numbers_beside_it(page: Reader) -> None:
    assert page.tags["svg"] == page.tags["figure"] == page.tags["figcaption"] == page.tags["details"] == 6
    told = [value for tag, name, value in page.attributes if (tag, name) == ("svg", "aria-label")]
    assert len(told) == 6
    assert all(told)
    assert page.all("role") == ["img"] * 6


def test_plots_have_the_colours_of_the_page(page: Reader) -> None:
    styles = " ".join(page.all("style"))
    assert "var(--ink)" in styles
    assert "var(--accent)" in styles
    assert not re.search(r"#[0-9a-f]{6}", styles.replace("#ffffff", "")), (
        "a colour of its own is not readable in the dark"
    )


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"ungrouped": Quality(Spread(0.7, 0.6, 0.8), {})}, "+20.0 points: that is not what new things will get"),
        ({"stored": False}, "Nothing was stored"),
        ({"sampled": (50, 2)}, "Measured on 2 of 10 classes"),
        ({}, "give --group-by"),
        ({"calibration_error": Spread.of([0.09]), "calibration_by_chance": 0.02}, "9.0 points off on average: do not"),
        ({"calibration_error": Spread.of([0.09]), "calibration_by_chance": 0.08}, "cannot be told of so few items"),
    ],
)
def test_what_has_to_be_known(changes: dict[str, Any], warning: str) -> None:
    assert warning in Reader("".join(page_of_training(training(**changes), "images"))).text


def test_of_many_classes_the_most_frequent_confusions_are_drawn() -> None:
    names = [f"class {n}" for n in range(MOST_MATRIX + 1)]
    taken = [Taken(one, other, 1 + (one < other)) for one in names for other in names]
    texts = ["".join(each.itertext()) for each in confusion_plot(taken).svg.iter("text")]
    assert "class 0 → class 1" in texts
    assert "predicted" not in texts


def test_the_page_of_a_network(tmp_path: Path) -> None:
    network = TrainedNetwork(
        name="x", field="kind", labels=HOSTILE, several=False, size=8, resize="pad", layer="embedding", weights="0",
        base=None, made_at="2026-01-01",
    )  # fmt: skip
    first = NetworkTraining("holdout-0", 80, (Epoch("head", 2.0, 1.5), Epoch("top", 1.0, 1.2)), 2)
    last = NetworkTraining("all", 100, (Epoch("head", 2.0, None),), 1)
    tuning = Finetuning(
        label="kind", network=network, file=tmp_path, space=SPACE, items=100, held=20, groups=100, seeds=1, unread={},
        trainings=(first, last), before=QUALITY, after=QUALITY, unseen=(UnseenClasses(HOSTILE[:2], 0.5, 0.45),),
        ranking=None, classes=tuple(ClassQuality(each, 10, None, None) for each in HOSTILE),
        calibration_error=Spread.of([0.07]), calibration_by_chance=0.02, bins=(Bin(20, 0.9, 0.83),),
        taken=(Taken(*HOSTILE[:2], 3),),
        precisions=(), curve=(), resumed=0, took_s=3.0,
    )  # fmt: skip
    page = Reader("".join(page_of_finetuning(tuning, "images")))
    assert page.tags["svg"] == 4, "of classes nothing was measured"
    assert "What is taken for what" in page.text
    assert "Expected calibration error 7.0 points" in page.text
    assert page.tags["script"] == 0
    assert "The lowest validation loss is 1.2000, of epoch 2 of 2." in page.text
    assert "-5.0 points of mAP on average" in page.text
    points = tuple(CurvePoint(count, Spread.of([0.4]), Spread.of([0.5])) for count in (0, 5, None))
    with_curve = Reader("".join(page_of_finetuning(replace(tuning, curve=points), "images")))
    assert with_curve.tags["svg"] == 5
    assert "a network that is trained in the same way" in with_curve.text
    several = replace(tuning, trainings=(last,), unseen=(), bins=(), taken=(), precisions=())
    rest = Reader("".join(page_of_finetuning(several, "images")))
    assert (rest.tags["svg"], "--unseen N leaves some out" in rest.text) == (1, True)


def test_without_matplotlib_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"pip install 'recq\[train\]'"):
        require_matplotlib()
