"""The tree of errors and the exit code of each.

A message is one line for the person at the terminal: what went wrong, with which file or option, and what to do next.

    RecqError                    1  anything not named below
    +-- UsageError               2  an option, a setting or a path on the command line cannot be used
    |   +-- FilterError          2  a filter that cannot be read, or names an unknown field
    |   +-- MetadataError        2  a metadata.csv or sidecar that cannot be read, with the line to change
    |   +-- PluginError          2  a plug-in that cannot be loaded, or does not do what its door asks for
    +-- TargetError              3
    |   +-- TargetNotFound       3  nothing in the index and no file has that name
    |   +-- AmbiguousTarget      3  several things have that name; the message lists them
    |   +-- CursorGone           3  some of the changes since a cursor are not known any more
    |   +-- ItemsFailed          3  items could not be embedded; `recq-ingest failed` lists them
    |   +-- BackupDamaged        3  a file of a backup is missing, or has other bytes than were written
    +-- ImageError               3  one image cannot become an array; carries a reason from `Reason`
    +-- IndexError_              4
    |   +-- IndexUnreachable     4  no answer within `connect_timeout`
    |   |   +-- IndexFailing     4  an answer, but that something went wrong inside (5xx)
    |   +-- IndexRefused         4  wrong API key, or a server that cannot do what recq needs
    |   |   +-- RequestRefused   4  this one request is refused: something in it cannot be stored or understood
    |   +-- IndexBusy            4  another process owns the embedded data folder
    |   +-- IndexPending         4  the payload index that a question needs is still being made
    +-- SpaceError               5
        +-- SpaceMismatch        5  the collection was made in another embedding space
        +-- ModelUnavailable     5  unknown model, missing weights, or an extra that is not installed
        +-- DimensionTooLarge    5  more than 65,536 numbers per image
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why an item could not be embedded: the closed list that `error.reason` takes its values from."""

    EMPTY = "empty"  # zero bytes
    NOT_AN_IMAGE = "not-an-image"  # an image's extension, but no allowed format's content
    TRUNCATED = "truncated"  # the format is right, the end is missing: usually an upload in progress
    CORRUPT = "corrupt"  # the decoder refused the content
    UNSUPPORTED = "unsupported"  # the content is valid, but of a kind that recq cannot read
    TOO_LARGE = "too-large"  # more bytes or pixels than the settings allow
    TIMEOUT = "timeout"  # decoding took longer than `decode_timeout`
    CRASHED = "crashed"  # the decoding process died
    OUT_OF_MEMORY = "out-of-memory"  # decoding needed more than `decode_memory`
    PERMISSION = "permission"  # the file may not be read
    IO_ERROR = "io-error"  # reading failed for another reason; retried with back-off
    NO_SIGNAL = "no-signal"  # the network's output is not finite, or all zeros
    INFERENCE = "inference"  # the network raised an error; retried with back-off
    REFUSED = "refused"  # the index does not store the item, even without its metadata; retried with back-off


class RecqError(Exception):
    """The root of the tree. Raised itself only for an error that no other class describes."""

    exit_code = 1


class UsageError(RecqError):
    """An option, a setting or a path on the command line cannot be used."""

    exit_code = 2


class FilterError(UsageError):
    """A filter that cannot be read, or that names an unknown or unindexed field."""


class MetadataError(UsageError):
    """A `metadata.csv` or sidecar that cannot be used; the message names file, line and column."""


class PluginError(UsageError):
    """A plug-in that cannot be loaded, or does not do what its door asks for; the message names it."""


class TargetError(RecqError):
    """The target of a question cannot be used."""

    exit_code = 3


class TargetNotFound(TargetError):
    """No item of the index and no file has that name."""


class AmbiguousTarget(TargetError):
    """Several items or files have that name; the message lists them."""


class CursorGone(TargetError):
    """Some of the changes since a cursor are not known any more: whoever has it has to begin anew."""


class ItemsFailed(TargetError):
    """Items could not be embedded."""


class BackupDamaged(TargetError):
    """A file of a backup is missing or has other bytes than were written; the message names it."""


class ImageError(RecqError):
    """One image cannot become an array.

    `reason` is from the closed list `Reason`; `detail` is the decoder's message, in one line.
    """

    exit_code = 3

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = " ".join(detail.split())

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else str(self.reason)


class IndexError_(RecqError):  # noqa: N801 - the builtin has the name
    """The index cannot be used now."""

    exit_code = 4


class IndexUnreachable(IndexError_):
    """No answer within `connect_timeout`, or the connection broke."""


class IndexFailing(IndexUnreachable):
    """The server reports an internal error.

    If it does so for every request, it is as good as unreachable; if for one request only, that request is the cause.
    """


class IndexRefused(IndexError_):
    """The server answers, but refuses: a wrong API key, or a version that lacks what recq needs."""


class RequestRefused(IndexRefused):
    """The server refuses this request because of its content; it accepts others."""


class IndexBusy(IndexError_):
    """Another process owns the embedded data folder; the message names its pid and the folder."""


class IndexPending(IndexError_):
    """The payload index of a field is still being built; the message has the number of waiting fields and the time."""


class SpaceError(RecqError):
    """Vectors that must not be compared, or that cannot be computed."""

    exit_code = 5


class SpaceMismatch(SpaceError):
    """The collection was made in another embedding space; the message names both."""


class ModelUnavailable(SpaceError):
    """Unknown model, missing weights, or an extra that is not installed; the message says what to do."""


class DimensionTooLarge(SpaceError):
    """More than 65,536 numbers per image, which no server stores. The message names poolings that fit."""
