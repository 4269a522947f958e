"""Whether an index holds exactly what a folder does: every path, hash, failure and field; nothing twice, nothing more.

`differences` says what is not so, one line a path; `require_equal` waits until nothing is.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recq import paths
from recq.images import Limits
from recq.images.workers import DecodePool
from recq.index.catalog import Catalog
from recq.index.schema import Item
from recq.models import open_embedder
from recq.settings import Settings
from tests.asking import stored_vector
from tests.eventually import eventually
from tests.reliability.world import Expected, World

Vector = npt.NDArray[np.float32]

SAME = 0.999
"""Cosine of two vectors of one picture, computed in batches of different company."""

SHOWN = 12  # lines of a message


def items(catalog: Catalog) -> list[Item]:
    """Every point of every source, metadata included."""
    ids = [item.id for name in catalog.sources.all() for item in catalog.ledger.scan(name)]
    return list(catalog.ledger.get_many(ids).values())


def differences(world: World, catalog: Catalog) -> list[str]:
    """What the index says otherwise than the folder; empty when they are equal."""
    found, expected = items(catalog), world.expected()
    counted = catalog.items.count() + catalog.ledger.count_failed()
    lines = [f"{path!r}: {times} points" for path, times in Counter(i.file.path for i in found).items() if times > 1]
    if counted != len(found):
        lines.append(f"{counted} points in the collection, {len(found)} in its sources")
    by_path = {item.file.path: item for item in found}
    lines += [f"{path!r}: in the index, not in the folder" for path in sorted(by_path.keys() - expected.keys())]
    lines += [f"{path!r}: in the folder, not in the index" for path in sorted(expected.keys() - by_path.keys())]
    for path in sorted(expected.keys() & by_path.keys()):
        lines += _of_one(path, expected[path], by_path[path])
    return lines


def _of_one(path: str, expected: Expected, item: Item) -> list[str]:
    file, error = item.file, item.error
    facts: Mapping[str, tuple[object, object]] = {
        "size": (file.size, expected.size),
        "mtime_ns": (file.mtime_ns, expected.mtime_ns),
        "sha256": (None if error else file.sha256, expected.sha256),
        "reason": (error and str(error.reason), expected.reason),
        "metadata": (dict(item.metadata), expected.metadata),
        "encoded": (file.encoded, expected.encoded),
    }
    return [f"{path!r}: {name} is {is_!r}, not {should!r}" for name, (is_, should) in facts.items() if is_ != should]


def require_equal(world: World, look: Callable[[], list[str]], *, within: float) -> None:
    """Wait until `look` finds no difference; its last ones, and what happened to these paths, are the message."""
    last: Sequence[str] = []

    def equal() -> bool:
        nonlocal last
        last = look()
        return not last

    try:
        eventually(equal, within=within, every=0.1)
    except AssertionError:
        shown = "\n".join(last[:SHOWN])
        happened = "\n".join(f"  {line}" for line in world.history[-60:])
        raise AssertionError(
            f"{len(last)} differences after {within:g} s:\n{shown}\nin {world.root}, where last happened:\n{happened}"
        ) from None


def require_true_vectors(root: Path, catalog: Catalog) -> None:
    """Every picture has the vector of its own bytes, computed here once more; every failure has none."""
    settings = Settings()
    own: dict[str, Vector] = {}
    with (
        DecodePool(workers=1, timeout=60, memory=2**31, limits=Limits.from_settings(settings)) as pool,
        open_embedder(catalog.space, settings) as embedder,
    ):
        for item in items(catalog):
            vector = stored_vector(catalog, item.id)
            if item.error is not None:
                assert vector is None, f"{item.file.path!r} failed, and has a vector"
                continue
            assert vector is not None, f"{item.file.path!r} has no vector"
            path = root / paths.from_text(item.file.path, item.file.encoded)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if digest not in own:
                pixels = pool.submit(str(path), catalog.space.input).result().pixels
                own[digest] = embedder.submit(pixels).result()
            cosine = float(vector @ own[digest])
            assert cosine > SAME, f"{item.file.path!r} has the vector of another picture (cosine {cosine:.3f})"
