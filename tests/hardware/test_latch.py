"""The stop latch holds across processes and keeps the first time stamp."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from hardware.latch import StopLatch


def test_a_latch_set_by_one_process_is_seen_by_another_at_once(tmp_path: Path) -> None:
    latch = StopLatch(tmp_path / "stop")
    assert not latch.latched and latch.since is None
    program = "import sys, pathlib; from hardware.latch import StopLatch; StopLatch(pathlib.Path(sys.argv[1])).stop()"
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "stop")], check=True, cwd=Path(__file__).parents[2]
    )
    assert latch.latched
    assert latch.since is not None and latch.since <= time.monotonic()


def test_stopping_twice_keeps_the_first_time_and_only_rearming_clears_it(tmp_path: Path) -> None:
    latch = StopLatch(tmp_path / "folder" / "stop")
    latch.stop()
    first = latch.since
    latch.stop()
    assert latch.since == first
    latch.close()
    again = StopLatch(tmp_path / "folder" / "stop")
    assert again.latched and again.since == first
    again.rearm()
    assert not again.latched and again.since is None
