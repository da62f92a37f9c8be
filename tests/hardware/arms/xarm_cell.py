"""A whole workplace on an emulated xArm: a gripper in its tool plug, and a video as its camera."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from datasets.observation import FloatArray
from datasets.rotation import pose_to_action
from hardware.latch import StopLatch
from hardware.robot.cell import RobotCell
from station.testing import Workplace
from tests.emulators.xarm import XArmEmulator
from tests.emulators.xarm.body import Body, from_rpy
from tests.hardware.arms.xarm_bench import HOME
from tests.hardware.cameras.fakes import pid_of
from tests.hardware.fakes import read_cell

TOOL_LENGTH = 0.17
DOWN = np.array([1.0, 0.0, 0.0, 0.0])
HOME_DOWN = {6: (0.0, -0.3, -0.8, 0.0, 1.1, 0.0), 7: HOME[7]}


def video(path: Path, *, seconds: float = 2.0, rate: float = 30.0, size: tuple[int, int] = (64, 48)) -> Path:
    """A small video in which every image differs from the one before."""
    random = np.random.default_rng(0)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), rate, size)
    for _ in range(round(seconds * rate)):
        writer.write(random.integers(0, 255, (size[1], size[0], 3), np.uint8))
    writer.release()
    return path


def tool_at_home(axes: int = 6) -> tuple[float, float, float]:
    """Where the tool of `cell_table` is at home, m, base frame."""
    body = Body(axes, np.array(HOME_DOWN[axes]))
    body.tool = from_rpy(np.array([0.0, 0.0, TOOL_LENGTH, 0.0, 0.0, 0.0]))
    x, y, z = (float(number) for number in body.tool_pose()[:3, 3])
    return x, y, z


def stands(emulator: XArmEmulator, seconds: float = 0.3) -> bool:
    """Whether the arm has really been at rest for so long; at a turning point it is for an instant."""
    truth = emulator.truth()
    return not truth["turning"] and truth["time"] - truth["came_to_rest"] > seconds


def cell_table(emulator: XArmEmulator, film: Path) -> dict[str, Any]:
    """The [cell] table of a task file."""
    return attached_table(emulator.address, emulator.control_port, film, emulator.axes)


def attached_table(address: str, port: int, film: Path, axes: int = 6) -> dict[str, Any]:
    """The same for an arm that another process has started.

    Its limits of time are wide, so that a busy machine does not end a motion that a test wants to end itself.
    """
    arm = {
        "driver": "xarm",
        "name": "arm",
        "joints": axes,
        "home": HOME_DOWN[axes],
        "address": address,
        "control_port": port,
        "boundary_lower": (0.1, -0.4, 0.0),
        "boundary_upper": (0.7, 0.4, 0.6),
        "load_mass": 0.93,
        "tcp_position": (0.0, 0.0, TOOL_LENGTH),
        "tool_model": "robotiq",
        "home_speed": 1.0,
        "home_acceleration": 4.0,
        "report_timeout": 2.0,
        "gripper": {"driver": "robotiq_rs485"},
    }
    camera = {"driver": "file", "name": "third", "path": str(film), "height": 48, "width": 64}
    safety = {
        "workspaces": [{"arm": "arm", "lower": (0.25, -0.2, 0.08), "upper": (0.56, 0.2, 0.3)}],
        "velocity": 0.3,
        "acceleration": 2.0,
        "frame_age": 1.0,
        "heartbeat": 1.5,
    }
    return {
        "kind": "robot",
        "controller_hz": 100,
        "suspended_after": 0.9,
        "arms": [arm],
        "cameras": [camera],
        "safety": safety,
    }


def plan_from(cell: RobotCell, n: int, step: float) -> FloatArray:
    """n poses that lead forward from where the arm is, `step` m each, the tool pointing down."""
    report = cell.arm_group.processes["arm"].report()
    assert report is not None
    forward = np.arange(1, n + 1)[:, None] * np.array([step, 0.0, 0.0])
    down = np.broadcast_to(DOWN, (n, 4))
    return pose_to_action(report.measured_position + forward, down, np.ones(n), cell.spec.action)


@dataclass(frozen=True, kw_only=True)
class XArmWorkplace(Workplace):
    """A workplace whose arm can be broken."""

    cell: RobotCell
    emulator: XArmEmulator


@contextmanager
def xarm_workplace(folder: Path) -> Iterator[XArmWorkplace]:
    """A cell on an emulated xArm, connected, at home."""
    latch = StopLatch(folder / "stop.latch")
    with XArmEmulator() as emulator:
        cell = RobotCell(read_cell(cell_table(emulator, video(folder / "film.avi"))), latch)
        cell.connect()
        try:
            cell.begin_homing()
            while not cell.advance_homing():
                pass
            x, y, z = (number / 1000.0 for number in emulator.truth()["pose_mm"][:3])
            yield XArmWorkplace(
                cell=cell,
                emulator=emulator,
                latch=latch,
                home=(x, y, z),
                silence_cameras=lambda: _signal(cell, signal.SIGSTOP),
                wake_cameras=lambda: _signal(cell, signal.SIGCONT),
            )
        finally:
            cell.close()


def _signal(cell: RobotCell, number: signal.Signals) -> None:
    for camera in cell.cameras.values():
        pid = pid_of(camera)
        if pid is not None:
            os.kill(pid, number)
