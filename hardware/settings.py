"""What every group of cell and device settings shares; each device's own stand in its driver's file.

The tables `kinds` below name all devices there are: a new one is one file and one line. Nothing here imports a driver,
and no driver's file imports its vendor's package before it is told to connect.
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
    from hardware.grippers.interface import Gripper

Vector3 = tuple[float, float, float]


def _at_most(most: float, unit: str, slip: str) -> AfterValidator:
    """Refuses numbers that are no `unit`: nothing is so far away, and no arm turns so far."""

    def check(values: tuple[float, ...]) -> tuple[float, ...]:
        for value in values:
            if not abs(value) <= most:
                raise ValueError(
                    f"{value:g} is too much: it is in {unit}, at most {most:g}. Is it in {slip}?"
                )
        return values

    return AfterValidator(check)


Place = Annotated[Vector3, _at_most(5.0, "m", "mm")]
"""Somewhere in a cell, m."""
Offset = Annotated[Vector3, _at_most(0.6, "m", "mm")]
"""From a flange to a part of its tool, m."""
Turn = Annotated[Vector3, _at_most(6.3, "rad", "degrees")]
"""A rotation vector, rad."""
Angles = Annotated[tuple[float, ...], _at_most(6.3, "rad", "degrees")]
"""Of joints, rad."""


JointEnds = tuple[tuple[float, ...], tuple[float, ...]]
"""Lowest and highest angle of every joint, rad."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast something may turn: rad/s, rad/s2, rad/s3."""

    speed: float
    acceleration: float
    jerk: float


class CellSettings(OneOf):
    """A workplace: simulated, or made of real devices."""

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
    """How rotations stand in actions."""
    proprioception: Proprioception = Proprioception.JOINTS
    """What is observed of each arm: ``joints``, or ``pose`` for demonstrations without joint angles."""

    @classmethod
    def reader(cls, content: Mapping[str, Any]) -> type[Settings]:
        """The kind that `content` asks for; one that names arms and no kind means real ones."""
        return super().reader({"kind": "robot", **content} if "arms" in content else content)

    @property
    @abstractmethod
    def spec(self) -> DataSpec:
        """What one step of this cell looks like."""


class DeviceSettings(OneOf):
    """A device: `driver` says which file speaks with it."""

    chooser: ClassVar[str] = "driver"

    driver: str
    """Which driver speaks with it; a driver of one's own is named module:Class (of its settings)."""
    name: str = Field(min_length=1, pattern=r"^[a-z0-9][a-z0-9_]*$")
    """What it is called on the screen and in recordings."""

    @property
    def occupies(self) -> str:
        """What only one program at a time may open, as a noun, the same for every way to name it; empty: nothing."""
        return ""

    @property
    def advice(self) -> str:
        """What may go wrong with how it is named here, in a sentence with its remedy; empty: nothing."""
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
        """The driver, unconnected, of the gripper on this arm (its address may be the arm's). Opens nothing."""


def numeric(host: str) -> str:
    """The address of a host, or its name where that is not known."""
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
    """How many joints it has."""
    home: Angles = ()
    """Joint angles, rad, from which every episode starts; a start is refused while they are not set."""
    base_position: Place = (0.0, 0.0, 0.0)
    """Where the arm's base stands in the cell's frame, m; two arms must say it to stay clear of each other."""
    base_rotation: Turn = (0.0, 0.0, 0.0)
    """How the arm's base is turned in the cell's frame, as a rotation vector, rad."""
    gripper: GripperSettings | None = None
    """The gripper it carries; none: actions hold no gripper."""

    @property
    def boundary(self) -> tuple[Vector3, Vector3] | None:
        """Lower and upper corner, m, base frame, of the box in which the arm's own controller keeps the tool."""
        return None

    @property
    def geometry(self) -> str:
        """Its name among `datasets.kinematics.ARMS`; empty: nobody can tell where its flange will be."""
        return ""

    @property
    def joint_ends(self) -> JointEnds | None:
        """Where its joints end, as the maker gives it; None: nobody can tell."""
        return None

    @property
    def home_pace(self) -> Pace:
        """How fast the joint that turns farthest may turn on the way home; [safety] may ask for less."""
        return Pace(speed=0.35, acceleration=1.0, jerk=10.0)

    @property
    def home_within(self) -> float:
        """How close every joint must come to its home angle, rad."""
        return 0.01

    def flange(self, joints: Array) -> Array | None:
        """Where the flange is at joint angles rad [T, n]: poses [T, 7]; None where nobody can tell."""
        # read by whoever goes home only: its library takes its time to load
        from datasets.kinematics import ARMS

        return ARMS[self.geometry].forward(joints) if self.geometry else None

    @abstractmethod
    def build(self) -> Arm:
        """The driver, unconnected. Opens nothing and imports no vendor's package."""
