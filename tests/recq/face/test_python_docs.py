"""docs/python.md: its examples run, and its reference is what the docstrings say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import make_python_reference
import numpy as np
import pytest
from PIL import Image

import recq
from recq.index.catalog import Catalog
from recq.index.connect import own_folder
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item
from recq.models import describe_space
from recq.settings import Settings

DOCS = Path(__file__).parents[3] / "docs"
PAGES = ["python.md", "query.md", "quality.md", "site.md", "../README.md"]
NAMES = [f"sofa_{n}.jpg" for n in (226, 9, 7)] + [f"bed_{n}.jpg" for n in (3, 4, 5)]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures, indexed twice, beside other pictures; the settings name the index."""
    random = np.random.default_rng(0)
    root = tmp_path / "shop"
    for folder, names in ((root, NAMES), (tmp_path / "photos", ["a.jpg", "b.jpg"]), (tmp_path, ["x.jpg"])):
        folder.mkdir(exist_ok=True)
        for name in names:
            Image.fromarray(random.integers(0, 255, (6, 8, 3), np.uint8)).resize((80, 60)).save(folder / name)
    with own_folder(Settings(data_dir=tmp_path / "data")) as owned:
        for name, model in (("images", "efficientnet_lite2"), ("images-mobilenet", "mobilenet_v2")):
            space = describe_space(model, Settings())
            catalog = Catalog.create(owned.client, name, space)
            catalog.sources.register(root)
            entries = []
            for place, file in enumerate(NAMES):
                facts = FileFacts("shop", file, 1000 + place, place, f"{place:064}", "JPEG", 80, 60)
                metadata: dict[str, Any] = {"category": file.partition("_")[0], "price": 100.0 * (place + 1)}
                vector = random.normal(size=space.dim).astype(np.float32) + (3 if place < 3 else -3)
                entries.append(ItemVector(Item(facts, metadata), vector / np.linalg.norm(vector)))
            catalog.writes.upsert(entries)
    monkeypatch.setenv("RECQ_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("RECQ_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("page", PAGES)
def test_the_examples_run(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = blocks(page)
    assert found
    names: dict[str, Any] = {}
    code = "\n".join(found).replace("running-shoe_runx.jpg", NAMES[0])
    exec(compile(code, page, "exec"), names)
    out = capsys.readouterr().out
    if page == "python.md":
        assert "sofa_9.jpg" in out
        assert "did you mean 'sofa_226.jpg'" in out
        assert "did you mean 'filters'" in out
        assert names["vectors"].shape == (3, names["vector"].shape[0])


def test_the_reference_is_what_the_docstrings_say() -> None:
    text = (DOCS / "python.md").read_text("utf-8")
    assert make_python_reference.page(text) == text, "python tools/make_python_reference.py writes it anew"


def test_everything_public_is_in_the_reference() -> None:
    text = (DOCS / "python.md").read_text("utf-8")
    for name in recq.__all__:
        if name not in ("ImageCatalog", "Settings", "__version__"):
            assert re.search(rf"recq\.{name}\b|`{name}`", text), name
    for name in dir(recq.ImageCatalog):
        if not name.startswith("_"):
            assert f"**`catalog.{name}" in text, name
