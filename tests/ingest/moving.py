"""A daemon that moves its catalog, and is held or killed on the way: what it meets is patched into its process."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from recq.index.candidates import Candidate
from recq.models import describe_space
from recq.models.heads import Classifier, Joined
from recq.settings import Settings
from tests import forked
from tests.ingest.running import STARTS_WITHIN, Place, environment

BASE = "pixels:8"  # a network that costs nothing
SPACE = describe_space(BASE, Settings())
CLASSES = ("bag", "hat", "shoe")
NAME = "by-category"
PICTURES = 24


def candidate(name: str = NAME, label: str = "category") -> Candidate:
    """A trained space of three classes, which no training made."""
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(3, SPACE.dim)).astype(np.float32)
    classifier = Classifier(CLASSES, weights, np.zeros(3, np.float32))
    turned = np.linalg.qr(rng.normal(size=(SPACE.dim + 3, 16)))[0].astype(np.float32)
    levels = np.linspace(-1, 1, 101).tolist()
    calibration = {
        "scale": [1.0] * 3, "offset": [0.0] * 3, "least": 0.3, "nearness": levels, "trained": levels,
    }  # fmt: skip
    head = Joined(classifier, 0.6, turned)
    return Candidate(name, label, head, classifier, SPACE.fingerprint, "now", calibration=calibration)


HELD = """
import os, signal
from pathlib import Path
from recq.index.catalog import Catalog
from recq.index.writes import Writes
held = Path({held!r})
Catalog.is_being_indexed = lambda self: held.exists()
{more}
from ingest.cli.main import main
main()
"""
KILLING = """
before = {owner}.{method}
def killing(self, *arguments):
    {order}
{owner}.{method} = killing
"""
OF_NEW = "before(self, *arguments); self._space.dim == {dim} and os.kill(os.getpid(), signal.SIGKILL)"
AFTER = "before(self, *arguments); os.kill(os.getpid(), signal.SIGKILL)"
BEFORE = "os.kill(os.getpid(), signal.SIGKILL)"


@dataclass
class Held(Place):
    """A place whose daemon does not move the catalog while the file `held` is there; `more` is run in its process."""

    more: str = ""

    @property
    def held(self) -> Path:
        return self.data.with_suffix(".held")

    def _start(self, arguments: Sequence[str], env: Mapping[str, str], output: int) -> forked.Running:
        script = HELD.format(held=str(self.held), more=self.more)
        return forked.start("-c", [script, *arguments], env, output, output)

    def asked(self, *arguments: str) -> Command:
        """A command that goes on meanwhile."""
        return Command([*arguments, *self.reached])


class Command:
    """A command beside everything else."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._output = TemporaryFile()  # noqa: SIM115 - closed with the object
        output = self._output.fileno()
        self.process = forked.start("ingest.cli", arguments, environment(), output, output)

    def ended(self) -> tuple[int, str]:
        """Its exit code, and what it has written."""
        return self.process.wait(STARTS_WITHIN), self.told()

    def told(self) -> str:
        """What it has written so far."""
        output = self._output.fileno()
        return os.pread(output, os.fstat(output).st_size, 0).decode()  # where it goes on writing stays


def stage(place: Place) -> str | None:
    """How far the move is that the daemon carries out; None where it carries out none."""
    rebuilding = place.status()["rebuilding"]
    return None if rebuilding is None else rebuilding["stage"]
