"""Run a network with OpenVINO: the runtime that needs neither Keras nor TensorFlow, and the one used by default.

The pooling is part of the compiled graph, so a request hands back 5 KB instead of a 400 KB feature map (measured:
as fast as the network alone). No compiled-model cache: compiling takes 0.15 to 0.3 s, importing a cached one 0.1 s,
which is not worth a second copy of the weights that several processes write at once.
"""

from __future__ import annotations

from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from recq.models.openvino_package import openvino
from recq.models.pooling import CENTRE_ROOT, GEM_FLOOR, GEM_POWER, LENGTH_FLOOR, Floats, centre_weights
from recq.models.regions import regions
from recq.models.weights import Network

Pixels = npt.NDArray[np.uint8]


class OpenVINORuntime:
    """`concurrency` requests that may run at the same time, each on one picture: larger batches fall out of cache.

    `pooling` None gives the feature maps themselves. `one_shot` spends every core on one picture instead of one core
    on each of several. With `means` each vector is followed by the mean of its map, from the same pass; without it the
    graph is the one that it always was. `threads` compute at the most, 0: one a core.
    """

    name, device = "openvino", "CPU"
    batch = 1

    def __init__(
        self, network: Network, pooling: str | None, *, one_shot: bool = False, means: bool = False, threads: int = 0
    ) -> None:
        ov = openvino()
        core = ov.Core()
        model = core.read_model(network.ir)
        model.reshape([1, network.size, network.size, 3])
        if pooling is not None and network.side is not None:
            model = _pooled(ov, model, pooling, network.side, means=means)
        hint = "LATENCY" if one_shot else "THROUGHPUT"
        # With no precision hint some processors choose bfloat16 and give other vectors (docs/models.md).
        # Pinned threads of several processes lie on the same cores, since each process counts from the first one: two
        # of one thread each had half of a core. Alone on the machine a daemon is as fast without.
        config: dict[str, Any] = {
            "PERFORMANCE_HINT": hint,
            "INFERENCE_PRECISION_HINT": "f32",
            "ENABLE_CPU_PINNING": False,
        }
        if threads:
            config["INFERENCE_NUM_THREADS"] = threads
        compiled = core.compile_model(model, "CPU", config)
        # Twice as many requests as run at once: while one thread waits for the interpreter to return its answer, the
        # next picture is already queued inside OpenVINO (the daemon: 1.5 of 2 cores busy without, 1.9 with).
        self.concurrency: int = (1 if one_shot else 2) * compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self.concurrency):
            self._idle.put(compiled.create_infer_request())

    def infer(self, pixels: Pixels) -> Floats:
        """uint8 (1, size, size, 3) -> float32 (1, dimensions), or (1, side, side, channels) without pooling.

        With `means` (1, dimensions + channels).

        May be called from several threads; waits while all requests are busy.
        """
        request = self._idle.get()
        try:
            result: Floats = request.infer({0: pixels}, share_inputs=True)[0]  # a copy takes as long as to send it
        finally:
            self._idle.put(request)
        return result

    def close(self) -> None:
        """Give the compiled network back."""
        while not self._idle.empty():
            self._idle.get()


def _pooled(ov: Any, model: Any, pooling: str, side: int, *, means: bool) -> Any:
    """`model` with its map (n, h, w, channels) pooled as `pooling.pool` does it; with `means` also by its mean."""
    ops = ov.opset13
    features = model.output(0).get_node().input_value(0)
    height_and_width = ops.constant(np.array([1, 2], np.int64))
    if pooling in ("gem", "centre"):
        lifted = ops.maximum(features, ops.constant(np.float32(GEM_FLOOR)))
        cubes = ops.power(lifted, ops.constant(np.float32(GEM_POWER)))
        if pooling == "gem":
            mean, root = ops.reduce_mean(cubes, height_and_width, keep_dims=False), GEM_POWER
        else:
            weighted = ops.multiply(cubes, ops.constant(centre_weights(side)[np.newaxis, :, :, np.newaxis]))
            mean, root = ops.reduce_sum(weighted, height_and_width, keep_dims=False), CENTRE_ROOT
        pooled = ops.power(mean, ops.constant(np.float32(1 / root)))
    elif pooling == "mean":
        pooled = ops.reduce_mean(features, height_and_width, keep_dims=False)
    elif pooling == "max":
        pooled = ops.reduce_max(features, height_and_width, keep_dims=False)
    elif pooling == "rmac":
        pooled = None
        for one in regions(side):
            first, last = [one.top, one.left], [one.top + one.width, one.left + one.width]
            square = ops.slice(features, first, last, [1, 1], [1, 2])
            maxima = _length_one(ops, ops.reduce_max(square, height_and_width, keep_dims=False))
            pooled = maxima if pooled is None else ops.add(pooled, maxima)
        pooled = _length_one(ops, pooled)
    else:
        pooled = ops.reshape(features, ops.constant(np.array([0, -1], np.int64)), special_zero=True)
    if means:
        pooled = ops.concat([pooled, ops.reduce_mean(features, height_and_width, keep_dims=False)], axis=1)
    return ov.Model([pooled], model.get_parameters(), model.get_friendly_name())


def _length_one(ops: Any, rows: Any) -> Any:
    squares = ops.reduce_sum(ops.multiply(rows, rows), ops.constant(np.array([1], np.int64)), keep_dims=True)
    return ops.divide(rows, ops.maximum(ops.sqrt(squares), ops.constant(np.float32(LENGTH_FLOOR))))
