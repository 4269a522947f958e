"""How often ImageNet's classes name a photograph rightly, and which of their probabilities can be shown.

    python benchmarks/imagenet.py [--cache FOLDER] > imagenet.json

Through the product's own networks and classifiers (`recq.models.imagenet`); JSON on standard output, tables on standard
error. A picture is right where its first label is one of those that `RIGHT` lists for its own label: names that people
would accept for it. Where that list is empty, ImageNet has no name for such a thing, and whatever is answered is wrong:
these pictures count, too, since folders are full of them.

For each network, precision and size the temperature is fitted on the clothing photographs: the probability of the first
label has the least negative log likelihood as a forecast of whether it is right. It is reported on packs that it was
not fitted on: the furniture, the products and the samples. `sure` is the least probability from which on first labels
are right nine times out of ten, on the clothing *and* on the others together: what holds on one pack alone may not hold
on the next. Of the film posters, which have no label here, the share that is sure is reported. `together` is what was
not chosen for `predicted.imagenet`: as few first labels, three at the most, as are sure together. Then how often int8
and f32 agree, and with --index what `recq-ingest run --predict imagenet` fills in catalogs of the packs, without their
labels. Means of feature maps are kept in --cache.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import pictures
from benchmarks.measure import PROGRAMS, ROOT, progress, ran
from recq.catalog_names import IMAGENET
from recq.images import Limits, open_picture, to_input
from recq.index.predicted import KEY
from recq.learn.calibration import calibration_error
from recq.models import ModelOptions, describe_space, open_embedder
from recq.models.imagenet import CONFIDENCE, Confidence, ImageNet, imagenet
from recq.search.session import Session
from recq.settings import Settings

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

FITTED = "clothing"
PACKS = (FITTED, "furniture", "luma_products", "samples", "movie_posters")
LIMITS = Limits(1 << 28, 1 << 28)
NINE_OF_TEN = 0.9
LEAST = (0.5, 0.7, 0.9)
"""Probabilities whose first labels are counted."""

FEWEST = 20
"""First labels that a share is taken of: fewer say nothing."""

_OUTER = {"trench coat", "fur coat", "cloak", "poncho", "suit", "cardigan", "sweatshirt"}
_SEATS = {"folding chair", "rocking chair", "barber chair", "throne"}
_CAMERA = {"reflex camera"}

RIGHT: Mapping[str, Mapping[str, set[str]]] = {
    "clothing": {
        "dress": {"gown", "hoop skirt", "overskirt", "abaya"},  # ImageNet's hoop skirts and overskirts are dresses
        "hat": {
            "cowboy hat", "sombrero", "poke bonnet", "swimming cap", "shower cap", "graduation cap", "Pickelhaube",
            "military hat (bearskin or shako)",
        },
        "longsleeve": {"T-shirt", "sweatshirt", "cardigan"},  # the class of T-shirts is that of jerseys as well
        "outwear": _OUTER,
        "pants": {"jeans", "tights"},
        "shirt": set(),
        "shoes": {"sneaker", "slip-on shoe", "clogs", "sandal", "cowboy boot"},
        "shorts": {"swim trunks / shorts"},
        "skirt": {"miniskirt", "overskirt", "hoop skirt", "sarong"},
        "t-shirt": {"T-shirt"},
    },
    "furniture": {
        "bed": {"four-poster bed", "infant bed", "bassinet", "cradle"},
        "chair": _SEATS,
        "sofa": {"couch"},
        "table": {"dining table", "desk", "pool table"},
        "cupboard": {
            "china cabinet", "wardrobe", "chiffonier", "medicine cabinet", "filing cabinet", "bookcase",
            "entertainment center",
        },
    },
    "luma_products": {
        "Pants": {"jeans", "tights"},
        "Hoodies & Sweatshirts": {"sweatshirt", "cardigan"},
        "Jackets": _OUTER,
        "Tees": {"T-shirt"},
        "Shorts": {"swim trunks / shorts"},
        "Bras & Tanks": {"bra"},
        "Tanks": set(),
        "Bags": {"backpack", "messenger bag", "purse"},
        "Fitness Equipment": {"water bottle"},
        "Watches": {"digital watch", "analog clock"},
        "Video Download": set(),
    },
    "samples": {  # by the name of the file, less what stands before or after `_`
        "allstar-sneakers": {"sneaker"},
        "aloe-vera": {"plant pot"},
        "assorted-indoor-succulents": {"plant pot"},
        "basketball": {"basketball"},
        "bedside-table": {"chiffonier"},
        "bonsai-tree": {"plant pot"},
        "boxing-gloves": set(),
        "cable": set(),
        "camera-lens": set(),
        "camera_compact-digital": set(),
        "camera_instamatic": set(),
        "camera_instant": {"Polaroid camera"},
        "camera_twin-lens": _CAMERA,
        "camera_vintage-folding": set(),
        "chair": _SEATS,
        "clacky-keyboard": {"computer keyboard", "typewriter keyboard", "keyboard space bar"},
        "cruiser-skateboard": set(),
        "fern-blechnum-gibbum": {"plant pot"},
        "football": {"soccer ball"},
        "gaming-pc": {"desktop computer"},
        "guardian-lion-statue": set(),
        "hand-trowel": {"shovel"},
        "hanging-plant": {"plant pot"},
        "hard-drive": {"hard disk drive"},
        "high-performance-ram": set(),
        "laptop": {"laptop computer", "notebook computer"},
        "light-shade": {"lampshade", "table lamp"},
        "monitor": {"monitor", "CRT monitor", "television"},
        "orchid": {"plant pot", "vase"},
        "road-bike": {"mountain bike"},
        "running-shoe": {"sneaker"},
        "shoe": {"sneaker"},
        "skipping-rope": set(),
        "slr-camera": _CAMERA,
        "sofa": {"couch"},
        "spiky-cactus": {"plant pot"},
        "tablet": {"hand-held computer"},
        "tennis-ball": {"tennis ball"},
        "tent": {"tent"},
        "tripod": {"tripod"},
        "tulip-pot": {"plant pot", "vase"},
        "wireless-optical-mouse": {"computer mouse"},
        "wooden-side-desk": {"desk"},
        "wooden-stool": set(),
    },
}  # fmt: skip
"""For each label of a pack the names that are right. Written before anything was measured."""


@dataclass(frozen=True, eq=False)
class Named:
    """The means of a pack's pictures, (n, channels), and for each the names that are right; None without labels."""

    means: Floats
    right: list[set[str]] | None


@dataclass(frozen=True, eq=False)
class Forecasts:
    """The probability of each picture's first label (n,), whether it is right, and whether one of the first three is.

    `nameable`: ImageNet has a name for it.
    """

    first: Floats
    right: Flags
    of_three: Flags
    nameable: Flags

    @classmethod
    def of(cls, named: Named, classifier: ImageNet) -> Forecasts:
        """Of the pictures of a pack that has labels."""
        assert named.right is not None
        chances = classifier.probabilities(named.means)
        order = np.argsort(-chances, axis=1, kind="stable")[:, :3]
        hits = np.array(
            [
                [classifier.names[n] in right for n in row]
                for row, right in zip(order.tolist(), named.right, strict=True)
            ]
        )
        nameable = np.array([bool(each) for each in named.right])
        return cls(chances.max(axis=1), hits[:, 0], np.asarray(hits.any(axis=1)), nameable)

    def report(self, sure: float) -> dict[str, Any]:
        """How often it is right, how honest its probabilities are, and what is shown as sure."""
        shown = self.first >= sure
        return {
            "pictures": len(self.first),
            "nameable": _share(self.nameable),
            "right": _share(self.right),
            "right_of_nameable": _share(self.right[self.nameable]),
            "right_of_three": _share(self.of_three[self.nameable]),
            "calibration_error": round(
                calibration_error(self.first[:, np.newaxis], self.right[:, np.newaxis], several=True), 4
            ),
            "sure": _share(shown),
            "sure_and_right": _share(self.right[shown]) if shown.sum() >= FEWEST else None,
            "sure_pictures": int(shown.sum()),
            "mean_probability": round(float(self.first.mean()), 4),
            "from": {str(least): self._from(least) for least in LEAST},
        }

    def _from(self, least: float) -> dict[str, float]:
        """The share of pictures whose first label has that probability, and how many of these are right."""
        shown = self.first >= least
        return {"share": _share(shown), "right": _share(self.right[shown])}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "imagenet", help="keep means of maps here")
    parser.add_argument("--index", type=Path, help="make catalogs of the packs here, and count what is predicted")
    asked = parser.parse_args()
    cache: Path = asked.cache
    cache.mkdir(parents=True, exist_ok=True)
    found = {" ".join(map(str, key)): measured(*key, cache) for key in CONFIDENCE}
    document: dict[str, Any] = {"networks": found, "agreement": agreement(cache)}
    if asked.index is not None:
        document["predicted"] = {pack: predicted(pack, asked.index) for pack in PACKS if pack in RIGHT}
    print(json.dumps(document, indent=1))
    for name, each in found.items():
        told(name, each)
    print(json.dumps(document["agreement"]), file=sys.stderr)


def measured(model: str, precision: Any, size: int, cache: Path) -> dict[str, Any]:
    """One network: what is fitted on the clothing, and what it is worth on each pack."""
    classifier = classifier_of(model, precision, size)
    packs = {pack: means_of(pack, classifier, cache) for pack in PACKS}
    temperature = round(fitted_temperature(packs[FITTED], classifier), 2)
    scaled = replace(classifier, confidence=Confidence(temperature, 1.0))
    forecasts = {pack: Forecasts.of(named, scaled) for pack, named in packs.items() if named.right is not None}
    others = [each for pack, each in forecasts.items() if pack != FITTED]
    needed = {"fitted": least_sure(forecasts[FITTED]), "elsewhere": least_sure(joined(others))}
    sure = float(np.ceil(100 * max(needed.values())) / 100)
    raw = replace(classifier, confidence=Confidence(1.0, 1.0))
    reports: dict[str, dict[str, Any]] = {}
    for pack, named in packs.items():
        if named.right is None:
            reports[pack] = {"sure": _share(scaled.probabilities(named.means).max(axis=1) >= sure)}
            continue
        before = Forecasts.of(named, raw).report(sure)["calibration_error"]
        reports[pack] = {
            **forecasts[pack].report(sure),
            "calibration_error_raw": before,
            "together": together(named, scaled, sure),
        }
    return {
        "temperature": temperature,
        "sure": sure,
        "sure_needed": {name: round(each, 3) for name, each in needed.items()},
        "shipped": asdict(CONFIDENCE[model, precision, size]),
        "packs": {**reports, "not fitted, together": joined(others).report(sure)},
    }


def together(named: Named, classifier: ImageNet, sure: float) -> dict[str, float]:
    """What would be stored if it were as few first labels, three at the most, as are `sure` together: for which share
    of the pictures, how often one of them is right, and how many of all that are stored are."""
    assert named.right is not None
    hits: list[list[bool]] = []
    for row, right in zip(classifier.probabilities(named.means), named.right, strict=True):
        order = np.argsort(-row, kind="stable")[:3]
        enough = np.flatnonzero(np.cumsum(row[order]) >= sure)
        if len(enough):
            hits.append([classifier.names[n] in right for n in order[: enough[0] + 1].tolist()])
    return {
        "share": round(len(hits) / len(named.means), 4),
        "one_right": _share(np.array([any(each) for each in hits])),
        "each_right": _share(np.array([hit for each in hits for hit in each])),
    }


def predicted(pack: str, where: Path) -> dict[str, Any]:
    """What the daemon stores of a pack of which it knows the pictures alone."""
    files, right = labelled(pack)
    assert right is not None
    root = Path(os.path.commonpath(files))
    options = ["--catalog", pack, "--data-dir", str(where), "--source", f"{pack}={root}", "--predict", IMAGENET]
    began = time.perf_counter()
    ran([str(PROGRAMS / "recq-ingest"), "run", "--once", *options])
    seconds = time.perf_counter() - began
    settings = Settings(data_dir=where, catalog=pack)
    with Session(settings) as session, session.opened() as catalog:
        items = {item.file.path: item.predicted for item in catalog.items.rows([], [KEY])}
    stored = [items.get(str(file.relative_to(root)), {}).get(IMAGENET) for file in files]
    sure = [
        found.labels[0] in names
        for found, names in zip(stored, right, strict=True)
        if found is not None and not found.unknown
    ]
    return {
        "pictures": len(files),
        "named": len(sure),
        "right": sum(sure),
        "unknown": sum(found is not None and found.unknown for found in stored),
        "seconds": round(seconds, 1),
    }


def fitted_temperature(named: Named, classifier: ImageNet) -> float:
    """The temperature at which the first label's probability forecasts best whether it is right."""

    def loss(logarithm: float) -> float:
        scaled = replace(classifier, confidence=Confidence(float(np.exp(logarithm)), 1.0))
        found = Forecasts.of(named, scaled)
        chance = np.clip(np.where(found.right, found.first, 1 - found.first), 1e-12, 1)
        return -float(np.log(chance).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.2), np.log(10.0)), method="bounded").x))


def least_sure(found: Forecasts) -> float:
    """The least probability from which on first labels are right nine times out of ten; 2 where none is."""
    order = np.argsort(-found.first, kind="stable")
    counts = np.arange(1, len(order) + 1)
    good = (np.cumsum(found.right[order]) / counts >= NINE_OF_TEN) & (counts >= FEWEST)
    return float(found.first[order[np.flatnonzero(good)[-1]]]) if good.any() else 2.0


def joined(found: Sequence[Forecasts]) -> Forecasts:
    """Several packs as one."""
    parts = ([getattr(each, name) for each in found] for name in ("first", "right", "of_three", "nameable"))
    return Forecasts(*(np.concatenate(part) for part in parts))


def agreement(cache: Path) -> dict[str, Any]:
    """The share of pictures that have the same first label in int8 and in f32."""
    shares = {}
    for model, precision, size in CONFIDENCE:
        if precision != "int8":
            continue
        whole, quantised = classifier_of(model, "f32", size), classifier_of(model, "int8", size)
        for pack in PACKS:
            first = [
                each.probabilities(means_of(pack, each, cache).means).argmax(axis=1) for each in (whole, quantised)
            ]
            shares[f"{model} {size} {pack}"] = _share(first[0] == first[1])
    return shares


def classifier_of(model: str, precision: Any, size: int) -> ImageNet:
    """As a catalog of that network has it."""
    settings = Settings()
    return imagenet(settings, describe_space(ModelOptions(model, precision=precision, size=size), settings))


def means_of(pack: str, classifier: ImageNet, cache: Path) -> Named:
    """What the classifier reads of each picture of a pack, kept from one run to the next."""
    files, right = labelled(pack)
    kept = cache / f"{pack}-{classifier.space.fingerprint}.npy"
    if not kept.is_file():
        progress(f"{pack}: {classifier.space.label}")
        with open_embedder(classifier.space, Settings()) as embedder:
            futures: list[Future[Floats]] = []
            for file in files:
                picture = open_picture(file, LIMITS)
                futures.append(embedder.submit(to_input(picture.rgb, classifier.space.input)))
            np.save(kept, np.stack([each.result() for each in futures]))
    return Named(np.load(kept), right)


def labelled(pack: str) -> tuple[list[Path], list[set[str]] | None]:
    """The files of a pack, and the names that are right for each; None where its labels are no things."""
    if pack == "samples":
        files = sorted((ROOT / "samples").glob("*.jpg"))
        return files, [_of_sample(file.stem) for file in files]
    where = pictures.pack(pack)[0]
    root = next(parent for parent in where.parents if parent.name == pack)
    with (root / "labels.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    files = [root / row["file"] for row in rows]
    return files, [RIGHT[pack][row["category"]] for row in rows] if pack in RIGHT else None


def _of_sample(stem: str) -> set[str]:
    of = RIGHT["samples"]
    return of[stem] if stem in of else of[stem.partition("_")[0]]


def _share(flags: npt.NDArray[Any]) -> float:
    return round(float(flags.mean()), 4) if len(flags) else 0.0


def told(name: str, found: Mapping[str, Any]) -> None:
    """A table for people."""
    needed = ", ".join(f"{which} {each}" for which, each in found["sure_needed"].items())
    print(
        f"\n{name}: temperature {found['temperature']}, sure from {found['sure']} on (9 of 10 needs: {needed}); "
        f"shipped: {found['shipped']}",
        file=sys.stderr,
    )
    columns = (
        "pictures", "nameable", "right", "right_of_nameable", "right_of_three", "calibration_error_raw",
        "calibration_error", "sure", "sure_and_right", "sure_pictures",
    )  # fmt: skip
    print(f"{'':14}" + " ".join(f"{each:>21}" for each in columns), file=sys.stderr)
    for pack, report in found["packs"].items():
        print(f"{pack:14}" + " ".join(f"{report.get(each, '')!s:>21}" for each in columns), file=sys.stderr)
        print(f"{'':14}{json.dumps(report.get('from'))} mean {report.get('mean_probability')}", file=sys.stderr)


if __name__ == "__main__":
    main()
