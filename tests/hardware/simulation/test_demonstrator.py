"""The scripted person: the task needs the wrist turn, styles differ, recordings look like a VR recorder's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets import vr_recording
from datasets.randomness import stream
from hardware.simulation.cell import SimulatedCell
from hardware.simulation.demonstrator import (
    DemonstratorError,
    RecordingProgress,
    record_demonstrations,
    run_episode,
    to_recording,
)
from hardware.simulation.settings import CameraSettings, SimulationSettings
from hardware.simulation.styles import CAREFUL, HASTY, OFF_CENTRE, Style

SMALL = SimulationSettings(cameras=(CameraSettings(name="third", height=16, width=16),))
FLAWLESS = Style(name="flawless", speed=0.32)


@pytest.fixture(scope="module")
def cell() -> SimulatedCell:
    return SimulatedCell(SMALL, render="on_observe")


def success(cell: SimulatedCell, style: Style, episodes: int) -> float:
    """Share of successes over the first layouts of a schedule."""
    won = [
        run_episode(cell, style, stream(0, style.name, i), cell.sample_layout(0, "test", i)).success
        for i in range(episodes)
    ]
    return float(np.mean(won))


@pytest.mark.slow
def test_a_flawless_script_always_succeeds(cell: SimulatedCell) -> None:
    assert success(cell, FLAWLESS, 10) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("style", [FLAWLESS, CAREFUL, HASTY])
def test_without_the_wrist_turn_nobody_succeeds(cell: SimulatedCell, style: Style) -> None:
    assert success(cell, replace(style, turn=0.0), 6) == 0.0


@pytest.mark.slow
def test_styles_differ_in_quality_and_only_the_careful_one_is_reliable(cell: SimulatedCell) -> None:
    assert success(cell, CAREFUL, 10) >= 0.9
    assert 0.1 < success(cell, HASTY, 30) < 0.75
    assert 0.1 < success(cell, OFF_CENTRE, 30) < 0.75


def test_a_demonstration_repeats_exactly(cell: SimulatedCell) -> None:
    layout = cell.sample_layout(0, "test", 3)
    first, second = (run_episode(cell, HASTY, stream(1, "x", 3), layout) for _ in range(2))
    assert np.array_equal(first.action, second.action)
    assert np.array_equal(first.proprioception, second.proprioception)


def test_while_the_clutch_is_off_the_arm_holds_and_the_hand_moves(cell: SimulatedCell) -> None:
    demonstration = next(
        d
        for i in range(20)
        if not (
            d := run_episode(
                cell, CAREFUL, stream(2, "clutch", i), cell.sample_layout(0, "test", i), teleoperated=True
            )
        ).clutch.all()
    )
    off = np.flatnonzero(~demonstration.clutch)
    assert len(np.unique(demonstration.action[off], axis=0)) <= 3
    hand = demonstration.hand_pose[off, :3] - demonstration.tool_pose[off, :3]
    assert np.linalg.norm(hand, axis=1).max() > 0.02


def test_a_recording_starts_idle_and_ends_with_the_verdict(cell: SimulatedCell) -> None:
    demonstration = run_episode(
        cell, CAREFUL, stream(0, "r", 0), cell.sample_layout(0, "test", 0), teleoperated=True
    )
    recording = to_recording(demonstration, {})
    still = np.linalg.norm(recording.end_effector_pose[:3, :3] - recording.end_effector_pose[0, :3], axis=1)
    assert still.max() < 0.004
    assert recording.success is True
    assert recording.success_button[-1] and not recording.success_button[:-1].any()
    assert len(recording.images["third"]) == len(recording.action_time) == demonstration.steps + 1


@pytest.mark.slow
def test_recordings_are_made_once_and_an_interrupted_series_is_continued(tmp_path: Path) -> None:
    seen: list[RecordingProgress] = []
    first = record_demonstrations(SMALL, tmp_path, {"careful": 1}, seed=5)
    stamp = first[0].stat().st_mtime_ns
    both = record_demonstrations(SMALL, tmp_path, {"careful": 1, "hasty": 1}, seed=5, progress=seen.append)
    assert both[0] == first[0] and both[0].stat().st_mtime_ns == stamp
    assert [(p.style, p.done, p.total) for p in seen] == [("careful", 1, 2), ("hasty", 2, 2)]
    recording = vr_recording.read(both[1])
    assert recording.success is True and recording.attributes["style"] == "hasty"
    assert np.allclose(np.diff(recording.observation_time), 1 / 30)


@pytest.mark.slow
def test_a_rehearsed_attempt_is_recorded_as_one_that_was_not(tmp_path: Path) -> None:
    [rehearsed] = record_demonstrations(SMALL, tmp_path / "a", {"careful": 1}, seed=5)
    [recorded] = record_demonstrations(SMALL, tmp_path / "b", {"careful": 1}, seed=5, successes_only=False)
    assert rehearsed.read_bytes() == recorded.read_bytes()


def test_an_unknown_style_is_refused_with_the_choices(tmp_path: Path) -> None:
    with pytest.raises(DemonstratorError, match="careful, hasty, off_centre"):
        record_demonstrations(SMALL, tmp_path, {"carefull": 1}, seed=0)
