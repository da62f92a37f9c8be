"""The base class of all user-facing errors, and the exit codes for scripts."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes that scripts can rely on."""

    OK = 0
    FAILED = 1
    """The operation failed, or `verify` found damage."""
    USAGE = 2
    LOCKED = 3
    """Another engine or command holds the session."""
    REFUSED = 4
    """The session must not be touched: written by a newer version, or made for another purpose."""
    HUNG_UP = 129
    INTERRUPTED = 130
    """Ended by Ctrl-C (128 + signal number, as for every signal); run the job again to resume it."""
    READER_GONE = 141
    """The reader of the output closed the pipe; the code a shell reports for SIGPIPE."""
    TERMINATED = 143


class StationError(Exception):
    """An operation failed; the message says what, where and what to do now.

    Any other exception type is a bug in the station and keeps its traceback.
    """

    exit_code: ExitCode = ExitCode.FAILED
    """Exit code of a command that ends with this error."""

    def __init__(self, *lines: str, remedy: str = "", exit_code: ExitCode | None = None) -> None:
        """`lines` of the message. `remedy`: a sentence that says what to do now, unless they already do."""
        *first, last = lines or ("",)
        self.lines = (*first, f"{last} {remedy}".strip())
        super().__init__("\n".join(self.lines))
        if exit_code is not None:
            self.exit_code = exit_code


class UsageError(StationError):
    """The arguments are inconsistent or name something that does not exist."""

    exit_code = ExitCode.USAGE
