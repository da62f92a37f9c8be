"""Base classes of cell and device settings; each driver's file defines its own.

The `kinds` tables below list all devices: a new one takes one file and one line. Nothing here imports a driver, and no
driver imports its vendor's package before it connects.
"""

from __future__ import annotations

import socket
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from datasets.settings import OneOf, Settings
from datasets.spec import DataSpec, Proprioception, Rotation

if TYPE_CHECKING:
    from datasets.kinematics import Array
    from hardware.arms.interface import Arm
    from hardware.cell import Cell
    from hardware.grippers.interface import Gripper
    from hardware.latch import StopLatch

Vector3 = tuple[float, float, float]


def _at_most(most: float, unit: str, slip: str) -> AfterValidator:
    """Rejects numbers too large to be in `unit`."""

    def check(values: tuple[float, ...]) -> tuple[float, ...]:
        for value in values:
            if not abs(value) <= most:
                raise ValueError(
                    f"{value:g} is too much: it is in {unit}, at most {most:g}. Is it in {slip}?"
                )
        return values

    return AfterValidator(check)


Place = Annotated[Vector3, _at_most(5.0, "m", "mm")]
"""A position in a cell, m."""
Offset = Annotated[Vector3, _at_most(0.6, "m", "mm")]
"""Offset from a flange to a part of its tool, m."""
Turn = Annotated[Vector3, _at_most(6.3, "rad", "degrees")]
"""A rotation vector, rad."""
Angles = Annotated[tuple[float, ...], _at_most(6.3, "rad", "degrees")]
"""Joint angles, rad."""


JointEnds = tuple[tuple[float, ...], tuple[float, ...]]
"""Lower and upper limit of every joint, rad."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Limits on a joint's motion: rad/s, rad/s2, rad/s3."""

    speed: float
    acceleration: float
    jerk: float


class CellSettings(OneOf):
    """A robot cell: simulated, or built from real devices."""

    kinds: ClassVar[Mapping[str, str]] = {
        "simulated": "hardware.simulation.settings:SimulationSettings",
        "robot": "hardware.robot.settings:RobotCellSettings",
    }
    usual: ClassVar[str] = "simulated"

    kind: str
    """``simulated`` for the embedded cell, ``robot`` for real arms, grippers and cameras."""
    control_hz: int = Field(default=10, ge=5, le=60)
    """Control rate, Hz: how often a pose of a plan is due."""
    rotation: Rotation = Rotation.ROTATION_VECTOR
    """How actions represent rotations."""
    proprioception: Proprioception = Proprioception.JOINTS
    """What is observed of each arm: ``joints``, or ``pose`` for demonstrations without joint angles."""

    @classmethod
    def reader(cls, content: Mapping[str, Any]) -> type[Settings]:
        """The settings class for `content`; arms without a kind mean real ones."""
        return super().reader({"kind": "robot", **content} if "arms" in content else content)

    @property
    @abstractmethod
    def spec(self) -> DataSpec:
        """The data format of one step of this cell."""

    def build(self, latch: StopLatch) -> Cell:
        """The unconnected cell, obeying `latch`, for a kind named as module:Class; opens nothing.

        Raises:
            NotImplementedError: the station's own kinds, which it builds itself.
        """
        raise NotImplementedError(f"{type(self).__name__} has no build")


class DeviceSettings(OneOf):
    """A device; `driver` selects the code that talks to it."""

    chooser: ClassVar[str] = "driver"

    driver: str
    """Driver name; name a custom driver as module:Class (of its settings)."""
    name: str = Field(min_length=1, pattern=r"^[a-z0-9][a-z0-9_]*$")
    """What it is called on the screen and in recordings."""

    @property
    def occupies(self) -> str:
        """The resource that only one program may open at a time, as a noun, however it is named; empty: none."""
        return ""

    @property
    def advice(self) -> str:
        """What may go wrong with the way this file names it, in a sentence with its remedy; empty: nothing."""
        return ""


class GripperSettings(DeviceSettings):
    """A gripper."""

    kinds: ClassVar[Mapping[str, str]] = {
        "robotiq_rs485": "hardware.grippers.robotiq_rs485:RobotiqRS485Settings",
        "robotiq_modbus": "hardware.grippers.robotiq_modbus:RobotiqModbusSettings",
        "ufactory": "hardware.grippers.ufactory:UfactoryGripperSettings",
        "franka_hand": "hardware.grippers.franka_hand:FrankaHandSettings",
    }

    name: str = Field(default="gripper", min_length=1, pattern=r"^[a-z0-9][a-z0-9_]*$")
    """What it is called on the screen and in recordings."""

    @abstractmethod
    def build(self, arm: ArmSettings) -> Gripper:
        """The unconnected driver of the gripper on this arm (it may share the arm's address). Opens nothing."""


def numeric(host: str) -> str:
    """The IP address of a host, or its name where it cannot be resolved."""
    try:
        return socket.gethostbyname(host)
    except OSError:
        return host


class ArmSettings(DeviceSettings):
    """An arm, and the gripper it carries."""

    kinds: ClassVar[Mapping[str, str]] = {
        "xarm": "hardware.arms.xarm:XArmSettings",
        "franka": "hardware.arms.franka:FrankaSettings",
    }

    joints: int = Field(default=7, ge=6, le=7)
    """Number of joints."""
    home: Angles = ()
    """Joint angles, rad, from which every episode starts; unset, a start is refused."""
    base_position: Place = (0.0, 0.0, 0.0)
    """Position of the arm's base in the cell frame, m; two arms need it to stay clear of each other."""
    base_rotation: Turn = (0.0, 0.0, 0.0)
    """Rotation of the arm's base in the cell frame, as a rotation vector, rad."""
    gripper: GripperSettings | None = None
    """The gripper it carries; without one, actions have no gripper dimension."""

    @property
    def boundary(self) -> tuple[Vector3, Vector3] | None:
        """Lower and upper corner, m, base frame, of the box to which the arm's own controller confines the tool."""
        return None

    @property
    def geometry(self) -> str:
        """Key in `datasets.kinematics.ARMS`; empty: its forward kinematics are unknown."""
        return ""

    @property
    def joint_ends(self) -> JointEnds | None:
        """Its joint limits as the maker specifies them; None: unknown."""
        return None

    @property
    def home_pace(self) -> Pace:
        """Limits of the joint that turns farthest while homing; [safety] may require less."""
        return Pace(speed=0.35, acceleration=1.0, jerk=10.0)

    @property
    def home_within(self) -> float:
        """Tolerance of every joint about its home angle, rad."""
        return 0.01

    def flange(self, joints: Array) -> Array | None:
        """Forward kinematics: flange poses [T, 7] at joint angles rad [T, n]; None where unknown."""
        # imported only for homing: the library is slow to load
        from datasets.kinematics import ARMS

        return ARMS[self.geometry].forward(joints) if self.geometry else None

    @abstractmethod
    def build(self) -> Arm:
        """The unconnected driver. Opens nothing and imports no vendor package."""
