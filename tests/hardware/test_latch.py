"""The stop latch holds across processes and keeps the first time stamp."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hardware.latch import StopLatch


def state(latch: StopLatch) -> tuple[bool, float | None]:
    return latch.latched, latch.since


def test_a_latch_set_by_one_process_is_seen_by_another_at_once(tmp_path: Path) -> None:
    latch = StopLatch(tmp_path / "stop")
    assert state(latch) == (False, None)
    program = "import sys, pathlib; from hardware.latch import StopLatch; StopLatch(pathlib.Path(sys.argv[1])).stop()"
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "stop")], check=True, cwd=Path(__file__).parents[2]
    )
    latched, since = state(latch)
    assert latched and since is not None and since <= time.monotonic()


def test_stopping_twice_keeps_the_first_time_and_only_rearming_clears_it(tmp_path: Path) -> None:
    latch = StopLatch(tmp_path / "folder" / "stop")
    latch.stop("operator")
    first = latch.since
    latch.stop("command")
    assert latch.since == first and latch.by == "operator"
    latch.close()
    again = StopLatch(tmp_path / "folder" / "stop")
    assert state(again) == (True, first)
    again.rearm()
    assert state(again) == (False, None) and not again.by


def test_a_stop_is_newer_than_what_was_asked_for_before_it_and_older_than_what_is_asked_for_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    latch = StopLatch(tmp_path / "stop")
    assert not latch.stopped_after(0.0)
    latch.stop()
    between = time.monotonic()
    assert not latch.stopped_after(between)
    latch.stop()
    assert latch.stopped_after(between) and not latch.stopped_after(time.monotonic())
    monkeypatch.setattr(time, "monotonic", lambda: 3.0)
    assert not latch.stopped_after(2.0), (
        "a stop from before the machine was started anew holds up no re-arming"
    )


def test_its_room_on_the_disk_is_taken_before_the_stop_that_a_full_disk_would_be_too_small_for(
    tmp_path: Path,
) -> None:
    holes = tmp_path / "left by an older version"
    holes.touch()
    os.truncate(holes, 64)
    for path in (tmp_path / "new", holes):
        StopLatch(path).close()
        assert path.stat().st_blocks > 0
