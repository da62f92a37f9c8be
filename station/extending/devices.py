"""Public names for cells, arms, grippers and cameras. Loads neither torch nor a vendor's package."""

from __future__ import annotations

from datasets.episode import Ending
from datasets.observation import FloatArray, Image, Observation
from datasets.spec import ActionSpec, CameraSpec, DataSpec, Proprioception, Rotation
from hardware.arms.interface import (
    Arm,
    ArmError,
    ArmFault,
    ArmFaultError,
    ArmIdentity,
    ArmLinkError,
    ArmState,
    LimitCheck,
)
from hardware.cameras.interface import Camera, CameraError, Frame
from hardware.cameras.settings import DeviceCameraSettings, LiveCameraSettings
from hardware.cell import (
    Cell,
    CellError,
    CellHealth,
    Check,
    ClockSpeed,
    Layout,
    Motion,
    NonFiniteCommandError,
    StaleFrameError,
    Step,
    StoppedError,
)
from hardware.device import Device, Devices
from hardware.grippers.interface import Grasp, Gripper, GripperError, GripperState
from hardware.latch import StopLatch
from hardware.plan import Command, JointCommand, Vector
from hardware.settings import ArmSettings, CellSettings, GripperSettings, JointEnds, Pace

__all__ = [
    "ActionSpec",
    "Arm",
    "ArmError",
    "ArmFault",
    "ArmFaultError",
    "ArmIdentity",
    "ArmLinkError",
    "ArmSettings",
    "ArmState",
    "Camera",
    "CameraError",
    "CameraSpec",
    "Cell",
    "CellError",
    "CellHealth",
    "CellSettings",
    "Check",
    "ClockSpeed",
    "Command",
    "DataSpec",
    "Device",
    "DeviceCameraSettings",
    "Devices",
    "Ending",
    "FloatArray",
    "Frame",
    "Grasp",
    "Gripper",
    "GripperError",
    "GripperSettings",
    "GripperState",
    "Image",
    "JointCommand",
    "JointEnds",
    "Layout",
    "LimitCheck",
    "LiveCameraSettings",
    "Motion",
    "NonFiniteCommandError",
    "Observation",
    "Pace",
    "Proprioception",
    "Rotation",
    "StaleFrameError",
    "Step",
    "StopLatch",
    "StoppedError",
    "Vector",
]
