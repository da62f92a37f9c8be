"""A feed that plays prepared snapshots, engines that never were processes, and a session worth looking at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from datasets.observation import Image
from hardware.cell import ClockSpeed
from station.session.core.events import OperatorEvent
from station.session.snapshot import (
    Counts,
    EpisodeMark,
    EvaluationPoint,
    LiveHealth,
    LiveSteering,
    Phase,
    Rate,
    Snapshot,
    TimeLedger,
)
from station.tui.feed import Feed, FeedError


class FakeFeed:
    """Holds one snapshot, remembers what was sent, acknowledges on demand."""

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        self.snapshot = snapshot
        self.sent: list[OperatorEvent] = []
        self.pressed: list[float] = []
        """When the key of each went down."""
        self.stops = 0
        self.trouble = ""
        self.alive = True
        self.closed = False
        self.broken = False
        self.ticking = True
        """Whether every look finds a new snapshot, as with an engine that lives."""
        self.prompt = False
        """Whether every event is acknowledged at once."""
        self.holds_keys = True
        self.looked_away = 0
        """How often it was looked at without anybody there."""
        self._answers: dict[int, str] = {}

    def latest(self) -> Snapshot | None:
        if self.snapshot is not None and self.ticking:
            self.play()
        return self.snapshot

    def unseen(self) -> Snapshot | None:
        self.looked_away += 1
        return self.snapshot

    def send(self, event: OperatorEvent, pressed: float) -> int:
        if self.broken:
            raise FeedError("the line to the engine is broken")
        self.sent.append(event)
        self.pressed.append(pressed)
        if self.prompt:
            self.acknowledge(len(self.sent))
        return len(self.sent)

    def stop(self) -> str:
        self.stops += 1
        return self.trouble

    def answers(self) -> Mapping[int, str]:
        return self._answers

    def acknowledge(self, number: int, refused: str = "") -> None:
        self._answers[number] = refused

    def take_keys(self) -> None:
        self.holds_keys = True

    def close(self) -> None:
        self.closed = True

    def play(self, **changes: Any) -> None:
        """The next snapshot, changed in these fields."""
        assert self.snapshot is not None
        self.snapshot = replace(self.snapshot, number=self.snapshot.number + 1, **changes)


class FakeEngines:
    """Hands out one feed; counts starts and latches."""

    def __init__(self, feed: FakeFeed | None = None) -> None:
        self.feed = feed
        self.started: list[Path] = []
        self.latched: list[Path] = []
        self.trouble = ""
        self.ended: list[Path] = []
        self.death: str | None = None

    def attach(self, folder: Path) -> Feed | None:
        return self.feed

    def start(self, folder: Path) -> None:
        self.started.append(folder)

    def end(self, folder: Path) -> None:
        self.ended.append(folder)

    def absence(self, folder: Path) -> str:
        return "no engine answers"

    def stop(self, folder: Path) -> str:
        self.latched.append(folder)
        return self.trouble

    def obituary(self, folder: Path) -> str | None:
        return self.death


def scene_image(size: int = 64, shift: float = 0.0) -> Image:
    """A table, an orange half and a juicer, roughly."""
    y, x = np.mgrid[0:size, 0:size] / size
    image = np.empty((size, size, 3), np.float64)
    image[:] = (70, 78, 88)
    image[y > 0.35] = (150, 132, 110)
    image[(abs(x - 0.3 - shift) < 0.14) & (abs(y - 0.7) < 0.1)] = (96, 104, 112)
    image[(x - 0.3 - shift) ** 2 + (y - 0.68) ** 2 < 0.006] = (238, 140, 40)
    image[(x - 0.72) ** 2 + (y - 0.62) ** 2 < 0.012] = (210, 214, 220)
    image[(abs(x - 0.5) < 0.035) & (y < 0.5)] = (225, 228, 232)
    return np.asarray(np.clip(image + 12 * np.sin(6 * x)[..., None], 0, 255), dtype=np.uint8)


def plain_image() -> Image:
    """Four fields, so that a drawing of it is short."""
    image = np.zeros((96, 96, 3), np.uint8)
    image[:48, 48:], image[48:, :48], image[48:, 48:] = (150, 132, 110), (238, 140, 40), (210, 214, 220)
    return image


def rate(successes: int, n: int) -> Rate:
    """Wilson 95%."""
    z, p = 1.96, successes / n
    middle, half = (p + z * z / (2 * n)), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Rate(
        successes=successes,
        n=n,
        low=(middle - half) / (1 + z * z / n),
        high=(middle + half) / (1 + z * z / n),
    )


def marks(n: int) -> tuple[EpisodeMark, ...]:
    """A plausible history, getting better."""
    outcomes = []
    for index in range(n):
        good = (index * 7919) % 100 < 35 + 45 * index / n
        outcomes.append("success" if good else "timeout" if index % 3 else "failure")
    if n > 12:
        outcomes[-12] = "void"
    return tuple(
        EpisodeMark(id=f"online-{index:06d}", outcome=outcome, steps=60, evaluation=index % 11 == 10)
        for index, outcome in enumerate(outcomes)
    )


def counts() -> Counts:
    steps = np.arange(1, 121) * 70
    success = 0.42 + 0.3 * (1 - np.exp(-steps / 4000)) + 0.05 * np.sin(steps / 700)
    return Counts(
        demos=60,
        episodes=120,
        success=66,
        failure=21,
        timeout=33,
        void=1,
        chunks=2040,
        env_steps=8400,
        updates=40800,
        policy_version=40,
        base_success=rate(44, 100),
        rolling=rate(34, 50),
        evaluations=(
            EvaluationPoint(env_steps=2800, policy_version=13, rate=rate(9, 20)),
            EvaluationPoint(env_steps=5600, policy_version=26, rate=rate(12, 20)),
            EvaluationPoint(env_steps=8400, policy_version=40, rate=rate(15, 20)),
        ),
        success_curve=tuple((int(x), float(y)) for x, y in zip(steps, success, strict=True)),
        length_curve=tuple((int(x), float(90 - 25 * x / 8400 + 4 * math.sin(x / 500))) for x in steps),
        last=marks(120),
    )


def snapshot(phase: Phase = Phase.ROLLOUT, **changes: Any) -> Snapshot:
    base = Snapshot(
        number=1,
        session="orange-1",
        task="place-orange",
        phase=phase,
        instruction="Watch the arm.",
        episode="online-000120",
        step=31,
        episode_steps=90,
        episodes_goal=300,
        speed=ClockSpeed.FAST,
        tiles={"third": scene_image(), "wrist": scene_image(shift=0.2)},
        counts=counts(),
        steering=LiveSteering(
            method="zprl",
            metrics={
                "rms_ratio": 0.213,
                "q": 0.431,
                "critic_loss": 0.0123,
                "actor_loss": -0.401,
                "alpha": 0.052,
                "entropy": -15.2,
            },
        ),
        health=LiveHealth(
            decision=0.045,
            achieved_hz=9.97,
            wanted_hz=10,
            frame_age={"third": 0.034, "wrist": 0.036},
            disk_hours=311.0,
            memory_mb=1630.0,
            interventions=4,
        ),
        ledger=TimeLedger(moving=1710, waiting=240, labelling=95, updating=1204, other=310, eta=5220),
        log=(
            "12:00:58 online-000117 timeout after 90 steps",
            "12:01:11 update 39: 340 steps in 6.1 s",
            "12:01:20 online-000118 success after 61 steps",
            "12:01:44 online-000119 success after 66 steps",
            "12:01:52 update 40: 352 steps in 6.3 s",
        ),
    )
    return replace(base, **changes)
