"""Network input -> vector: the stage between decoding and committing on the road of an image.

An Embedder is one network in memory, and a few threads that wait for it. A thread takes the queued pictures, at most
one batch of the runtime, and never waits for more. `submit` blocks while the network works on as many pictures as it
can and as many again are queued. This slows the stage before it.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock, Semaphore
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from recq.closing import ClosedAtEnd
from recq.errors import ModelUnavailable
from recq.models.options import ModelOptions
from recq.models.pooling import Floats, length_of, unit
from recq.models.runtimes import Pixels, Runtime, choose_runtime
from recq.models.weights import Network
from recq.models.zoo import find_network, network_of, network_space
from recq.settings import Settings
from recq.space import EmbeddingSpace, Pooling

if TYPE_CHECKING:
    from recq.models.heads import Projection

_log = logging.getLogger(__name__)
T = TypeVar("T")

_WHOLE = 256
"""Whole batches after which a larger one is tried again."""


@dataclass(frozen=True, eq=False)
class Pass:
    """What one pass of the network gives: the vector, float32 (dim,); the network's own, which is another one in a
    trained space; and the mean of its map, float32 (channels,), of an embedder that was opened with `means`."""

    vector: Floats
    own: Floats
    means: Floats | None = None


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A picture, uint8 (1, size, size, 3), what is made of the network's answer, and the future of that."""

    pixels: Pixels
    finish: Callable[[Floats], Any]
    future: Future[Any] = field(default_factory=Future)


class Embedder(ClosedAtEnd):
    """Makes vectors of one embedding space. A context manager; `close` waits for what is under way.

    `runtime` and `device` name what runs the network, and where. In a trained space its vectors go through
    `projection`. With `means` the runtime gives the mean of the map behind each vector.
    """

    def __init__(
        self, space: EmbeddingSpace, runtime: Runtime, projection: Projection | None = None, *, means: bool = False
    ) -> None:
        self.space = space
        self._projection = projection
        self._means = means
        self._dim = space.dim if projection is None else projection.base.dim  # of the network's own vectors
        self.runtime, self.device = runtime.name, runtime.device
        self._runtime = runtime
        self._threads = ThreadPoolExecutor(runtime.concurrency, thread_name_prefix="embed")
        self._waiting: deque[_Waiting] = deque()
        self._batch = self._largest = runtime.batch
        self._whole = 0
        """Whole batches that have succeeded since one failed."""
        self._closing = Lock()
        self._closed = False
        self.capacity = 2 * runtime.concurrency * runtime.batch
        """Pictures that may be under way before `submit` waits."""
        self._places = Semaphore(self.capacity)

    def submit(self, pixels: Pixels) -> Future[Floats]:
        """uint8 (size, size, 3) -> float32 (dim,), later; of length 1 in a space of cosines.

        The array has to stay as it is until then. Blocks while the network is busy. The future raises
        ImageError(NO_SIGNAL) for an answer that is not finite or all zeros. Raises ValueError for another shape or
        type, RuntimeError after `close`.
        """
        return self._submitted(pixels, self._vector)

    def submit_pass(self, pixels: Pixels) -> Future[Pass]:
        """`submit`, with what else the same pass gives."""
        return self._submitted(pixels, self._pass)

    def _submitted(self, pixels: Pixels, finish: Callable[[Floats], T]) -> Future[T]:
        self._require(pixels)
        self._places.acquire()
        own = _Waiting(np.ascontiguousarray(pixels)[np.newaxis], finish)
        own.future.add_done_callback(lambda _: self._places.release())
        try:
            with self._closing:
                if self._closed:
                    raise RuntimeError("the network has been given back")
                self._waiting.append(own)
                self._threads.submit(self._work)
        except BaseException:
            with contextlib.suppress(ValueError):
                self._waiting.remove(own)
            own.future.cancel()
            raise
        return own.future

    def close(self) -> None:
        """Finish what was submitted, then give the network back."""
        with self._closing:
            self._closed = True
        self._threads.shutdown(wait=True)
        self._runtime.close()

    def _work(self) -> None:
        """Called once for each submitted picture; the queue may be empty, if another call took the picture."""
        batch: list[_Waiting] = []
        with contextlib.suppress(IndexError):
            while len(batch) < self._batch:
                one = self._waiting.popleft()
                if one.future.set_running_or_notify_cancel():
                    batch.append(one)
        if batch:
            self._embed(batch, whole=len(batch) == self._batch)

    def _embed(self, batch: Sequence[_Waiting], *, whole: bool) -> bool:
        """Set the results of `batch`; False if the runtime raised an error.

        A batch that fails is retried in halves, so that a picture that cannot be embedded fails alone. Where both
        halves succeed, a whole batch was too large (for a GPU's memory, for example), and later batches are smaller,
        until many of them have succeeded.
        """
        try:
            alone = len(batch) == 1
            vectors = self._runtime.infer(batch[0].pixels if alone else np.concatenate([each.pixels for each in batch]))
        except BaseException as error:
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return False
            half = len(batch) // 2
            succeeded = [self._embed(part, whole=whole) for part in (batch[:half], batch[half:])]
            if all(succeeded) and whole:
                self._batch, self._whole = min(self._batch, half), 0
            return False
        if whole and len(batch) == self._batch < self._largest:
            self._whole += 1
            if self._whole == _WHOLE:  # it failed once, or there is memory again
                self._batch, self._whole = min(2 * self._batch, self._largest), 0
        for one, vector in zip(batch, vectors, strict=True):
            try:
                one.future.set_result(one.finish(vector))
            except BaseException as error:
                one.future.set_exception(error)
        return True

    def _pass(self, row: Floats) -> Pass:
        own = self._own(row)
        return Pass(self._projected(own), own, row[self._dim :].copy() if self._means else None)

    def _vector(self, row: Floats) -> Floats:
        return self._projected(self._own(row))

    def _own(self, row: Floats) -> Floats:
        """The network's own vector."""
        vector = row[: self._dim] if self._means else row
        if self._projection is not None or self.space.distance == "Cosine":
            return unit(vector)
        length_of(vector)
        return vector.copy()  # a row of its own: it outlives the batch

    def _projected(self, own: Floats) -> Floats:
        return own if self._projection is None else unit(self._projection.of(own))

    def _require(self, pixels: Pixels) -> None:
        size = self.space.size
        if pixels.dtype != np.uint8 or pixels.shape != (size, size, 3):
            raise ValueError(f"expected uint8 ({size}, {size}, 3), got {pixels.dtype} {pixels.shape}")


def open_embedder(
    space_or_name: EmbeddingSpace | str,
    settings: Settings,
    *,
    projection: Projection | None = None,
    one_shot: bool = False,
    means: bool = False,
) -> Embedder:
    """An Embedder for a model's name (with its default pooling and size) or for the space of an index.

    `projection` is that of a trained space (`Catalog.projection`), which cannot be had without. `one_shot` is for a
    single picture: all cores work on it. With `means` it gives the mean of the map as well
    (`Embedder.submit_pass`). Raises ModelUnavailable when the network is not available, or not on the runtime of
    the settings, SpaceMismatch when the local network of that name does not make vectors of the given space.
    """
    if isinstance(space_or_name, str):
        asked = ModelOptions(space_or_name)
        network = find_network(asked, settings)
        space = network_space(network, asked)
    else:
        space = space_or_name
        network = network_of(space if projection is None else projection.base, settings)
    runtime = open_runtime(network, space.pooling, settings, one_shot=one_shot, means=means)
    return Embedder(space, runtime, projection, means=means)


def open_runtime(
    network: Network, pooling: Pooling | None, settings: Settings, *, one_shot: bool, means: bool = False
) -> Runtime:
    """What runs `network` here; `pooling` None gives the feature maps themselves.

    With `means` each vector is followed by the mean of its map. Raises ModelUnavailable where the runtime of the
    settings cannot run it, and for the means of what gives no map. Raw pixels need no runtime.
    """
    if means and (network.ir is None or network.side is None or pooling is None):
        raise ModelUnavailable(f"layer {network.layer} of {network.name} gives no map whose mean could be read")
    if network.ir is None:
        from recq.models.pixels import PixelRuntime

        return PixelRuntime(network, pooling)
    if choose_runtime(network.precision, settings.runtime, one_shot=one_shot) == "keras":
        from recq.models.keras_runtime import KerasRuntime

        try:
            return KerasRuntime(network, pooling, means=means)
        except Exception as error:
            if settings.runtime != "auto":
                raise
            _log.warning("Keras cannot run the network on this GPU, OpenVINO does so on the CPU: %s", error)
    from recq.models.openvino_runtime import OpenVINORuntime

    return OpenVINORuntime(network, pooling, one_shot=one_shot, means=means, threads=settings.threads)
