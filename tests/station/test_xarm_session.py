"""A whole session on an xArm: the vendor's SDK, an emulated control box with a gripper, and a video as the camera.

Demonstrations are imported, a tiny base is trained, and a person labels twenty online episodes, with a stop, an arm
error, an engine that is killed while the arm moves, and a second sitting.
"""

from __future__ import annotations

import signal
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomlkit
from scipy.spatial.transform import Rotation

from datasets import vr_recording
from datasets.episode import Outcome
from datasets.store import EpisodeStore
from station.session.core.events import Label
from station.session.folder import SessionFolder
from station.session.snapshot import Phase
from station.session.status import count
from tests.emulators.xarm import XArmEmulator
from tests.emulators.xarm.body import Body, from_rpy
from tests.hardware.arms.xarm_bench import needs_sdk, wait_until
from tests.hardware.arms.xarm_cell import HOME_DOWN, TOOL_LENGTH, cell_table, stands, video
from tests.station.conftest import Station
from tests.station.session.answering import go, rearm
from tests.station.session.attended import Attended, attended
from tests.station.session.leftovers import kept

pytestmark = [pytest.mark.realtime, pytest.mark.slow, pytest.mark.timeout(900), needs_sdk]

EPISODES = 20
_TINY = Path(__file__).resolve().parents[2] / "station" / "tasks" / "place-orange-tiny.toml"
_RECORDER_HZ = 30.0


def write_task(path: Path, cell: dict[str, Any]) -> Path:
    """The smallest task there is, on this cell."""
    task = tomllib.loads(_TINY.read_text())
    task.pop("demonstrations")
    # A base that has learned next to nothing goes anywhere; in here the arm reaches every pose.
    cell["safety"]["workspaces"] = [{"arm": "arm", "lower": (0.33, -0.08, 0.14), "upper": (0.45, 0.08, 0.25)}]
    task.pop("cameras")
    parts = {name: cell.pop(name) for name in ("arms", "cameras", "safety")}
    task |= {"name": "xarm-tiny", "description": "A tiny task on an emulated xArm", "cell": cell, **parts}
    task["session"] |= {"episode_steps": 30, "cells": 1, "grace": 0.0}
    path.write_text(tomlkit.dumps(task))
    return path


def write_demonstration(path: Path, direction: float) -> None:
    """Four seconds forward and to one side, then the gripper closes; joint angles are the arm's own."""
    body = Body(6, np.array(HOME_DOWN[6]))
    body.tool = from_rpy(np.array([0.0, 0.0, TOOL_LENGTH, 0.0, 0.0, 0.0]))
    start = body.tool_pose()[:3, 3]
    ticks = np.arange(150)
    way = np.clip((ticks - 15) / _RECORDER_HZ, 0.0, 4.0)[:, None]
    told = start + way * np.array([0.012, 0.012 * direction, -0.008])
    # A little about every axis, so that a base that learned nothing turns the tool no further than that.
    turns = Rotation.from_rotvec(0.04 * np.sin(way * [1.0, 1.3, 1.7]))
    quaternions = (Rotation.from_quat([1.0, 0.0, 0.0, 0.0]) * turns).as_quat()
    joints = []
    for position, matrix in zip(told, Rotation.from_quat(quaternions).as_matrix(), strict=True):
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = matrix, position
        body.target, _ = body.solve(pose)
        joints.append(body.target)
    poses = np.concatenate([told, quaternions], 1)
    time_ = 50.0 + ticks / _RECORDER_HZ
    random = np.random.default_rng(round(direction) + 5)
    closing = np.where(ticks > 140, 0.2, 1.0)
    vr_recording.write(
        path,
        vr_recording.VrRecording(
            images={"third": random.integers(0, 255, (len(ticks), 48, 64, 3), np.uint8)},
            image_time={"third": time_},
            joint_angles=np.array(joints),
            end_effector_pose=np.concatenate([poses[:1], poses[:-1]]),
            gripper=closing,
            observation_time=time_,
            action_pose=poses,
            action_gripper=closing,
            action_time=time_,
            clutch=np.ones(len(ticks), np.bool_),
            success_button=ticks == ticks[-1],
            failure_button=np.zeros(len(ticks), np.bool_),
            success=True,
        ),
    )


def play(at: Attended, n: int) -> None:
    """Episodes with their labels; a timeout is left to itself."""
    for number in range(n):
        outcome = (Outcome.SUCCESS, Outcome.FAILURE, Outcome.TIMEOUT)[number % 3]
        name = at.roll(steps=4)
        if outcome is not Outcome.TIMEOUT:
            at.press(Label(episode=name, outcome=outcome))
        at.until_phase(Phase.READY)


def stop_and_go_on(at: Attended, station: Station) -> str:
    """The episode that was cut off."""
    name = at.roll(steps=4)
    stopped = station("stop", at.path)
    assert stopped.exit_code == 0, stopped.output
    at.until_phase(Phase.FAULT)
    at.press(rearm())
    at.press(go())
    return name


def break_and_go_on(at: Attended, emulator: XArmEmulator) -> str:
    """The episode that was cut off."""
    name = at.roll(steps=4)
    emulator.order("fail", code=31)
    seen = at.until_phase(Phase.FAULT)
    assert "Collision Caused Abnormal Current (code C31)" in seen.reason
    wait_until(lambda: stands(emulator))
    assert emulator.truth()["error"] == 31
    at.press(go())
    return name


def kill(at: Attended, emulator: XArmEmulator) -> str:
    """The episode that was cut off."""
    name = at.roll(steps=9)
    hit = at.strike(signal.SIGKILL)
    wait_until(lambda: stands(emulator))
    assert emulator.truth()["came_to_rest"] - hit < 1.0
    at.process.wait()
    return name


def test_a_whole_session_with_a_stop_a_fault_a_killed_engine_and_a_second_sitting(
    station: Station, tmp_path: Path
) -> None:
    with XArmEmulator() as emulator:
        task = write_task(tmp_path / "task.toml", cell_table(emulator, video(tmp_path / "film.avi")))
        path = tmp_path / "session"
        for direction in (-1.0, 0.0, 1.0):
            write_demonstration(tmp_path / "demos" / f"demo{direction:+.0f}.h5", direction)
        for words in (("new", path, "--task", task), ("import", path, tmp_path / "demos"), ("train", path)):
            done = station(*words)
            assert done.exit_code == 0, done.output

        with attended(path) as at:
            play(at, 6)
            stopped = stop_and_go_on(at, station)
            play(at, 4)
            broken = break_and_go_on(at, emulator)
            play(at, 4)
            learned = at.look().counts.policy_version
            killed = kill(at, emulator)
        folder = SessionFolder.open(path)
        before = count(folder)
        assert before.success + before.failure + before.timeout == 14

        with attended(path) as at:
            assert at.until_phase(Phase.READY).counts.policy_version == learned
            assert count(folder) == replace(before, cut_off=3)
            play(at, EPISODES - 14)
            assert at.look().counts.policy_version > learned

        counts = count(folder)
        assert counts.success + counts.failure + counts.timeout == EPISODES
        assert (counts.void, counts.cut_off) == (0, 3)
        assert kept(folder).keys() == {stopped, broken, killed}
        assert not {stopped, broken, killed} & {*EpisodeStore(folder.episodes).ids()}
        assert station("verify", path).exit_code == 0
