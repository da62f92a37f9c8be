"""Messages between the planning loop and the controller of one arm in shared memory.

An `Order` goes down: follow this plan, or hold. A `Report` comes up at every tick: what was measured, what was
commanded, and why motion ended. Blocking requests (connect, recover, ...) go through a socket instead.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

import numpy as np

from hardware.plan import TimedPlan, Vector

MOST_WAYPOINTS = 128
MOST_JOINTS = 7
MOST_REASONS = 24
"""Capacity for the counts of `hardware.safety.filter.Reason`."""
_LONGEST_TEXT = 600
_ROW = 9  # time, position, quaternion, gripper
_ORDER_HEAD = struct.Struct("<Id")  # number of waypoints, time of the order

ORDER_SIZE = _ORDER_HEAD.size + MOST_WAYPOINTS * _ROW * 8


class Mode(IntEnum):
    """What a controller is doing."""

    OFFLINE = 0
    """The arm is not connected."""
    PARKED = 1
    """No commands are sent; the arm holds by itself and needs no heartbeat."""
    SERVO = 2
    """Commands are sent at every tick, following a plan, holding or braking."""
    HOMING = 3
    """Joint commands are sent at every tick, while homing."""
    FAULT = 4
    """No commands are sent until the operator recovers the device."""
    BRAKING = 5
    """Commands are sent until the arm is at rest, in a plan or while homing; then it is parked, or in fault."""


class Cause(IntEnum):
    """Why a plan was dropped or homing ended early."""

    NONE = 0
    HOLD = 1
    """The session requested it."""
    STOP = 2
    """The stop latch was set."""
    HEARTBEAT = 3
    """The planning loop missed its heartbeat."""
    SUSPENDED = 4
    """The controller itself did not run for too long."""
    FAULT = 5
    """A device failed; the report's text says which."""
    LEAVING = 6
    """The controller is being closed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Order:
    """Follow a plan, or hold if it is None."""

    plan: TimedPlan | None
    given: float
    """s, monotonic."""

    def encode(self) -> bytes:
        """At most `ORDER_SIZE` bytes. Raises ValueError for more than `MOST_WAYPOINTS` poses."""
        if self.plan is None:
            return _ORDER_HEAD.pack(0, self.given)
        rows = np.column_stack([self.plan.time, self.plan.position, self.plan.quaternion, self.plan.gripper])
        if len(rows) > MOST_WAYPOINTS:
            raise ValueError(f"a plan of {len(rows)} poses; at most {MOST_WAYPOINTS} can be posted")
        return _ORDER_HEAD.pack(len(rows), self.given) + rows.astype("<f8").tobytes()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Inverse of `encode`."""
        count, given = _ORDER_HEAD.unpack_from(data)
        if not count:
            return cls(plan=None, given=given)
        rows = np.frombuffer(data, "<f8", count * _ROW, _ORDER_HEAD.size).reshape(count, _ROW)
        plan = TimedPlan(time=rows[:, 0], position=rows[:, 1:4], quaternion=rows[:, 4:8], gripper=rows[:, 8])
        return cls(plan=plan, given=given)


_REPORT = np.dtype(
    [
        ("time", "<f8"),
        ("interval", "<f8"),
        ("mode", "<u4"),
        ("cause", "<u4"),
        ("order", "<u8"),
        ("dropped", "<u8"),
        ("homings", "<u8"),
        ("late", "<u8"),
        ("overruns", "<u8"),
        ("interventions", "<u8"),
        ("moving", "<u4"),
        ("joints_used", "<u4"),
        ("stop_since", "<f8"),
        ("last_motion", "<f8"),
        ("order_delay", "<f8"),
        ("measured_time", "<f8"),
        ("measured_position", "<f8", 3),
        ("measured_quaternion", "<f8", 4),
        ("joints", "<f8", MOST_JOINTS),
        ("measured_gripper", "<f8"),
        ("position", "<f8", 3),
        ("quaternion", "<f8", 4),
        ("velocity", "<f8", 3),
        ("gripper", "<f8"),
        ("reasons", "<u4", MOST_REASONS),
        ("text", f"S{_LONGEST_TEXT}"),
    ]
)
REPORT_SIZE = _REPORT.itemsize


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """One tick of a controller. Poses are in the base frame of the arm; grippers 0 closed .. 1 open."""

    time: float
    """s, monotonic, of the tick."""
    interval: float
    """s since the previous tick."""
    mode: Mode
    cause: Cause
    """Why `dropped` was dropped."""
    order: int
    """Number of the order in force; 0 before the first."""
    dropped: int
    """Number of the newest order that ended before its last waypoint."""
    homings: int
    """Homings that reached home."""
    late: int
    """Waypoints dropped because they were late."""
    overruns: int
    """Ticks that ran more than a whole period late."""
    interventions: int
    """Ticks at which the limits changed the command."""
    moving: bool
    """Whether the arm is commanded to move."""
    stop_since: float
    """When the latch that last stopped the arm was set, s; 0 for never."""
    last_motion: float
    """When the last command that asked for motion was sent, s."""
    order_delay: float
    """Time from the newest order to its first command, s."""
    measured_time: float
    measured_position: Vector
    """[3] m"""
    measured_quaternion: Vector
    """[4] xyzw"""
    joints: Vector
    """[nq] rad"""
    measured_gripper: float
    position: Vector
    """[3] m, commanded."""
    quaternion: Vector
    """[4] xyzw, commanded."""
    velocity: Vector
    """[3] m/s, commanded."""
    gripper: float
    """Commanded."""
    reasons: Vector
    """Counts of interventions, in the order of `hardware.safety.filter.Reason`."""
    text: str
    """What is wrong with a device and what to do; empty without a fault."""

    def encode(self) -> bytes:
        """`REPORT_SIZE` bytes."""
        record = np.zeros((), _REPORT)
        for name in _PLAIN:
            record[name] = getattr(self, name)
        record["joints_used"] = len(self.joints)
        record["joints"][: len(self.joints)] = self.joints
        record["reasons"][: len(self.reasons)] = self.reasons
        # a character cut in half at the end is dropped on reading
        record["text"] = self.text.encode()[:_LONGEST_TEXT]
        return record.tobytes()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Inverse of `encode`."""
        record = np.frombuffer(data, _REPORT, 1)[0]
        plain = {name: record[name].copy() if record[name].ndim else record[name].item() for name in _PLAIN}
        plain |= {
            "mode": Mode(plain["mode"]),
            "cause": Cause(plain["cause"]),
            "moving": bool(plain["moving"]),
        }
        return cls(
            **plain,
            joints=record["joints"][: record["joints_used"]].copy(),
            reasons=record["reasons"].astype(np.float64),
            text=bytes(record["text"]).decode(errors="ignore"),
        )


_PLAIN = [name for name in _REPORT.names or () if name not in ("joints_used", "joints", "reasons", "text")]
