"""What makes a command line start faster: no garbage is collected meanwhile, and numpy's threads do not spin.

To collect garbage would take a third of the import time and free nothing.

Importing qdrant_client makes 100,000 objects that live to the end of the process, and Python looks through them 230
times meanwhile, and once more when it ends. So a command line calls `begun` first, every way to an index in
`recq.index.connect` calls `over` (what there is by then is never looked through again), and `leaving` is for the end.
In a program that has not called `begun`, a notebook for example, `over` does nothing.

OpenBLAS keeps a thread for each core and lets them spin when they are made, and after every product of matrices, for
2^28 ticks of the clock: 0.1 s of each core but one, with which a daemon could embed pictures. Put to sleep after some
microseconds they multiply as fast.
"""

from __future__ import annotations

import gc
import os

_MOST = 500_000
"""New objects after which garbage is collected all the same: more than imports make, and some hundred megabytes, where
a command goes on for long without an index."""


_SPINS = "OPENBLAS_THREAD_TIMEOUT"
"""OpenBLAS' name for how long its threads spin, as the power of two of ticks; it is read when numpy is imported."""

_SHORTEST = "14"
"""Some 6 microseconds. From 4, the least that it takes, to 18 products of 100 to 2,000 vectors take the same time."""


class _Starting:
    """Whether this process is a command line that starts."""

    under_way = False
    usual = gc.get_threshold()


def begun() -> None:
    """This process is a command line, and starts now. numpy is not imported yet."""
    if _SPINS not in os.environ:
        os.putenv(_SPINS, _SHORTEST)  # for this process alone: programs that it runs are given what os.environ has
    _Starting.under_way, _Starting.usual = True, gc.get_threshold()
    gc.set_threshold(_MOST, *_Starting.usual[1:])


def over() -> None:
    """What is slow to import has been imported: from here on garbage is collected as always."""
    if _Starting.under_way:
        _Starting.under_way = False
        gc.freeze()
        gc.set_threshold(*_Starting.usual)


def leaving() -> None:
    """The command is done, and everything is closed: remaining objects end with the process and are not collected.

    The interpreter ends as always: threads are waited for, exit handlers run, output is flushed.
    """
    gc.disable()
    gc.freeze()
