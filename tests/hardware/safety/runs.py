"""Runs of the safety filter against random and hostile targets, and a check of everything it sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hardware.plan import Command, Target
from hardware.safety.filter import (
    Reason,
    SafetyFilter,
    SafetySettings,
    SafetyState,
    Sphere,
    WorkspaceSettings,
)

Array = NDArray[np.float64]
Chooser = Callable[[SafetyState], Target | None]

DOWN = np.array([1.0, 0.0, 0.0, 0.0])


def limits(
    *,
    velocity: float = 0.3,
    acceleration: float = 2.0,
    jerk: float = 20.0,
    half: float = 0.15,
    radius: float | None = None,
    rotation_rate: float = 1.5,
    rotation_acceleration: float = 10.0,
    gripper_rate: float = 4.0,
) -> SafetySettings:
    """A cube about (0.4, 0, 0.3)."""
    box = WorkspaceSettings(
        arm="right", lower=(0.4 - half, -half, 0.3 - half), upper=(0.4 + half, half, 0.3 + half)
    )
    return SafetySettings(
        workspaces=(box,),
        velocity=velocity,
        acceleration=acceleration,
        jerk=jerk,
        radius=radius,
        rotation_rate=rotation_rate,
        rotation_acceleration=rotation_acceleration,
        gripper_rate=gripper_rate,
    )


def target(
    position: Sequence[float] | Array,
    velocity: Sequence[float] | Array = (0.0, 0.0, 0.0),
    *,
    quaternion: Array = DOWN,
    rate: Sequence[float] | Array = (0.0, 0.0, 0.0),
    gripper: float = 1.0,
) -> Target:
    return Target(
        position=np.asarray(position, np.float64),
        quaternion=quaternion,
        velocity=np.asarray(velocity, np.float64),
        angular_velocity=np.asarray(rate, np.float64),
        gripper=gripper,
    )


def standing(position: Sequence[float] | Array = (0.4, 0.0, 0.3), gripper: float = 1.0) -> SafetyState:
    return SafetyState.at_rest(np.asarray(position, np.float64), DOWN, gripper)


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """What was sent, tick by tick; the first row is the start."""

    states: list[SafetyState]
    commands: list[Command]
    reasons: Counter[Reason]

    @property
    def positions(self) -> Array:
        return np.array([state.position for state in self.states])


def run(
    settings: SafetySettings,
    dt: float,
    start: SafetyState,
    choose: Chooser,
    ticks: int,
    others: Callable[[int, SafetyState], Sequence[Sphere]] | None = None,
) -> Run:
    filter_ = SafetyFilter(settings, dt)
    states, commands, counts = [start], [], Counter[Reason]()
    for tick in range(ticks):
        spheres = others(tick, states[-1]) if others is not None else ()
        state, command, reasons = filter_.step(states[-1], choose(states[-1]), dt, spheres, now=tick * dt)
        states.append(state)
        commands.append(command)
        counts.update(reasons)
    return Run(states=states, commands=commands, reasons=counts)


def violations(settings: SafetySettings, dt: float, done: Run, *, box: bool = True) -> dict[str, float]:
    """By which share of itself (the box: by how many metres) each limit was broken at worst; computed from what was
    sent, and from nothing that the filter says of itself."""
    positions = np.array([done.states[0].position, *(command.position for command in done.commands)])
    at_rest = np.repeat(positions[:1], 3, axis=0)
    positions = np.concatenate([at_rest, positions])
    velocity = np.diff(positions, axis=0) / dt
    acceleration = np.diff(velocity, axis=0) / dt
    jerk = np.diff(acceleration, axis=0) / dt
    turns = Rotation.from_quat([done.states[0].quaternion, *(c.quaternion for c in done.commands)])
    rates = np.concatenate([np.zeros((2, 3)), (turns[1:] * turns[:-1].inv()).as_rotvec() / dt])
    swing = np.linalg.norm(np.diff(rates, axis=0), axis=-1) / dt
    gripper = np.array([done.states[0].gripper, *(command.gripper for command in done.commands)])
    worst = {
        "velocity": np.abs(velocity).max() / (settings.velocity or 0.0) - 1.0,
        "acceleration": np.abs(acceleration).max() / (settings.acceleration or 0.0) - 1.0,
        "jerk": np.abs(jerk).max() / settings.jerk - 1.0,
        "rotation_rate": np.linalg.norm(rates, axis=-1).max() / settings.rotation_rate - 1.0,
        "rotation_acceleration": swing.max() / settings.rotation_acceleration - 1.0,
        "gripper_rate": np.abs(np.diff(gripper)).max() / dt / settings.gripper_rate - 1.0,
    }
    if box:
        lower, upper = settings.workspaces[0].lower, settings.workspaces[0].upper
        worst["box"] = max((positions - upper).max(), (lower - positions).max(), 0.0)
    return {name: float(value) for name, value in worst.items()}


def assert_within(settings: SafetySettings, dt: float, done: Run, *, box: bool = True) -> None:
    """Every limit to a millionth of itself, the box to two nanometres."""
    worst = violations(settings, dt, done, box=box)
    broken = {name: value for name, value in worst.items() if value > (2e-9 if name == "box" else 1e-6)}
    assert not broken, broken


class Adversary:
    """Targets that change their manner every few ticks: each manner is one that limits are known to break on."""

    def __init__(self, random: np.random.Generator, settings: SafetySettings, dt: float) -> None:
        self._random, self._settings, self._dt = random, settings, dt
        self._left = 0
        self._manner: Chooser = self._jump
        self._corner = np.zeros(3)
        self._line = (np.zeros(3), np.zeros(3))
        self._tick = 0
        self._quaternion = DOWN

    def __call__(self, state: SafetyState) -> Target | None:
        if self._left <= 0:
            self._left = int(self._random.integers(1, 120))
            manners = [
                self._jump,
                self._push,
                self._oscillate,
                self._graze,
                self._wander,
                self._lost,
                self._run,
            ]
            self._manner = manners[self._random.integers(len(manners))]
            box = self._settings.workspaces[0]
            self._corner = np.where(self._random.random(3) < 0.5, box.lower, box.upper)
            self._corner += self._random.choice([0.0, 0.0, 1e-4, -1e-4, 0.5, -0.01], 3)
            self._line = (
                np.array(state.position),
                self._random.normal(size=3) * (self._settings.velocity or 0.0),
            )
        self._left -= 1
        self._tick += 1
        return self._manner(state)

    def _pose(self, position: Array, velocity: Array) -> Target:
        random = self._random
        if random.random() < 0.02:
            self._quaternion = random.normal(size=4) if random.random() < 0.8 else DOWN
            self._quaternion = self._quaternion / np.linalg.norm(self._quaternion)
        quaternion = self._quaternion if random.random() < 0.9 else -self._quaternion
        return target(
            position,
            velocity,
            quaternion=quaternion,
            rate=random.normal(size=3) * random.choice([0.0, 1.0, 10.0]),
            gripper=float(random.normal(0.5, 1.0)),
        )

    def _jump(self, state: SafetyState) -> Target:
        return self._pose(
            np.array([0.4, 0.0, 0.3]) + self._random.normal(size=3) * 0.3, self._random.normal(size=3)
        )

    def _push(self, state: SafetyState) -> Target:
        return self._pose(self._corner, np.zeros(3))

    def _oscillate(self, state: SafetyState) -> Target:
        period = 2 + self._left % 17
        sign = 1.0 if (self._tick // period) % 2 else -1.0
        return self._pose(np.array(state.position) + sign * self._random.random(3), np.zeros(3))

    def _graze(self, state: SafetyState) -> Target:
        """Next tick just at the edge of what velocity, acceleration and jerk allow, or a hair beyond."""
        settings, dt, random = self._settings, self._dt, self._random
        change = np.array(state.acceleration) + settings.jerk * dt * random.choice(
            [-1.0, 1.0, 1.0 + 1e-9, 1.01], 3
        )
        velocity = np.array(state.velocity) + change * dt
        return self._pose(np.array(state.position) + velocity * dt, velocity)

    def _wander(self, state: SafetyState) -> Target:
        return self._pose(
            np.array(state.position) + self._random.normal(size=3) * 1e-5, np.array(state.velocity)
        )

    def _run(self, state: SafetyState) -> Target:
        start, velocity = self._line
        self._line = (start + velocity * self._dt, velocity)
        return self._pose(start, velocity)

    def _lost(self, state: SafetyState) -> Target | None:
        if self._random.random() < 0.5:
            return None
        position = np.array(state.position)
        position[self._random.integers(3)] = self._random.choice([np.nan, np.inf, -np.inf])
        return self._pose(position, np.zeros(3))
