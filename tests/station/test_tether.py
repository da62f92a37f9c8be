"""What a killed command leaves behind: nothing that goes on working."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from station.session.folder import SessionFolder
from station.session.link.client import running_pid
from station.tether import Tether

CHILD = """
import sys, time
from station.tether import leave_with_parent
leave_with_parent()
print("tied", flush=True)
time.sleep(60)
"""
PARENT = """
import os, subprocess, sys, time
from station.tether import Tether
with Tether() as tether:
    child = subprocess.Popen(
        [sys.executable, "-c", sys.argv[1]],
        env=os.environ | tether.environment, pass_fds=tether.inherited, stdout=subprocess.PIPE,
    )
    child.stdout.readline()
    print(child.pid, flush=True)
    time.sleep(60)
"""


def eventually(holds: Callable[[], bool], seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds()


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_child_leaves_when_its_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, CHILD], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert not gone(child)
        parent.kill()
    assert eventually(lambda: gone(child))


def test_a_child_leaves_when_its_parent_lets_go() -> None:
    with Tether() as tether:
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD],
            env=os.environ | tether.environment,
            pass_fds=tether.inherited,
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"tied\n"
    assert child.wait(30) == -signal.SIGTERM
    child.stdout.close()


@pytest.mark.slow
def test_a_killed_benchmark_leaves_neither_seeds_nor_engines(tmp_path: Path, tiny_task: Path) -> None:
    out = tmp_path / "bench"
    words = [
        "bench",
        "learns",
        "--seeds",
        "0",
        "--task",
        str(tiny_task),
        "--out",
        str(out),
        "--chunks",
        "99999",
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "station", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as supervisor:

        def engine() -> int | None:
            seed = out / "seed-000"
            return running_pid(SessionFolder.open(seed)) if (seed / "session.toml").exists() else None

        assert eventually(lambda: engine() is not None, 120.0)
        family = psutil.Process(supervisor.pid).children(recursive=True)
        assert engine() in {process.pid for process in family}
        supervisor.kill()
    assert eventually(lambda: all(gone(process.pid) for process in family))
