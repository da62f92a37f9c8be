"""Interprets controllers' reports for a session: what was commanded, why an arm stopped, and how fast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hardware.cell import CellError, Motion, StoppedError
from hardware.plan import Vector
from hardware.quaternion import Quaternion, turn_between, turned
from hardware.wire import Cause, Mode, Report

_WHY = {
    Cause.HEARTBEAT: "the planning loop missed its heartbeat ([safety] heartbeat)",
    Cause.SUSPENDED: "its own control loop stalled",
    Cause.HOLD: "its plan was replaced by a hold",
    Cause.LEAVING: "its controller is being closed",
}


def follows(report: Report | None) -> bool:
    """Whether this arm accepts plans now."""
    return report is not None and report.mode is Mode.SERVO


def troubled(report: Report | None) -> bool:
    """Whether this arm must be recovered or connected."""
    return report is None or bool(report.text) or report.mode in (Mode.FAULT, Mode.OFFLINE)


def end_of(name: str, report: Report) -> CellError:
    """Why an arm stopped, as an error to raise."""
    if report.cause is Cause.STOP:
        return StoppedError(
            f"{name}: the stop latch was set; the arm was braked. Re-arm the stop to move again."
        )
    if report.text:
        return CellError(report.text)
    why = _WHY.get(report.cause, "its controller released it")
    return CellError(f"{name}: the arm was braked: {why}. Check that it is safe, then continue.")


def commanded(before: Report, after: Report, instant: float) -> tuple[Vector, Vector, float, float]:
    """Position m [3], quaternion [4] and gripper commanded at a time between two reports, and that time.

    If `instant` is not between the reports, the time of the nearer report replaces it.
    """
    span = after.time - before.time
    share = min(1.0, max(0.0, (instant - before.time) / span)) if span > 0.0 else 0.0
    if not np.isfinite(after.position).all():
        share = 0.0
    position = before.position + share * (after.position - before.position)
    start = _quaternion(before)
    x, y, z = turn_between(start, _quaternion(after))
    quaternion = np.array(turned((share * x, share * y, share * z), start))
    gripper = before.gripper + share * (after.gripper - before.gripper)
    return position, quaternion, gripper, before.time + share * span


def stop_latency(reports: Sequence[Report], since: float | None) -> float | None:
    """s from the newest stop to the last motion command after it, of the slowest arm; None while one moves.

    `since` is when the latch was set, if it is set now; an arm that has not noticed yet counts as moving.
    """
    newest = since or max((report.stop_since for report in reports), default=0.0)
    if not newest or any(report.moving or report.stop_since < newest for report in reports):
        return None
    return max(0.0, *(report.last_motion - newest for report in reports))


def measured_motion(reports: Sequence[Report], now: float) -> Motion | None:
    """An arm's motion in these reports, by its own encoders; None with fewer than two measurements.

    Uses the largest distance from the last position, so that a swaying arm does not count as at rest.
    """
    measured = [report for report in reports if np.isfinite(report.measured_time)]
    if not measured or (span := measured[-1].measured_time - measured[0].measured_time) <= 0.0:
        return None
    last = measured[-1]
    way = max(float(np.linalg.norm(report.measured_position - last.measured_position)) for report in measured)
    turns = [np.abs(report.joints - last.joints).max(initial=0.0) for report in measured]
    return Motion(speed=way / span, turning=float(max(turns)) / span, age=max(0.0, now - last.measured_time))


def _quaternion(report: Report) -> Quaternion:
    x, y, z, w = (float(number) for number in report.quaternion)
    return x, y, z, w
