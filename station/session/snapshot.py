"""What the engine shows: one frozen picture of the session, newest only; a front end may drop frames.

Counts, rates and curves are computed from store and journal; what is live telemetry says so in its name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from datasets.observation import Image
from hardware.cell import ClockSpeed, Motion


class Phase(StrEnum):
    """Where the session is."""

    PREFLIGHT = "preflight"
    HOMING = "homing"
    READY = "ready"
    ROLLOUT = "rollout"
    PAUSED = "paused"
    LABEL = "label"
    UPDATE = "update"
    EVALUATE = "evaluate"
    CHECKPOINT = "checkpoint"
    FAULT = "fault"
    FINISHED = "finished"


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A success rate that can be believed: k of n with its Wilson 95% interval."""

    successes: int
    n: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """k / n, 0 for no episodes."""
        return self.successes / self.n if self.n else 0.0


@dataclass(frozen=True, kw_only=True)
class EvaluationPoint:
    """One finished evaluation block."""

    env_steps: int
    policy_version: int
    rate: Rate
    wanted: int = 0
    """Episodes of the block."""
    early: bool = False
    """It was ended before all of them were run: no complete block, and compared with none."""


@dataclass(frozen=True, kw_only=True)
class EpisodeMark:
    """One cell of the strip of outcomes."""

    id: str
    outcome: str
    """success, failure, timeout, void, pending"""
    steps: int
    evaluation: bool


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Everything countable, computed from the folder; `station status --json` prints the same."""

    demos: int = 0
    episodes: int = 0
    """Online episodes that are not void."""
    success: int = 0
    failure: int = 0
    timeout: int = 0
    void: int = 0
    cut_off: int = 0
    """Given up while they moved; they are in no other count."""
    pending: int = 0
    chunks: int = 0
    env_steps: int = 0
    updates: int = 0
    policy_version: int = 0
    base_success: Rate | None = None
    rolling: Rate | None = None
    """Over the last episodes, as many as the task's rolling window says."""
    evaluations: tuple[EvaluationPoint, ...] = ()
    success_curve: tuple[tuple[int, float], ...] = ()
    """(env_steps, rolling success rate) after each episode, thinned to a few hundred points."""
    length_curve: tuple[tuple[int, float], ...] = ()
    """(env_steps, rolling mean episode steps)."""
    last: tuple[EpisodeMark, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LiveSteering:
    """The learner's panel."""

    method: str = ""
    warmup_left: int = 0
    """Chunks until the first update."""
    done: int = 0
    planned: int = 0
    """Gradient steps of the running update block."""
    rate: float = 0.0
    """Gradient steps per second."""
    metrics: dict[str, float] = field(default_factory=dict)
    """critic_loss, actor_loss, alpha, q, rms_ratio, ..."""
    reading: int = 0
    """Past episodes that are still to be read into the replay."""


@dataclass(frozen=True, kw_only=True)
class LiveHealth:
    """The health panel."""

    achieved_hz: float = 0.0
    wanted_hz: float = 0.0
    frame_age: dict[str, float] = field(default_factory=dict)
    oldest_frame: float = float("inf")
    """s; a newest frame that is older is out of order."""
    arms_wrong: dict[str, str] = field(default_factory=dict)
    """arm -> what is wrong with it."""
    motion: dict[str, Motion | None] = field(default_factory=dict)
    """real arm -> how it moves by its own encoders; None where nothing measures it now."""
    disk_hours: float = 0.0
    """Hours of recording that still fit."""
    memory_mb: float = 0.0
    interventions: int = 0


@dataclass(frozen=True, kw_only=True)
class TimeLedger:
    """Where the hours went, s; and how long is left."""

    moving: float = 0.0
    waiting: float = 0.0
    labelling: float = 0.0
    updating: float = 0.0
    other: float = 0.0
    eta: float | None = None


@dataclass(frozen=True, kw_only=True)
class Undo:
    """What the undo key would take back at this moment."""

    episode: str
    void: bool = False
    """Its void; otherwise its label."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One picture of the session."""

    number: int
    session: str
    task: str
    phase: Phase
    question: int = 0
    """Numbers what the operator is asked now; a press that starts motion or clears something names it."""
    made: float = 0.0
    """time.monotonic() when this picture was made."""
    instruction: str
    """One sentence: what the operator should do now, in words of actions; a front end with keys names those."""
    reason: str = ""
    """Why it is in fault, paused by itself, or refused to start."""
    evaluating: bool = False
    block_done: int = 0
    block_size: int = 0
    block_ends: bool = False
    """It ends early, after the episode that is under way."""
    queued_evaluation: int = 0
    """Episodes of an evaluation that was asked for and has not begun; 0: none."""
    goal_open: bool = False
    """Finished, and then fewer episodes counted than the goal wants."""
    episode: str | None = None
    """The episode that runs, or that was last moved and may be labelled."""
    label: str | None = None
    """Its label so far; it counts for nothing while the episode is void."""
    void: bool = False
    """That episode is void."""
    undo: Undo | None = None
    step: int = 0
    horizon: int = 0
    grace_left: float | None = None
    episodes_goal: int = 0
    """0: no goal."""
    speed: ClockSpeed = ClockSpeed.REAL
    simulated: bool = True
    autopilot: bool = False
    mistakes: float = 0.0
    stopped: bool = False
    """The stop latch is set."""
    recoverable: bool = True
    """Whether a fault can be left without ending the engine."""
    disk_full: bool = False
    """The disk refused a write; the session waits for space."""
    held: Phase | None = None
    """While paused: what goes on when the pause ends."""
    asked_to_pause: bool = False
    """The pause does not end by itself, also where the disk's would: a simulated cell's."""
    tiles: dict[str, Image] = field(default_factory=dict)
    """camera -> newest picture"""
    target: dict[str, Image] = field(default_factory=dict)
    """camera -> how the scene should look before the next episode; only in READY."""
    counts: Counts = field(default_factory=Counts)
    steering: LiveSteering = field(default_factory=LiveSteering)
    health: LiveHealth = field(default_factory=LiveHealth)
    ledger: TimeLedger = field(default_factory=TimeLedger)
    log: tuple[str, ...] = ()
