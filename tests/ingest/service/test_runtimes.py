"""`--runtime` from the command line to the stored vectors, and what the daemon says of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recq.models import open_embedder
from recq.search.prepare import Preparer
from recq.search.target import ContentTarget
from recq.settings import Settings
from tests.ingest.pictures import put
from tests.ingest.running import NETWORK, Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "shop", tmp_path / "data", model=NETWORK)


@pytest.mark.long  # starts Keras twice; tests/recq/models/ compares the runtimes
@pytest.mark.keras
def test_an_index_made_with_keras_is_asked_with_openvino_and_back(place: Place) -> None:
    """Starts Keras twice, in the daemon and here."""
    pictures = [put(place.root / f"{number}.jpg", number) for number in range(3)]
    done = place.once("--runtime", "keras", "--precision", "f32", "--size", "96")
    assert done.returncode == 0, done.stderr
    assert " runtime=keras device=CPU " in done.stderr
    stored = place.vectors()
    with place.catalog() as catalog:
        space = catalog.space
    assert space.precision == "f32"
    for runtime in ("openvino", "keras"):
        settings = Settings().model_copy(update={"runtime": runtime})
        with Preparer(space, settings) as preparer:
            for picture in pictures:
                found = preparer.prepare(ContentTarget(picture.read_bytes()), "").example
                assert isinstance(found, np.ndarray)
                assert float(found @ stored[picture.name]) > 0.9999
        with open_embedder(space, settings) as embedder:
            assert embedder.runtime == runtime


def test_the_daemon_names_its_runtime_and_another_one_is_refused(place: Place) -> None:
    put(place.root / "a.jpg", 1)
    with place.daemon() as daemon:
        started = daemon.ready().said("started")
        assert (started["runtime"], started["device"]) == ("openvino", "CPU")
        status = place.status()
        assert (status["runtime"], status["device"]) == ("openvino", "CPU")
        assert ", openvino on CPU\n" in place.command("status").stdout
        other = place.command("run", str(place.root), "--runtime", "keras")
        assert other.returncode == 2
        assert "has runtime = auto for all its sources, and this command asks for keras" in other.stderr
    status = place.status()
    assert (status["runtime"], status["device"]) == (None, None)
