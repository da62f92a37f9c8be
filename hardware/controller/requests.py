"""Blocking requests from a cell to the controller of one arm: connect, recover, go home, ...

They are small and go through a socket, one at a time; closing the socket is the order to brake, release the devices and
exit. Everything that must never block goes through shared memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from datasets.channel import Channel
from datasets.messages import Codec, Limits
from hardware.arms.interface import ArmFault, LimitCheck
from hardware.controller.neighbour import BaseChange
from hardware.controller.settings import ControllerSettings
from hardware.device import Device
from hardware.settings import ArmSettings


class Ask(StrEnum):
    """The kinds of request."""

    CONNECT = "connect"
    """Open the devices: `Identities`."""
    LIMITS = "limits"
    """The vendor-side limits: list of LimitCheck."""
    FOLLOW = "follow"
    """Get ready to follow plans."""
    HOME = "home"
    """Start homing; a report says when the arm has arrived."""
    RECOVER = "recover"
    """Clear faults, as a deliberate act of the operator: `Identities` of devices that were not connected before."""

    @property
    def patience(self) -> float:
        """Timeout of the answer, s: gripper and arm, one after the other, may each take time to recover.

        An arm that gets ready to move may have to change its mode; reading limits changes nothing.
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
    """The identities of an arm and its gripper."""

    arm: Device
    gripper: Device | None


Value = Identities | list[LimitCheck] | None
"""The value of an answer."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request."""

    number: int
    ask: Ask


@dataclass(frozen=True, kw_only=True)
class Reply:
    """Its answer."""

    number: int
    value: Value = None
    error: str = ""
    """Why the request failed; empty on success."""
    gripper: bool = False
    """Whether the gripper caused the error."""
    stopped: bool = False
    """Whether it was refused because the stop latch is set."""
    fault: ArmFault | None = None
    """The fault as the device reports it, if it does."""


@dataclass(frozen=True, kw_only=True)
class NeighbourLink:
    """Another arm's reports."""

    descriptor: int
    change: BaseChange
    radius: float


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Everything that a controller's process receives at its start."""

    arm: ArmSettings
    settings: ControllerSettings
    latch: Path
    orders: int
    reports: int
    heartbeat: int
    """Descriptors of the shared memory, inherited."""
    neighbours: tuple[NeighbourLink, ...] = ()


ToController = Setup | Request
"""What a controller receives: its setup, then requests."""
TO_CONTROLLER: Codec[ToController] = Codec(ToController, Limits(arrays=0))
FROM_CONTROLLER: Codec[Reply] = Codec(Reply, Limits(arrays=0))

CellLine = Channel[ToController, Reply]
"""The cell's end of the line."""
ControllerLine = Channel[Reply, ToController]
"""The controller's end."""

ORDER_SLOTS = 4
REPORT_SLOTS = 1024
"""Five seconds of reports at 200 Hz: how late a cell may read them."""
