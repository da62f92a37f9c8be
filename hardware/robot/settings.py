"""Task-file settings of a cell of real devices; each driver's file defines the settings of its device."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from datasets.settings import Settings
from datasets.spec import ActionSpec, DataSpec, Proprioception, pose_names
from hardware.cameras.settings import DeviceCameraSettings
from hardware.safety.filter import SafetySettings
from hardware.settings import ArmSettings, CellSettings


class PlacementSettings(Settings):
    """Where an object may be at the start of an episode, to overlay on a camera's image."""

    name: str = Field(min_length=1)
    """Name of the object."""
    camera: str
    """The camera whose image shows the position."""
    left: float = Field(default=0.25, ge=0.0, le=1.0)
    """Left border of the region, as a fraction of the image width."""
    right: float = Field(default=0.75, ge=0.0, le=1.0)
    """Right border, as a fraction of the image width."""
    top: float = Field(default=0.25, ge=0.0, le=1.0)
    """Upper border, as a fraction of the image height."""
    bottom: float = Field(default=0.75, ge=0.0, le=1.0)
    """Lower border, as a fraction of the image height."""
    turn: float = Field(default=0.0, ge=0.0, le=3.15)
    """Half the range of its direction, rad, about the image's upward direction."""

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.left > self.right or self.top > self.bottom:
            raise ValueError("left must not be beyond right, and top not below bottom")
        return self


class RobotCellSettings(CellSettings):
    """A cell of real devices: one or two arms with their grippers, and up to four cameras."""

    kind: Literal["robot"] = "robot"
    """``simulated`` for the embedded cell, ``robot`` for real arms, grippers and cameras."""
    controller_hz: int = Field(default=200, ge=100, le=250)
    """Rate of commands to each arm, Hz."""
    park_after: float = Field(default=2.0, ge=0.5, le=60.0)
    """An arm that is idle for this long, s, is parked: no commands are sent and it holds by itself."""
    suspended_after: float = Field(default=0.1, ge=0.02, le=1.0)
    """A gap, s, in an arm's own control loop after which its motion is aborted."""
    tracking_error: float = Field(default=0.1, ge=0.005, le=0.5)
    """Maximum distance, m, of an arm from its commanded position before it is stopped."""
    home_opening: Annotated[float, Field(ge=0.0, le=1.0)] | Literal["keep"] = 1.0
    """Gripper opening while homing, 0 closed to 1 open; ``keep`` leaves grippers unchanged."""
    arms: tuple[ArmSettings, ...] = Field(min_length=1, max_length=2)
    """The arms, in the order of actions."""
    cameras: tuple[DeviceCameraSettings, ...] = Field(min_length=1, max_length=4)
    """The cameras, in recording order."""
    safety: SafetySettings = SafetySettings()
    """Limits of the arms."""
    placements: tuple[PlacementSettings, ...] = ()
    """Start regions of the scene's objects; none: the operator places them freely."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        for what, names in (
            ("arms", [arm.name for arm in self.arms]),
            ("cameras", [camera.name for camera in self.cameras]),
            ("placements", [placement.name for placement in self.placements]),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"two of the {what} have the same name ({', '.join(names)}); rename one")
        for arm in self.arms:
            if arm.home and len(arm.home) != arm.joints:
                raise ValueError(
                    f"home of {arm.name} has {len(arm.home)} angles, the arm {arm.joints} joints"
                )
        known = [camera.name for camera in self.cameras]
        for placement in self.placements:
            if placement.camera not in known:
                raise ValueError(
                    f"the placement of {placement.name} is for camera '{placement.camera}'; "
                    f"there are {', '.join(known)}"
                )
        return self

    @property
    def spec(self) -> DataSpec:
        """The data format of one step: joints or pose and gripper of every arm; actions are poses."""
        return DataSpec(
            cameras=tuple(camera.spec for camera in self.cameras),
            proprioception=tuple(name for arm in self.arms for name in self._measured(arm)),
            action=ActionSpec(
                arms=len(self.arms),
                rotation=self.rotation,
                gripper=any(arm.gripper is not None for arm in self.arms),
            ),
            control_hz=float(self.control_hz),
        )

    def _measured(self, arm: ArmSettings) -> list[str]:
        prefix = f"{arm.name}_" if len(self.arms) > 1 else ""
        names = [f"joint_{number}" for number in range(1, arm.joints + 1)]
        if self.proprioception is Proprioception.POSE:
            names = [*pose_names(self.rotation)]
        return [prefix + name for name in (*names, *(["gripper"] if arm.gripper is not None else []))]
