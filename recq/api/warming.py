"""Loads the network of a service's catalog before the first question about a picture, when there is time for it."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress

from recq.api.service import Served, Service
from recq.errors import IndexUnreachable, RecqError, TargetError
from recq.search.target import ContentTarget

_log = logging.getLogger(__name__)


class Warming:
    """Keeps the catalog that the settings of `service` name ready for pictures. `rested` says when there is time."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._wanted = self._ready_for = ""
        """The fingerprints of the catalog's space, and of that whose network is loaded, or cannot be had."""
        self._thread = threading.Thread()

    def rested(self, space: str) -> None:
        """Load the network of the catalog, whose space has that fingerprint, in a thread of its own, if it is not yet.

        Called by one thread.
        """
        self._wanted = space
        if space != self._ready_for and not self._thread.is_alive():
            self._thread = threading.Thread(target=self._warm, name="warm", daemon=True)
            self._thread.start()

    def has_ended(self, within: float) -> bool:
        """Whether nothing is being loaded, after so many seconds at the most."""
        if self._thread.ident is not None:
            self._thread.join(within)
        return not self._thread.is_alive()

    def _warm(self) -> None:
        """Until it is ready for what is wanted by then, or nothing can be loaded now."""
        while (space := self._wanted) != self._ready_for and not self._service.ending.is_set() and self._warmed():
            self._ready_for = space

    def _warmed(self) -> bool:
        """Whether there is nothing left to be loaded; else it is tried when the daemon rests again."""
        try:
            return self._service.ask(None, _asked_with_a_picture)
        except IndexUnreachable:
            return False
        except RecqError:
            return True  # what is missing here is the matter of whoever asks
        except Exception as error:
            if not self._service.ending.is_set():  # the decoding processes are gone by then
                _log.warning("the network could not be loaded ahead of a question: %s", error)
            return True


def _asked_with_a_picture(served: Served) -> bool:
    """Whether a picture was decoded and embedded as those of questions are; not for a catalog that has no items."""
    import numpy as np

    from recq.images.pixels import jpeg_of

    with served.session.opened() as catalog:
        if not catalog.items.count():
            return False
        preparer = served.session.preparer(catalog)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    with suppress(TargetError):  # a network may see nothing in it
        preparer.prepare(ContentTarget(jpeg_of(noise)), "")
    return True
