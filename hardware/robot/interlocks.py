"""The interlocks before a real cell's next motion, each as a check with its remedy.

They only check. The callers decide which ones to run before a session, before each episode and in the doctor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress

import numpy as np

from hardware.arms.interface import LimitCheck
from hardware.cameras.process import CameraProcess
from hardware.cell import Check
from hardware.controller.way import FORETOLD, ON_THE_WALL, WayError, WayRules, tool_at
from hardware.plan import Vector
from hardware.robot.process import ControllerProcess
from hardware.robot.settings import RobotCellSettings
from hardware.safety.filter import SafetySettings, WorkspaceSettings
from hardware.settings import ArmSettings
from hardware.wire import Mode, Report


def limits_set(settings: RobotCellSettings) -> Iterator[Check]:
    """Whether the limits and home poses, which only the user can know, are set and consistent."""
    missing = settings.safety.missing([arm.name for arm in settings.arms])
    yield Check(
        name="limits",
        ok=not missing,
        detail="set" if not missing else f"not set: {', '.join(missing)}",
        remedy="Set them in [safety] of the task file; nothing moves without them.",
    )
    for arm in settings.arms:
        yield Check(
            name=f"home pose of {arm.name}",
            ok=bool(arm.home),
            detail="set" if arm.home else "not set",
            remedy=f"Set home, {arm.joints} joint angles in rad, in [[arms]] of {arm.name}.",
        )
    yield from _boundaries(settings)


def _boundaries(settings: RobotCellSettings) -> Iterator[Check]:
    """Whether each arm's vendor-side boundary contains its workspace; a motion beyond the boundary ends in a fault."""
    for arm in settings.arms:
        workspace = _workspace(settings, arm.name)
        if arm.boundary is None or workspace is None:
            continue
        sides = zip("xyz", workspace.lower, workspace.upper, *arm.boundary, strict=True)
        outside = [
            f"{axis} of the workspace is {low:g} to {high:g} m, of the boundary {lowest:g} to {highest:g} m"
            for axis, low, high, lowest, highest in sides
            if low < lowest or high > highest
        ]
        yield Check(
            name=f"boundary of {arm.name}",
            ok=not outside,
            detail="; ".join(outside) or "around its workspace",
            remedy="Set boundary_lower and boundary_upper in [[arms]] to contain the whole workspace, or shrink it.",
        )


def _workspace(settings: RobotCellSettings, arm: str) -> WorkspaceSettings | None:
    return next((each for each in settings.safety.workspaces if each.arm == arm), None)


def controllers_well(processes: Mapping[str, ControllerProcess]) -> Iterator[Check]:
    """Whether every controller runs, reports and has no fault."""
    for name, process in processes.items():
        report = process.report()
        if not process.alive or report is None:
            detail, remedy = "its controller is silent", "Make sure that the arm is at rest, then continue."
            yield Check(name=f"arm {name}", ok=False, detail=detail, remedy=remedy, silent=True)
            continue
        faulty = report.mode in (Mode.FAULT, Mode.OFFLINE)
        detail = report.text or ("in fault" if faulty else report.mode.name.lower())
        yield Check(name=f"arm {name}", ok=not faulty and not report.text, detail=detail)


def vendor_limits(name: str, limits: list[LimitCheck]) -> Iterator[Check]:
    """The limits inside the arm's own controller."""
    for limit in limits:
        yield Check(name=f"{name} {limit.name}", ok=limit.ok, detail=limit.detail, remedy=limit.remedy)


def frames_fresh(
    cameras: Mapping[str, CameraProcess], taken: Mapping[str, float | None], now: float, limit: float
) -> Iterator[Check]:
    """Whether every camera delivers; `taken`: time of the newest frame, s; `now`: time of that query, s."""
    for name, camera in cameras.items():
        since = taken[name]
        age = max(0.0, now - since) if since is not None else math.inf
        detail = f"newest frame {age:.2f} s old" if since is not None else "no frame yet"
        error = camera.status().error if age > limit else ""
        yield Check(
            name=f"camera {name}",
            ok=age <= limit,
            detail=error or detail,
            remedy="" if error else f"Look at the camera; the limit is {limit:.2f} s.",
            silent=not error,
        )


def at_home(settings: RobotCellSettings, processes: Mapping[str, ControllerProcess]) -> Iterator[Check]:
    """Whether every arm is at rest at its home pose."""
    tolerance = settings.safety.home_tolerance
    for arm in settings.arms:
        report = processes[arm.name].report()
        known = report is not None and 0 < len(report.joints) == len(arm.home)
        away = float(np.abs(report.joints - arm.home).max()) if report is not None and known else math.inf
        standing = report is not None and not report.moving
        yield Check(
            name=f"{arm.name} at home",
            ok=away <= tolerance and standing,
            detail=f"{away:.3f} rad away" if known else "position unknown",
            remedy=f"Home the arm first; the limit is {tolerance:.3f} rad.",
        )


def home_inside(settings: RobotCellSettings, processes: Mapping[str, ControllerProcess]) -> Iterator[Check]:
    """Whether each arm's tool is inside its workspace at home; from outside it would hardly move.

    Predicted where an arm's kinematics are known, and measured once it is at home.
    """
    for arm, near in zip(settings.arms, at_home(settings, processes), strict=True):
        report, workspace = processes[arm.name].report(), _workspace(settings, arm.name)
        if report is None or workspace is None:
            continue
        tool = report.measured_position if near.ok else _tool_at_home(arm, settings.safety, report)
        if tool is None:
            continue
        beyond = np.maximum(np.subtract(workspace.lower, tool), np.subtract(tool, workspace.upper)).max()
        where = ", ".join(f"{metres:.3f}" for metres in tool)
        yield Check(
            name=f"home of {arm.name}",
            ok=bool(beyond <= (ON_THE_WALL if near.ok else FORETOLD)),
            detail=f"at home its tool is at [{where}] m, {max(0.0, beyond):.3f} m outside its workspace",
            remedy="Set another home in [[arms]], or widen the workspace in [[safety.workspaces]].",
        )


def _tool_at_home(arm: ArmSettings, safety: SafetySettings, report: Report) -> Vector | None:
    """The tool's position at home, [3] m, from its present pose on the flange; None where unknown."""
    if report.moving or not len(arm.home) == len(report.joints) == arm.joints:
        return None
    with suppress(WayError):
        rules, home = WayRules.of(arm, safety), np.array([arm.home])
        tool: Vector = tool_at(rules, home, report.joints, report.measured_position)[0]
        return tool
    return None
