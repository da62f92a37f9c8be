"""The base of every error that a person is meant to read, and the exit codes that a script can rely on."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a script can rely on."""

    OK = 0
    FAILED = 1
    """The operation failed, or `verify` found damage."""
    USAGE = 2
    LOCKED = 3
    """Another engine or command holds the session."""
    REFUSED = 4
    """The session may not be touched: written by a newer version, or made for something else."""
    HUNG_UP = 129
    INTERRUPTED = 130
    """Ended by Ctrl-C. As for every signal: 128 and its number, and the job goes on when it is started again."""
    READER_GONE = 141
    """Whoever read the output has closed the pipe; what a shell reports of a program that SIGPIPE ended."""
    TERMINATED = 143


class StationError(Exception):
    """Something cannot be done; the text says what, where and what to do now.

    An error that is not one of these is a defect of the station and keeps its traceback.
    """

    exit_code: ExitCode = ExitCode.FAILED
    """What a command that ends with this error leaves to the script that called it."""

    def __init__(self, message: str = "", *, remedy: str = "", exit_code: ExitCode | None = None) -> None:
        """`remedy` is the sentence that says what to do now, where `message` does not say it already."""
        super().__init__(f"{message} {remedy}".strip())
        if exit_code is not None:
            self.exit_code = exit_code


class UsageError(StationError):
    """The arguments do not fit together or name nothing that exists."""

    exit_code = ExitCode.USAGE
