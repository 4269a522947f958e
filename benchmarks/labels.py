"""The figures of docs/learning.md about labels: how well an audit finds mistakes, and what suggested labels teach.

    python benchmarks/labels.py [--index FOLDER] [--packs clothing,furniture,luma_products]
    python benchmarks/labels.py --large 10000,30000,100000

Catalogs are those of `benchmarks/learning.py`. Of each pack's labels one in twenty is exchanged for another at random,
with five seeds: how high the exchanged ones stand among all items (AUROC), and how many of the first 50 are among them.
Mistakes that the labels have anyway count as wrong findings. Then a classifier that knows five labels a class learns 20
more, the suggested ones or random ones, and is tested on a quarter of the items. What the method was chosen on are
furniture and products; clothing was looked at afterwards.

--large: time and memory of `recq labels audit` and `suggest` on so many items, in processes of their own, on vectors
generated around real ones, each with the label of the real one but for one in twenty. One item in five has the field
that is suggested.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import generated, pictures
from benchmarks.learning import index, session
from benchmarks.measure import ROOT, progress, ran
from recq.index.catalog import Catalog
from recq.index.connect import own_folder
from recq.index.points import ItemVector
from recq.index.schema import Item
from recq.learn.audit import changes_of
from recq.learn.calibration import calibrated
from recq.learn.examples import Examples, Rows, read_examples, with_near_duplicates
from recq.learn.fits import Fit
from recq.learn.label_findings import Question
from recq.learn.label_questions import ask
from recq.learn.labels import LabelRules
from recq.learn.opinions import opinions, out_of_fold
from recq.learn.selection import seen_splits
from recq.learn.suggest import teaching_order
from recq.settings import Settings

GROUPS = {"furniture": None, "luma_products": "sku", "clothing": None}
FLIPPED, SEEDS, FIRST = 0.05, 5, 50
LABELLED = 0.2
KNOWN, TAUGHT, TEACHING_SEEDS = 5, 20, 10


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", type=Path, help="keep the catalogs here")
    parser.add_argument("--packs", default=",".join(GROUPS), help="which packs, between commas")
    parser.add_argument("--large", help="time this many items instead, numbers between commas")
    parser.add_argument("--ask-large", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.ask_large is not None:
        print(json.dumps(_asked(Question(asked.ask_large[0]), Path(asked.ask_large[1]))))
        return
    if asked.large is not None:
        print(json.dumps({count: large(int(count)) for count in asked.large.split(",")}, indent=1))
        return
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() if asked.index is None else nullcontext(str(asked.index)) as folder:
        data = Path(folder)
        data.mkdir(parents=True, exist_ok=True)
        for pack in asked.packs.split(","):
            index(pack, data)
            examples = _examples(data, pack)
            found[pack] = {
                "items": len(examples),
                "classes": len(examples.classes),
                "audit": audits(examples),
                "suggest": teaching(examples),
            }
    out = ROOT / "build" / "labels.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(json.dumps(found, indent=1))


def audits(examples: Examples) -> dict[str, Any]:
    """AUROC, and the share of planted mistakes among the first `FIRST` and among as many as were planted."""
    from sklearn.metrics import roc_auc_score

    curves, firsts, planted, certain = [], [], [], []
    for seed in range(SEEDS):
        progress(f"audit: seed {seed + 1} of {SEEDS}")
        wrong, mask = exchanged(examples, seed)
        said = opinions(wrong)
        doubt = 1 - said.probabilities[np.arange(len(wrong)), wrong.numbers()]
        curves.append(float(roc_auc_score(mask, doubt)))
        row = {item: n for n, item in enumerate(wrong.ids)}
        changes = changes_of(wrong, said)
        hits = [bool(mask[row[each.id]]) for each in changes]
        firsts.append(float(np.mean(hits[:FIRST])))
        planted.append(float(np.mean(hits[: int(mask.sum())])))
        right = [each.added == examples.labels[row[each.id]] for each, hit in zip(changes, hits, strict=True) if hit]
        certain.append(float(np.mean(right)))
    return {
        "planted": int(mask.sum()),
        "auroc": _spread(curves),
        f"precision_of_{FIRST}": _spread(firsts),
        "precision_of_as_many": _spread(planted),
        "right_label_proposed": _spread(certain),
    }


def exchanged(examples: Examples, seed: int) -> tuple[Examples, np.ndarray]:
    """The examples with a share of their labels exchanged, and bool (n,) which."""
    random = np.random.default_rng(seed)
    rows = random.choice(len(examples), round(FLIPPED * len(examples)), replace=False)
    labels = list(examples.labels)
    for row in rows.tolist():
        others = [each for each in examples.classes if (each,) != labels[row]]
        labels[row] = (others[int(random.integers(len(others)))],)
    mask = np.zeros(len(examples), bool)
    mask[rows] = True
    return replace(examples, labels=tuple(labels)), mask


def teaching(examples: Examples) -> dict[str, Any]:
    """The share of right guesses before, with suggested labels, with random ones, and with all."""
    found: dict[str, list[float]] = {}
    for seed in range(TEACHING_SEEDS):
        progress(f"suggest: seed {seed + 1} of {TEACHING_SEEDS}")
        learned, held = next(seen_splits(examples, 4, seed))
        random = np.random.default_rng(seed)
        numbers = examples.numbers()
        order = random.permutation(learned)
        known = np.concatenate([order[numbers[order] == each][:KNOWN] for each in range(len(examples.classes))])
        pool = np.setdiff1d(learned, known)
        some = examples.at(np.sort(known))
        seen, _ = out_of_fold(some)
        scores = Fit(some).classifier.scores(examples.vectors[pool])
        probabilities = calibrated(seen, several=False).probabilities(scores, several=False)
        rows = teaching_order(probabilities, examples.vectors[pool], TAUGHT, several=False)
        for name, more in (
            ("before", pool[:0]),
            ("suggested", pool[rows]),
            ("random", random.permutation(pool)[:TAUGHT]),
            ("all", pool),
        ):
            found.setdefault(name, []).append(_right(examples, np.concatenate([known, more]), held))
    return {name: _spread(values) for name, values in found.items()}


def large(count: int) -> dict[str, Any]:
    """Time, memory and the share of planted mistakes among the first `FIRST`."""
    data = _large_index(count)
    found: dict[str, Any] = {}
    for question in Question:
        progress(f"{question} of {count:,} items")
        done = ran([sys.executable, __file__, "--ask-large", question, str(data)])
        found[question.value] = json.loads(done.output.strip().splitlines()[-1])
    return found


def _large_index(count: int) -> Path:
    """A data folder with the catalog `bench`, kept below build/."""
    kept = pictures.DATA / f"labelled-{generated.space().fingerprint}-{count}"
    if kept.is_dir():
        return kept
    real = generated.real_vectors()
    paths = pictures.pack("clothing")
    kinds = [path.parent.name for path in paths[:: max(1, len(paths) // generated.REAL)]]
    classes = sorted(set(kinds))
    unfinished = kept.with_name(f"{kept.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    random = np.random.default_rng(3)
    with own_folder(Settings(data_dir=unfinished)) as owned:
        catalog = Catalog.create(owned.client, "bench", generated.space())
        catalog.sources.register(pictures.DATA, generated.SOURCE)
        for n, page in enumerate(generated.items(count)):
            nearest = (np.array([each.vector for each in page]) @ real.T).argmax(axis=1).tolist()
            entries = []
            for each, number in zip(page, nearest, strict=True):
                kind = right = kinds[number]
                if random.random() < FLIPPED:
                    kind = classes[(classes.index(right) + int(random.integers(1, len(classes)))) % len(classes)]
                some = {"some": right} if random.random() < LABELLED else {}
                entries.append(ItemVector(Item(each.item.file, {"kind": kind, "right": right, **some}), each.vector))
            catalog.writes.upsert(entries)
            if n % 40 == 0:
                progress(f"    {n * generated.PAGE:,} items")
        owned.engine.flush()
    unfinished.replace(kept)
    return kept


def _asked(question: Question, data: Path) -> dict[str, Any]:
    stages: dict[str, float] = {}  # seconds of a processor, which say more than others where a machine is busy
    last, before = "", time.process_time()

    def seen(what: str, _done: int, _of: int) -> None:
        nonlocal last, before
        now = time.process_time()
        stages[last] = stages.get(last, 0.0) + now - before
        last, before = what, now

    with session(data, "bench") as one:
        began, processor = time.perf_counter(), time.process_time()
        label = "kind" if question is Question.AUDIT else "some"
        found = ask(one, question, label, limit=FIRST, progress=seen)
        seen("", 0, 0)
        took, processor = time.perf_counter() - began, time.process_time() - processor
    right = [each.added == (each.result.value("right"),) for each in found.findings]
    wrong = [each.now != (each.result.value("right"),) for each in found.findings]
    return {
        "items": found.items,
        "seconds": round(took, 1),
        "processor_s": round(processor, 1),
        "most_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "processor_s_of": {name or "rest": round(seconds, 1) for name, seconds in stages.items()},
        f"mistakes_of_{FIRST}": float(np.mean(wrong)),
        "right_label_proposed": float(np.mean(right)),
    }


def _right(examples: Examples, learned: Rows, held: Rows) -> float:
    classifier = Fit(examples.at(np.sort(learned)), quick=True).classifier
    best = classifier.scores(examples.vectors[held]).argmax(axis=1).tolist()
    right = [(classifier.classes[n],) == examples.labels[row] for n, row in zip(best, held.tolist(), strict=True)]
    return float(np.mean(right))


def _spread(values: list[float]) -> dict[str, float]:
    ends = {"mean": float(np.mean(values)), "worst": min(values), "best": max(values)}
    return {name: round(value, 4) for name, value in ends.items()}


def _examples(data: Path, pack: str) -> Examples:
    with session(data, pack) as asked, asked.opened() as opened:
        rules = LabelRules(drop_small=True)
        return with_near_duplicates(read_examples(opened, "category", rules, group_by=GROUPS[pack]))


if __name__ == "__main__":
    main()
