"""Safe file access: open, create, truncate and remove our own files without following what others put in their place.

A session, an export or a shared folder may contain a symlink, a pipe or a hard link to another file where one of our
files belongs. We never write through it, remove its target or block on it; the error names it instead. The folder given
by the user may itself be reached through links; only its contents are checked.

Files of other users are read but never written, truncated or removed, because their owner could change them at any
time. The operator lists users whose files count as ours (see `station.trust`).
"""

from __future__ import annotations

import errno
import os
import pwd
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Literal

from datasets.errors import ExitCode, StationError

OWNERS = "STATION_TRUST_OWNERS"
"""Environment variable: users (names or uids, separated by spaces) whose files count as ours."""

_STRANGE = {errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENODEV, errno.EMLINK}
"""errno values of an open that meets something unexpected at the path."""
_FLAGS = {
    "ab": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
    "wb": os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    "r+b": os.O_RDWR,
    "rb": os.O_RDONLY,
}
_TAIL = 1 << 16
_WRITES = os.O_WRONLY | os.O_RDWR
MOST = 2**30
"""Default maximum bytes of a file that is read whole; far more than any text file of ours."""


class NotOursError(StationError, OSError):
    """The path of one of our files or folders holds something else; it was not touched. Says what to do."""

    exit_code = ExitCode.REFUSED


def open_descriptor(path: Path, flags: int, mode: int = 0o644, *, shared: bool = False) -> int:
    """As os.open, for a regular file; never blocks, and truncates only after checking.

    Reading follows links, writing does not. `shared`: several users write the file, so it may belong to another user.

    Raises:
        NotOursError: `path` is a pipe, device or folder, or its parent is not a folder; for writing also: it is a link,
            has a second hard link or belongs to another user. OSError: as os.open.
    """
    written = bool(flags & _WRITES)
    try:
        descriptor, made = _opened(path, flags, mode, written=written)
    except OSError as error:
        if error.errno in _STRANGE:
            raise NotOursError(_stray(path, "a file")) from error
        raise
    try:
        found = os.fstat(descriptor)
        _require_plain(path, found, written=written)
        # a file created here is ours, whatever owner the file system reports
        if written and not made and not shared:
            _require_owner(path, found)
        if flags & os.O_TRUNC:
            os.ftruncate(descriptor, 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _opened(path: Path, flags: int, mode: int, *, written: bool) -> tuple[int, bool]:
    """A descriptor, and whether the file was created."""
    flags = flags & ~os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC | (os.O_NOFOLLOW if written else 0)
    plain = flags & ~os.O_CREAT
    try:
        # without O_CREAT, which fails for another user's file in a sticky folder such as /tmp
        return os.open(path, plain), False
    except FileNotFoundError:
        if not flags & os.O_CREAT:
            raise
    with suppress(FileExistsError):
        return os.open(path, flags | os.O_EXCL, mode), True
    return os.open(path, plain), False  # another process created it just now


def open_own(path: Path, mode: Literal["ab", "wb", "r+b", "rb"]) -> BinaryIO:
    """As Path.open, for a regular file of ours. Raises NotOursError, OSError."""
    file: BinaryIO = os.fdopen(open_descriptor(path, _FLAGS[mode]), mode)
    return file


def read_bytes(path: Path, most: int = MOST) -> bytes:
    """As Path.read_bytes, for a regular file of at most `most` bytes; never blocks, even on a pipe.

    Raises:
        NotOursError: it is not a regular file, or too large. OSError.
    """
    with open_own(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise NotOursError(
                f"{path} has {size} bytes, and no file of this kind that the station writes has more than {most}. "
                "Restore it from a copy."
            )
        return file.read(size + 1)


def read_tail(path: Path) -> bytes:
    """The last 64 KiB of a regular file. Raises NotOursError, OSError."""
    with open_own(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
        return file.read(_TAIL)


def write_text(path: Path, text: str) -> None:
    """As Path.write_text, for a regular file of ours. Raises NotOursError, OSError."""
    with open_own(path, "wb") as file:
        file.write(text.encode())


def identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file or folder at `path`; None if there is none or it is inaccessible."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a third faster than Path.stat, and called often
    except OSError:
        return None
    return found.st_dev, found.st_ino


def make_folder(path: Path, *, parents: bool = True) -> None:
    """Create a folder if it is missing, and its parents unless `parents` is False.

    Raises NotOursError, OSError.
    """
    try:
        path.mkdir(parents=parents, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotOursError(_stray(path, "a folder")) from error
    require_folder(path)


def require_folder(path: Path) -> None:
    """Raises NotOursError if the path exists and is not a folder (a link to one included)."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    except NotADirectoryError as error:
        raise NotOursError(_stray(path, "a folder")) from error
    if not stat.S_ISDIR(found.st_mode):
        raise NotOursError(_stray(path, "a folder"))


def require_owner(path: Path) -> None:
    """Raises NotOursError if the path exists and belongs to another user."""
    with suppress(FileNotFoundError, NotADirectoryError):
        _require_owner(path, path.lstat())


def user_name(uid: int) -> str:
    """Readable name of a user."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)


def require_file(path: Path) -> None:
    """Raises NotOursError if the path exists and must not be written as a file of ours."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    except NotADirectoryError as error:
        raise NotOursError(_stray(path, "a file")) from error
    _require_plain(path, found, written=True)


def remove_tree(folder: Path) -> None:
    """Remove a folder of ours with its contents; links are not followed, and it may be missing.

    Raises NotOursError, OSError.
    """
    require_folder(folder)
    require_owner(folder)
    if os.path.lexists(folder):
        shutil.rmtree(folder)


def remove(path: Path) -> None:
    """Remove a file or folder of ours, without following links; it may be missing. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _require_owner(path: Path, found: os.stat_result) -> None:
    owner = found.st_uid
    if owner == os.geteuid():
        return
    name = user_name(owner)
    if {name, str(owner)} & set(os.environ.get(OWNERS, "").split()):
        return
    raise NotOursError(
        f"{path} belongs to user {name}, who could change it at any time. It can be looked at and exported, and was "
        f"not touched. Work on a copy of your own (cp -r), or let {name} do it. If {name} works with you, or the disk "
        f"itself gives every file to that user, say 'station --trust-owner {name} ...'."
    )


def _require_plain(path: Path, found: os.stat_result, *, written: bool) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise NotOursError(_stray(path, "a file"))
    if written and found.st_nlink > 1:
        raise NotOursError(
            f"{path} has {found.st_nlink} names (hard links), and what is written to it would change the file under "
            f"all of them. Put a copy in its place: cp -p '{path}' '{path}.copy' && mv '{path}.copy' '{path}'"
        )


def _stray(path: Path, wanted: str) -> str:
    """What is at `path`, or above it, instead of the expected file."""
    place = next(each for each in (path, *path.parents) if os.path.lexists(each))
    belongs = wanted if place == path else "a folder"
    return f"{place} is {_described(place)}, where {belongs} of the station belongs. {_REMEDY}"


_REMEDY = "It was not touched. Move it away, and run the command again."


def _described(path: Path) -> str:
    kind = path.lstat().st_mode
    if stat.S_ISLNK(kind):
        return f"a link to {path.readlink()}"
    for test, name in (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISREG, "a file"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
    ):
        if test(kind):
            return name
    return "a device"
