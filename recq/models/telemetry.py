"""Import OpenVINO without its telemetry and without its converter.

`import openvino` imports its model converter, which sends an event over the network and writes a client id into the
home folder unless the user has opted out. recq opts out for its own process: the converter (0.2 s of the import) is
loaded only when something asks for it, and then with OpenVINO's own stand-in for the telemetry package.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from types import ModuleType
from typing import Any

_lock = Lock()


def openvino() -> ModuleType:
    """The `openvino` package; `openvino.convert_model` still works and is loaded on first use.

    An `openvino` that was imported before is returned as it is.
    """
    with _lock:
        if "openvino" in sys.modules:
            return importlib.import_module("openvino")
        with _absent("openvino.tools.ovc"):
            package = importlib.import_module("openvino")
        if not hasattr(package, "convert_model"):
            package.__getattr__ = _converter  # type: ignore[method-assign]
        return package


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
