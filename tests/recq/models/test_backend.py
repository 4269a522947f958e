"""What Keras runs on: chosen as Keras does, and whatever it is, the vectors are OpenVINO's and training goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import recq.models.backend
from recq.errors import ModelUnavailable
from recq.models.backend import backend_name, require_keras, require_tensorflow
from recq.models.openvino_runtime import OpenVINORuntime
from recq.models.weights import bundled
from recq.models.zoo import network_space
from tests.packs import ROOT
from tests.recq.models.photographs import SAMPLES, inputs


@pytest.mark.parametrize(
    ("chosen", "file", "expected"),
    [
        (None, None, "tensorflow"),
        (None, '{"backend": "jax"}', "jax"),
        (None, '{"floatx": "float32"}', "tensorflow"),
        (None, "[torn", "tensorflow"),
        (None, "[]", "tensorflow"),
        ("torch", '{"backend": "jax"}', "torch"),
        ("", '{"backend": "jax"}', "jax"),
    ],
)
def test_the_backend_is_the_one_that_keras_would_choose(
    chosen: str | None, file: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    if chosen is not None:
        monkeypatch.setenv("KERAS_BACKEND", chosen)
    if file is not None:
        (tmp_path / "keras.json").write_text(file)
    assert backend_name() == expected


def test_what_is_missing_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setattr(recq.models.backend, "find_spec", lambda name: object() if name == "keras" else None)
    with pytest.raises(ModelUnavailable, match=r"^jax, which Keras is set to run on, is not installed: install it, or"):
        require_keras()
    with pytest.raises(ModelUnavailable, match=r"^tensorflow is not installed: pip install 'recq\[keras\]'$"):
        require_tensorflow()


CODE = """
import sys
import numpy as np
from recq.models.keras_finetune import FineTuner
from recq.models.keras_residual import learn_residual
from recq.models.keras_runtime import KerasRuntime
from recq.models.weights import bundled

network, pixels = bundled("mobilenet_v2", 96), np.load(sys.argv[1])
for pooling in ("centre", "rmac"):
    np.save(f"{sys.argv[2]}/{pooling}.npy", KerasRuntime(network, pooling).infer(pixels))

rows, truth = np.arange(len(pixels)), np.eye(2, dtype=np.float32)[np.arange(len(pixels)) % 2]
def tuner():
    made = FineTuner(None, 96, np.ones(2, np.float32), several=False, seed=3)
    made.begin("whole")
    return made
one, other = tuner(), tuner()
first = list(one.epoch(0, pixels, truth, rows))
other.restore(one.arrays())
assert list(other.epoch(1, pixels, truth, rows)) == list(one.epoch(1, pixels, truth, rows)), "gone on with"
assert one.loss(pixels, truth, rows) > 0
vectors, scores = one.answers(pixels, rows)
one.calibrate(np.full(2, 0.5, np.float32), np.array([0.25, 0], np.float32))
calibrated = one.answers(pixels, rows)
assert np.array_equal(calibrated[0], vectors), "the embedding stays"
assert np.allclose(calibrated[1], scores * 0.5 + [0.25, 0], atol=1e-5)
assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
assert learn_residual(vectors, truth > 0, several=False, seed=0).gate != 0
"""


@pytest.mark.keras
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_on_another_backend_vectors_are_the_same_and_a_training_can_be_gone_on_with(
    backend: str, tmp_path: Path
) -> None:
    """Neither is installed for the tests: each is larger than all that is. It runs where somebody has one."""
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    network = bundled("mobilenet_v2", 96)
    pixels = inputs(SAMPLES[:6], network_space(network).input)
    np.save(tmp_path / "pixels.npy", pixels)
    words = [sys.executable, "-c", CODE, str(tmp_path / "pixels.npy"), str(tmp_path)]
    environment = os.environ | {"KERAS_BACKEND": backend, "KERAS_HOME": str(tmp_path)}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr[-1_000:]
    for pooling in ("centre", "rmac"):
        runtime = OpenVINORuntime(network, pooling)
        expected = np.concatenate([runtime.infer(each[np.newaxis]) for each in pixels])
        found = np.load(tmp_path / f"{pooling}.npy")
        lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
        assert ((found * expected).sum(axis=1) / lengths).min() > 0.999999
