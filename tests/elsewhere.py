"""Another system, as recq's own modules see it: what typeshed says is not there is not there for them.

Everything else, the standard library and other packages, keeps what Linux has: it has ports of its own. So a test sees
what recq itself takes for granted, and not what only the other system does (how it passes sockets, locks files, counts
blocks).
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

SYSTEMS = ("win32", "darwin")
OURS = {"recq", "ingest", "query"}
EXTRAS = {"keras", "tensorflow", "scipy", "pillow_heif", "pyarrow", "sklearn", "matplotlib", "ray", "textual_image"}
"""What only an extra installs: it is not there either, so that nothing depends on what is installed here."""


@cache
def gone(module: str, system: str) -> frozenset[str]:
    """The names of a module of the standard library that this Python has on Linux and not on `system`."""
    return _names(module, "linux") - _names(module, system)


@cache
def is_gone(module: str, system: str) -> bool:
    """Whether `system` has nothing of a module that Linux has."""
    return bool(gone(module, system)) and not _names(module, system)


def _names(module: str, system: str) -> frozenset[str]:
    stub = _stub(module)
    if stub is None:
        return frozenset()
    tree = ast.parse(stub.read_text("utf-8"))
    given = {"sys": SimpleNamespace(platform=system, version_info=sys.version_info)}
    return frozenset(_defined(tree.body, given))


@cache
def _stubs() -> Path:
    found = importlib.util.find_spec("mypy")
    assert found is not None, "mypy brings the stubs of the standard library"
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0], "typeshed", "stdlib")


def _stub(module: str) -> Path | None:
    place = _stubs().joinpath(*module.split("."))
    return next((each for each in (place.with_suffix(".pyi"), place / "__init__.pyi") if each.is_file()), None)


def _defined(body: list[ast.stmt], given: dict[str, Any]) -> Iterator[str]:
    for each in body:
        match each:
            case ast.If():
                yield from _defined(each.body if _holds(each.test, given) else each.orelse, given)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.Assign():
                yield from (target.id for target in each.targets if isinstance(target, ast.Name))
            case ast.ImportFrom():
                yield from (name.asname for name in each.names if name.asname is not None)  # else it is the stub's own


def _holds(test: ast.expr, given: dict[str, Any]) -> bool:
    try:
        return bool(eval(compile(ast.Expression(test), "stub", "eval"), given))
    except NameError:  # TYPE_CHECKING
        return True


class _View(ModuleType):
    """A module without what is gone, with what is other."""

    def __init__(self, real: ModuleType, system: str, other: dict[str, Any]) -> None:
        super().__init__(real.__name__)
        self.__dict__.update({"_real": real, "_gone": gone(real.__name__, system), "_other": other})

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__["_other"]:
            return self.__dict__["_other"][name]
        if name in self.__dict__["_gone"]:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(self.__dict__["_real"], name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.__dict__["_real"], name, value)


def _library(name: str | None, *_: object) -> object:
    """`ctypes.CDLL`: only glibc has what recq asks for, and Windows has no library without a name."""
    raise (TypeError if name is None else OSError)


def pretend(system: str) -> None:
    """From now on recq's modules are on `system`."""
    really, views = builtins.__import__, dict[str, ModuleType]()
    other: dict[str, dict[str, Any]] = {
        "ctypes": {"CDLL": _library},
        "os": {"name": "nt" if system == "win32" else "posix"},
        "sys": {"platform": system},
    }

    def imported(  # as `__import__`
        name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
    ) -> ModuleType:
        whose = (globals or {}).get("__package__") or (globals or {}).get("__name__") or ""
        if level or whose.partition(".")[0] not in OURS:
            return really(name, globals, locals, fromlist, level)
        top = name.partition(".")[0]
        if top in EXTRAS or is_gone(name, system):
            raise ModuleNotFoundError(f"No module named {top!r}", name=top)
        found = really(name, globals, locals, fromlist, level)
        if not gone(found.__name__, system) and found.__name__ not in other:
            return found
        if found.__name__ not in views:
            views[found.__name__] = _View(found, system, other.get(found.__name__, {}))
        return views[found.__name__]

    builtins.__import__ = imported
