"""How a command ends because of an error: one sentence for the operator, one number for the script."""

from __future__ import annotations

import errno
import sys
from dataclasses import dataclass
from pathlib import Path

from datasets.errors import ExitCode, StationError


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One sentence for the operator and one number for the script."""

    lines: tuple[str, ...]
    """Of the sentence; a line end inside of one came with a name."""
    exit_code: ExitCode

    @property
    def message(self) -> str:
        """The lines together."""
        return "\n".join(self.lines)


def refusal(error: BaseException) -> Refusal | None:
    """How to end the command because of `error`; None for a bug, which gets its traceback."""
    if isinstance(error, StationError):
        return Refusal(lines=error.lines, exit_code=error.exit_code)
    if isinstance(error, OSError):
        return Refusal(lines=(in_words(error),), exit_code=ExitCode.FAILED)
    if isinstance(error, MemoryError) or (isinstance(error, ImportError) and _NO_ROOM in str(error)):
        return Refusal(lines=(_NO_MEMORY,), exit_code=ExitCode.FAILED)
    failed = _of_a_gpu(error)
    return Refusal(lines=(failed,), exit_code=ExitCode.FAILED) if failed else None


def _of_a_gpu(error: BaseException) -> str:
    """What a GPU's error means; empty for others, and where nothing has loaded torch."""
    if "torch" not in sys.modules:
        return ""
    from policy.devices import failure

    return failure(error)


_NO_ROOM = "failed to map segment"
"""What the loader says of a library for which there is no address space."""
_NO_MEMORY = (
    "There is not enough memory for this. Close other programs, or lift the limit (ulimit -v); if there should be "
    "enough, a file claims to hold far more than it does: 'station verify' looks at a session's."
)


def in_words(error: StationError | OSError) -> str:
    """An error of ours, of the file system or of a socket: what, where, what to do now."""
    if isinstance(error, StationError):
        return str(error)
    if error.errno == errno.ENOENT and not error.filename and not _stands_somewhere():
        return "The current folder was removed. Change to another one and run the command again."
    where = f" ({error.filename})" if error.filename else ""
    remedy = _REMEDIES.get(error.errno or 0, "Check the path and run the command again.")
    return f"{error.strerror or error}{where}. {remedy}"


_SPACE = "Free some space and run the command again; nothing that was committed is lost."
_REMEDIES = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EACCES: "Check who owns it, or choose another folder.",
    errno.EPERM: "Check who owns it and whether it may be changed (lsattr), or choose another folder.",
    errno.EROFS: "Choose a folder on a writable disk.",
    errno.ESTALE: "The file server replaced or removed it. Mount the disk again and run the command again.",
    errno.EIO: "The disk or its cable may be failing. Copy what is on it, then look into the system's log (dmesg).",
    errno.EMFILE: "This process may open too few files: raise the limit (ulimit -n) and run the command again.",
    errno.ELOOP: "Links lead round in a circle there: remove one, or give the path itself.",
    errno.ENAMETOOLONG: "Give a shorter name or path.",
}


def _stands_somewhere() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True
