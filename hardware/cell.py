"""The contract of a cell: what a session sees of arms, grippers and cameras, real or simulated.

A chunk is a timed plan. The session posts it with `plan`, then calls `advance` once per control period; between two
calls it may handle keys, brake, or post a new plan that replaces the tail of the old one. `advance` returns when the
next pose is due, so a real cell paces the loop and a simulated one runs on its clock. When the plan runs out, or while
nobody calls, the arm decelerates and holds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from datasets.episode import Ending
from datasets.errors import StationError
from datasets.observation import FloatArray, Image, Observation
from datasets.spec import DataSpec
from hardware.device import Devices

Layout = dict[str, Any]
"""Where the objects of the scene start; plain JSON, written by the cell that understands it."""


class CellError(StationError):
    """Base of everything a cell raises; the message says what, where and what to do now."""


class StaleFrameError(CellError):
    """A camera's newest frame is older than its limit; motion has been braked."""


class NonFiniteCommandError(CellError):
    """A plan held NaN or infinity; nothing of it was sent and motion has been braked."""


class StoppedError(CellError):
    """The stop latch is set; motion has been braked and stays forbidden until it is re-armed."""


class ClockSpeed(StrEnum):
    """How simulated time relates to the wall; a real cell knows REAL only."""

    REAL = "1x"
    FAST = "4x"
    VIRTUAL = "max"
    """As fast as it goes."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one control period did."""

    observation: Observation
    """Taken when the pose was due, i.e. after the command."""
    action: FloatArray
    """[da] the pose that was due."""
    sent: FloatArray
    """[da] what went out after limits."""
    command_time: float
    """s, monotonic."""
    ending: Ending | None = None
    """SUCCESS or IRRECOVERABLE when a simulated cell sees it, else None."""


@dataclass(frozen=True, kw_only=True)
class Motion:
    """How an arm moves by its own encoders, whatever it was told."""

    speed: float
    """m/s, of the tool."""
    turning: float
    """rad/s, of the fastest joint."""
    age: float
    """s since it was measured."""

    @property
    def stands(self) -> bool:
        """Nothing of it moves more than encoders tremble, and that is no old news."""
        return self.speed < _STILL and self.turning < _STILL and self.age < _OLD

    def __str__(self) -> str:
        """For people."""
        return f"{1000 * self.speed:.0f} mm/s, fastest joint {self.turning:.2f} rad/s, {self.age:.1f} s ago"


_STILL = 0.01  # m/s, rad/s
_OLD = 1.0  # s


@dataclass(frozen=True, kw_only=True)
class CellHealth:
    """Live telemetry; never stored as truth."""

    achieved_hz: float
    frame_age: dict[str, float] = field(default_factory=dict)
    """camera -> s"""
    oldest_frame: float = float("inf")
    """s; a newest frame that is older is out of order, whether or not anything moves."""
    arms_wrong: dict[str, str] = field(default_factory=dict)
    """arm -> what is wrong with it or with its controller; those that are well are not in it."""
    motion: dict[str, Motion | None] = field(default_factory=dict)
    """real arm -> how it moves; None where nothing measures it now."""
    interventions: int = 0
    """Commands the limits changed so far."""
    late: int = 0
    """Waypoints of plans that were dropped because they were late, so far."""
    stop_latency: float | None = None
    """s from the newest stop to the last motion command after it; None before the first one, or while it brakes."""


def unnamed(device: str, text: str) -> str:
    """What is said of a device without its name in front, for a sentence that names it already."""
    while device and text.startswith(f"{device}: "):
        text = text.removeprefix(f"{device}: ")
    return text


@dataclass(frozen=True, kw_only=True)
class Check:
    """One preflight check: what was looked at, whether it is fine, and what to do if not."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    silent: bool = False
    """Only judged by silence, which a machine that was held up for a moment looks like too."""

    def told(self, meanwhile: str = "") -> str:
        """What is wrong, what was done `meanwhile` (a sentence), and what to do; the device is named once."""
        kind, _, device = self.name.rpartition(" ")
        name, detail = device if kind == device else self.name, unnamed(device, self.detail)
        stop = "" if detail.endswith((".", "!", "?")) else "."
        return " ".join(part for part in (f"{name}: {detail}{stop}", meanwhile, self.remedy) if part)


class Cell(ABC):
    """One workplace: subclasses set `spec` before connecting."""

    spec: DataSpec
    simulated: bool = False

    @abstractmethod
    def connect(self) -> None:
        """Open the devices. Raises CellError with the remedy."""

    @abstractmethod
    def close(self) -> None:
        """Brake, hold and let go of the devices; safe to call twice."""

    def devices(self) -> Devices:
        """Who answered under which name of the task file, once connected; none of a simulated cell."""
        return {}

    @abstractmethod
    def preflight(self) -> list[Check]:
        """Look at everything a start needs."""

    @abstractmethod
    def watch(self) -> list[Check]:
        """What is wrong with the devices now, moving or not; empty when all are well, or none is connected.

        Called several times a second in every phase: reads what the devices have reported, and waits for nothing. The
        stop latch is no device's fault.
        """

    @abstractmethod
    def observe(self) -> Observation:
        """The newest observation. Raises StaleFrameError."""

    @abstractmethod
    def plan(self, actions: FloatArray) -> None:
        """Post a plan, [n, da], first pose due one control period from now; replaces what is left of the old plan.

        Raises NonFiniteCommandError (having braked), StoppedError.
        """

    @abstractmethod
    def advance(self) -> Step | None:
        """Wait until the next pose is due and say what happened; None when the plan has run out.

        Raises StoppedError, StaleFrameError; the arm has then been braked.
        """

    @abstractmethod
    def brake(self) -> None:
        """Drop the plan and decelerate to a hold."""

    @abstractmethod
    def begin_homing(self) -> None:
        """Start moving to the home pose. Raises StoppedError."""

    @abstractmethod
    def advance_homing(self) -> bool:
        """Continue for about one control period; True once the arm is home. Stoppable between calls, by `brake`."""

    @abstractmethod
    def sample_layout(self, seed: int, purpose: str, ordinal: int) -> Layout:
        """The start layout of a seeded schedule: the same arguments always give the same layout."""

    @abstractmethod
    def layout_picture(self, layout: Layout) -> dict[str, Image]:
        """How the scene should look before the episode, per camera, to be shown over the live picture."""

    @abstractmethod
    def reset_scene(self, layout: Layout) -> None:
        """The operator says the scene is laid out like `layout`; a simulated cell lays it out itself."""

    @abstractmethod
    def health(self) -> CellHealth:
        """Live telemetry."""

    def recover(self) -> None:  # noqa: B027 - most cells have nothing to recover
        """Clear device faults and start anew what has died, because the operator has read why and says so.

        Raises:
            CellError: a fault stays.
        """

    def set_speed(self, speed: ClockSpeed) -> None:
        """Change the clock; raises CellError on a cell whose clock is the wall's."""
        if speed is not ClockSpeed.REAL:
            raise CellError("This cell runs in real time only. Choose speed 1x.")
