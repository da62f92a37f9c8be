"""Where a session's engine listens, and who may be at the other end; nothing in the session's folder is trusted.

The address is derived from this user and the session's path, in a folder only this user can enter, and the peer
must be a process of the same user. So a session made by another user cannot redirect a front end.
"""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import struct
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from datasets.errors import StationError
from datasets.own_files import user_name

DIALLING = 5.0
"""s that a listener has to answer."""
_RETRY = 0.05  # s
_WAITING = 32  # pending connections
_LONGEST = 107  # characters of an address
_SHORTER = "Set TMPDIR to a folder with a shorter path, such as /tmp."
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


class LinkError(StationError):
    """No engine can be reached; the message says what to do now."""


class NoEngineError(LinkError):
    """No process listens there."""


class SilentEngineError(LinkError):
    """A process listens but does not answer like an engine."""


def listen(path: Path) -> tuple[socket.socket, Path]:
    """A socket for the engine of the session at `path`, and its address. Raises LinkError."""
    address = _room() / _name(path)
    address.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(address))
        listener.listen(_WAITING)
    except OSError as error:
        listener.close()
        remedy = _SHORTER if len(str(address)) > _LONGEST else "Free some space there."
        raise LinkError(f"The engine cannot listen at {address}: {error}. {remedy}") from error
    return listener, address


def dial(path: Path) -> tuple[socket.socket, int]:
    """A connection to the engine of the session at `path`, and that process.

    Raises:
        NoEngineError: nothing listens. SilentEngineError: no answer. LinkError: another user's process answers.
    """
    address = _room_of_the_user() / _name(path)
    until = time.monotonic() + DIALLING
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _knock(end, address, until)
        pid = require_own(end)
    except BaseException:
        end.close()
        raise
    return end, pid


def require_own(end: socket.socket) -> int:
    """The process at the other end. Raises LinkError when it is another user's."""
    pid, user, _ = _CREDENTIALS.unpack(
        end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    if user != os.geteuid():
        raise LinkError(f"Process {pid} of user {user} answers in place of your own engine. It was ignored.")
    return int(pid)


def _knock(end: socket.socket, address: Path, until: float) -> None:
    end.setblocking(False)
    while True:
        try:
            facts = address.lstat()
            if not stat.S_ISSOCK(facts.st_mode) or facts.st_uid != os.geteuid():
                raise LinkError(
                    f"{address} is not a socket of yours. Remove it, then start the engine again."
                )
            if len(str(address)) > _LONGEST:
                raise LinkError(f"{address} is too long for the system. {_SHORTER}")
            end.connect(str(address))
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            raise NoEngineError("nobody listens") from error
        except BlockingIOError as error:
            # the backlog is full and the engine accepts nothing
            if time.monotonic() > until:
                raise SilentEngineError("nobody opens") from error
            time.sleep(_RETRY)
        else:
            return


def _name(path: Path) -> str:
    """Short: the system allows about 100 characters for the whole address."""
    return f"{hashlib.sha256(str(path.resolve()).encode(errors='surrogateescape')).hexdigest()[:16]}.sock"


def _room_of_the_user() -> Path:
    return Path(tempfile.gettempdir()) / f"station-{os.geteuid()}"


def _room() -> Path:
    """The folder of this user's addresses, private to the user. Raises LinkError."""
    room = _room_of_the_user()
    with suppress(FileExistsError):
        room.mkdir(mode=0o700)
    facts = room.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        owner = "" if facts.st_uid == os.geteuid() else f", and belongs to user {user_name(facts.st_uid)}"
        raise LinkError(
            f"{room} must be a folder that belongs to you alone{owner}. Remove it, or set TMPDIR to one of your own "
            "for all that you run."
        )
    return room
