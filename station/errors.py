"""How a command ends because of an error: one sentence for the operator, one number for the script."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

from datasets.errors import ExitCode, StationError


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One sentence for the operator and one number for the script."""

    message: str
    exit_code: ExitCode


def refusal(error: BaseException) -> Refusal | None:
    """How to end the command because of `error`; None for a bug, which gets its traceback."""
    if isinstance(error, StationError):
        return Refusal(message=str(error), exit_code=error.exit_code)
    if isinstance(error, OSError):
        return _of_the_system(error)
    if isinstance(error, MemoryError):
        return Refusal(message=_NO_MEMORY, exit_code=ExitCode.FAILED)
    return None


_NO_MEMORY = (
    "There is not enough memory for this. Close other programs; if there should be enough, a file claims to hold far "
    "more than it does: 'station verify' looks at a session's."
)


def _of_the_system(error: OSError) -> Refusal:
    """Errors of the file system and of sockets, in words."""
    remedies = {
        errno.ENOSPC: "Free some space and run the command again; nothing that was committed is lost.",
        errno.EACCES: "Check who owns it, or choose another folder.",
        errno.EROFS: "Choose a folder on a writable disk.",
    }
    if error.errno == errno.ENOENT and not error.filename and not _stands_somewhere():
        return Refusal(
            message="The folder that you stand in was removed. Change into another one and run the command again.",
            exit_code=ExitCode.FAILED,
        )
    where = f" ({error.filename})" if error.filename else ""
    remedy = remedies.get(error.errno or 0, "Check the path and run the command again.")
    return Refusal(message=f"{error.strerror or error}{where}. {remedy}", exit_code=ExitCode.FAILED)


def _stands_somewhere() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True
