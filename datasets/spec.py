"""Shapes and units of all observed, commanded and stored data.

Positions m, angles rad, time s (monotonic), images uint8 RGB HWC, quaternions xyzw, gripper 0 closed .. 1 open.
Shape letters used in all folders: B batch, N observations in a window, T steps, K chunks, H prediction horizon,
da action, dc embedding, dz bottleneck latent; proprioception_dim in full, because dq is a joint velocity elsewhere.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Rotation(StrEnum):
    """How a task represents an end-effector rotation in an action."""

    ROTATION_VECTOR = "rotation_vector"
    """Axis times angle, rad, relative to the cell's reference orientation (tool pointing down), 3 numbers."""
    ROT6D = "rot6d"
    """First two rows of the rotation matrix, 6 numbers."""
    QUATERNION = "quaternion"
    """Unit quaternion xyzw, 4 numbers."""

    @property
    def size(self) -> int:
        """Numbers per rotation."""
        return {"rotation_vector": 3, "rot6d": 6, "quaternion": 4}[self.value]


class Proprioception(StrEnum):
    """What a task observes of an arm besides images and gripper opening."""

    JOINTS = "joints"
    """Joint angles, rad."""
    POSE = "pose"
    """Measured tool pose, represented as in actions; for demonstrations without joint angles."""


def pose_names(rotation: Rotation) -> tuple[str, ...]:
    """Names of the numbers of one arm's observed pose: position (m), then rotation."""
    return ("pose_x", "pose_y", "pose_z", *(f"pose_r{number}" for number in range(1, rotation.size + 1)))


@dataclass(frozen=True, kw_only=True)
class CameraSpec:
    """One recorded camera; images are uint8 RGB ``[height, width, 3]``."""

    name: str
    height: int
    width: int


@dataclass(frozen=True, kw_only=True)
class ActionSpec:
    """Absolute end-effector pose and gripper: ``[x y z, rotation, gripper]`` per arm, arms concatenated."""

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
    """Layout of one step of a task; stored with every episode and compared before episodes are mixed."""

    cameras: tuple[CameraSpec, ...]
    proprioception: tuple[str, ...]
    """One name per number, e.g. joint_1 .. joint_6 (rad) or pose_x .. pose_r3 (m, rad), then gripper (0..1)."""
    action: ActionSpec
    control_hz: float

    @property
    def proprioception_dim(self) -> int:
        """Size of the proprioceptive vector."""
        return len(self.proprioception)

    @property
    def observes_pose(self) -> bool:
        """Whether the tool pose is observed instead of joint angles."""
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
