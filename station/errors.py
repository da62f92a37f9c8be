"""What a command says, and which exit code it leaves, when it cannot do what was asked.

One table for the errors of all floors. An error whose module was never imported cannot have been raised, so the table
names classes by text and nothing heavy is loaded to read it. Errors that stand in no table are defects of the
station and keep their traceback.
"""

from __future__ import annotations

import errno
import sys
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType


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
    INTERRUPTED = 130
    READER_GONE = 141
    """Whoever read the output has closed the pipe; what a shell reports of a program that SIGPIPE ended."""


class StationError(Exception):
    """Something the command line refuses; the message says what, where and what to do now."""

    def __init__(self, message: str, *, exit_code: ExitCode = ExitCode.FAILED) -> None:
        """`exit_code` is what the command leaves to the script that called it."""
        super().__init__(message)
        self.exit_code = exit_code


class UsageError(StationError):
    """The arguments do not fit together or name nothing that exists."""

    def __init__(self, message: str) -> None:
        """Leaves the exit code of wrong arguments."""
        super().__init__(message, exit_code=ExitCode.USAGE)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One sentence for the operator and one number for the script."""

    message: str
    exit_code: ExitCode


KNOWN: MappingProxyType[tuple[str, str], ExitCode] = MappingProxyType(
    {
        ("station.library", "TaskError"): ExitCode.USAGE,
        ("station.session.folder", "NewerSchemaError"): ExitCode.REFUSED,
        ("station.session.folder", "SessionError"): ExitCode.FAILED,
        ("station.session.address", "LinkError"): ExitCode.FAILED,
        ("station.session.learner", "LearnerError"): ExitCode.FAILED,
        ("station.session.checkpoint", "CheckpointError"): ExitCode.FAILED,
        ("station.tui.feed", "FeedError"): ExitCode.FAILED,
        ("datasets.message_forms", "MessageError"): ExitCode.FAILED,
        ("datasets.own_files", "NotOursError"): ExitCode.REFUSED,
        ("datasets.lock", "LockedError"): ExitCode.LOCKED,
        ("datasets.durable", "DiskFullError"): ExitCode.FAILED,
        ("datasets.windows", "WindowError"): ExitCode.FAILED,
        ("datasets.rotation", "RotationError"): ExitCode.FAILED,
        ("datasets.selection", "SelectionError"): ExitCode.USAGE,
        ("datasets.store", "StoreError"): ExitCode.FAILED,
        ("datasets.lines", "JournalError"): ExitCode.FAILED,
        ("datasets.vr_recording", "RecordingError"): ExitCode.FAILED,
        ("datasets.importers.answers", "AnswersError"): ExitCode.FAILED,
        ("datasets.importers.choice", "ChoiceError"): ExitCode.USAGE,
        ("datasets.importers.registry", "UnknownFormatError"): ExitCode.USAGE,
        ("datasets.importers.mapping", "MappingError"): ExitCode.USAGE,
        ("datasets.exporters.error", "UnknownExportFormatError"): ExitCode.USAGE,
        ("datasets.exporters.error", "ExportError"): ExitCode.FAILED,
        ("hardware.cell", "CellError"): ExitCode.FAILED,
        ("hardware.interpolation", "InterpolationError"): ExitCode.FAILED,
        ("hardware.safety", "SafetyError"): ExitCode.FAILED,
        ("hardware.limits", "LimitError"): ExitCode.USAGE,
        ("hardware.keys.interface", "KeySourceError"): ExitCode.FAILED,
        ("hardware.keys.hotkeys", "HotkeySyntaxError"): ExitCode.USAGE,
        ("hardware.simulation.demonstrator", "DemonstratorError"): ExitCode.FAILED,
        ("policy.base", "PolicyFileError"): ExitCode.FAILED,
        ("policy.weights", "WeightsError"): ExitCode.FAILED,
        ("policy.pretrain", "PretrainingError"): ExitCode.FAILED,
        ("policy.replay", "ReplayError"): ExitCode.FAILED,
    }
)
"""(module, class) -> exit code; a class before its base."""


def refusal(error: BaseException) -> Refusal | None:
    """How to end the command because of `error`; None when it is a defect that deserves its traceback."""
    if isinstance(error, StationError):
        return Refusal(message=str(error), exit_code=error.exit_code)
    for (module, name), code in KNOWN.items():
        known = getattr(sys.modules.get(module), name, None)
        if known is not None and isinstance(error, known):
            return Refusal(message=str(error), exit_code=code)
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
