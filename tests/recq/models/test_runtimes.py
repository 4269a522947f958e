"""Which runtime a space gets, decided without importing one."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import recq.models.backend
import recq.models.gpu
import recq.models.runtimes
from recq.errors import ModelUnavailable
from recq.models import ModelOptions, describe_space, require_runtime
from recq.models.gpu import may_have_gpu
from recq.models.runtimes import RuntimeName, choose_runtime
from recq.settings import RuntimeChoice, Settings
from recq.space import Precision


@pytest.mark.parametrize(
    ("precision", "asked", "one_shot", "gpu", "chosen"),
    [
        ("f32", "auto", False, False, "openvino"),
        ("f32", "auto", False, True, "keras"),
        ("f32", "auto", True, True, "openvino"),  # a single picture does not wait for Keras' import
        ("f32", "openvino", False, True, "openvino"),
        ("f32", "keras", True, False, "keras"),
        ("int8", "auto", False, True, "openvino"),
        ("int8", "openvino", True, False, "openvino"),
        ("f16", "auto", True, False, "keras"),
        ("f16", "keras", False, True, "keras"),
        ("f32", "tensorflow", True, False, "keras"),
        ("f16", "tensorflow", False, True, "keras"),
    ],
)
def test_what_runs_a_space(
    precision: Precision,
    asked: RuntimeChoice,
    one_shot: bool,
    gpu: bool,
    chosen: RuntimeName,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recq.models.runtimes, "backend_name", lambda: "tensorflow")
    assert choose_runtime(precision, asked, one_shot=one_shot, gpu=lambda: gpu) == chosen


def test_nobody_looks_for_a_gpu_where_the_answer_is_known() -> None:
    def never() -> bool:
        raise AssertionError

    assert choose_runtime("int8", "auto", one_shot=False, gpu=never) == "openvino"
    assert choose_runtime("f32", "auto", one_shot=True, gpu=never) == "openvino"
    assert choose_runtime("f32", "openvino", one_shot=False, gpu=never) == "openvino"
    assert choose_runtime("f16", "auto", one_shot=False, gpu=never) == "keras"


def test_a_runtime_that_cannot_says_the_ways_out() -> None:
    with pytest.raises(ModelUnavailable) as caught:
        choose_runtime("int8", "keras", one_shot=False)
    assert str(caught.value) == (
        "vectors of precision int8 are made by OpenVINO alone, so --runtime keras cannot be used: leave it out, "
        "or use --precision f32 ('recq-ingest rebuild --precision f32' for a catalog that exists)"
    )
    with pytest.raises(ModelUnavailable, match="f16 are made by Keras alone, so --runtime openvino cannot be"):
        choose_runtime("f16", "openvino", one_shot=False)


def test_tensorflow_is_keras_where_it_runs_on_that_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recq.models.runtimes, "backend_name", lambda: "jax")
    assert choose_runtime("f32", "keras", one_shot=False) == "keras"
    with pytest.raises(ModelUnavailable) as caught:
        choose_runtime("f32", "tensorflow", one_shot=False)
    assert str(caught.value) == (
        "Keras is set to run on jax, so --runtime tensorflow cannot be used: set KERAS_BACKEND=tensorflow, or use "
        "--runtime keras"
    )
    monkeypatch.setattr(recq.models.runtimes, "backend_name", lambda: "tensorflow")
    with pytest.raises(ModelUnavailable, match="so --runtime tensorflow cannot be used: leave it out"):
        choose_runtime("int8", "tensorflow", one_shot=False)


@pytest.mark.parametrize(
    ("files", "visible", "possible"),
    [
        ([], None, False),
        (["nvidiactl", "nvidia-uvm", "dri"], None, False),
        (["nvidia0"], None, True),
        (["nvidia0"], "1", True),
        (["nvidia0"], "", False),
        (["nvidia0"], "-1", False),
        (["kfd"], None, True),
        (["dxg"], None, True),
    ],
)
def test_where_there_plainly_is_no_gpu(
    files: list[str], visible: str | None, possible: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recq.models.gpu, "find_spec", lambda _: object())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    for name in files:
        (tmp_path / name).touch()
    assert may_have_gpu(tmp_path) == possible


@pytest.mark.parametrize(("backend", "possible"), [("tensorflow", False), ("torch", True)])
def test_a_gpu_is_of_no_use_without_what_keras_runs_on(
    backend: str, possible: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nvidia0").touch()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(recq.models.gpu, "backend_name", lambda: backend)
    monkeypatch.setattr(recq.models.gpu, "find_spec", lambda name: None if name == "tensorflow" else object())
    assert may_have_gpu(tmp_path) == possible


def test_auto_imports_no_tensorflow_where_nothing_could_use_it() -> None:
    code = """
import sys
from recq.models.runtimes import choose_runtime
print(choose_runtime("f32", "auto", one_shot=False), {"keras", "tensorflow"} & set(sys.modules))
"""
    hidden = {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", code], env=hidden, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "openvino set()", done.stderr


def test_a_missing_extra_is_named_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.load(cache_dir=tmp_path)
    space = describe_space(ModelOptions("mobilenet_v2", precision="f32"), settings)
    monkeypatch.setattr(recq.models.backend, "find_spec", lambda name: None if name == "tensorflow" else object())
    require_runtime(space, settings)
    wanted = settings.model_copy(update={"runtime": "keras"})
    with pytest.raises(ModelUnavailable, match=r"^tensorflow is not installed: pip install 'recq\[keras\]'$"):
        require_runtime(space, wanted)
    with pytest.raises(ModelUnavailable, match="tensorflow is not installed"):
        require_runtime(replace(space, precision="f16"), settings)
    with pytest.raises(ModelUnavailable, match="made by OpenVINO alone"):
        require_runtime(replace(space, precision="int8"), wanted)
    require_runtime(describe_space("pixels:8", settings), wanted)  # raw pixels need no runtime
