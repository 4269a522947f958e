"""The figures of docs/learning.md: what a space learned from labels gives, measured through recq's own training.

    python benchmarks/learning.py [--index FOLDER] [--large | --only-large]

Each pack is indexed by `recq-ingest run --once` as a user would (with --index the catalogs stay). Parts: training on
each pack, with what a field that groups views changes; how many labels a class it takes; how honest predictions are
(calibration, coverage of label sets over 20 seeds, how many pictures of other packs are called unknown, also by a space
that went along with a switch). With --large, time and memory of training on 100,000 stored vectors, generated around
real ones, in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import generated, pictures
from benchmarks.measure import PROGRAMS, ROOT, progress, ran
from recq.evaluate.metrics import Measures
from recq.learn.calibration import NEIGHBOURS, UNKNOWN, calibrated, levels_of, nearness_of
from recq.learn.examples import Examples, read_examples, with_near_duplicates
from recq.learn.fits import Fit, JoinedRecipe
from recq.learn.labels import LabelRules
from recq.learn.predict import predict
from recq.learn.prediction import Prediction
from recq.learn.selection import DIMS, Retrieval, seen_splits, select
from recq.learn.training import SEEDS, TrainingOptions, train
from recq.search.session import Session
from recq.settings import Settings

PACKS = ("clothing", "luma_products", "furniture", "movie_posters")
LABELS_PER_CLASS = (5, 10, 20, 50)
CURVE = JoinedRecipe(0.8, DIMS[-1])
COVERAGE_SEEDS = 20
ASKED = 100
"""Pictures of each pack that are predicted."""

LARGE = 100_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", type=Path, help="keep the catalogs here")
    parser.add_argument("--large", action="store_true", help="also 100,000 vectors")
    parser.add_argument("--only-large", action="store_true", help="100,000 vectors and nothing else")
    parser.add_argument("--train-large", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.train_large is not None:
        print(json.dumps(_train_large(asked.train_large)))
        return
    if asked.index is not None:
        asked.index.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() if asked.index is None else nullcontext(str(asked.index)) as folder:
        data = Path(folder)
        found: dict[str, Any] = {}
        if not asked.only_large:
            for pack in PACKS:
                index(pack, data)
            found |= {"training": trainings(data), "curve": curve(data), "predictions": predictions(data)}
            found["carried"] = carried(data)
        if asked.large or asked.only_large:
            found["large"] = large(data)
    out = ROOT / "build" / "learning.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(json.dumps(found, indent=1))


def index(pack: str, data: Path) -> None:
    """The pack's catalog, made where it is missing."""
    where = pictures.pack(pack)[0]
    root = next(parent for parent in where.parents if parent.name == pack)
    if pack == "furniture":
        root = root / "images"
    table = next(iter([*root.glob("labels.csv"), *root.parent.glob("labels.csv")]))
    options = ["--catalog", pack, "--data-dir", str(data), "--source", f"{pack}={root}", "--metadata", str(table)]
    subprocess.run(
        [str(PROGRAMS / "recq-ingest"), "run", "--once", *options], check=False, capture_output=True, text=True
    )


def session(data: Path, catalog: str) -> Session:
    """Asks a pack's catalog."""
    return Session(Settings(data_dir=data, catalog=catalog))


def trainings(data: Path) -> dict[str, Any]:
    """`recq-ingest train` on each pack."""
    wanted: dict[str, tuple[str, str, TrainingOptions]] = {
        "clothing": ("clothing", "category", TrainingOptions()),
        "furniture": ("furniture", "category", TrainingOptions()),
        "luma_products by sku": (
            "luma_products",
            "category",
            TrainingOptions(rules=LabelRules(drop_small=True), group_by="sku", closed_set=True),
        ),
        "movie_posters": ("movie_posters", "genres", TrainingOptions(rules=LabelRules(drop_small=True))),
    }
    found = {}
    for name, (pack, label, options) in wanted.items():
        progress(f"training: {name}")
        with session(data, pack) as asked:
            began = time.process_time()
            document = train(asked, label, options).to_json()
        found[name] = {**document, "cpu_s": round(time.process_time() - began, 1)}
    return found


def curve(data: Path) -> dict[str, Any]:
    """mAP and P@5 of the clothing holdouts, by the number of labels of each class that are learned from."""
    examples = _examples(data, "clothing")
    measured: dict[str, list[Measures]] = {}
    for seed in range(SEEDS):
        progress(f"labels per class: seed {seed + 1} of {SEEDS}")
        learned, held = next(seen_splits(examples, 5, seed))
        tested = examples.at(held)
        retrieval = Retrieval(tested, None, seed)
        measured.setdefault("0", []).append(retrieval.measures(tested.vectors))
        numbers = examples.numbers()[learned]
        order = np.random.default_rng(seed).permutation(len(learned))
        for count in (*LABELS_PER_CLASS, None):
            some = [learned[order[numbers[order] == each][:count]] for each in range(len(examples.classes))]
            head = Fit(examples.at(np.sort(np.concatenate(some)))).head(CURVE)
            measured.setdefault("all" if count is None else str(count), []).append(
                retrieval.measures(head.apply(tested.vectors))
            )
    return {
        count: {
            "map": round(float(np.mean([each.map for each in found])), 4),
            "p@5": round(float(np.mean([each.precision[5] for each in found])), 4),
        }
        for count, found in measured.items()
    }


def predictions(data: Path) -> dict[str, Any]:
    """Coverage of label sets, and which share of each pack's pictures is called unknown by the clothing's space."""
    examples = _examples(data, "clothing")
    covered, sizes = [], []
    for seed in range(COVERAGE_SEEDS):
        progress(f"label sets: seed {seed + 1} of {COVERAGE_SEEDS}")
        learned, held = next(seen_splits(examples, 5, seed))
        inner, tested = examples.at(learned), examples.at(held)
        calibration = calibrated(select(inner, [CURVE], seed).out_of_fold, several=False)
        classifier = Fit(inner).classifier
        chances = calibration.probabilities(classifier.scores(tested.vectors), several=False)
        in_set = chances >= calibration.least
        covered.append(float(in_set[tested.indicators(classifier.classes)].mean()))
        sizes.append(float(in_set.sum(axis=1).mean()))
    unknown = {}
    with session(data, "clothing") as asked:
        for pack in PACKS[1:]:
            progress(f"unknown: {pack}")
            files = [str(path) for path in pictures.pack(pack)]
            random.Random(0).shuffle(files)
            answered = [
                each for each in predict(asked, files[:ASKED], space="category") if isinstance(each, Prediction)
            ]
            unknown[pack] = sum(each.unknown for each in answered) / len(answered)
    return {"coverage": _spread(covered), "labels_in_a_set": _spread(sizes), "unknown": unknown}


def carried(data: Path) -> dict[str, dict[str, dict[str, float]]]:
    """After a switch: which share of new clothing and of furniture another field's space calls unknown.

    The head has learned from all labels or half of them; the other field has the same items, a third of these, or
    others. What is near among them is measured as `recq.learn.carrying` does, four times.
    """
    examples, furniture = _examples(data, "clothing"), _examples(data, "furniture").vectors
    found: dict[str, dict[str, list[float]]] = {}
    for seed in range(4):
        learned, held = next(seen_splits(examples, 5, seed))
        random.Random(seed).shuffle(rows := learned.tolist())
        for named, count in (("all", len(rows)), ("half", len(rows) // 2)):
            progress(f"carried: seed {seed + 1} of 4, {named}")
            head = Fit(examples.at(np.sort(rows[:count]))).head(CURVE)
            vectors, others = head.apply(examples.vectors), head.apply(furniture)
            of_field = {"the same": rows[:count], "a third": rows[: count // 3], "others": rows[count:]}
            for name, some in of_field.items():
                if len(some) <= NEIGHBOURS:
                    continue
                near = [nearness_of(vectors[[row]], vectors[[n for n in some if n != row]])[0] for row in some]
                least = levels_of(np.array(near, np.float32))[round(100 * UNKNOWN)]
                case = found.setdefault(f"{named}; {name}", {"clothing": [], "furniture": []})
                for kind, tested in (("clothing", vectors[held]), ("furniture", others)):
                    case[kind].append(float((nearness_of(tested, vectors[some]) < least).mean()))
    return {case: {kind: _spread(shares) for kind, shares in each.items()} for case, each in found.items()}


def _spread(values: list[float]) -> dict[str, float]:
    ends = {"mean": float(np.mean(values)), "least": min(values), "most": max(values)}
    return {name: round(value, 4) for name, value in ends.items()}


def _examples(data: Path, catalog: str) -> Examples:
    with session(data, catalog) as asked, asked.opened() as opened:
        return with_near_duplicates(read_examples(opened, "category", LabelRules()))


def large(data: Path) -> dict[str, Any]:
    """Time and memory of training on many vectors, in a process of its own. Their labels say nothing of them, which
    takes the longest."""
    with generated.folder(LARGE, data) as settings:
        done = ran([sys.executable, __file__, "--train-large", str(settings.data_dir)])
    return dict(json.loads(done.output.strip().splitlines()[-1]))


def _train_large(where: Path) -> dict[str, Any]:
    with session(where, "bench") as asked:
        began, cpu = time.perf_counter(), time.process_time()
        training = train(asked, "tenth", TrainingOptions(closed_set=True))
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "items": training.items,
        "head": training.chosen.recipe.told,
        "seconds": round(took, 1),
        "cpu_s": round(cpu, 1),
        "load": round(os.getloadavg()[0], 1),
        "most_memory_mb": round(most),
    }


if __name__ == "__main__":
    main()
