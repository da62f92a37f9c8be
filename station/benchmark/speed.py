"""Where the time goes on this machine: decision, update, training, simulation and commit, each beside its limit.

The limit of what networks compute is their matrix products at the matrix rate: what one large float32 product reaches
on the same device with the same threads, in the same run. Networks and episodes have the sizes of the task and made-up
contents. Whether any of it learns, `learns` measures.
"""

from __future__ import annotations

import itertools
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from datasets.durable import Disk
from datasets.episode import Episode, Outcome
from datasets.journal.journal import Journal
from datasets.journal.records import EpisodeCommitted, Labelled
from datasets.randomness import stream
from datasets.rotation import pose_to_action
from datasets.store import EpisodeStore
from datasets.windows import TrainingWindows
from hardware.cell import ClockSpeed
from hardware.latch import StopLatch
from hardware.simulation.cell import SimulatedCell
from policy.base import BasePolicy
from policy.devices import Choice
from policy.pretrain import Pretraining
from policy.replay import RecordSpec, ReplayBuffer
from policy.sac import SAC
from policy.steering.interface import Steering
from policy.steering.zprl import ZPRLSettings
from station.benchmark.made_up import made_up_batch, made_up_episode
from station.benchmark.rates import Timer, flops, matrix_rate, torch_threads
from station.jobs.decision import decider, decision_times
from station.jobs.decision_speed import DecisionSpeed, decision_speeds
from station.reporting import Reporter
from station.session.engine.factory import make_cells
from station.tasks.config import Task

if TYPE_CHECKING:
    from rich.table import Table

PAPER_DC, PAPER_DZ = 521, 16
"""Sizes of c and z in the paper; width, layers and batch are the defaults of the method's settings."""
ENSEMBLES = (2, 5, 10)
"""N of the learners that are measured in the paper's sizes."""
_CPU = torch.device("cpu")
_EPISODES = 5
_STEPS = 4
"""Gradient steps per timed call: every one of the default delays comes in it."""
_SWING = 0.03
"""m up and down in simulation."""
_COUNTED = 4
"""Windows of the batch whose work is counted; it grows with the batch."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table."""

    name: str
    value: float
    unit: str
    limit: float | None = None
    """In the same unit; None: there is none to compare with."""
    limit_is: str = ""
    """What the limit is, with its figures."""
    share: float | None = None
    """How much of the limit's speed is reached; above 1: faster than needed."""


@dataclass(frozen=True, kw_only=True)
class SpeedReport:
    """All figures of one run, and what they were measured on."""

    task: str
    machine: dict[str, Any]
    figures: tuple[Figure, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def measure(task: Task, chosen: Choice, *, threads: int, seconds: float, reporter: Reporter) -> SpeedReport:
    """Every figure, with the parts of `task` on the chosen device, about `seconds` each.

    Raises:
        StationError: the task's cell cannot be built. TrustError: it names a class that is not trusted.
    """
    with torch_threads(threads), tempfile.TemporaryDirectory(prefix="station-speed-") as name:
        bench = _Bench(task, chosen.device, Path(name), Timer(chosen.device, seconds=seconds))
        figures: list[Figure] = []
        for done, (what, part) in enumerate(bench.parts):
            reporter.progress(f"measuring {what}", done, len(bench.parts))
            figures += part()
        reporter.progress(f"measuring {what}", len(bench.parts), len(bench.parts))
        return SpeedReport(task=task.name, machine=_machine(chosen, threads), figures=tuple(figures))


def table(report: SpeedReport) -> Table:
    """For the terminal."""
    from rich.table import Table

    facts = report.machine
    shown = Table(
        title=f"{report.task} on {facts['device']}; threads: {facts['threads']} on {facts['cores']} cores",
        caption=f"{facts['processor']}, torch {facts['torch']}, load {facts['load']}. A share is of the limit's speed; "
        "on a busy machine it says more than the figure.",
    )
    shown.add_column("")
    for name in ("figure", "limit", "share"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("the limit is")
    for figure in report.figures:
        limit = "" if figure.limit is None else f"{_short(figure.limit)} {figure.unit}"
        share = "" if figure.share is None else f"{100 * figure.share:.0f} %"
        shown.add_row(figure.name, f"{_short(figure.value)} {figure.unit}", limit, share, figure.limit_is)
    return shown


class _Bench:
    """The parts of one task, measured one after the other; the matrix rate comes first."""

    def __init__(self, task: Task, device: torch.device, folder: Path, timer: Timer) -> None:
        self._task, self._device, self._folder, self._timer = task, device, folder, timer
        (self._cell,) = make_cells(task, 1, ClockSpeed.VIRTUAL, StopLatch(folder / "stop.latch"))
        self._rate = 0.0
        """FLOP/s of a large product."""
        self.parts: list[tuple[str, Callable[[], list[Figure]]]] = [
            ("matrix rate", self._matrix),
            ("decision", self._decision),
            ("update", self._update),
            *((f"update, N = {n}", partial(self._paper, n)) for n in ENSEMBLES),
            ("training", self._training),
            ("simulation", self._simulation),
            ("commit", self._commit),
        ]

    def _matrix(self) -> list[Figure]:
        self._rate = matrix_rate(self._device, self._timer)
        return [Figure(name="matrix rate", value=self._rate / 1e9, unit="GFLOP/s")]

    def _decision(self) -> list[Figure]:
        times = decision_times(self._task, self._base(self._device))
        work = flops(lambda: decision_times(self._task, self._base(_CPU))) / (len(times) + 1)
        middle, period = statistics.median(times), self._cell.spec.dt
        return [
            Figure(
                name="decision",
                value=1e3 * middle,
                unit="ms",
                limit=1e3 * period,
                limit_is="one control period",
                share=period / middle,
            ),
            self._products("decision, products", work, middle),
            *(self._with_threads(speed) for speed in self._decision_speeds()),
        ]

    def _decision_speeds(self) -> list[DecisionSpeed]:
        if self._device.type != "cpu":
            return []
        base = self._base(_CPU)
        return decision_speeds(decider(self._task, base), base)

    def _with_threads(self, speed: DecisionSpeed) -> Figure:
        """The bar of a decision on the CPU: what its products alone take, which read their weights as it does."""
        return Figure(
            name=f"decision, {speed.threads} thread{'s' if speed.threads > 1 else ''}",
            value=1e3 * speed.decision,
            unit="ms",
            limit=1e3 * speed.products,
            limit_is=f"its own products; {_short(1e3 * speed.square)} ms at the matrix rate",
            share=speed.products / speed.decision,
        )

    def _products(self, name: str, work: float, seconds: float) -> Figure:
        least = work / self._rate
        return Figure(
            name=name,
            value=1e3 * seconds,
            unit="ms",
            limit=1e3 * least,
            limit_is=f"matrix rate, {_work(work)}",
            share=least / seconds,
        )

    def _update(self) -> list[Figure]:
        learning = self._learning(self._device)
        if learning is None:
            return []
        work = flops(self._learning(_CPU) or (lambda: None)) / _STEPS
        return [self._rate_of("update, this task", learning, work, "updates/s", _STEPS)]

    def _paper(self, n: int) -> list[Figure]:
        work = flops(_paper_update(n, _CPU)) / _STEPS
        name = f"update, paper, N = {n}"
        return [self._rate_of(name, _paper_update(n, self._device), work, "updates/s", _STEPS)]

    def _training(self) -> list[Figure]:
        batch = self._task.training.batch
        small = min(batch, _COUNTED)
        work = flops(self._training_step(_CPU, small)) * batch / small
        name = f"training, batch {batch}"
        return [self._rate_of(name, self._training_step(self._device, batch), work, "steps/s", 1)]

    def _rate_of(self, name: str, call: Callable[[], object], work: float, unit: str, steps: int) -> Figure:
        rate, limit = steps / self._timer.best(call), self._rate / work
        limit_is = f"matrix rate, {_work(work)}"
        return Figure(name=name, value=rate, unit=unit, limit=limit, limit_is=limit_is, share=rate / limit)

    def _simulation(self) -> list[Figure]:
        if not isinstance(self._cell, SimulatedCell):
            return []
        steps = iter(_simulated(self._cell))
        count = self._task.n_action_steps
        rate, hz = (
            count / self._timer.best(lambda: list(itertools.islice(steps, count))),
            self._cell.spec.control_hz,
        )
        return [
            Figure(
                name="simulation",
                value=rate,
                unit="steps/s",
                limit=hz,
                limit_is="real time",
                share=rate / hz,
            )
        ]

    def _commit(self) -> list[Figure]:
        store = EpisodeStore(self._folder / "committed", writable=True)
        record = self._steering(_CPU).record
        commits, writes, size = [], [], 0
        for ordinal in range(_EPISODES + 1):
            episode = self._episode(ordinal, record)
            commits.append(_took(lambda: store.commit(episode)))  # noqa: B023 - called at once
            files = (store.root / "episodes" / episode.header.id).rglob("*")
            size = sum(path.stat().st_size for path in files if path.is_file())
            plain = os.urandom(size)
            writes.append(_took(lambda: Disk().write(self._folder / "plain", plain)))  # noqa: B023
        middle, least = statistics.median(commits[1:]), statistics.median(writes[1:])
        return [
            Figure(
                name=f"commit, {self._task.session.episode_steps} steps",
                value=1e3 * middle,
                unit="ms",
                limit=1e3 * least,
                limit_is=f"{size / 1e6:.1f} MB as one synced file",
                share=least / middle,
            )
        ]

    def _base(self, device: torch.device) -> BasePolicy:
        base = BasePolicy(self._cell.spec, self._task.policy, self._task.bottleneck)
        return base.freeze().to(device)

    def _steering(self, device: torch.device) -> Steering:
        """The task's method, ready to learn from the first chunk on."""
        wanted = {"warmup_chunks": 1, "actor_delay_chunks": 0, "utd": 1e6}
        own = {name: value for name, value in wanted.items() if hasattr(self._task.steering, name)}
        settings = self._task.steering.model_copy(update=own)
        return settings.build(self._base(device), 0, n_action_steps=self._task.n_action_steps)

    def _learning(self, device: torch.device) -> Callable[[], object] | None:
        """`_STEPS` gradient steps of the task's method, sampling included; None if it would not learn from this."""
        steering = self._steering(device)
        replay = ReplayBuffer.for_method(steering, device=device)
        episodes = [self._episode(ordinal, steering.record) for ordinal in range(_EPISODES)]
        place = Path(tempfile.mkdtemp(dir=self._folder))
        store = EpisodeStore(place / "episodes", writable=True)
        journal = Journal(place / "journal.jsonl", writable=True)
        for episode in episodes:
            store.commit(episode)
            journal.append(EpisodeCommitted.of(episode))
            journal.append(Labelled(episode=episode.header.id, outcome=Outcome.SUCCESS, by="bench"))
        replay.sync(journal.ledger(), store.chunks)
        if steering.planned_updates(replay, store.ids()) < _STEPS:
            return None
        steps = steering.learn(replay, store.ids(), stream(0, "speed"))
        return lambda: list(itertools.islice(steps, _STEPS))

    def _training_step(self, device: torch.device, batch: int) -> Callable[[], object]:
        task = self._task
        windows = TrainingWindows.from_episodes(
            [self._episode(0, self._steering(_CPU).record)], task.policy.n_obs, task.policy.prediction_horizon
        )
        rare = {"check_every": 1_000_000, "patience": 1_000_000, "checkpoint_every": 1_000_000}
        settings = task.training.model_copy(
            update={"batch": batch, "iterations": 1_000_000, "report_every": 1, "held_out": 0.0, **rare}
        )
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        base = BasePolicy(self._cell.spec, task.policy, task.bottleneck).to(device)
        progress = iter(Pretraining(base, windows, settings, 0, folder))
        return lambda: next(progress)

    def _episode(self, ordinal: int, record: RecordSpec) -> Episode:
        return made_up_episode(
            self._cell.spec,
            ordinal,
            steps=self._task.session.episode_steps,
            n_action_steps=self._task.n_action_steps,
            record=record,
        )


def _paper_update(n: int, device: torch.device) -> Callable[[], object]:
    settings = ZPRLSettings(n_critics=n)
    size = PAPER_DC + PAPER_DZ
    rng = stream(0, "speed")
    sac = SAC(settings, state_size=size, context_size=size, action_size=PAPER_DZ, rng=rng, device=device)
    batch = made_up_batch(PAPER_DC, PAPER_DZ, settings.batch, device)

    def steps() -> None:
        for _ in range(_STEPS):
            sac.step(batch, rng)

    return steps


def _simulated(cell: SimulatedCell) -> Iterator[object]:
    """Control steps without end: the tool down and up again, where it is."""
    position, quaternion, opening = cell.tool_pose
    for step in itertools.count():
        moved = position + np.array([0.0, 0.0, _SWING * np.sin(step / 5.0)])
        cell.plan(pose_to_action(moved, quaternion, opening, cell.spec.action)[None])
        yield cell.advance()


def _took(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _machine(chosen: Choice, threads: int) -> dict[str, Any]:
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "device": chosen.words,
        "torch": torch.__version__,
        "load": round(os.getloadavg()[0], 1),
    }


def processor() -> str:
    """The name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _work(work: float) -> str:
    return f"{work / 1e9:.2f} GFLOP" if work < 1e11 else f"{work / 1e12:.2f} TFLOP"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
