"""The contract between an arm's driver and the controller in whose process it runs.

A driver talks to one arm and decides nothing: limits are applied before `servo`, plans are interpolated before that. No
method clears an error by itself; `recover` is a deliberate act of the operator. No call except `connect`, `recover`,
`begin_servo` and `begin_servo_joints` may block longer than the driver's own time-out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from hardware.cell import CellError
from hardware.plan import Command, JointCommand, Vector


class ArmError(CellError):
    """Base of everything an arm's driver raises."""


class ArmLinkError(ArmError):
    """The arm is unreachable, or has not reported for too long."""


class ArmFaultError(ArmError):
    """The arm refuses to move until its fault is cleared; gives the vendor's code and text, and the remedy."""

    def __init__(self, fault: ArmFault) -> None:
        super().__init__(f"{fault.arm}: {fault.text} (code {fault.code}). {fault.remedy}")
        self.fault = fault


@dataclass(frozen=True, kw_only=True)
class ArmFault:
    """One fault as the vendor describes it."""

    arm: str
    code: str
    """As the vendor writes it, e.g. C31 or "cartesian_reflex"."""
    text: str
    """The vendor's text."""
    remedy: str
    """What the operator does now, one sentence."""
    recoverable: bool = True
    """Whether `recover` can help; otherwise it takes someone at the control box."""


@dataclass(frozen=True, kw_only=True)
class ArmIdentity:
    """The identity that the arm reports."""

    model: str
    serial: str
    firmware: str
    joints: int


@dataclass(frozen=True, kw_only=True, eq=False)
class ArmState:
    """The newest report of an arm."""

    time: float
    """s, monotonic, when it was measured (or arrived, where the vendor gives no time stamp on this clock)."""
    position: Vector
    """[3] m, flange or tool centre point as the arm is configured."""
    quaternion: Vector
    """[4] xyzw"""
    joints: Vector
    """[nq] rad"""
    fault: ArmFault | None = None


@dataclass(frozen=True, kw_only=True)
class LimitCheck:
    """One vendor-side limit (collision threshold, boundary, payload, ...): whether it is set, and to what."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


class Arm(ABC):
    """One arm."""

    name: str
    """Name in the task file; starts every error message."""
    schedules_itself: bool = False
    """Whether connecting gives the calling thread real-time priority, so that the worker must not."""

    @abstractmethod
    def connect(self) -> ArmIdentity:
        """Open the connection and set the vendor-side limits of the task file; moves nothing.

        Raises ArmLinkError, ArmFaultError; ArmError for a missing package, with the pip command.
        """

    @abstractmethod
    def close(self) -> None:
        """Stop, leave servo mode and disconnect; safe to call twice and after errors."""

    @abstractmethod
    def limits(self) -> list[LimitCheck]:
        """The vendor-side limits in force."""

    @abstractmethod
    def state(self) -> ArmState:
        """The newest report. Raises ArmLinkError when it is too old."""

    @abstractmethod
    def begin_servo(self) -> None:
        """Get ready to follow `servo`, holding the current pose. Raises ArmFaultError, ArmLinkError."""

    @abstractmethod
    def servo(self, command: Command) -> None:
        """Follow one command, at controller rate. Raises ArmFaultError, ArmLinkError."""

    @abstractmethod
    def begin_servo_joints(self) -> None:
        """Get ready to follow `servo_joints`, holding the current joint angles. Raises ArmFaultError, ArmLinkError.

        An arm that follows `servo` and is at rest is ready without delay.
        """

    @abstractmethod
    def servo_joints(self, command: JointCommand) -> None:
        """Follow one joint command, at controller rate. Raises ArmFaultError, ArmLinkError."""

    @abstractmethod
    def stop(self) -> None:
        """The vendor's stop: ends any motion now; the arm holds. Never raises; moving again takes `begin_servo`."""

    @abstractmethod
    def recover(self) -> None:
        """Clear the current fault at the operator's request. Raises ArmFaultError if it persists."""
