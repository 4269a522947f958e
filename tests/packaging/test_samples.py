"""How the samples were made: product sheets with variants in further rows, kinds in front of file names."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from make_samples import Product, credits_md, file_names, metadata_csv, read_products

from ingest.source.table import MetadataTable, read_table
from recq.index.schema import FieldType

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
        description="Light | dry",
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


def test_a_bar_in_a_text_makes_no_list() -> None:
    products = read_products(SHEET)
    names = file_names(product.slug for product in products)
    table = read_table(metadata_csv(products, names).encode(), "metadata.csv", {})
    assert table.rows[names["runx-shoe"]]["description"] == "Light | dry"


@pytest.fixture(scope="module")
def table() -> MetadataTable:
    """The bundled sheet as the daemon reads it."""
    return read_table((SAMPLES / "metadata.csv").read_bytes(), "metadata.csv", {})


def test_the_bundled_sheet_describes_every_photograph(table: MetadataTable) -> None:
    assert table.rows.keys() == {file.name for file in SAMPLES.glob("*.jpg")}
    assert table.types["price"] is FieldType.FLOAT
    assert {kind for name, kind in table.types.items() if name != "price"} == {FieldType.STRING}
    for file, row in table.rows.items():
        assert {"title", "description", "price", "department", "category", "photographer"} <= row.keys(), file
        lists = {column for column, value in row.items() if isinstance(value, list)}
        assert lists <= {"colour"}, file


def test_the_bundled_sheet_has_what_the_demo_asks_for(table: MetadataTable) -> None:
    cheap = {
        file for file, row in table.rows.items() if row["category"] == "Footwear" and float(str(row["price"])) <= 100
    }
    assert {"running-shoe_runx.jpg", "running-shoe_pureboost.jpg", "running-shoe_ultraboost.jpg"} <= cheap
    assert "running-shoe_freerun.jpg" not in cheap
    assert len({row["category"] for row in table.rows.values()}) == 6
