"""Network input -> vector: the stage between decoding and committing on the road of an image.

An Embedder is one network in memory, and a few threads that wait for it. `submit` blocks while as many pictures are
under way as the network can work on at once and as many again are waiting, which slows the stage before it.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from types import TracebackType
from typing import Literal, Protocol, Self

import numpy as np
import numpy.typing as npt

from recq.models.options import ModelOptions
from recq.models.pooling import Floats, length_of, unit
from recq.models.weights import Network
from recq.models.zoo import find_network, network_of, network_space
from recq.settings import Settings
from recq.space import EmbeddingSpace, Pooling

RuntimeName = Literal["openvino", "tensorflow"]
Pixels = npt.NDArray[np.uint8]


class Runtime(Protocol):
    """A compiled network with its pooling. `infer` may run `concurrency` times at once."""

    concurrency: int

    def infer(self, pixels: Pixels) -> Floats:
        """uint8 (n, size, size, 3) -> float32 (n, dimensions), of any length."""

    def close(self) -> None:
        """Give the network back."""


class Embedder:
    """Makes vectors of one embedding space. A context manager; `close` waits for what is under way."""

    def __init__(self, space: EmbeddingSpace, runtime: Runtime) -> None:
        self.space = space
        self._runtime = runtime
        self._threads = ThreadPoolExecutor(runtime.concurrency, thread_name_prefix="embed")
        self.capacity = 2 * runtime.concurrency
        """Pictures that may be under way before `submit` waits."""
        # Copies lie in memory that is used again: new memory for each costs 0.1 ms in a process whose allocator gives
        # blocks of that size back to the system at once, as the daemon's does.
        self._free: SimpleQueue[Pixels] = SimpleQueue()
        for _ in range(self.capacity):
            self._free.put(np.empty((1, space.size, space.size, 3), np.uint8))

    def submit(self, pixels: Pixels) -> Future[Floats]:
        """uint8 (size, size, 3) -> float32 (dim,), later; of length 1 in a space of cosines. The array may be reused.

        Blocks while the network is busy. The future raises ImageError(NO_SIGNAL) for an answer that is not finite or
        all zeros. Raises ValueError for another shape or type, RuntimeError after `close`.
        """
        self._require(pixels)
        own = self._free.get()
        own[0] = pixels
        try:
            future = self._threads.submit(self._one, own)
        except BaseException:
            self._free.put(own)
            raise
        future.add_done_callback(lambda _: self._free.put(own))
        return future

    def close(self) -> None:
        """Finish what was submitted, then give the network back."""
        self._threads.shutdown(wait=True)
        self._runtime.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _one(self, pixels: Pixels) -> Floats:
        vector: Floats = self._runtime.infer(pixels)[0]
        if self.space.distance == "Cosine":
            return unit(vector)
        length_of(vector)
        return vector

    def _require(self, pixels: Pixels) -> None:
        size = self.space.size
        if pixels.dtype != np.uint8 or pixels.shape != (size, size, 3):
            raise ValueError(f"expected uint8 ({size}, {size}, 3), got {pixels.dtype} {pixels.shape}")


def open_embedder(
    space_or_name: EmbeddingSpace | str,
    settings: Settings,
    *,
    one_shot: bool = False,
    runtime: RuntimeName = "openvino",
) -> Embedder:
    """An Embedder for a model's name (with its default pooling and size) or for the space of an index.

    `one_shot` is for a single picture: all cores work on it. Raises ModelUnavailable when the network cannot be had,
    SpaceMismatch when the local network of that name does not make vectors of the space asked for.
    """
    if isinstance(space_or_name, str):
        asked = ModelOptions(space_or_name)
        network = find_network(asked, settings)
        space = network_space(network, asked)
    else:
        network, space = network_of(space_or_name, settings), space_or_name
    if runtime == "tensorflow":
        from recq.models.tensorflow_runtime import TensorFlowRuntime

        return Embedder(space, TensorFlowRuntime(network, space.pooling))
    return Embedder(space, open_runtime(network, space.pooling, one_shot=one_shot))


def open_runtime(network: Network, pooling: Pooling | None, *, one_shot: bool) -> Runtime:
    """What runs `network` by default; `pooling` None gives the feature maps themselves."""
    if network.ir is None:
        from recq.models.pixels import PixelRuntime

        return PixelRuntime(network, pooling)
    from recq.models.openvino_runtime import OpenVINORuntime

    return OpenVINORuntime(network, pooling, one_shot=one_shot)
