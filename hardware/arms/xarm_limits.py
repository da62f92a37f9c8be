"""The limits that the xArm's own controller enforces: set from the task file, and read back from the arm.

They hold even when everything on this side fails. The driver decides when to set and read them; the values read back
are what the arm reports, not what was sent.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from pydantic import Field
from scipy.spatial.transform import Rotation

from hardware.arms import xarm_sdk
from hardware.arms.interface import LimitCheck
from hardware.settings import ArmSettings, Offset, Place, Turn, Vector3

Refuse = Callable[[Any, str], None]
"""Takes the SDK's return code and the name of the request; raises unless the code is good."""

ToolModel = Literal["none", "ufactory", "robotiq"]

_TOOL_MODELS: dict[ToolModel, int] = {"none": 0, "ufactory": 1, "robotiq": 4}
_FIRST_REPORT = 2.0
_MILLI = 1000.0


class XArmLimitSettings(ArmSettings):
    """Limits for the arm's own controller to enforce."""

    collision_sensitivity: int = Field(default=3, ge=1, le=5)
    """How readily the arm treats resistance as a collision and stops: 1 least, 5 most."""
    boundary_lower: Place | None = None
    """Lower corner, m in the arm's base frame, of the box to which the arm's own controller confines the tool."""
    boundary_upper: Place | None = None
    """Upper corner of that box; make it a little larger than the workspace box."""
    load_mass: float | None = Field(default=None, ge=0.0, le=10.0)
    """Mass of gripper and fingers, kg; without it the arm cannot tell a collision from its own load."""
    load_center: Offset = (0.0, 0.0, 0.05)
    """Their centre of mass in the flange frame, m."""
    tcp_position: Offset | None = None
    """The point between the fingertips in the flange frame, m; poses refer to this point."""
    tcp_rotation: Turn = (0.0, 0.0, 0.0)
    """Rotation of the tool in the flange frame, as a rotation vector, rad."""
    tool_model: ToolModel = "none"
    """The gripper model for the arm's own self-collision check."""
    reduced_tcp_speed: float | None = Field(default=None, gt=0.0, le=1.0)
    """m/s; when set, the controller's reduced mode is on and limits the tool to this speed."""

    @property
    def boundary(self) -> tuple[Vector3, Vector3] | None:
        if self.boundary_lower is None or self.boundary_upper is None:
            return None
        return self.boundary_lower, self.boundary_upper


@dataclass(frozen=True, kw_only=True)
class LimitReport:
    """The limits that the arm reports; m, kg, rad."""

    collision_sensitivity: int
    self_collision: bool
    tool_model: int
    boundary: tuple[tuple[float, float], ...]
    """(lower, upper) of x, y, z."""
    fence: bool
    reduced: bool
    reduced_tcp_speed: float
    load: tuple[float, ...]
    """Mass, then the centre of mass."""
    tcp: tuple[float, ...]
    """x y z, roll pitch yaw."""
    gravity: tuple[float, ...]
    """Down, in the base frame."""
    simulated: bool
    """Whether the controller is in simulation mode."""


def apply(api: Any, settings: XArmLimitSettings, refuse: Refuse) -> None:
    """Set all limits in the task file. The arm must be enabled, without error and at rest."""
    if settings.tcp_position is not None:
        refuse(api.set_tcp_offset(_tcp_mm(settings), wait=False), "the tool centre point")
    if settings.load_mass is not None:
        center = [value * _MILLI for value in settings.load_center]
        refuse(api.set_tcp_load(settings.load_mass, center, wait=False), "the load")
    refuse(api.set_collision_tool_model(_TOOL_MODELS[settings.tool_model]), "the gripper's shape")
    refuse(api.set_self_collision_detection(True), "the self-collision check")
    refuse(api.set_collision_sensitivity(settings.collision_sensitivity), "the collision sensitivity")
    boundary = _boundary_mm(settings)
    if boundary is not None:
        refuse(api.set_reduced_tcp_boundary(boundary), "the boundary")
        refuse(api.set_fence_mode(True), "watching the boundary")
    if settings.reduced_tcp_speed is not None:
        refuse(api.set_reduced_max_tcp_speed(settings.reduced_tcp_speed * _MILLI), "the reduced speed")
    refuse(api.set_reduced_mode(settings.reduced_tcp_speed is not None), "the reduced mode")


def read(address: str, control_port: int) -> LimitReport | None:
    """Query the arm over a separate connection, as the fast reports hold no limits; None without an answer.

    Raises UnreachableError.
    """
    api = xarm_sdk.open_api(address, control_port=control_port, report="rich")
    try:
        until = time.monotonic() + _FIRST_REPORT
        while api.count < 0 and time.monotonic() < until:
            time.sleep(0.01)
        return None if api.count < 0 else _parse(api.report_data)
    finally:
        api.disconnect()


def checks(settings: XArmLimitSettings, report: LimitReport) -> list[LimitCheck]:
    """Each limit, compared with the task file."""
    found = [
        _sensitivity(settings, report),
        _boundary(settings, report),
        _load(settings, report),
        _tcp(settings, report),
        _self_collision(settings, report),
        *_reduced_speed(settings, report),
        _mounting(settings, report),
        _reality(report),
    ]
    return [replace(check, remedy="") if check.ok else check for check in found]


def _parse(report: Any) -> LimitReport:
    tcp, load = report.tcp_offset, report.tcp_payload
    return LimitReport(
        collision_sensitivity=report.collision_sens,
        self_collision=report.is_collision_detection,
        tool_model=report.collision_tool_type,
        boundary=tuple((low / _MILLI, high / _MILLI) for low, high in report.reduced_tcp_boundary),
        fence=report.is_fence_mode,
        reduced=report.is_reduced_mode,
        reduced_tcp_speed=report.reduced_tcp_max_speed / _MILLI,
        load=(load[0], *(value / _MILLI for value in load[1:])),
        tcp=(*(value / _MILLI for value in tcp[:3]), *tcp[3:]),
        gravity=tuple(report.gravity_direction),
        simulated=report.is_simulation_robot,
    )


def _sensitivity(settings: XArmLimitSettings, report: LimitReport) -> LimitCheck:
    return LimitCheck(
        name="collision sensitivity",
        ok=report.collision_sensitivity == settings.collision_sensitivity,
        detail=f"{report.collision_sensitivity} of 5",
        remedy=_differs(f"collision_sensitivity = {settings.collision_sensitivity}"),
    )


def _boundary(settings: XArmLimitSettings, report: LimitReport) -> LimitCheck:
    wanted = _boundary_mm(settings)
    if wanted is None:
        return _unset("boundary", "boundary_lower and boundary_upper, m in the arm's base frame")
    sides = ", ".join(f"{low:g}..{high:g}" for low, high in report.boundary)
    is_same = bool(np.allclose(_as_sdk_orders(report.boundary), wanted, atol=0.6))
    return LimitCheck(
        name="boundary",
        ok=is_same and (report.fence or report.reduced),
        detail=f"{sides} m, {'watched' if report.fence or report.reduced else 'not watched'}",
        remedy=_differs("boundary_lower and boundary_upper"),
    )


def _load(settings: XArmLimitSettings, report: LimitReport) -> LimitCheck:
    if settings.load_mass is None:
        return _unset("load", "load_mass, kg, and load_center, m")
    wanted = (settings.load_mass, *settings.load_center)
    return LimitCheck(
        name="load",
        ok=bool(np.allclose(report.load, wanted, atol=2e-3)),
        detail=f"{report.load[0]:.3g} kg",
        remedy=_differs(f"load_mass = {settings.load_mass:g}"),
    )


def _tcp(settings: XArmLimitSettings, report: LimitReport) -> LimitCheck:
    if settings.tcp_position is None:
        return _unset("tool centre point", "tcp_position, m in the flange's frame")
    wanted = Rotation.from_rotvec(settings.tcp_rotation)
    turned = float((Rotation.from_euler("xyz", report.tcp[3:]) * wanted.inv()).magnitude())
    return LimitCheck(
        name="tool centre point",
        ok=bool(np.allclose(report.tcp[:3], settings.tcp_position, atol=1e-3)) and turned < 1e-2,
        detail=", ".join(f"{value:.4g}" for value in report.tcp[:3]) + " m",
        remedy=_differs("tcp_position and tcp_rotation"),
    )


def _self_collision(settings: XArmLimitSettings, report: LimitReport) -> LimitCheck:
    models = {number: name for name, number in _TOOL_MODELS.items()}
    shape = models.get(report.tool_model, f"model {report.tool_model}")
    return LimitCheck(
        name="self-collision check",
        ok=report.self_collision and report.tool_model == _TOOL_MODELS[settings.tool_model],
        detail=f"{'on' if report.self_collision else 'off'}, gripper: {shape}",
        remedy=_differs(f"tool_model = {settings.tool_model}"),
    )


def _reduced_speed(settings: XArmLimitSettings, report: LimitReport) -> list[LimitCheck]:
    """Empty where the task file sets no reduced speed."""
    wanted, kept = settings.reduced_tcp_speed, report.reduced_tcp_speed
    if wanted is None:
        return []
    return [
        LimitCheck(
            name="reduced speed",
            ok=report.reduced and abs(kept - wanted) < 2e-3,
            detail=f"{kept:g} m/s, {'kept' if report.reduced else 'not kept'}",
            remedy=_differs(f"reduced_tcp_speed = {wanted:g}"),
        )
    ]


def _mounting(settings: XArmLimitSettings, report: LimitReport) -> LimitCheck:
    down = Rotation.from_rotvec(settings.base_rotation).inv().apply([0.0, 0.0, -1.0])
    angle = math.degrees(math.acos(float(np.clip(np.dot(down, report.gravity), -1.0, 1.0))))
    return LimitCheck(
        name="mounting",
        ok=angle < 5.0,
        detail=f"the arm takes down to be {angle:.0f} degrees from where base_rotation puts it",
        remedy="Set the mounting direction in the vendor's app, or base_rotation in the task file.",
    )


def _reality(report: LimitReport) -> LimitCheck:
    return LimitCheck(
        name="real motion",
        ok=not report.simulated,
        detail="the controller is in simulation mode" if report.simulated else "on",
        remedy="Leave simulation mode in the vendor's app.",
    )


def _unset(name: str, fields: str) -> LimitCheck:
    return LimitCheck(
        name=name,
        ok=False,
        detail="not set",
        remedy=f"Write {fields}, into the arm's table of the task file.",
    )


def _differs(wanted: str) -> str:
    return f"The arm does not keep {wanted}: close the vendor's app and any other program, then reconnect."


def _tcp_mm(settings: XArmLimitSettings) -> list[float]:
    position = settings.tcp_position or (0.0, 0.0, 0.0)
    angles = Rotation.from_rotvec(settings.tcp_rotation).as_euler("xyz")
    return [*(value * _MILLI for value in position), *(float(angle) for angle in angles)]


def _boundary_mm(settings: XArmLimitSettings) -> list[int] | None:
    """In the SDK's order, rounded inwards; None unless the task file sets both corners."""
    lower, upper = settings.boundary_lower, settings.boundary_upper
    if lower is None or upper is None:
        return None
    return [
        side
        for low, high in zip(lower, upper, strict=True)
        for side in (math.floor(high * _MILLI + 1e-6), math.ceil(low * _MILLI - 1e-6))
    ]


def _as_sdk_orders(boundary: Sequence[tuple[float, float]]) -> list[float]:
    return [side * _MILLI for low, high in boundary for side in (high, low)]
