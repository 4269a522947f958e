"""Errors of the embedded engine, with the messages and status codes of a server.

Every other module of the package raises `Problem`; `routes` turns it into the answer
`{"status": {"error": message}, "time": seconds}` that a real server would have given.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Problem(Exception):
    """A request that is not carried out. `status` is the HTTP status code, `message` one line.

    It never leaves the package: callers of the engine get an HTTP answer, as from a server.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def wrong_input(message: str) -> Problem:
    """400: the request is understood, but cannot be carried out with this collection."""
    return Problem(400, f"Wrong input: {message}")


def bad_format(message: str) -> Problem:
    """400: the request cannot be read, or has fields that would be ignored."""
    return Problem(400, f"Format error in JSON body: {message}")


def bad_request(message: str) -> Problem:
    """400: there is nothing to do, or something that is needed is missing."""
    return Problem(400, f"Bad request: {message}")


def invalid_value(message: str) -> Problem:
    """422: a number of the request is outside its range."""
    return Problem(422, f"Validation error in JSON body: [{message}]")


def not_found(message: str) -> Problem:
    """404: the collection, alias or point does not exist."""
    return Problem(404, f"Not found: {message}")


def closed() -> Problem:
    """503: the engine was closed, usually because its process is about to end."""
    return Problem(503, "Service unavailable: the embedded index is closed")


def already_exists(collection: str) -> Problem:
    """409: a collection of that name exists."""
    return Problem(409, f"Wrong input: Collection `{collection}` already exists!")


def unsupported(what: str) -> Problem:
    """501: a real server can do it, the embedded engine cannot."""
    return Problem(501, f"Not implemented in the embedded engine: {what}. Use a Qdrant server (RECQ_URL) for it")


# Edge raises bare `Exception`; its messages are those of the server's core (checked with 0.9.0).
_ABSENT = ("No point with id", "Vector with name")
_REFUSED = (
    "Vector dimension error",
    "Not existing vector name error",
    "Wrong vector",
    "No appropriate index for faceting",
    "No range index for `order_by`",
    "Validation failed",
    "Bad request",
)


# After these Edge refuses writes until the shard is opened again, although the cause has passed (seen with 0.9.0 where
# no descriptor was left: while a segment of the journal was begun, and while files of an index were removed).
_STUCK = ("Not recovered from previous error", "Can't write WAL")


def needs_reopening(problem: Problem) -> bool:
    """Whether a shard that answered so will not write again by itself."""
    return problem.status == 500 and any(words in problem.message for words in _STUCK)


@contextmanager
def edge_errors() -> Iterator[None]:
    """Around calls into Edge: its bare exceptions become `Problem`s; an unknown one stays a 500."""
    try:
        yield
    except (Problem, NotImplementedError, MemoryError):
        raise
    except (ValueError, TypeError, OverflowError) as error:  # arguments that Edge could not convert
        raise wrong_input(_one_line(error)) from error
    except Exception as error:
        message = _one_line(error)
        if message.startswith(_ABSENT):
            raise not_found(message) from error
        if message.startswith(_REFUSED):
            raise wrong_input(message) from error
        raise Problem(500, f"Service internal error: {message}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
