"""The one form of an error, and the table from recq's errors to HTTP.

    {"code": "filter", "exit_code": 2, "message": "filter 'prize<=50' names no field: did you mean 'price'?"}

`message` is the line that the command line prints, `exit_code` the one that it ends with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recq import errors
from recq.errors import RecqError


@dataclass(frozen=True)
class Kind:
    """What a client learns of an error besides its message: `code` is for programs, `status` is HTTP's."""

    status: int
    code: str


UNEXPECTED = Kind(500, "unexpected")

KINDS: Mapping[type[RecqError], Kind] = {
    errors.UsageError: Kind(400, "usage"),
    errors.FilterError: Kind(400, "filter"),
    errors.TargetError: Kind(422, "target"),
    errors.TargetNotFound: Kind(404, "not-found"),
    errors.AmbiguousTarget: Kind(409, "ambiguous"),
    errors.CursorGone: Kind(410, "gone"),
    errors.ImageError: Kind(422, "target"),
    errors.IndexError_: Kind(503, "index-unavailable"),
    errors.RequestRefused: Kind(400, "refused"),
    errors.IndexPending: Kind(503, "index-pending"),
    errors.SpaceError: Kind(409, "space"),
    errors.ModelUnavailable: Kind(501, "model-unavailable"),
}
"""An error has the kind of the nearest class above it."""

UNAUTHORISED = Kind(401, "unauthorised")
FORBIDDEN = Kind(403, "forbidden")
NO_ROUTE = Kind(404, "no-route")
NO_METHOD = Kind(405, "no-method")
TOO_LARGE = Kind(413, "too-large")
TOO_MANY = Kind(429, "too-many")
BUSY = Kind(503, "busy")
OF_HTTP = (UNAUTHORISED, FORBIDDEN, NO_ROUTE, NO_METHOD, TOO_LARGE, TOO_MANY, BUSY)
"""Kinds that the command line has no counterpart of: their `exit_code` is null."""


class Busy(Exception):
    """There is no place left for this question now."""


class Forbidden(Exception):
    """The token does not allow this."""


def kind_of(error: RecqError) -> Kind:
    """The kind of an error."""
    return next((KINDS[each] for each in type(error).__mro__ if each in KINDS), UNEXPECTED)


def document_of(error: RecqError) -> dict[str, Any]:
    """The body of the answer for an error."""
    return document(kind_of(error), str(error), error.exit_code)


def document(kind: Kind, message: str, exit_code: int | None = None) -> dict[str, Any]:
    """The body of the answer for a refusal."""
    return {"code": kind.code, "exit_code": exit_code, "message": message}
