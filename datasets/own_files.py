"""Files and folders of ours: opened, made, emptied and removed without following what somebody else put in their place.

A session, an export or a shared folder may hold a link, a pipe or a second name of another file where a file of ours
belongs. Nothing is written through it, nothing behind it is removed, and nobody waits for it: a sentence names it. The
folder that a person named may itself be reached through links; the checks are for what lies in it.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path
from typing import BinaryIO, Literal

_STRANGE = {errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENODEV, errno.EMLINK}
"""What the system answers where something else lies than was to be opened."""
_FLAGS = {
    "ab": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
    "wb": os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    "r+b": os.O_RDWR,
    "rb": os.O_RDONLY,
}
_WRITES = os.O_WRONLY | os.O_RDWR


class NotOursError(OSError):
    """Something else lies where a file or a folder of ours belongs. It was not touched; the message says what to do."""


def open_descriptor(path: Path, flags: int, mode: int = 0o644) -> int:
    """As os.open, for a plain file; never waits, and truncates only what was looked at.

    Reading follows links, writing does not.

    Raises:
        NotOursError: `path` is a pipe, device or folder, lies in no folder, or is to be written and is a link or has a
            second name. OSError: as os.open.
    """
    written = bool(flags & _WRITES)
    follow = os.O_NOFOLLOW if written else 0
    try:
        descriptor = os.open(path, flags & ~os.O_TRUNC | follow | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno in _STRANGE:
            raise NotOursError(_stray(path, "a file")) from error
        raise
    try:
        _require_plain(path, os.fstat(descriptor), written=written)
        if flags & os.O_TRUNC:
            os.ftruncate(descriptor, 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_own(path: Path, mode: Literal["ab", "wb", "r+b", "rb"]) -> BinaryIO:
    """As Path.open, for a plain file of ours. Raises NotOursError, OSError."""
    file: BinaryIO = os.fdopen(open_descriptor(path, _FLAGS[mode]), mode)
    return file


def read_bytes(path: Path) -> bytes:
    """As Path.read_bytes, for a plain file: a pipe in its place holds nobody up. Raises NotOursError, OSError."""
    with open_own(path, "rb") as file:
        return file.read()


def write_text(path: Path, text: str) -> None:
    """As Path.write_text, for a plain file of ours. Raises NotOursError, OSError."""
    with open_own(path, "wb") as file:
        file.write(text.encode())


def make_folder(path: Path) -> None:
    """Make sure that there is a folder, with those above it. Raises NotOursError, OSError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotOursError(_stray(path, "a folder")) from error
    require_folder(path)


def require_folder(path: Path) -> None:
    """Raises NotOursError when something else than a folder lies there, a link to one included; nothing may."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    except NotADirectoryError as error:
        raise NotOursError(_stray(path, "a folder")) from error
    if not stat.S_ISDIR(found.st_mode):
        raise NotOursError(_stray(path, "a folder"))


def require_file(path: Path) -> None:
    """Raises NotOursError when something lies there that must not be written to as a file of ours; nothing may."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    except NotADirectoryError as error:
        raise NotOursError(_stray(path, "a file")) from error
    _require_plain(path, found, written=True)


def remove_tree(folder: Path) -> None:
    """Remove a folder of ours and all that is in it, links as such; it may be absent. Raises NotOursError, OSError."""
    require_folder(folder)
    if os.path.lexists(folder):
        shutil.rmtree(folder)


def remove(path: Path) -> None:
    """Remove a file or a folder of ours, a link as such; nothing may be there. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _require_plain(path: Path, found: os.stat_result, *, written: bool) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise NotOursError(_stray(path, "a file"))
    if written and found.st_nlink > 1:
        raise NotOursError(
            f"{path} has {found.st_nlink} names (hard links), and what is written to it would change the file under "
            f"all of them. Put a copy in its place: cp -p '{path}' '{path}.copy' && mv '{path}.copy' '{path}'"
        )


def _stray(path: Path, wanted: str) -> str:
    """What lies at `path`, or above it, in place of what belongs there."""
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
