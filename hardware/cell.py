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
"""Start poses of the objects in the scene; plain JSON, written and read by the same cell."""


class CellError(StationError):
    """Base of everything a cell raises; the message says what failed, where, and what to do now."""


class StaleFrameError(CellError):
    """A camera's newest frame is older than its limit; motion has been braked."""


class NonFiniteCommandError(CellError):
    """A plan contained NaN or infinity; none of it was sent and motion has been braked."""


class StoppedError(CellError):
    """The stop latch is set; motion has been braked and stays forbidden until it is re-armed."""


class ClockSpeed(StrEnum):
    """Simulated time relative to wall time; a real cell supports REAL only."""

    REAL = "1x"
    FAST = "4x"
    VIRTUAL = "max"
    """As fast as possible."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """The outcome of one control period."""

    observation: Observation
    """Taken when the pose was due, that is, after the command."""
    action: FloatArray
    """[da] the pose that was due."""
    sent: FloatArray
    """[da] the command that was sent, after limits."""
    command_time: float
    """s, monotonic."""
    ending: Ending | None = None
    """SUCCESS or IRRECOVERABLE where a simulated cell detects it, else None."""


@dataclass(frozen=True, kw_only=True)
class Motion:
    """An arm's motion as its encoders measure it, whatever was commanded."""

    speed: float
    """m/s, of the tool."""
    turning: float
    """rad/s, of the fastest joint."""
    age: float
    """s since the measurement."""

    @property
    def stands(self) -> bool:
        """Whether the arm is at rest to within encoder noise, by a recent measurement."""
        return self.speed < _STILL and self.turning < _STILL and self.age < _OLD

    def __str__(self) -> str:
        """For people."""
        return f"{1000 * self.speed:.0f} mm/s, fastest joint {self.turning:.2f} rad/s, {self.age:.1f} s ago"


_STILL = 0.01  # m/s, rad/s
_OLD = 1.0  # s


@dataclass(frozen=True, kw_only=True)
class CellHealth:
    """Live telemetry; never recorded as ground truth."""

    achieved_hz: float
    frame_age: dict[str, float] = field(default_factory=dict)
    """camera -> s"""
    oldest_frame: float = float("inf")
    """s, limit on the age of each camera's newest frame; an older one is a fault, moving or not."""
    arms_wrong: dict[str, str] = field(default_factory=dict)
    """arm -> what is wrong with it or its controller; healthy arms are absent."""
    motion: dict[str, Motion | None] = field(default_factory=dict)
    """real arm -> its motion; None while nothing measures it."""
    interventions: int = 0
    """Commands changed by the limits so far."""
    late: int = 0
    """Waypoints dropped so far because they were late."""
    stop_latency: float | None = None
    """s from the newest stop to the last motion command after it; None before the first stop and while braking."""


def unnamed(device: str, text: str) -> str:
    """`text` without the device's name in front, for a sentence that already names it."""
    while device and text.startswith(f"{device}: "):
        text = text.removeprefix(f"{device}: ")
    return text


def require_running(after: int, left: int) -> None:
    """Raise CellError unless a running plan with `left` poses has the `after` ones that a new plan follows."""
    if after > left:
        raise CellError(
            f"A new plan was to follow {after} poses of the running one, which has {left} left. Check that it is safe, "
            "then continue."
        )


@dataclass(frozen=True, kw_only=True)
class Check:
    """One preflight check: what was checked, whether it passed, and what to do if not."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    silent: bool = False
    """The only evidence is silence, which a briefly stalled machine also causes."""

    def told(self, meanwhile: str = "") -> str:
        """The problem, what was done `meanwhile` (a sentence), and the remedy; names the device once."""
        kind, _, device = self.name.rpartition(" ")
        name, detail = device if kind == device else self.name, unnamed(device, self.detail)
        stop = "" if detail.endswith((".", "!", "?")) else "."
        return " ".join(part for part in (f"{name}: {detail}{stop}", meanwhile, self.remedy) if part)


class Cell(ABC):
    """One robot cell; subclasses set `spec` before connecting."""

    spec: DataSpec
    simulated: bool = False
    """Whether an episode depends on nothing but its layout and commands, so that it can be rerun exactly, at any speed,
    and `Step.ending` is the truth. A session may then run while no one watches."""

    @abstractmethod
    def connect(self) -> None:
        """Open the devices. Raises CellError with the remedy."""

    @abstractmethod
    def close(self) -> None:
        """Brake, hold and release the devices; safe to call twice."""

    def devices(self) -> Devices:
        """The connected devices by their names in the task file; empty for a simulated cell."""
        return {}

    @abstractmethod
    def preflight(self) -> list[Check]:
        """Check everything that a start requires."""

    @abstractmethod
    def watch(self) -> list[Check]:
        """What is wrong with the devices now, moving or not; empty when all are healthy or none is connected.

        Called several times a second in every phase: reads what the devices have reported and never blocks. A set stop
        latch is not a device fault.
        """

    @abstractmethod
    def observe(self) -> Observation:
        """The newest observation. Raises StaleFrameError."""

    @abstractmethod
    def plan(self, actions: FloatArray) -> None:
        """Post a plan, [n, da], first pose due one control period from now; replaces the rest of the old plan.

        Raises NonFiniteCommandError (having braked), StoppedError.
        """

    def replan(self, actions: FloatArray, *, after: int, seen: float) -> None:
        """Post a plan, [n, da], that follows the next `after` poses of the running one, in the same rhythm.

        Keeps the motion continuous where the policy decided while the arm moved. If the running plan has run out,
        `after` is 0 and the first pose is due one control period from now, as with `plan`. `seen`: `Observation.time`
        of the observation that the policy decided on.

        Raises:
            NonFiniteCommandError (having braked), StoppedError: as `plan`.
            CellError: fewer than `after` poses are left, or this cell only takes whole plans.
        """
        raise CellError("This cell only takes whole plans. Set overlap = 0 in the task file.")

    @abstractmethod
    def advance(self) -> Step | None:
        """Wait until the next pose is due and return the outcome; None when the plan has run out.

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
    def layout_images(self, layout: Layout) -> dict[str, Image]:
        """Images of the scene as it should be before the episode, per camera, to overlay on the live image."""

    @abstractmethod
    def reset_scene(self, layout: Layout) -> None:
        """The operator confirms that the scene matches `layout`; a simulated cell sets it up itself."""

    @abstractmethod
    def health(self) -> CellHealth:
        """Live telemetry."""

    def recover(self) -> None:  # noqa: B027 - most cells have nothing to recover
        """Clear device faults and restart dead processes; only at the operator's request, after reading the cause.

        Raises:
            CellError: a fault persists.
        """

    def set_speed(self, speed: ClockSpeed) -> None:
        """Change the clock; raises CellError on a cell whose clock is the wall's."""
        if speed is not ClockSpeed.REAL:
            raise CellError("This cell runs in real time only. Choose speed 1x.")
