"""Task-file settings of the simulated cell; `scene` and `cell` build it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from datasets.settings import Settings
from datasets.spec import ActionSpec, CameraSpec, DataSpec, Proprioception, Rotation, pose_names
from hardware.settings import CellSettings

TICK_HZ = 120
"""Rate of the simulated arm controller; a control period is a whole number of its ticks."""

CameraName = Literal["third", "wrist"]


class CameraSettings(Settings):
    """One ray-cast camera."""

    name: CameraName
    """``third`` views the scene from the side, ``wrist`` is mounted on the gripper."""
    height: int = Field(default=64, ge=16, le=720)
    """Image height, pixels."""
    width: int = Field(default=64, ge=16, le=1280)
    """Image width, pixels."""


class LayoutSettings(Settings):
    """Where the half orange and the juicer may start."""

    spread_x: float = Field(default=0.045, ge=0.0, le=0.055)
    """Half the range of the orange's start across the tray's short side, m."""
    spread_y: float = Field(default=0.07, ge=0.0, le=0.085)
    """Half the range of the orange's start along the tray's long side, m."""
    spread_yaw: float = Field(default=0.3, ge=0.0, le=0.6)
    """Half the range of the orange's start yaw, rad."""
    spread_juicer: float = Field(default=0.0, ge=0.0, le=0.03)
    """Half the range of the juicer's position along x and y, m."""


class LimitSettings(Settings):
    """Limits of the simulated arm; a target beyond them is clipped, and the result is recorded as `sent`."""

    low: tuple[float, float, float] = (0.20, -0.42, 0.012)
    """Lowest tool position, m, base frame."""
    high: tuple[float, float, float] = (0.62, 0.34, 0.42)
    """Highest tool position, m, base frame."""
    speed: float = Field(default=0.8, gt=0.0, le=2.0)
    """Fastest tool translation, m/s."""
    turn_rate: float = Field(default=3.0, gt=0.0, le=6.0)
    """Fastest tool rotation, rad/s."""
    gripper_rate: float = Field(default=4.0, gt=0.0, le=20.0)
    """Fastest gripper opening or closing, full strokes per second."""


class SimulationSettings(CellSettings):
    """A simulated cell: xArm-6, 85 mm gripper, two cameras, Place Orange."""

    kind: Literal["simulated"] = "simulated"
    """``simulated`` for the embedded cell, ``robot`` for real arms, grippers and cameras."""
    control_hz: int = Field(default=10, ge=5, le=60)
    """Control rate, Hz; must divide 120."""
    rotation: Rotation = Rotation.ROTATION_VECTOR
    """How actions represent rotations."""
    cameras: tuple[CameraSettings, ...] = (CameraSettings(name="third"), CameraSettings(name="wrist"))
    """Cameras, in recording order."""
    shadows: Literal["none", "half", "full"] = "half"
    """Shadows: none, at half the image's resolution, or at full resolution."""
    layout: LayoutSettings = LayoutSettings()
    """Start layouts."""
    limits: LimitSettings = LimitSettings()
    """Workspace and speed limits."""
    frame_age: float = Field(default=0.35, gt=0.0, le=5.0)
    """Maximum age of a frame for motion to continue, s of the cell's clock."""

    @field_validator("control_hz")
    @classmethod
    def _whole_ticks(cls, value: int) -> int:
        if TICK_HZ % value:
            raise ValueError(
                f"{value} Hz does not divide {TICK_HZ} Hz; choose 5, 6, 8, 10, 12, 15, 20, 24, 30, 40 or 60"
            )
        return value

    @model_validator(mode="after")
    def _distinct_cameras(self) -> SimulationSettings:
        names = [camera.name for camera in self.cameras]
        if not names or len(set(names)) != len(names):
            raise ValueError("cameras must name at least one camera, and each only once")
        return self

    @property
    def spec(self) -> DataSpec:
        """The data format of one step of this cell."""
        posed = self.proprioception is Proprioception.POSE
        observed = pose_names(self.rotation) if posed else tuple(f"joint_{i}" for i in range(1, 7))
        return DataSpec(
            cameras=tuple(CameraSpec(name=c.name, height=c.height, width=c.width) for c in self.cameras),
            proprioception=(*observed, "gripper"),
            action=ActionSpec(arms=1, rotation=self.rotation, gripper=True),
            control_hz=float(self.control_hz),
        )
