"""Extension points ("doors") for other packages: entry points by group and name. recq's own parts use the same doors.

A door has a group (`recq.metadata_sources`, `recq.output_formats`). recq's own entries are a table of entry points, so
that using one of them needs no search: the installed packages are searched only for a list of all entries, or for a
name that is not recq's own. docs/plugins.md explains how to write a plug-in.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from recq.errors import PluginError
from recq.paths import shortened

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_LONGEST_WORDS = 500  # characters of an error's message


class Door:
    """The entry points of a group: recq's own, `own` (name -> `module:object`), and those of installed packages."""

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
        """The entries of other packages, by name; without recq's own names. Reads the packages' metadata once."""
        found = sorted(_installed(self.group), key=lambda each: (each.name, each.value))
        return {each.name: each for each in reversed(found) if not self.has_own(each.name)}

    def names(self) -> list[str]:
        """All names: recq's own in their order, then the others, alphabetically."""
        return [*self._own, *sorted(self.installed())]

    def load(self, entry: EntryPoint) -> Any:
        """The object of an entry. Raises PluginError where its module cannot be imported or does not have it."""
        try:
            return entry.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # as in `fault`
            raise PluginError(f"{self.called(entry)} cannot be loaded: {fault(error)}") from error

    def called(self, entry: EntryPoint) -> str:
        """The entry in messages, with its package."""
        package = f" (package {entry.dist.name} {entry.dist.version})" if entry.dist is not None else ""
        return f"plug-in '{entry.name}' of {self.group}{package}"


def fault(error: BaseException) -> str:
    """An exception as one line of bounded length; without a message where `str` of it raises.

    Plug-ins also raise what is not an Exception: the panic of a Rust library (pyo3), a cancelled task, `sys.exit`.
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
