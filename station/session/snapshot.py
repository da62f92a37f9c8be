"""What the engine publishes: a frozen view of the session, newest only; a front end may drop frames.

Counts, rates and curves are computed from store and journal; live telemetry is named as such.
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
    """A success rate: k of n with its Wilson 95 % interval."""

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
    """Ended before all episodes were run; an incomplete block is not compared."""


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
    """Aborted in motion; in no other count."""
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
    """Past episodes still to be loaded into the replay buffer."""


@dataclass(frozen=True, kw_only=True)
class LiveHealth:
    """The health panel."""

    achieved_hz: float = 0.0
    wanted_hz: float = 0.0
    frame_age: dict[str, float] = field(default_factory=dict)
    oldest_frame: float = float("inf")
    """s; a newest frame older than this counts as a failure."""
    arms_wrong: dict[str, str] = field(default_factory=dict)
    """arm -> what is wrong with it."""
    decision: float | None = None
    """s from the newest decision's observation to its plan; longer than `overlap`, the arm slows down."""
    overlap: int = 0
    """Control periods for which the running chunk lasts while the next one is decided on; 0: it has ended."""
    motion: dict[str, Motion | None] = field(default_factory=dict)
    """real arm -> motion measured by its encoders; None where unmeasured."""
    disk_hours: float = 0.0
    """Hours of recording that still fit on disk."""
    memory_mb: float = 0.0
    interventions: int = 0


@dataclass(frozen=True, kw_only=True)
class TimeLedger:
    """Time spent per activity, s, and time left."""

    moving: float = 0.0
    waiting: float = 0.0
    labelling: float = 0.0
    updating: float = 0.0
    other: float = 0.0
    eta: float | None = None


@dataclass(frozen=True, kw_only=True)
class Undo:
    """What the undo key would take back now."""

    episode: str
    void: bool = False
    """Its void; otherwise its label."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One view of the session."""

    number: int
    session: str
    task: str
    phase: Phase
    question: int = 0
    """Number of the question the operator is asked now; a press that starts motion or clears something names it."""
    made: float = 0.0
    """time.monotonic() when this snapshot was made."""
    instruction: str
    """One sentence: what the operator should do now, naming actions; a front end with keys names its keys."""
    reason: str = ""
    """Why it is in fault, paused automatically, or refused to start."""
    evaluating: bool = False
    block_done: int = 0
    block_size: int = 0
    block_ends: bool = False
    """The block ends early, after the current episode."""
    queued_evaluation: int = 0
    """Episodes of a requested evaluation that has not begun; 0: none."""
    goal_open: bool = False
    """Finished, but the count has since fallen below the goal."""
    episode: str | None = None
    """The running episode, or the last one run, which may be labelled."""
    label: str | None = None
    """Its label so far; ignored while the episode is void."""
    void: bool = False
    """That episode is void."""
    undo: Undo | None = None
    step: int = 0
    episode_steps: int = 0
    grace_left: float | None = None
    episodes_goal: int = 0
    """0: no goal."""
    speed: ClockSpeed = ClockSpeed.REAL
    simulated: bool = True
    autopilot: bool = False
    mistakes: float = 0.0
    stopped: bool = False
    """The stop latch is set."""
    rearmed: bool = False
    """In FAULT: the stop was released and nothing else is wrong, so only the operator is waited for."""
    recoverable: bool = True
    """Whether recovery from a fault is possible without restarting the engine."""
    disk_full: bool = False
    """The disk refused a write; the session waits for space."""
    resume_phase: Phase | None = None
    """While paused: the phase that resumes."""
    asked_to_pause: bool = False
    """The pause does not end by itself, not even one for a full disk on a simulated cell."""
    tiles: dict[str, Image] = field(default_factory=dict)
    """camera -> newest image"""
    target: dict[str, Image] = field(default_factory=dict)
    """camera -> how the scene should look before the next episode; only in READY."""
    counts: Counts = field(default_factory=Counts)
    steering: LiveSteering = field(default_factory=LiveSteering)
    health: LiveHealth = field(default_factory=LiveHealth)
    ledger: TimeLedger = field(default_factory=TimeLedger)
    log: tuple[str, ...] = ()
