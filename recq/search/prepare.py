"""Prepares a target for comparison: the id of an indexed item, or the vector of a picture that is read and embedded.

It comes between resolving a target and asking the index. An indexed target needs only its id: no model is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Self

from recq.errors import ImageError, RecqError, TargetError, UsageError
from recq.region import Beside, Region
from recq.search.target import (
    FileTarget,
    IndexedTarget,
    Target,
    VectorTarget,
    describe,
    read_picture,
    region_of,
    require_embedded,
)

if TYPE_CHECKING:
    import numpy as np

    from recq.images.fitting import Decoder
    from recq.models import Embedder
    from recq.models.heads import Projection
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
    """Makes queries from targets. A context manager: the network is loaded for the first valid picture and kept.

    `projection` gives that of a trained space; it is asked with the network. `decoder` makes the pixels, by
    default in this process.
    """

    def __init__(
        self,
        space: EmbeddingSpace,
        settings: Settings,
        projection: Callable[[], Projection | None] = lambda: None,
        decoder: Decoder | None = None,
    ) -> None:
        self.space = space
        self._settings = settings
        self._decoder = decoder
        self._projection = projection
        self._embedder: Embedder | None = None
        self._loading = Lock()

    def prepare(self, target: Target, text: str) -> Query:
        """The query of a target; a picture outside the index is read and embedded.

        Raises TargetError for a failed item and for a picture that cannot be read or decoded, SpaceError for a model
        that this machine lacks, UsageError for a vector of another length.
        """
        return self._begun(target, text, alone=True)()

    def prepare_many(self, targets: Sequence[tuple[Target, str]]) -> list[Query | RecqError]:
        """`prepare` for each target, with its error for a failed one. Pictures are decoded and embedded together.

        The errors are TargetError and UsageError; any other is raised. The bytes of files are not kept: they are read
        again where they are shown.
        """
        begun: list[Callable[[], Query] | RecqError] = []
        for target, text in targets:
            try:
                begun.append(
                    self._begun(target, text, alone=len(targets) == 1, keep=not isinstance(target, FileTarget))
                )
            except (TargetError, UsageError) as error:
                begun.append(error)
        return [each if isinstance(each, RecqError) else _finished(each) for each in begun]

    def _begun(self, target: Target, text: str, *, alone: bool, keep: bool = True) -> Callable[[], Query]:
        """A function that returns the query when the network has answered."""
        if isinstance(target, IndexedTarget):
            require_embedded(target.item)
            query = Query(target, text, target.item.id)
            return lambda: query
        if isinstance(target, VectorTarget):
            given = Query(target, text, _fitting(target.vector, self.space))
            return lambda: given
        content = read_picture(target, self._settings, decoder=self._decoder)
        kept = content if keep else None
        future: Future[np.ndarray] | ImageError
        try:
            future = self._submit(content, region_of(target), alone=alone)
        except ImageError as error:
            future = error
        except Beside as error:
            raise TargetError(f"{describe(target)} {error}") from error

        def finish() -> Query:
            try:
                if isinstance(future, ImageError):
                    raise future
                return Query(target, text, future.result(), kept)
            except ImageError as error:
                raise TargetError(f"{describe(target)} cannot be compared, {error}") from error

        return finish

    def _submit(self, content: bytes, region: Region | None, *, alone: bool) -> Future[np.ndarray]:
        """The vector of one picture's bytes, float32 (dim,), as the daemon would make it; `alone`: on all cores."""
        from recq.images.fitting import decoder_of

        pixels = decoder_of(self._decoder, self._settings).fitted(content, self.space.input, region)
        with self._loading:
            if self._embedder is None:
                from recq.models import open_embedder  # after the picture was decoded

                projection = self._projection()
                self._embedder = open_embedder(self.space, self._settings, projection=projection, one_shot=alone)
        return self._embedder.submit(pixels)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._embedder is not None:
            self._embedder.close()


def _finished(query: Callable[[], Query]) -> Query | RecqError:
    try:
        return query()
    except (TargetError, UsageError) as error:
        return error


def _fitting(vector: np.ndarray, space: EmbeddingSpace) -> np.ndarray:
    """A vector as the space stores it, of length 1 for cosines. Raises UsageError for another shape."""
    import numpy as np

    if vector.shape != (space.dim,):
        raise UsageError(f"a vector of {space.label} has the shape ({space.dim},), the given one has {vector.shape}")
    if space.distance != "Cosine":
        return vector
    exact = vector.astype(np.float64)  # whose squares float32 may not hold
    return (exact / np.linalg.norm(exact)).astype(np.float32)
