"""A target becomes something to compare with: an item's id, or the vector of a picture that is read and embedded.

Between resolving a target and asking the index; an indexed target needs nothing but its id, and no model is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Self

from recq.errors import ImageError, RecqError, TargetError, UsageError
from recq.search.target import FileTarget, IndexedTarget, Target, VectorTarget, describe, read_picture, require_embedded

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
        self._loading = Lock()

    def prepare(self, target: Target, text: str) -> Query:
        """The target as something to compare with: a picture outside the index is read and embedded.

        Raises TargetError for a failed item and for a picture that cannot be read or decoded, SpaceError for a model
        that this machine lacks, UsageError for a vector of another length.
        """
        return self._begun(target, text, alone=True)()

    def prepare_many(self, targets: Sequence[tuple[Target, str]]) -> list[Query | RecqError]:
        """`prepare` of each, pictures decoded and embedded at the same time; for a failed one the error of its own.

        Those are TargetError and UsageError; any other ends all of it. The bytes of files are not kept: who shows
        them reads them again.
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
        """What gives the query when the network has answered."""
        if isinstance(target, IndexedTarget):
            require_embedded(target.item)
            query = Query(target, text, target.item.id)
            return lambda: query
        if isinstance(target, VectorTarget):
            given = Query(target, text, _fitting(target.vector, self.space))
            return lambda: given
        content = read_picture(target, self._settings)
        kept = content if keep else None
        future: Future[np.ndarray] | ImageError
        try:
            future = self._submit(content, alone=alone)
        except ImageError as error:
            future = error

        def finish() -> Query:
            try:
                if isinstance(future, ImageError):
                    raise future
                return Query(target, text, future.result(), kept)
            except ImageError as error:
                raise TargetError(f"{describe(target)} cannot be compared, {error}") from error

        return finish

    def _submit(self, content: bytes, *, alone: bool) -> Future[np.ndarray]:
        """The vector of one picture's bytes, float32 (dim,), as the daemon would make it; `alone`: on all cores."""
        from recq.images import Limits, to_input
        from recq.images.decode import decode

        picture = decode(content, Limits.from_settings(self._settings), reduce_to=self.space.input.size)
        pixels = to_input(picture.rgb, self.space.input)
        with self._loading:
            if self._embedder is None:
                from recq.models import open_embedder  # after the picture proved sound

                self._embedder = open_embedder(self.space, self._settings, one_shot=alone)
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
    """A vector as one of the space: of length 1 where cosines are compared. Raises UsageError for another shape."""
    import numpy as np

    if vector.shape != (space.dim,):
        raise UsageError(
            f"a vector of {space.label} has the shape ({space.dim},), the one that was given {vector.shape}"
        )
    if space.distance != "Cosine":
        return vector
    exact = vector.astype(np.float64)  # whose squares float32 may not hold
    return (exact / np.linalg.norm(exact)).astype(np.float32)
