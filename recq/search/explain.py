"""Finds the regions of two pictures that make them similar.

    explanation = explain(session, "sofa_226.jpg", "sofa_9.jpg")
    explanation.target.added.sum()  # the cosine of the two, as is explanation.result.added.sum()

The pictures are read and run through the catalog's network again: an index stores vectors, not feature maps.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from recq import paths
from recq.errors import ImageError, ModelUnavailable, TargetError, UsageError
from recq.images.fitting import Displayed
from recq.images.resize import Placement, placement
from recq.region import Beside
from recq.search.results import SCORE_DIGITS, percentile
from recq.search.session import Session
from recq.search.target import (
    Given,
    IndexedTarget,
    PictureTarget,
    Target,
    VectorTarget,
    describe,
    name_of,
    picture_of,
    read_picture,
    region_of,
    resolve,
    text_of,
    whole_of,
)
from recq.space import EmbeddingSpace

if TYPE_CHECKING:
    from recq.index.background import Background
    from recq.index.catalog import Catalog

DISPLAYED = 640
"""Pixels of the longer side of a displayed picture."""


@dataclass(frozen=True)
class Side:
    """One of the two pictures.

    `rgb` is the picture, uint8 (height, width, 3), perhaps reduced; `place` says where it lies in the network's input
    of `size` pixels a side. `added` is what each cell of the feature map, which covers that input evenly, adds to the
    cosine: float32 (h, w).
    """

    text: str
    name: str
    rgb: np.ndarray
    place: Placement
    size: int
    added: np.ndarray

    def seen(self) -> np.ndarray:
        """`added` for what the network saw of the picture, float32, a value for each pixel of its input."""
        left, top, right, bottom = self.place.inner
        return self._enlarged()[top:bottom, left:right]

    @property
    def beside(self) -> float:
        """The share of the similarity, 0 to 1, that comes from the padding beside the picture in the square input."""
        whole = float(self._enlarged().sum())
        return 0.0 if whole <= 0 else min(1.0, max(0.0, 1.0 - float(self.seen().sum()) / whole))

    def _enlarged(self) -> np.ndarray:
        cells = Image.fromarray(self.added, mode="F")
        return np.asarray(cells.resize((self.size, self.size), Image.Resampling.BICUBIC))


@dataclass(frozen=True)
class Explanation:
    """Two pictures and the regions that make them similar.

    `share`, 0 to 1, is the share of random pairs that are less alike; None where it is unknown.
    """

    space: EmbeddingSpace
    target: Side
    result: Side
    score: float
    share: float | None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The document that `--format json` prints."""
        return {
            "space": self.space.summary(),
            "score": round(self.score, SCORE_DIGITS),
            "higher_is_better": self.space.higher_is_better,
            "percentile": percentile(self.share),
            **{role: self._side_json(side) for role, side in (("target", self.target), ("result", self.result))},
        }

    @staticmethod
    def _side_json(side: Side) -> dict[str, Any]:
        return {
            "text": paths.to_text(side.text)[0],
            "name": side.name,
            "beside": round(side.beside, 4),
            "added": [[round(float(cell), SCORE_DIGITS) for cell in row] for row in side.added],
        }


@dataclass(frozen=True)
class _Asked:
    """A target, and the file to read for it."""

    text: str
    target: Target
    file: PictureTarget


def explain(session: Session, target: Given, result: Given) -> Explanation:
    """The regions that make two pictures similar, in the space of the session's catalog.

    Both may be any target of `similar` that is a picture. The index is released while they are read.

    Raises TargetError for a picture that is not on this machine or cannot be decoded, SpaceError for a model that this
    machine lacks, UsageError for a vector.
    """
    with session.opened() as catalog:
        if (label := catalog.space.trained_on) is not None:
            raise ModelUnavailable(
                f"catalog {catalog.name!r} is in a space that was trained on {label}, where a similarity has no place "
                "in a picture: explain in a catalog of the network's own vectors"
            )
        asked = [_asked(catalog, given) for given in (target, result)]
        space, background = catalog.space, catalog.background_at_opening()
    contents = [read_picture(each.file, session.settings, decoder=session.decoder()) for each in asked]
    notes = tuple(
        f"{describe(whole)} has changed since it was indexed: it is explained as it is now"
        for whole, content in zip((whole_of(each.target) for each in asked), contents, strict=True)
        if isinstance(whole, IndexedTarget) and whole.item.file.sha256 != sha256(content).hexdigest()
    )
    return _explained(session, space, background, asked, contents, notes)


def _explained(
    session: Session,
    space: EmbeddingSpace,
    background: Background | None,
    asked: list[_Asked],
    contents: list[bytes],
    notes: tuple[str, ...],
) -> Explanation:
    """The explanation from the pictures' bytes."""
    from recq.models.agreement import agreement
    from recq.models.maps import open_maps
    from recq.models.pooling import length_of, pool

    decoder = session.decoder()
    pictures, pixels = [], []
    for each, content in zip(asked, contents, strict=True):
        try:
            region = region_of(each.target)
            pixels.append(decoder.fitted(content, space.input, region))
            pictures.append(decoder.displayed(content, DISPLAYED, region))
        except ImageError as error:
            raise TargetError(f"{describe(each.target)} cannot be explained, {error}") from error
        except Beside as error:
            raise TargetError(f"{describe(each.target)} {error}") from error
    with open_maps(space, session.settings) as network:
        maps = [network.map_of(each) for each in pixels]
    vectors = [pool(cells[np.newaxis], space.pooling)[0] for cells in maps]
    try:
        units = [vector / np.float32(length_of(vector)) for vector in vectors]
    except ImageError as error:
        raise TargetError(f"the two cannot be explained: one gives {error}") from error
    score = float(units[0] @ units[1]) if space.higher_is_better else float(np.linalg.norm(vectors[0] - vectors[1]))
    sides = [
        Side(
            each.text,
            name_of(each.target),
            picture.rgb,
            _place(picture, space),
            space.size,
            agreement(cells, space.pooling, other),
        )
        for each, picture, cells, other in zip(asked, pictures, maps, vectors[::-1], strict=True)
    ]
    share = None if background is None else background.share_below(score)
    return Explanation(space, sides[0], sides[1], score, share, notes)


def _place(picture: Displayed, space: EmbeddingSpace) -> Placement:
    """What is seen of the picture as it is displayed, and where it lies in the network's input."""
    height, width = picture.rgb.shape[:2]
    inner = placement(picture.width, picture.height, space.input).inner
    return Placement(placement(width, height, space.input).seen, inner)


def _asked(catalog: Catalog, given: Given) -> _Asked:
    target, text = resolve(catalog.lookups, given), text_of(given)
    if isinstance(target, VectorTarget):
        raise UsageError("a vector has no regions: explain() needs two pictures")
    return _Asked(text, target, picture_of(catalog, target, "explained"))
