"""The stop latch holds across processes and keeps the first time stamp."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets.own_files import NotOursError
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
    latch = StopLatch(tmp_path / "stop")
    latch.stop("operator")
    first = latch.since
    latch.stop("command")
    assert latch.since == first and latch.by == "operator"
    latch.close()
    again = StopLatch(tmp_path / "stop")
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


def removed(path: Path) -> None:
    path.unlink()


def replaced(path: Path) -> None:
    copy = path.with_name("restored")
    copy.write_bytes(path.read_bytes())
    copy.replace(path)


def moved_with_its_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("renamed"))


@pytest.mark.parametrize("happens", [removed, replaced, moved_with_its_folder])
def test_a_latch_that_nobody_would_find_any_more_counts_as_set(
    tmp_path: Path, happens: Callable[[Path], None]
) -> None:
    path = tmp_path / "session" / "stop"
    path.parent.mkdir()
    latch = StopLatch(path)
    assert latch.in_place and not latch.latched
    before = time.monotonic()
    happens(path)
    assert latch.latched and not latch.in_place and not latch.by
    assert latch.since is not None and before <= latch.since <= time.monotonic()
    latch.rearm()
    assert latch.latched, "who re-arms one that nobody finds has armed nothing"


def test_a_session_that_is_moved_back_has_its_latch_again(tmp_path: Path) -> None:
    (tmp_path / "session").mkdir()
    latch = StopLatch(tmp_path / "session" / "stop")
    moved_with_its_folder(latch.path)
    assert latch.latched
    (tmp_path / "renamed").rename(tmp_path / "session")
    assert state(latch) == (False, None)


def test_a_removed_latch_is_made_again_set_and_then_shared_by_all_who_renew_it(tmp_path: Path) -> None:
    ours, theirs = (StopLatch(tmp_path / "stop") for _ in range(2))
    removed(ours.path)
    ours.renew()
    assert ours.latched and ours.in_place, "it is set until somebody re-arms it"
    ours.rearm()
    assert not ours.latched and theirs.latched
    theirs.renew()
    assert not theirs.latched
    StopLatch(ours.path).stop()
    assert ours.latched and theirs.latched


def test_a_latch_is_not_made_again_in_a_folder_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "session").mkdir()
    latch = StopLatch(tmp_path / "session" / "stop")
    moved_with_its_folder(latch.path)
    with pytest.raises(OSError, match="No such file"):
        latch.renew()
    assert latch.latched and not latch.path.parent.exists()


def test_a_latch_behind_a_link_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis").write_text("chapter 1")
    (tmp_path / "stop").symlink_to(tmp_path / "thesis")
    with pytest.raises(NotOursError, match="is a link to"):
        StopLatch(tmp_path / "stop")
    assert (tmp_path / "thesis").read_text() == "chapter 1"


def test_a_latch_makes_no_folder_that_nobody_would_look_in(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        StopLatch(tmp_path / "gone" / "stop")
    assert not (tmp_path / "gone").exists()
