"""A target becomes something to compare with: an item's id, or the vector of a picture that is read and embedded.

Between resolving a target and asking the index; an indexed target needs nothing but its id, and no model is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from recq.errors import ImageError, TargetError
from recq.search.target import IndexedTarget, Target, describe, read_picture, require_embedded

if TYPE_CHECKING:
    import numpy as np

    from recq.models import Embedder
    from recq.settings import Settings
    from recq.space import EmbeddingSpace


@dataclass(frozen=True)
class Query:
    """A target ready for comparison: an item's id, or a vector, float32 (dim,), with the bytes it was made from.

    `text` is the target as typed.
    """

    target: Target
    text: str
    example: str | np.ndarray
    content: bytes | None = None


class Preparer:
    """Makes queries of targets. The network is loaded for the first sound picture and kept: a context manager."""

    def __init__(self, space: EmbeddingSpace, settings: Settings) -> None:
        self.space = space
        self._settings = settings
        self._embedder: Embedder | None = None

    def prepare(self, target: Target, text: str) -> Query:
        """The target as something to compare with: a picture outside the index is read and embedded.

        Raises TargetError for a failed item and for a picture that cannot be read or decoded, SpaceError for a model
        that this machine lacks.
        """
        if isinstance(target, IndexedTarget):
            require_embedded(target.item)
            return Query(target, text, target.item.id)
        content = read_picture(target, self._settings)
        try:
            return Query(target, text, self.embed(content), content)
        except ImageError as error:
            raise TargetError(f"{describe(target)} cannot be compared, {error}") from error

    def embed(self, content: bytes) -> np.ndarray:
        """The vector of one picture's bytes, float32 (dim,), as the daemon would make it."""
        from recq.images import Limits, to_input
        from recq.images.decode import decode

        picture = decode(content, Limits.from_settings(self._settings), reduce_to=self.space.input.size)
        pixels = to_input(picture.rgb, self.space.input)
        if self._embedder is None:
            from recq.models import open_embedder  # after the picture proved sound

            self._embedder = open_embedder(self.space, self._settings, one_shot=True)
        vector: np.ndarray = self._embedder.submit(pixels).result()
        return vector

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._embedder is not None:
            self._embedder.close()
