"""One writer; the second is told who the first is."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from datasets.lock import LockedError, WriterLock, holder

_ROOT = Path(__file__).parents[2]
_HOLD = """
import sys
from pathlib import Path
from datasets.lock import WriterLock
with WriterLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_writer_is_refused_with_the_pid_of_the_first_until_that_one_is_killed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "session" / "lock"
    command = [sys.executable, "-c", _HOLD, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match=rf"process {first.pid} \(-c .*\)") as refusal:
            WriterLock(path).acquire()
        assert refusal.value.pid == holder(path) == first.pid
        first.kill()
    with WriterLock(path) as lock:
        assert lock.held and holder(path) == os.getpid()
    assert holder(path) is None


def test_who_only_looks_whether_it_is_held_keeps_no_writer_from_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    looking = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(looking, fcntl.LOCK_SH)
    threading.Timer(0.05, os.close, [looking]).start()
    with WriterLock(path) as lock:
        assert lock.held
