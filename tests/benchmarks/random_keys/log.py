"""What is seen while keys are pressed. Times are s, monotonic, the same in every process of this machine."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Press:
    """One key, and what its screen showed just before it went down."""

    at: float
    screen: int
    key: str
    """As tmux spells it."""
    badge: str
    """Empty where another screen lies over the session's."""
    named: list[str]
    """Episodes in the headline, or those that the review screen shows."""
    held: bool
    """The UI was suspended."""
    person: bool = False
    """Somebody read the screen for for trial.READING and answered it; otherwise at random."""
    phase: str = ""
    """Of the newest snapshot."""
    watched: bool = False
    """The screen was looked at until it told of this key, or for too long."""
    answered: float | None = None
    """s until it did."""
    shown: str = ""
    """The headline when that was given up."""


@dataclass(kw_only=True)
class Shot:
    """A snapshot of the engine's: the phase changed, or half a second passed."""

    at: float
    pid: int
    phase: str
    question: int
    stopped: bool
    episode: str | None


@dataclass(kw_only=True)
class Halt:
    """A process was suspended."""

    begin: float
    end: float
    who: str
    """run, attach or engine."""


@dataclass(kw_only=True)
class Log:
    """Everything that was seen."""

    presses: list[Press] = field(default_factory=list)
    poses: list[tuple[float, list[float]]] = field(default_factory=list)
    """rad, of the emulated arm's joints as they really are."""
    shots: list[Shot] = field(default_factory=list)
    halts: list[Halt] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    """A UI was opened that starts an engine where none runs."""
    wall: float = 0.0
    """time.time() less time.monotonic()."""
