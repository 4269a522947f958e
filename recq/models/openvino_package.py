"""Import OpenVINO without its telemetry, without its converter, and without AMX.

`import openvino` imports its model converter, which sends an event over the network and writes a client id into the
home folder unless the user has opted out. recq opts out for its own process: the converter (0.2 s of the import) is
loaded only when something asks for it, and then with OpenVINO's own stand-in for the telemetry package.

Where a processor has matrix tiles (AMX) OpenVINO computes 8-bit networks with them. recq's two are made of narrow
convolutions, which that slows: alone they run at 1.2 (EfficientNet-Lite2) and 1.5 times (MobileNetV2) the speed without
(`benchmarks/amx.py`), and the vectors are the same. Networks in floats do not use them.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

_lock = Lock()

_WIDEST = "ONEDNN_MAX_CPU_ISA"
"""oneDNN's name for the widest instructions that it may use (its developer guide, "CPU dispatcher control")."""

_NAMES = (_WIDEST, "DNNL_MAX_CPU_ISA")
"""The same setting by the name that it had before, which oneDNN still reads where the first is not there."""

_BUT_AMX = "AVX512_CORE_FP16"
"""The last step of that list before AMX."""

_CPU = Path("/proc/cpuinfo")


def openvino() -> ModuleType:
    """The `openvino` package; `openvino.convert_model` still works and is loaded on first use.

    Of an `openvino` that was imported before nothing is changed but its instructions, if it has not compiled yet.
    Nor are those where the environment names them, or the processor has no AMX.
    """
    with _lock:
        package = _imported()
        _do_without_amx(package)
        return package


def _imported() -> ModuleType:
    if "openvino" in sys.modules:
        return importlib.import_module("openvino")
    with _absent("openvino.tools.ovc"):
        package = importlib.import_module("openvino")
    if not hasattr(package, "convert_model"):
        package.__getattr__ = _converter  # type: ignore[method-assign]
    return package


@cache
def _do_without_amx(package: ModuleType) -> None:
    """Let OpenVINO read its limit, as it does once in a process; then neither this process nor its children keep the
    variable, which TensorFlow obeys too.

    `os.environ` stays as it is meanwhile: other threads read it, and start processes with what it has.
    """
    if any(name in os.environ for name in _NAMES) or not _has_amx():
        return
    os.putenv(_WIDEST, _BUT_AMX)
    try:
        with suppress(RuntimeError):  # no plugin for processors: compiling will say so
            package.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    finally:
        os.unsetenv(_WIDEST)


def _has_amx() -> bool:
    """Whether the processor has matrix tiles, as far as Linux tells: one without may have instructions that are no
    part of the limit (AVX2_VNNI_2)."""
    try:
        return re.search(r"^flags\b.*\bamx_tile\b", _CPU.read_text("ascii", "replace"), re.MULTILINE) is not None
    except OSError:
        return False


def _converter(name: str) -> Any:
    """What `openvino` itself would have imported at once."""
    if name != "convert_model":
        raise AttributeError(f"module 'openvino' has no attribute {name!r}")
    with _absent("openvino_telemetry"):
        return importlib.import_module("openvino.tools.ovc").convert_model


@contextmanager
def _absent(module: str) -> Iterator[None]:
    """Let imports of `module` fail with ImportError; OpenVINO is written to do without it."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if sys.modules.get(module) is None:
            sys.modules.pop(module, None)
