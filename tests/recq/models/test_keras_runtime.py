"""Keras behind the protocol of runtimes: the same vectors as OpenVINO's, in batches, and in half precision.

Loading a network takes seconds, so that tests share them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import recq.models.keras_runtime
from recq.models.keras_runtime import KerasRuntime, _pooled, filled_up
from recq.models.openvino_runtime import OpenVINORuntime
from recq.models.pooling import POOLINGS, pool
from recq.models.weights import Network, bundled
from recq.models.zoo import network_space
from tests.recq.models.photographs import SAMPLES, inputs

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

NETWORK = bundled("mobilenet_v2", 96)
SPACE = network_space(NETWORK)


@cache
def photographs(count: int = 54) -> Pixels:
    return inputs(SAMPLES[:count], SPACE.input)


@contextmanager
def machine(gpu: str | None) -> Iterator[None]:
    """With this GPU as far as the runtime knows; it calculates on the processor all the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recq.models.keras_runtime, "gpus", lambda: [] if gpu is None else [gpu])
        yield


@pytest.fixture(scope="module")
def pooled() -> KerasRuntime:
    """The network as it runs where there is no GPU."""
    with machine(None):
        return KerasRuntime(NETWORK, "gem")


@pytest.fixture(scope="module")
def maps() -> Floats:
    """Keras' maps of six photographs."""
    return KerasRuntime(NETWORK, None).infer(photographs(6))


def cosines(one: Floats, other: Floats) -> Floats:
    found: Floats = (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    return found


def on_openvino(pooling: str | None, pictures: Pixels) -> Floats:
    runtime = OpenVINORuntime(NETWORK, pooling)
    return np.concatenate([runtime.infer(each[np.newaxis]) for each in pictures])


@pytest.mark.keras
def test_without_pooling_it_gives_the_maps(maps: Floats) -> None:
    assert maps.shape == (6, 3, 3, 1280)
    np.testing.assert_allclose(maps, on_openvino(None, photographs(6)), rtol=1e-3, atol=1e-3)


@pytest.mark.keras
def test_the_means_of_its_maps_follow_the_vectors_where_they_are_asked_for(maps: Floats, pooled: KerasRuntime) -> None:
    with machine(None):
        both = KerasRuntime(NETWORK, "gem", means=True).infer(photographs(6))
    assert both.shape == (6, 2 * 1280)
    np.testing.assert_allclose(both[:, :1280], pooled.infer(photographs(6)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(both[:, 1280:], pool(maps, "mean"), rtol=1e-5, atol=1e-6)


@pytest.mark.keras
@pytest.mark.parametrize("pooling", [each for each in POOLINGS if each != "none"])
def test_it_pools_on_the_device_as_openvino_does(pooling: str, maps: Floats) -> None:
    from keras import ops

    assert NETWORK.side is not None
    found = np.asarray(_pooled(ops, ops.convert_to_tensor(maps), pooling, NETWORK.side))
    expected = on_openvino(pooling, photographs(6))
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    assert cosines(found, expected).min() > 0.999999
    np.testing.assert_allclose(found, pool(maps, pooling), rtol=1e-4, atol=1e-5)


@pytest.mark.keras
def test_the_ten_nearest_are_the_same(pooled: KerasRuntime) -> None:
    nearest = []
    for found in (on_openvino("gem", photographs()), pooled.infer(photographs())):
        vectors = found / np.linalg.norm(found, axis=1, keepdims=True)
        nearest.append(np.argsort(-(vectors @ vectors.T), axis=1)[:, 1:11])
    assert nearest[0].shape == (54, 10)
    assert np.array_equal(nearest[0], nearest[1])


@pytest.mark.keras
def test_a_gpu_gets_batches_of_few_sizes_and_the_same_vectors_come_back(
    pooled: KerasRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with machine("Some GPU"):
        runtime = KerasRuntime(NETWORK, "gem")
    assert (runtime.device, runtime.batch) == ("GPU (Some GPU)", 64)
    sizes: list[int] = []
    call = runtime._model.predict_on_batch

    def counted(batch: Pixels) -> Any:
        sizes.append(len(batch))
        return call(batch)

    monkeypatch.setattr(runtime._model, "predict_on_batch", counted)
    expected = pooled.infer(photographs(5))
    for count in (1, 3, 5):
        np.testing.assert_allclose(runtime.infer(photographs(5)[:count]), expected[:count], rtol=1e-4, atol=1e-5)
    assert sizes == [1, 4, 8]


@pytest.mark.keras
@pytest.mark.parametrize("network", [NETWORK, bundled("efficientnet_lite2", 96)], ids=lambda each: each.name)
def test_f16_is_half_precision_and_near_to_f32(network: Network) -> None:
    """Its maps have no more than the 11 bits of float16."""
    pictures = photographs(12)
    halved = replace(network, precision="f16")
    whole, half = (KerasRuntime(each, None).infer(pictures) for each in (network, halved))
    assert np.array_equal(half, half.astype(np.float16))
    for pooling in ("gem", "centre"):
        assert 0.999 < cosines(pool(whole, pooling), pool(half, pooling)).min() < 0.9999999


@pytest.mark.keras
def test_floats_are_whole_on_a_gpu_too() -> None:
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(True)
    KerasRuntime(NETWORK, "mean")
    assert not tf.config.experimental.tensor_float_32_execution_enabled()


def test_a_batch_is_filled_up_to_a_power_of_two_or_to_the_largest() -> None:
    ones = np.ones((100, 2, 2, 3), np.uint8)
    sizes = [len(filled_up(ones[:count], 48)) for count in (1, 2, 3, 4, 5, 17, 33, 48)]
    assert sizes == [1, 2, 4, 4, 8, 32, 48, 48]
    filled = filled_up(ones[:3], 48)
    assert filled[:3].all()
    assert not filled[3:].any()
