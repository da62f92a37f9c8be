"""Questions that wait for an answer, between a cell and the controller of one arm: connect, recover, go home, ...

They go through a socket, one at a time, and are small; the end of the line is the order to brake, let go of the
devices and end. Whatever must never wait goes through shared memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from datasets.channel import Channel
from datasets.messages import Codec, Limits
from hardware.arms.interface import ArmFault, LimitCheck
from hardware.controller.loop import ControllerSettings
from hardware.controller.neighbour import BaseChange
from hardware.device import Device
from hardware.settings import ArmSettings


class Ask(StrEnum):
    """What can be asked."""

    CONNECT = "connect"
    """Open the devices: `Identities`."""
    LIMITS = "limits"
    """The vendor-side limits: list of LimitCheck."""
    FOLLOW = "follow"
    """Get ready to follow plans."""
    HOME = "home"
    """Begin to go home; a report says when the arm is there."""
    RECOVER = "recover"
    """Clear faults, as a deliberate act of the operator: `Identities` of devices that were not connected yet."""

    @property
    def patience(self) -> float:
        """s that the answer may take: gripper and arm, one after another, may each need some time to get well.

        An arm that gets ready to move may have to change its mode; who asks for limits only looks.
        """
        match self:
            case Ask.CONNECT | Ask.RECOVER:
                return 90.0
            case Ask.FOLLOW | Ask.HOME:
                return 30.0
            case Ask.LIMITS:
                return 8.0


@dataclass(frozen=True, kw_only=True)
class Identities:
    """Who answers."""

    arm: Device
    gripper: Device | None


Value = Identities | list[LimitCheck] | None
"""What an answer may hold."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One question."""

    number: int
    ask: Ask


@dataclass(frozen=True, kw_only=True)
class Reply:
    """Its answer."""

    number: int
    value: Value = None
    error: str = ""
    """Why not; empty when all is well."""
    gripper: bool = False
    """It is the gripper that cannot."""
    stopped: bool = False
    """Not, because the stop latch is set."""
    fault: ArmFault | None = None
    """The device's own words, where it has them."""


@dataclass(frozen=True, kw_only=True)
class NeighbourLink:
    """Another arm's reports."""

    descriptor: int
    change: BaseChange
    radius: float


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Everything that a controller's process is told at its start."""

    arm: ArmSettings
    settings: ControllerSettings
    latch: Path
    orders: int
    reports: int
    heartbeat: int
    """Descriptors of the shared memory, inherited."""
    neighbours: tuple[NeighbourLink, ...] = ()


ToController = Setup | Request
"""What a controller hears: how it is set up, then questions."""
TO_CONTROLLER: Codec[ToController] = Codec(ToController, Limits(arrays=0))
FROM_CONTROLLER: Codec[Reply] = Codec(Reply, Limits(arrays=0))

CellLine = Channel[ToController, Reply]
"""The cell's end of the line."""
ControllerLine = Channel[Reply, ToController]
"""The controller's end."""

ORDER_SLOTS = 4
REPORT_SLOTS = 1024
"""Five seconds of reports at 200 Hz: what a cell may be late in reading them."""
