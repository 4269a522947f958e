"""How the samples were made: product sheets with variants in further rows, kinds in front of file names."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from make_samples import COLUMNS, Product, credits_md, file_names, metadata_csv, read_products

SAMPLES = Path(__file__).resolve().parent.parent.parent / "samples"
SHEET = """\
name    ,description     ,assets                 ,facets                                   ,options,price ,variantFacets
RunX Shoe,"Light | dry"  ,ann-lee-12-unsplash.jpg,category:Sports|category:Footwear|brand:A,40     ,44.95 ,
        ,                ,                       ,                                         ,42     ,39.00 ,color:red
Hi Shoe ,"Says ""hi"" "  ,bo-34-unsplash.jpg     ,category:Sports|category:Footwear        ,       ,140.00,
"""


def test_variants_belong_to_the_product_above_them() -> None:
    runx, hi = read_products(SHEET)
    assert runx == Product(
        name="RunX Shoe",
        description="Light, dry",
        price="39.00",
        photo="ann-lee-12-unsplash.jpg",
        department="Sports",
        category="Footwear",
        brand="A",
        colours=("red",),
    )
    assert (hi.description, hi.brand, hi.colours, hi.photographer) == ('Says "hi"', "", (), "Bo")


def test_kinds_that_products_share_go_in_front() -> None:
    names = file_names(["runx-running-shoe", "freerun-running-shoe", "hi-top-shoe", "tent", "camera-lens"])
    assert names == {
        "runx-running-shoe": "running-shoe_runx.jpg",
        "freerun-running-shoe": "running-shoe_freerun.jpg",
        "hi-top-shoe": "shoe_hi-top.jpg",
        "tent": "tent.jpg",
        "camera-lens": "camera-lens.jpg",
    }


def test_sheet_and_credits_name_the_same_files() -> None:
    products = read_products(SHEET)
    names = file_names(product.slug for product in products)
    rows = list(csv.DictReader(metadata_csv(products, names).splitlines()))
    assert [row["file"] for row in rows] == sorted(names.values())
    assert all(f"| {row['file']} | {row['photographer']} |" in credits_md(products, names) for row in rows)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with (SAMPLES / "metadata.csv").open(encoding="utf-8", newline="") as sheet:
        return list(csv.DictReader(sheet))


def test_the_bundled_sheet_describes_every_photograph(rows: list[dict[str, str]]) -> None:
    assert tuple(rows[0]) == COLUMNS
    assert {row["file"] for row in rows} == {file.name for file in SAMPLES.glob("*.jpg")}
    for row in rows:
        assert re.fullmatch(r"\d+\.\d\d", row["price"]), row
        assert all(row[column] for column in ("title", "description", "department", "category", "photographer")), row
        assert not any("|" in row[column] for column in COLUMNS if column != "colour"), row


def test_the_bundled_sheet_has_what_the_demo_asks_for(rows: list[dict[str, str]]) -> None:
    cheap = {row["file"] for row in rows if row["category"] == "Footwear" and float(row["price"]) <= 100}
    assert {"running-shoe_runx.jpg", "running-shoe_pureboost.jpg", "running-shoe_ultraboost.jpg"} <= cheap
    assert "running-shoe_freerun.jpg" not in cheap
    assert len({row["category"] for row in rows}) == 6
