"""An arm controller's record of itself: orders taken and dropped, why it stopped, and its counters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hardware.arms.interface import ArmState
from hardware.plan import Command
from hardware.safety.reasons import Reason
from hardware.wire import Cause, Mode, Report

_NUMBER = {reason: number for number, reason in enumerate(Reason)}
_NOWHERE = np.full(3, np.nan)
_UNTURNED = np.array([0.0, 0.0, 0.0, 1.0])


@dataclass(kw_only=True)
class Tally:
    """Kept for the lifetime of the controller's process."""

    cause: Cause = Cause.NONE
    """Why it last stopped."""
    text: str = ""
    """The same in words, where a device or a plan is the cause."""
    order: int = 0
    """The order being followed."""
    dropped: int = 0
    """The newest order that was not completed."""
    order_delay: float = 0.0
    """s from the newest order to the first command after it."""
    stop_since: float = 0.0
    """When the stop latch was last set, s, monotonic."""
    last_motion: float = 0.0
    """When the arm was last commanded to move, s, monotonic."""
    homings: int = 0
    late: int = 0
    """Waypoints that arrived too late."""
    overruns: int = 0
    """Ticks that ran too late."""
    interventions: int = 0
    """Commands that the safety filter changed."""
    reasons: list[int] = field(default_factory=lambda: [0] * len(Reason))
    """The same by reason."""

    def drop(self, order: int, cause: Cause) -> None:
        """Note that this order will not be completed."""
        if order > self.dropped:
            self.dropped, self.cause = order, cause

    def count(self, reasons: Sequence[Reason]) -> None:
        """Count the safety filter's reasons for changing a command; none if it did not."""
        if reasons:
            self.interventions += 1
        for reason in reasons:
            self.reasons[_NUMBER[reason]] += 1

    def report(
        self,
        *,
        time: float,
        interval: float,
        mode: Mode,
        moving: bool,
        measured: ArmState | None,
        command: Command | None,
        opening: float,
    ) -> Report:
        """A report of all of it, with the arm's state at `time`."""
        return Report(
            time=time,
            interval=interval,
            mode=mode,
            cause=self.cause,
            order=self.order,
            dropped=self.dropped,
            homings=self.homings,
            late=self.late,
            overruns=self.overruns,
            interventions=self.interventions,
            moving=moving,
            stop_since=self.stop_since,
            last_motion=self.last_motion,
            order_delay=self.order_delay,
            measured_time=measured.time if measured else math.nan,
            measured_position=measured.position if measured else _NOWHERE,
            measured_quaternion=measured.quaternion if measured else _UNTURNED,
            joints=measured.joints if measured else np.zeros(0),
            measured_gripper=opening,
            position=command.position if command else _NOWHERE,
            quaternion=command.quaternion if command else _UNTURNED,
            velocity=command.velocity if command else np.zeros(3),
            gripper=command.gripper if command else math.nan,
            reasons=np.array(self.reasons, np.float64),
            text=self.text,
        )
