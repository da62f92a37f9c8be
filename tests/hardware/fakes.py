"""An arm, a gripper and a camera without hardware, and a switchboard on which a test breaks them while they run.

They are drivers like any other: a task file names them as `tests.hardware.fakes:FakeArmSettings`, and they live in the
controller's or the camera's process. The switchboard is a file that all of them map.
"""

from __future__ import annotations

import os
import time
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from datasets.settings import TRUST, Settings
from hardware.arms.interface import (
    Arm,
    ArmFault,
    ArmFaultError,
    ArmIdentity,
    ArmLinkError,
    ArmState,
    LimitCheck,
)
from hardware.cameras.interface import Camera, CameraError, Frame
from hardware.cameras.settings import DeviceCameraSettings
from hardware.device import Device
from hardware.grippers.interface import Grasp, Gripper, GripperError, GripperState
from hardware.plan import Command, JointCommand, Vector
from hardware.robot.settings import RobotCellSettings
from hardware.settings import Angles, ArmSettings, CellSettings, GripperSettings, Pace

os.environ[TRUST] = f"{os.environ.get(TRUST, '')} {__name__}"

HOME = (0.4, 0.0, 0.3, 0.0, 0.0, 0.0)
"""The fake arm's joints are its position and the rotation vector of its tool relative to pointing down."""
DOWN = Rotation.from_quat((1.0, 0.0, 0.0, 0.0))
HOMING = Pace(speed=0.5, acceleration=2.0, jerk=20.0)


class Switch(IntEnum):
    """What a test can turn on, and what it can read."""

    FAULT = 0
    """The arm reports a fault until it is recovered."""
    LINK = 1
    """Nothing is heard of the arm."""
    STUCK = 2
    """The arm does not follow."""
    STUBBORN = 3
    """The fault stays when it is recovered."""
    GRIPPER_LINK = 4
    CAMERA = 5
    """Cameras deliver nothing."""
    UNSAFE = 6
    """A vendor-side limit is not set."""
    SLOW_GRIPPER = 7
    """Every word with the gripper takes so long, s."""
    COMMANDS = 8
    """Counts what was sent to the arm."""
    STOPS = 9
    """Counts the vendor's stops."""
    OPENING = 10
    """How far open the gripper was told to be, m."""
    X = 11
    """Where the arm is, m."""
    MOVED_AT = 12
    """When it was last told to be somewhere else, s, monotonic."""
    SWAPPED = 13
    """Cameras answer with each other's serial numbers; taken up when they are opened."""
    ARM_SERIAL = 14
    """Which arm answers: 0 the first."""


class Switchboard:
    """Numbers in a file."""

    def __init__(self, path: Path) -> None:
        with path.open("ab") as file:  # whoever comes first makes it; nobody ever sees a part of it
            file.truncate(len(Switch) * np.dtype(np.float64).itemsize)
        self._numbers = np.memmap(path, np.float64, "r+")

    def __getitem__(self, switch: Switch) -> float:
        return float(self._numbers[switch])

    def __setitem__(self, switch: Switch, value: float) -> None:
        self._numbers[switch] = value


class FakeArmSettings(ArmSettings):
    """A fake arm."""

    driver: str = "tests.hardware.fakes:FakeArmSettings"
    joints: int = 6
    home: Angles = HOME
    switchboard: Path

    @property
    def occupies(self) -> str:
        return f"fake {self.name} of {self.switchboard}"

    @property
    def home_pace(self) -> Pace:
        return HOMING

    def flange(self, joints: Vector) -> Vector:
        turns = DOWN * Rotation.from_rotvec(joints[:, 3:])
        return np.hstack([joints[:, :3], turns.as_quat()])

    def build(self) -> Arm:
        return FakeArm(self)


class FakeArm(Arm):
    """Is where the newest command says."""

    def __init__(self, settings: FakeArmSettings) -> None:
        self.name = settings.name
        self._board = Switchboard(settings.switchboard)
        self._joints = np.array(HOME)
        self._joints[0] += 0.05
        self._servo = False
        self._connected = False

    def connect(self) -> ArmIdentity:
        self._connected = True
        self._require()
        return ArmIdentity(
            model="fake", serial=f"F{1 + self._board[Switch.ARM_SERIAL]:.0f}", firmware="1.0", joints=6
        )

    def close(self) -> None:
        self._servo = self._connected = False

    def limits(self) -> list[LimitCheck]:
        unsafe = bool(self._board[Switch.UNSAFE])
        return [
            LimitCheck(
                name="collision sensitivity",
                ok=not unsafe,
                detail="not set" if unsafe else "3",
                remedy="Set collision_sensitivity.",
            )
        ]

    def state(self) -> ArmState:
        self._require_link()
        return ArmState(
            time=time.monotonic(),
            position=self._joints[:3].copy(),
            quaternion=(DOWN * Rotation.from_rotvec(self._joints[3:])).as_quat(),
            joints=self._joints.copy(),
            fault=self._fault() if self._board[Switch.FAULT] else None,
        )

    def begin_servo(self) -> None:
        self._require()
        self._servo = True

    def servo(self, command: Command) -> None:
        self._require()
        assert self._servo, "servo without begin_servo"
        self._board[Switch.COMMANDS] += 1
        if not self._board[Switch.STUCK]:
            if np.abs(self._joints[:3] - command.position).max() > 1e-7:
                self._board[Switch.MOVED_AT] = time.monotonic()
            self._joints[:3] = command.position
            self._board[Switch.X] = command.position[0]
            self._joints[3:] = (DOWN.inv() * Rotation.from_quat(command.quaternion)).as_rotvec()

    def begin_servo_joints(self) -> None:
        self.begin_servo()

    def servo_joints(self, command: JointCommand) -> None:
        self._require()
        assert self._servo, "servo_joints without begin_servo_joints"
        self._board[Switch.COMMANDS] += 1
        if not self._board[Switch.STUCK]:
            if np.abs(self._joints - command.joints).max() > 1e-7:
                self._board[Switch.MOVED_AT] = time.monotonic()
            self._joints = command.joints.copy()
            self._board[Switch.X] = command.joints[0]

    def stop(self) -> None:
        self._board[Switch.STOPS] += 1
        self._servo = False

    def recover(self) -> None:
        if self._board[Switch.STUBBORN]:
            raise ArmFaultError(self._fault())
        self._board[Switch.FAULT] = 0.0

    def _require_link(self) -> None:
        if self._board[Switch.LINK] or not self._connected:
            raise ArmLinkError(f"{self.name}: nothing heard for 0.3 s. Check its cable.")

    def _require(self) -> None:
        self._require_link()
        if self._board[Switch.FAULT]:
            raise ArmFaultError(self._fault())

    def _fault(self) -> ArmFault:
        return ArmFault(
            arm=self.name, code="C31", text="Collision caused abnormal current", remedy="Free the arm."
        )


class FakeGripperSettings(GripperSettings):
    """A fake gripper."""

    driver: str = "tests.hardware.fakes:FakeGripperSettings"
    switchboard: Path

    def build(self, arm: ArmSettings) -> Gripper:
        return FakeGripper(f"{arm.name} {self.name}", self.switchboard)


class FakeGripper(Gripper):
    """Is as wide as it was told."""

    max_width = 0.08

    def __init__(self, name: str, board: Path, *, width: float = max_width) -> None:
        self.name = name
        self.busy = False
        """Whether it is being asked and takes its time."""
        self._board = Switchboard(board)
        self._width = width
        self._connected = False

    def connect(self) -> str:
        self._connected = True
        self._speak()
        return "fake gripper"

    def close(self) -> None:
        self._connected = False

    def move(self, width: float) -> None:
        self._speak()
        self._width = self._board[Switch.OPENING] = min(max(width, 0.0), self.max_width)

    def state(self) -> GripperState:
        self._speak()
        return GripperState(time=time.monotonic(), width=self._width, grasp=Grasp.NOTHING)

    def recover(self) -> None:
        self._speak()

    def _speak(self) -> None:
        begun = time.monotonic()
        while time.monotonic() < begun + self._board[Switch.SLOW_GRIPPER]:
            self.busy = True
            time.sleep(0.005)
        self.busy = False
        if self._board[Switch.GRIPPER_LINK] or not self._connected:
            raise GripperError(f"{self.name}: no answer. Check its cable.")


class FakeCameraSettings(DeviceCameraSettings):
    """A fake camera."""

    driver: str = "tests.hardware.fakes:FakeCameraSettings"
    height: int = 32
    width: int = 32
    fps: float = 50.0
    serials: tuple[str, str] = ("A", "B")
    """Its own, and that of the camera with which it can be swapped."""
    switchboard: Path

    def build(self) -> Camera:
        return FakeCamera(self)


class FakeCamera(Camera):
    """Counts in its first pixels."""

    def __init__(self, settings: FakeCameraSettings) -> None:
        self.name = settings.name
        self._settings = settings
        self._board = Switchboard(settings.switchboard)
        self._number = 0

    def open(self) -> str:
        return "fake camera"

    def device(self) -> Device:
        serial = self._settings.serials[int(self._board[Switch.SWAPPED])]
        return Device(model="fake camera", serial=serial, settings={"gain": 4.0})

    def read(self, timeout: float) -> Frame:
        until = time.monotonic() + timeout
        time.sleep(1.0 / self._settings.fps)
        while self._board[Switch.CAMERA]:
            if time.monotonic() > until:
                raise CameraError(f"{self.name}: no frame for {timeout:g} s. Check its cable.")
            time.sleep(0.005)
        self._number += 1
        image = np.full((self._settings.height, self._settings.width, 3), 90, np.uint8)
        image[0, 0] = (*divmod(self._number, 256), 0)
        return Frame(image=image, time=time.monotonic(), number=self._number)

    def close(self) -> None:
        pass


def cell_table(board: Path, *, arms: int = 1, gripper: bool = True, **changes: Any) -> dict[str, Any]:
    """The [cell] of a task file for fakes."""
    names = ["left", "right"][:arms]
    table: dict[str, Any] = {
        "kind": "robot",
        "control_hz": 10,
        "controller_hz": 100,
        "suspended_after": 0.5,
        "arms": [
            {
                "driver": "tests.hardware.fakes:FakeArmSettings",
                "name": name,
                "switchboard": str(board),
                "base_position": [0.0, 1.2 * number, 0.0],
            }
            for number, name in enumerate(names)
        ],
        "cameras": [
            {
                "driver": "tests.hardware.fakes:FakeCameraSettings",
                "name": "scene",
                "switchboard": str(board),
            }
        ],
        "safety": {
            "workspaces": [
                {"arm": name, "lower": [0.2, -0.3, 0.05], "upper": [0.7, 0.3, 0.5]} for name in names
            ],
            "velocity": 0.5,
            "acceleration": 2.0,
            "radius": 0.1,
        },
    }
    if gripper:
        for arm in table["arms"]:
            arm["gripper"] = {
                "driver": "tests.hardware.fakes:FakeGripperSettings",
                "switchboard": str(board),
            }
    return {**table, **changes}


def read_cell(table: dict[str, Any]) -> RobotCellSettings:
    """A [cell] table as a task file's is read."""

    class File(Settings):
        cell: CellSettings

    cell = File.model_validate({"cell": table}).cell
    assert isinstance(cell, RobotCellSettings)
    return cell
