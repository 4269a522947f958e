"""recq: image similarity as a service, for programs and notebooks.

    import recq

    with recq.open("images") as catalog:
        answer = catalog.similar("sofa_226.jpg", k=5, filters=["category=sofa", "price<=500"])

docs/python.md lists what is public. Everything is loaded on first use: importing recq costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from recq.version import VERSION

if TYPE_CHECKING:
    import recq.errors as errors
    from recq.errors import RecqError
    from recq.face.catalog import ImageCatalog
    from recq.face.opening import catalogs, import_catalog
    from recq.face.opening import open_catalog as open
    from recq.face.targets import Part
    from recq.search.many import FailedTarget
    from recq.settings import Settings

__version__ = VERSION

__all__ = [
    "FailedTarget",
    "ImageCatalog",
    "Part",
    "RecqError",
    "Settings",
    "__version__",
    "catalogs",
    "errors",
    "import_catalog",
    "open",
]

_HOMES = {
    "FailedTarget": ("recq.search.many", "FailedTarget"),
    "ImageCatalog": ("recq.face.catalog", "ImageCatalog"),
    "Part": ("recq.face.targets", "Part"),
    "RecqError": ("recq.errors", "RecqError"),
    "Settings": ("recq.settings", "Settings"),
    "catalogs": ("recq.face.opening", "catalogs"),
    "errors": ("recq.errors", None),
    "import_catalog": ("recq.face.opening", "import_catalog"),
    "open": ("recq.face.opening", "open_catalog"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    home = import_module(module)
    return home if attribute is None else getattr(home, attribute)


def __dir__() -> list[str]:
    return __all__
