"""Doors for what other packages add: entry points, by group and name; recq's own are behind the same doors.

A door has a group (`recq.metadata_sources`, `recq.output_formats`). What recq itself puts behind it is a table of the
same entry points, so that using one of these looks nothing up: the installed packages are only searched where a list
of all is wanted, or a name that is none of recq's own. docs/plugins.md is for those who write one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from recq.errors import PluginError
from recq.paths import shortened

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_LONGEST_WORDS = 500  # characters of what an error says of itself


class Door:
    """The entry points of a group: recq's own in `own` (name -> `module:object`), and those that packages bring."""

    def __init__(self, group: str, own: Mapping[str, str]) -> None:
        self.group = group
        self._own = dict(own)

    def has_own(self, name: str) -> bool:
        """Whether something of recq's own has that name. Imports nothing."""
        return name in self._own

    @cached_property
    def own(self) -> Mapping[str, EntryPoint]:
        """What recq itself puts behind the door, by name."""
        from importlib.metadata import EntryPoint  # 20 ms, which Tab and help do without

        return {name: EntryPoint(name, value, self.group) for name, value in self._own.items()}

    def installed(self) -> Mapping[str, EntryPoint]:
        """Those of other packages, by name; a name of recq's own stays recq's. Reads the packages' metadata once."""
        found = sorted(_installed(self.group), key=lambda each: (each.name, each.value))
        return {each.name: each for each in reversed(found) if not self.has_own(each.name)}

    def names(self) -> list[str]:
        """Every name: recq's own in their order, then the others, alphabetically."""
        return [*self._own, *sorted(self.installed())]

    def load(self, entry: EntryPoint) -> Any:
        """What is behind the door. Raises PluginError where its module cannot be imported, or lacks it."""
        try:
            return entry.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # as in `fault`
            raise PluginError(f"{self.called(entry)} cannot be loaded: {fault(error)}") from error

    def called(self, entry: EntryPoint) -> str:
        """What one is called in messages: with the package to blame."""
        package = f" (package {entry.dist.name} {entry.dist.version})" if entry.dist is not None else ""
        return f"plug-in '{entry.name}' of {self.group}{package}"


def fault(error: BaseException) -> str:
    """An exception as one line of bounded length; one that raises when it is asked for its words has none.

    Plug-ins raise what is no Exception, too: the panic of a library in Rust (pyo3), a cancelled task, `sys.exit`.
    """
    try:
        said = shortened(" ".join(str(error).split()), _LONGEST_WORDS)
    except Exception:
        said = ""
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


@cache
def _installed(group: str) -> tuple[EntryPoint, ...]:
    from importlib.metadata import entry_points

    return tuple(entry_points(group=group))
