"""A cell and a method small enough that a whole session takes a second: a point that should reach a goal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from datasets.episode import Ending
from datasets.observation import FloatArray, Image, Observation
from datasets.randomness import stream
from datasets.settings import Settings
from datasets.spec import ActionSpec, CameraSpec, DataSpec
from datasets.store import EpisodeStore
from hardware.cell import (
    Cell,
    CellHealth,
    Check,
    ClockSpeed,
    Layout,
    StaleFrameError,
    Step,
    StoppedError,
    require_running,
)
from hardware.latch import StopLatch
from policy.replay import ReplayBuffer
from policy.steering.interface import Decision, Metrics, RecordSpec, Steering, Window
from station.session.engine.dependencies import EngineDependencies
from station.session.engine.engine import Engine
from station.session.engine.options import EngineOptions
from station.session.folder import SessionFolder
from station.tasks.session_settings import SessionSettings

SPEC = DataSpec(
    cameras=(CameraSpec(name="third", height=4, width=4),),
    proprioception=("x", "goal"),
    action=ActionSpec(),
    control_hz=10.0,
)
EXECUTE = 2


class PointCell(Cell):
    """A point at x moves a quarter of the way to its target each step; the goal is in the layout."""

    spec = SPEC
    simulated = True

    def __init__(self, latch: StopLatch | None = None, *, simulated: bool = True) -> None:
        self.simulated = simulated
        self.latch = latch
        self.frozen = False
        self.limit = 1.5
        self.moves = 0
        self.braked = 0
        self.speed = ClockSpeed.REAL
        self._goal = self._x = 0.0
        self._steps = self._homing = 0
        self._plan: list[FloatArray] = []

    def connect(self) -> None:
        pass

    def close(self) -> None:
        self._plan = []

    def preflight(self) -> list[Check]:
        return [Check(name="camera third", ok=not self.frozen, detail="no frames", remedy="Thaw it.")]

    def watch(self) -> list[Check]:
        return [check for check in self.preflight() if not check.ok]

    def observe(self) -> Observation:
        if self.frozen:
            raise StaleFrameError("Camera third has no new frame since 1 s. Check its cable, then continue.")
        level = int(np.clip(128 + 60 * self._x, 0, 255))
        return Observation(
            images={"third": np.full((4, 4, 3), level, np.uint8)},
            proprioception=np.array([self._x, self._goal], np.float32),
            time=self._steps * 0.1,
        )

    def plan(self, actions: FloatArray) -> None:
        self._armed()
        self._plan = list(actions)

    def replan(self, actions: FloatArray, *, after: int, seen: float) -> None:
        self._armed()
        require_running(after, len(self._plan))
        self._plan = [*self._plan[:after], *actions]

    def advance(self) -> Step | None:
        self._armed()
        if not self._plan:
            return None
        action = self._plan.pop(0)
        self.moves += 1
        self._steps += 1
        self._x += 0.25 * (float(action[0]) - self._x)
        near = abs(self._x - self._goal) < 0.1
        ending = Ending.SUCCESS if near else Ending.IRRECOVERABLE if abs(self._x) > self.limit else None
        return Step(
            observation=self.observe(),
            action=action,
            sent=action,
            command_time=(self._steps - 1) * 0.1,
            ending=ending,
        )

    def brake(self) -> None:
        self._plan = []
        self._homing = 0
        self.braked += 1

    def begin_homing(self) -> None:
        self._armed()
        self._homing = 2

    def advance_homing(self) -> bool:
        self._armed()
        self._homing -= 1
        return self._homing <= 0

    def sample_layout(self, seed: int, purpose: str, ordinal: int) -> Layout:
        return {"goal": float(stream(seed, f"layout {purpose}", ordinal).uniform(-1.0, 1.0))}

    def layout_images(self, layout: Layout) -> dict[str, Image]:
        return {"third": np.full((4, 4, 3), int(np.clip(128 + 60 * layout["goal"], 0, 255)), np.uint8)}

    def reset_scene(self, layout: Layout) -> None:
        self._goal, self._x, self._steps = float(layout["goal"]), 0.0, 0

    def health(self) -> CellHealth:
        return CellHealth(achieved_hz=10.0, frame_age={"third": 0.0})

    def set_speed(self, speed: ClockSpeed) -> None:
        self.speed = speed

    def _armed(self) -> None:
        if self.latch is not None and self.latch.latched:
            raise StoppedError("The stop is latched.")


class Pusher(Steering):
    """dz = tanh(w [x goal 1] + noise); learns w by a noisy step on sampled transitions, with momentum."""

    name: ClassVar[str] = "pusher"

    def __init__(self, warmup_chunks: int = 6, n_action_steps: int = EXECUTE) -> None:
        self.record = RecordSpec(features={"c": (3,)}, decisions={"dz": (1,)})
        self.n_action_steps = n_action_steps
        self.gamma = 0.99
        self.warmup_chunks = warmup_chunks
        self.w = torch.zeros(3)
        self.momentum = torch.zeros(3)
        self.updates = torch.zeros((), dtype=torch.int64)
        self.poisoned = False
        self.learnt: list[int] = []

    def features(
        self, window: Window, rngs: Sequence[np.random.Generator], *, explore: bool
    ) -> dict[str, FloatArray]:
        newest = window.proprioception[:, -1]
        return {"c": np.concatenate([newest, np.ones((window.batch, 1), np.float32)], axis=1)}

    def act(
        self,
        window: Window,
        features: dict[str, FloatArray],
        rngs: Sequence[np.random.Generator],
        *,
        explore: bool,
    ) -> Decision:
        noise = np.array([rng.standard_normal(1) for rng in rngs], np.float32)
        pushed = torch.from_numpy(features["c"]) @ self.w[:, None] + torch.from_numpy(noise) * (0.8 * explore)
        dz = torch.tanh(pushed).numpy()
        actions = np.zeros((window.batch, self.n_action_steps, SPEC.da), np.float32)
        actions[:, :, 0] = 2.0 * dz
        if self.poisoned:
            actions[:] = np.nan
        return Decision(actions=actions, chosen={"dz": dz})

    def planned_updates(self, replay: ReplayBuffer, fresh: Sequence[str]) -> int:
        return 0 if len(replay) < self.warmup_chunks else replay.chunks(fresh)

    def learn(
        self, replay: ReplayBuffer, fresh: Sequence[str], rng: np.random.Generator
    ) -> Iterator[Metrics]:
        self.learnt.append(len(replay))
        for _ in range(self.planned_updates(replay, fresh)):
            batch = replay.sample(rng, 8)
            gradient = (batch.features["c"] * batch.decisions["dz"] * batch.reward[:, None]).mean(0)
            self.momentum = 0.9 * self.momentum + gradient
            self.w = (
                self.w
                + 0.3 * self.momentum
                + 0.001 * torch.from_numpy(rng.standard_normal(3).astype(np.float32))
            )
            self.updates += 1
            yield {"push": float(self.w.abs().mean())}

    def state(self) -> dict[str, Tensor]:
        return {"w": self.w, "momentum": self.momentum, "updates": self.updates}

    def load_state(self, state: dict[str, Tensor]) -> None:
        self.w, self.momentum, self.updates = (
            state["w"].clone(),
            state["momentum"].clone(),
            state["updates"].clone(),
        )


class TinyTask(Settings):
    """As much of a task as these tests freeze."""

    session: SessionSettings


SESSION = SessionSettings(episode_steps=9, grace=0.0, evaluation_every=4, evaluation_episodes=3)


def make_folder(path: Path, settings: SessionSettings = SESSION, seed: int = 7) -> SessionFolder:
    """A session of the tiny task."""
    return SessionFolder.create(path, TinyTask(session=settings), task_name="tiny", seed=seed)


def make_parts(
    folder: SessionFolder,
    cells: int = 1,
    *,
    latch: StopLatch | None = None,
    simulated: bool = True,
    overlap: int = 0,
) -> EngineDependencies:
    """Fresh fakes with the folder's settings."""
    steering = Pusher(n_action_steps=EXECUTE + overlap)

    def replay(store: EpisodeStore) -> ReplayBuffer:
        return ReplayBuffer.for_method(steering, base_hash="tiny")

    return EngineDependencies(
        cells=[PointCell(latch, simulated=simulated) for _ in range(cells)],
        steering=steering,
        replay=replay,
        base_hash="tiny",
        n_obs=2,
        overlap=overlap,
        settings=SessionSettings.model_validate(folder.tables["session"]),
    )


def headless(
    folder: SessionFolder, *, cells: int = 1, episodes: int = 6, mistakes: float = 0.0, overlap: int = 0
) -> Engine:
    """An engine that labels by itself and ends at its goal."""
    options = EngineOptions(headless=True, autopilot=True, mistakes=mistakes, episodes=episodes, patience=0.0)
    return Engine(folder, make_parts(folder, cells, overlap=overlap), options)


def never_ending(engine: Engine) -> Engine:
    """No start is near its goal and none is beyond help: only keys and the episode limit end an episode."""
    cell = cell_of(engine)
    cell.limit = 99.0
    cell.sample_layout = lambda *_: {"goal": 9.0}  # type: ignore[method-assign]
    return engine


def cell_of(engine: Engine) -> PointCell:
    """The first cell."""
    cell = engine._parts.cells[0]
    assert isinstance(cell, PointCell)
    return cell
