"""From a name to vectors: the zoo of networks, their files, their runtimes, and the Embedder.

Everything is loaded on first use: importing this package imports neither OpenVINO nor Keras.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recq.models.embedder import Embedder, open_embedder
    from recq.models.options import ModelOptions
    from recq.models.runtimes import require_runtime
    from recq.models.zoo import DEFAULT_MODEL, describe_space, describe_variant

__all__ = [
    "DEFAULT_MODEL",
    "Embedder",
    "ModelOptions",
    "describe_space",
    "describe_variant",
    "open_embedder",
    "require_runtime",
]

_HOMES = {
    "DEFAULT_MODEL": "recq.models.zoo",
    "Embedder": "recq.models.embedder",
    "ModelOptions": "recq.models.options",
    "describe_space": "recq.models.zoo",
    "describe_variant": "recq.models.zoo",
    "open_embedder": "recq.models.embedder",
    "require_runtime": "recq.models.runtimes",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
