"""One side of `benchmarks/ingest.py`, as a process of its own: prints images a second, start-up not counted.

python benchmarks/_ingest_sides.py SIDE [OPTIONS AS JSON] < FILES, one a line

loop        what tutorials teach: stock MobileNetV2 in Keras, `load_img` and one `model.predict` per picture
tf_data     the same network fed by tf.data, in whole batches of 32: of another number of pictures the rest is left out
onnx        a network of recq's as ONNX, one picture after another in ONNX Runtime on all cores, the next ones loaded
            meanwhile by two threads
openvino    recq's own network by OpenVINO's queue of requests, pictures by Pillow in a thread a core
decode      recq's decoding processes alone, as many as the daemon starts
inference   recq's Embedder alone, on pictures that are decoded already
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

WARM = 16
"""Pictures before the clock starts."""

BATCH = 32
LOADED_AHEAD = 2  # batches: tf.data's own choice is made anew in each run, by a timer that is part of what is measured


def loop(files: Sequence[str], _: Any) -> float:
    """The loop of the tutorials."""
    import keras
    from keras.utils import img_to_array, load_img

    model = _keras_mobilenet(keras)

    def embed(path: str) -> Any:
        pixels = img_to_array(load_img(path, target_size=(224, 224)))
        return model.predict(np.expand_dims(pixels, 0), verbose=0)

    return _rate(files, lambda some: [embed(file) for file in some], warm=3)


def tf_data(files: Sequence[str], _: Any) -> float:
    """tf.data with parallel loading, batches of 32. Keras compiles anew for a batch of another size."""
    import keras
    import tensorflow as tf

    model = _keras_mobilenet(keras)

    def load(path: Any) -> Any:
        image = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
        return tf.image.resize(image, (224, 224))

    def embed(some: Sequence[str]) -> None:
        pictures = tf.data.Dataset.from_tensor_slices(list(some)).map(load, num_parallel_calls=os.cpu_count())
        model.predict(pictures.batch(BATCH).prefetch(LOADED_AHEAD), verbose=0)

    return _rate(files[: len(files) // BATCH * BATCH] or files, embed, warm=2 * BATCH)


def onnx(files: Sequence[str], options: Any) -> float:
    """ONNX Runtime: {network: file, size: pixels a side}."""
    import onnxruntime
    from PIL import Image

    session = onnxruntime.InferenceSession(options["network"], providers=["CPUExecutionProvider"])
    name, size = session.get_inputs()[0].name, options["size"]

    def load(path: str) -> np.ndarray:
        with Image.open(path) as image:
            image.draft("RGB", (size, size))
            pixels = np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR), np.float32)
        return pixels[np.newaxis]

    def embed(some: Sequence[str]) -> None:
        with ThreadPoolExecutor(2) as loaders:
            for pixels in _ahead(some, lambda path: loaders.submit(load, path), 8):
                session.run(None, {name: pixels})

    return _rate(files, embed)


def openvino(files: Sequence[str], options: Any) -> float:
    """The network of the space in `options` without recq: what a short script makes of it. Nothing is pooled."""
    import openvino as ov
    from PIL import Image

    from recq.models.zoo import network_of
    from recq.settings import Settings
    from recq.space import EmbeddingSpace

    space = EmbeddingSpace.from_json(options["space"])
    size = space.input.size
    core = ov.Core()
    model = core.read_model(str(network_of(space, Settings.load()).ir))
    model.reshape([1, size, size, 3])
    requests = ov.AsyncInferQueue(core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT"}))

    def load(path: str) -> np.ndarray:
        with Image.open(path) as image:
            image.draft("RGB", (size, size))
            return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.LANCZOS))[np.newaxis]

    with ThreadPoolExecutor(os.cpu_count()) as loaders:

        def embed(some: Sequence[str]) -> None:
            for pixels in _ahead(some, lambda path: loaders.submit(load, path), 8):
                requests.start_async({0: pixels})
            requests.wait_all()

        return _rate(files, embed)


def decode(files: Sequence[str], options: Any) -> float:
    """recq's decoding alone, for the space in `options`."""
    from recq.images.decode import Limits
    from recq.images.workers import DecodePool
    from recq.settings import Settings
    from recq.space import EmbeddingSpace

    settings, space = Settings.load(), EmbeddingSpace.from_json(options["space"])
    with DecodePool(
        workers=settings.worker_count,
        timeout=settings.decode_timeout,
        memory=settings.decode_memory,
        limits=Limits.from_settings(settings),
    ) as pool:
        ahead = 8 * settings.worker_count

        def all_of(some: Sequence[str]) -> None:
            for _ in _ahead(some, lambda path: pool.submit(path, space.input), ahead):
                pass

        return _rate(files, all_of)


def inference(files: Sequence[str], options: Any) -> float:
    """recq's Embedder alone, for the space in `options`; pixels of at most 64 pictures, again and again."""
    from recq.images import Limits, to_input
    from recq.images.decode import decode as decoded
    from recq.models import open_embedder
    from recq.settings import Settings
    from recq.space import EmbeddingSpace

    settings, space = Settings.load(), EmbeddingSpace.from_json(options["space"])
    limits = Limits.from_settings(settings)
    inputs = [
        to_input(decoded(Path(file).read_bytes(), limits, reduce_to=space.input.size).rgb, space.input)
        for file in files[:64]
    ]
    with open_embedder(space, settings) as embedder:

        def embed(some: Sequence[str]) -> None:
            pictures = (inputs[number % len(inputs)] for number in range(len(some)))
            for _ in _ahead(pictures, embedder.submit, embedder.capacity):
                pass

        return _rate(files, embed)


def _keras_mobilenet(keras: Any) -> Any:
    from recq.models.weights import BUNDLED

    network = keras.models.load_model(BUNDLED / "mobilenet_v2.keras")
    return keras.Sequential([network, keras.layers.GlobalAveragePooling2D()])


def _ahead(some: Iterable[Any], submit: Callable[[Any], Future[Any]], ahead: int) -> Iterable[Any]:
    """The results in order, `ahead` of them under way. Raises what one of them raises."""
    under_way: deque[Future[Any]] = deque()
    for each in some:
        under_way.append(submit(each))
        if len(under_way) > ahead:
            yield under_way.popleft().result()
    for future in under_way:
        yield future.result()


def _rate(files: Sequence[str], embed: Callable[[Sequence[str]], Any], warm: int = WARM) -> float:
    embed(files[:warm])
    began = time.perf_counter()
    embed(files)
    return len(files) / (time.perf_counter() - began)


SIDES = {each.__name__: each for each in (loop, tf_data, onnx, openvino, decode, inference)}


if __name__ == "__main__":
    options_given = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
    print(SIDES[sys.argv[1]](sys.stdin.read().splitlines(), options_given))
