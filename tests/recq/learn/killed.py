"""Trainings as processes of their own: one that is killed, one that goes on with it, one that nothing disturbs.

    python -m tests.recq.learn.killed KILLED WHOLE CACHE

KILLED and WHOLE are data folders. A fourth learns lists. Prints a line of JSON for each that ends. TensorFlow, whose
import takes as long as all of them, is imported once, and forked before it has calculated anything.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from recq.learn.checkpoint import Checkpoint
from recq.learn.finetune import FinetuneOptions, finetune
from recq.learn.finetuning_result import Finetuning
from recq.models import export
from recq.models.keras_build import keras_package
from recq.search.session import Session
from recq.settings import Settings

PRELOADED = ("sklearn.model_selection", "recq.index.edge.client", "recq.models.embedder", "recq.models.keras_finetune")
OPTIONS = FinetuneOptions(epochs=2, start="scratch", size=32, resize="stretch", unseen=1)
LISTS = replace(OPTIONS, epochs=1, seeds=2, unseen=0, fit_all=False, curve=True)
DIES_AT = 4
"""Two epochs and the answers of the holdout, one epoch without some classes."""


def trained(data: str, cache: str, label: str = "category", options: FinetuneOptions = OPTIONS) -> Finetuning:
    with Session(Settings(data_dir=Path(data), cache_dir=Path(cache), workers=1)) as session:
        return finetune(session, label, options)


def killed(data: str, cache: str) -> None:
    """Train until the state number `DIES_AT` is stored."""
    write, states = Checkpoint.write, itertools.count(1)

    def write_and_die(self: Checkpoint, *args: Any) -> None:
        write(self, *args)
        if next(states) == DIES_AT:
            os.kill(os.getpid(), signal.SIGKILL)

    Checkpoint.write = write_and_die  # type: ignore[method-assign, assignment]
    trained(data, cache)


def of_lists(data: str, cache: str) -> None:
    print(json.dumps(trained(data, cache, "tags", LISTS).to_json()), flush=True)


def told(data: str, cache: str) -> None:
    tuning = trained(data, cache)
    exact = [asdict(each) for each in tuning.trainings]  # of the document the digits are rounded
    print(json.dumps({**tuning.to_json(), "exact": exact, "file": str(tuning.file)}), flush=True)


def forked(function: Callable[[str, str], None], data: str, cache: str) -> int:
    """The exit code of a process that does it; of one that was killed, less than 0."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        function(data, cache)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    keras_package()
    for name in PRELOADED:
        importlib.import_module(name)
    export._export = export.export  # in the training process itself: no third import
    first, second, cache = sys.argv[1:]
    codes = [forked(killed, first, cache)]
    if list(Path(first).glob("trained/*/*.keras")) or not list(Path(first).glob("trained/*/checkpoint.npz")):
        sys.exit("a state, and no network yet")
    codes += [forked(told, first, cache), forked(told, second, cache), forked(of_lists, second, cache)]
    sys.exit(0 if codes == [-signal.SIGKILL, 0, 0, 0] else f"ended with {codes}")
