"""Other users of the same machine, for tests that need one; they are left out where this process may not become one."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

SOMEBODY, ANOTHER = 1001, 65534
"""Users that need not be known to the system."""

needs_another_user = pytest.mark.skipif(os.geteuid() != 0, reason="only root can work as another user")


def as_user(user: int, act: Callable[[], object]) -> str:
    """What `act` gives, or the error that it ends with, as text; done by a process of that user."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _become_and_act(user, act, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        words = said.read().decode()
    os.waitpid(child, 0)
    return words


@contextmanager
def meanwhile(user: int, act: Callable[[], object]) -> Iterator[int]:
    """A process of that user that has done `act` and lives on with what it holds; its pid."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _become_and_act(user, act, writing, lives_on=True)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        said.read(1)
        yield child
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def hand_over(path: Path, user: int) -> None:
    """Give a folder, all that is in it, and the way to it, to a user."""
    for each in (path, *path.rglob("*")):
        os.chown(each, user, user, follow_symlinks=False)
    for above in path.parents:
        with suppress(PermissionError):
            if above.owner() == "root" and above.name.startswith(("pytest-", "popen-", "test_")):
                above.chmod(0o755)


def _become_and_act(user: int, act: Callable[[], object], writing: int, *, lives_on: bool = False) -> None:
    """Ends this process."""
    words = ""
    try:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        held = act()
        words = str(held)
        while lives_on:
            os.write(writing, b".")
            signal.pause()
    except BaseException as error:  # noqa: BLE001 - the test reads it
        words = f"{type(error).__name__}: {error}"
        traceback.print_exc(file=sys.stderr)
    os.write(writing, words.encode(errors="replace"))
    os._exit(0)
