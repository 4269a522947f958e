"""The pictures of labelled items as a network takes them, and the network that a training begins with."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from recq.errors import ModelUnavailable, UsageError
from recq.images.indexed_files import Place, Unread, read_files
from recq.learn.examples import Examples
from recq.learn.labels import LabelRules
from recq.models.options import ModelOptions
from recq.models.zoo import find_network
from recq.progress import Progress
from recq.space import EmbeddingSpace, InputSpec, Preprocess, Resize

if TYPE_CHECKING:
    from recq.index.catalog import Catalog
    from recq.settings import Settings

Pixels = npt.NDArray[np.uint8]
Start = Literal["catalog", "scratch"]

SCRATCH_SIZE = 128
"""Pixels a side of a network from scratch."""

_SMALLEST_SIZE = 16
_PAGE = 256  # items asked for at a time


@dataclass(frozen=True)
class Files:
    """The places and digests of the examples' files, in their order, and the space of the catalog."""

    space: EmbeddingSpace
    places: tuple[Place, ...]

    @classmethod
    def of(cls, catalog: Catalog, ids: Sequence[str]) -> Files:
        """Of the items with these ids, in that order."""
        sources = catalog.lookups.sources()
        places: list[Place] = []
        for start in range(0, len(ids), _PAGE):
            page = ids[start : start + _PAGE]
            items = catalog.lookups.get_many(page)
            for each in page:
                item = items.get(each)
                digest = None if item is None else item.file.sha256
                path = None if item is None or digest is None else catalog.sources.path_of(item, sources)
                places.append(Place(path, digest or ""))
        return cls(catalog.space, tuple(places))


@dataclass(frozen=True)
class Base:
    """What the network begins with: a Keras archive, or None; and the pictures that it takes."""

    archive: Path | None
    space: EmbeddingSpace | None
    input: InputSpec
    preprocess: Preprocess


def base_of(
    space: EmbeddingSpace,
    start: Start,
    size: int | None,
    resize: Resize | None,
    preprocess: Preprocess | None,
    settings: Settings,
) -> Base:
    """What `FinetuneOptions` ask for in a catalog of that space. Raises ModelUnavailable where its network is not here,
    UsageError for a size that cannot be used."""
    resize = resize or space.resize
    if start == "scratch":
        size = size or SCRATCH_SIZE
        if size < _SMALLEST_SIZE:
            raise UsageError(f"--size {size} cannot be used: a network from scratch takes {_SMALLEST_SIZE} or more")
        return Base(None, None, InputSpec(size, resize), preprocess or "unit")
    # The same network in floats, which those in 8 bits have another digest than.
    asked = replace(ModelOptions().completed(space), precision="f32", size=size or space.size)
    archive = find_network(asked, settings, None if space.precision == "int8" else space.weights).archive
    if archive is None:
        raise ModelUnavailable(f"{space.model} is no network to start from: use --from scratch")
    return Base(archive, space, InputSpec(size or space.size, resize), "own")


def read_pictures(
    file: Any, places: Sequence[Place], spec: InputSpec, settings: Settings, progress: Progress
) -> tuple[Pixels, list[int], Counter[Unread]]:
    """The pictures that can be read, uint8 (n, size, size, 3) in `file`; which they are; and how many others."""
    shape = (spec.size, spec.size, 3)
    kept: list[int] = []
    unread: Counter[Unread] = Counter()
    try:
        for row, found in read_files([(n, [place]) for n, place in enumerate(places)], spec, settings, progress):
            if isinstance(found, Unread):
                unread[found] += 1
            else:
                file.write(np.ascontiguousarray(found.pixels).data)
                kept.append(row)
        file.flush()
    except OSError as error:
        raise UsageError(
            f"no room for the pictures in {tempfile.gettempdir()}: {error.strerror}; set TMPDIR to a folder with more "
            "room, or choose fewer items with --filter"
        ) from error
    if not kept:
        why = ", ".join(f"{count:,} {reason}" for reason, count in unread.items())
        raise UsageError(f"none of the pictures can be read here ({why}): train where the folders of the sources are")
    return np.memmap(file, np.uint8, "r", shape=(len(kept), *shape)), kept, unread


def usable_examples(
    every: Examples, kept: Sequence[int], unread: Mapping[Unread, int], rules: LabelRules, label: str
) -> Examples:
    """The examples whose pictures are here. Raises UsageError where too few of a class are."""
    examples = every.at(np.array(kept, np.int64))
    if not unread:
        return examples
    try:
        strict = replace(rules, drop_small=False)
        strict.usable(examples.labels, label)
    except UsageError as error:
        why = ", ".join(f"{count:,} {reason}" for reason, count in unread.items())
        raise UsageError(f"{error} (of {len(every):,} pictures, {why})") from error
    return examples
