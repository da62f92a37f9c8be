"""Shapes and units of everything that is observed, commanded and stored.

Positions m, angles rad, time s (monotonic), images uint8 RGB HWC, quaternions xyzw, gripper 0 closed .. 1 open.
Shape letters used in all folders: B batch, N observations in a window, T steps, K chunks, H horizon,
dq proprioception, da action, dc embedding, dz bottleneck latent.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Rotation(StrEnum):
    """How a task writes an end-effector rotation inside an action."""

    ROTATION_VECTOR = "rotation_vector"
    """Axis times angle, rad, relative to the cell's reference orientation (tool pointing down), 3 numbers."""
    ROT6D = "rot6d"
    """First two rows of the rotation matrix, 6 numbers."""
    QUATERNION = "quaternion"
    """Unit quaternion xyzw, 4 numbers."""

    @property
    def size(self) -> int:
        """How many numbers one rotation takes."""
        return {"rotation_vector": 3, "rot6d": 6, "quaternion": 4}[self.value]


class Proprioception(StrEnum):
    """What a task observes of an arm beside pictures and the gripper's opening."""

    JOINTS = "joints"
    """Joint angles, rad."""
    POSE = "pose"
    """The tool's measured pose, written as in actions: for demonstrations that know no joint angles."""


def pose_names(rotation: Rotation) -> tuple[str, ...]:
    """What the numbers of one arm's observed pose are called: position m, then the rotation."""
    return ("pose_x", "pose_y", "pose_z", *(f"pose_r{number}" for number in range(1, rotation.size + 1)))


@dataclass(frozen=True, kw_only=True)
class CameraSpec:
    """One camera as it is recorded: images are uint8 RGB ``[height, width, 3]``."""

    name: str
    height: int
    width: int


@dataclass(frozen=True, kw_only=True)
class ActionSpec:
    """Absolute end-effector pose and gripper, per arm ``[x y z, rotation, gripper]``, arms one after another."""

    arms: int = 1
    rotation: Rotation = Rotation.ROTATION_VECTOR
    gripper: bool = True

    @property
    def arm_size(self) -> int:
        """Numbers per arm."""
        return 3 + self.rotation.size + int(self.gripper)

    @property
    def size(self) -> int:
        """da."""
        return self.arms * self.arm_size


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """What one step of a task looks like; stored with every episode and compared before anything is mixed."""

    cameras: tuple[CameraSpec, ...]
    proprioception: tuple[str, ...]
    """One name per number, e.g. joint_1 .. joint_6 (rad) or pose_x .. pose_r3 (m, rad), then gripper (0..1)."""
    action: ActionSpec
    control_hz: float

    @property
    def dq(self) -> int:
        """Size of the proprioceptive vector."""
        return len(self.proprioception)

    @property
    def observes_pose(self) -> bool:
        """Whether the tool's pose is observed, and no joint angles."""
        return any(name.endswith("pose_x") for name in self.proprioception)

    @property
    def da(self) -> int:
        """Size of one action."""
        return self.action.size

    @property
    def dt(self) -> float:
        """Control period, s."""
        return 1.0 / self.control_hz

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; inverse of `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> DataSpec:
        """Inverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: the JSON is not a spec.
        """
        action = data["action"]
        return cls(
            cameras=tuple(CameraSpec(**camera) for camera in data["cameras"]),
            proprioception=tuple(data["proprioception"]),
            action=ActionSpec(
                arms=action["arms"], rotation=Rotation(action["rotation"]), gripper=action["gripper"]
            ),
            control_hz=float(data["control_hz"]),
        )
