"""Measures how long a task's own networks take for one decision, as a session would run them on this machine."""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from datasets.errors import StationError
from datasets.randomness import stream
from hardware.cell import Check

if TYPE_CHECKING:
    import torch

    from policy.base import BasePolicy
    from station.session.folder import SessionFolder
    from station.tasks.config import Task

_DECISIONS = 10
_CLEARLY = 0.9
"""Share of the time from which another number of threads is worth a sentence."""
_HELP = (
    "Use a GPU (--device cuda, or 'station policy-server' on a machine that has one), smaller networks or fewer "
    "cameras ([policy] encoder, widths, crops), longer chunks (n_action_steps), or an overlap of chunks (overlap)."
)


def check_decision(task: Task, folder: SessionFolder | None = None, *, device: str) -> Check:
    """The median time of a decision against the task's overlap, or without one its control period.

    With a session's `folder`, its trained base decides; otherwise one with random weights, which takes as long.
    `device`: as `policy.devices.choose` takes it.
    """
    from policy.devices import choose, cpu_threads
    from station.session.engine.decision_threads import decision_threads, recorded_threads
    from station.session.engine.options import EngineOptions

    options = EngineOptions()
    try:
        chosen = choose(device)
        base = _base(task, folder, chosen.device)
        base.threads, _ = decision_threads(
            base,
            options,
            recorded_threads(folder) if folder is not None else 0,
            simulated=task.cell.kind == "simulated",
            overlap=task.overlap > 0,
        )
        with cpu_threads(options.threads):
            times = decision_times(task, base)
            middle, longest = statistics.median(times), max(times)
            limit = max(1, task.overlap) / base.spec.control_hz
            late = middle > limit
            remedy = f"{between_chunks(task, middle)} {_other_threads(task, base)}{_HELP}" if late else ""
    except StationError as error:
        return Check(name="decision", ok=False, detail="not measured", remedy=str(error))
    where = chosen.words
    if chosen.device.type == "cpu":
        where += f" with {base.threads} thread{'s' if base.threads > 1 else ''}"
    return Check(
        name="decision",
        ok=not late,
        detail=f"{1000 * middle:.0f} ms (longest {1000 * longest:.0f}) of {1000 * limit:.0f} ms, on {where}",
        remedy=remedy,
    )


def between_chunks(task: Task, decision: float) -> str:
    """What the arm does while a decision of this many s takes longer than the plan lasts, in a sentence."""
    from hardware.controller.interpolation import time_to_rest
    from hardware.robot.settings import RobotCellSettings

    cell = task.cell
    if not isinstance(cell, RobotCellSettings):
        return "Between two chunks the arm slows down for as long."
    safety = cell.safety
    if safety.velocity is None or safety.acceleration is None:
        return "Between two chunks the arm slows down for as long; whether it stops depends on [safety], not set yet."
    if decision > safety.stale_plan:
        return (
            f"No plan would be accepted: it comes later after its images than [safety] stale_plan = "
            f"{safety.stale_plan:g} s allows, and the arm stays where it is."
        )
    rest = time_to_rest(safety.velocity, safety.acceleration, safety.jerk)
    waits = decision - task.overlap / cell.control_hz
    if not task.overlap and min(decision, rest) > safety.heartbeat:
        return (
            f"At full speed the arm still moves {1000 * safety.heartbeat:.0f} ms after its plan ran out ([safety] "
            "heartbeat); it then brakes with a fault, and you would have to continue after each such chunk."
        )
    if waits < rest:
        return (
            f"Between two chunks the arm slows down for {1000 * waits:.0f} ms. It does not stop: at full speed, coming "
            f"to rest takes {1000 * rest:.0f} ms."
        )
    return (
        f"Between two chunks the arm stops: it comes to rest within {1000 * rest:.0f} ms of its last pose, and the "
        f"next plan comes after {1000 * waits:.0f} ms."
    )


def _other_threads(task: Task, base: BasePolicy) -> str:
    """Whether another number of CPU threads is clearly faster here, as a sentence with a space after it, or nothing."""
    from station.jobs.decision_speed import decision_speeds

    if base.device.type != "cpu":
        return ""
    decide = decider(task, base)
    best = min(decision_speeds(decide, base, rounds=3, wall=True), key=lambda speed: speed.decision)
    (own,) = decision_speeds(decide, base, threads=[base.threads or 1], rounds=3, wall=True)
    least = f"its matrix products alone take {1000 * best.products:.0f} ms"
    if best.decision > _CLEARLY * own.decision:
        return f"No other number of CPU threads is faster here; {least}. "
    return (
        f"With {best.threads} CPU thread{'s' if best.threads > 1 else ''} it takes {1000 * best.decision:.0f} ms here "
        f"(station run SESSION --decision-threads {best.threads}); {least}. "
    )


def decision_times(task: Task, base: BasePolicy) -> list[float]:
    """s of each of some decisions for one cell, exploring, after one that loads what is needed."""
    decide, times = decider(task, base), []
    for _ in range(_DECISIONS + 1):
        began = time.perf_counter()
        decide()
        times.append(time.perf_counter() - began)
    return times[1:]


def decider(task: Task, base: BasePolicy) -> Callable[[], object]:
    """Decides for one cell, exploring, on a blank observation: from features to actions, as a rollout does."""
    import numpy as np

    from policy.base import Window

    steering = task.steering.build(base, 0, n_action_steps=task.decided_steps)
    shape = 1, task.policy.n_obs
    window = Window(
        images={
            camera.name: np.zeros((*shape, camera.height, camera.width, 3), np.uint8)
            for camera in base.spec.cameras
        },
        proprioception=np.zeros((*shape, base.spec.proprioception_dim), np.float32),
    )
    ordinals = itertools.count()

    def decide() -> object:
        rngs = [stream(0, "decision", next(ordinals))]
        return steering.act(window, steering.features(window, rngs, explore=True), rngs, explore=True)

    return decide


def _base(task: Task, folder: SessionFolder | None, device: torch.device) -> BasePolicy:
    from hardware.cell import ClockSpeed
    from hardware.latch import StopLatch
    from policy.base import POLICY_FILE, BasePolicy
    from station.session.engine.factory import load_base, make_cells

    if folder is not None and (folder.base / POLICY_FILE).exists():
        return load_base(folder, device)
    with tempfile.TemporaryDirectory(prefix="station-doctor-") as place:
        (cell,) = make_cells(task, 1, ClockSpeed.VIRTUAL, StopLatch(Path(place) / "stop.latch"))
        spec = cell.spec
    return BasePolicy(spec, task.policy, task.bottleneck).freeze().to(device)
