"""Measures how long a task's own networks take for one decision, as a session would run them on this machine."""

from __future__ import annotations

import statistics
import tempfile
import time
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
_REMEDY = (
    "Between two chunks the arm slows down for as long. Use a GPU (--device cuda, or 'station policy-server' on a "
    "machine that has one), smaller networks or fewer cameras ([policy] encoder, widths, crops), longer chunks "
    "(n_action_steps), or an overlap of chunks (overlap)."
)


def check_decision(task: Task, folder: SessionFolder | None = None, *, device: str) -> Check:
    """The median time of a decision against the task's overlap, or without one its control period.

    With a session's `folder`, its trained base decides; otherwise one with random weights, which takes as long.
    `device`: as `policy.devices.choose` takes it.
    """
    import torch

    from policy.devices import choose
    from station.session.engine.options import EngineOptions

    before = torch.get_num_threads()
    torch.set_num_threads(EngineOptions().threads)
    try:
        chosen = choose(device)
        base = _base(task, folder, chosen.device)
        times = decision_times(task, base)
    except StationError as error:
        return Check(name="decision", ok=False, detail="not measured", remedy=str(error))
    finally:
        torch.set_num_threads(before)
    limit = max(1, task.overlap) / base.spec.control_hz
    middle, longest = statistics.median(times), max(times)
    return Check(
        name="decision",
        ok=middle <= limit,
        detail=f"{1000 * middle:.0f} ms (longest {1000 * longest:.0f}) of {1000 * limit:.0f} ms, on {chosen.words}",
        remedy="" if middle <= limit else _REMEDY,
    )


def decision_times(task: Task, base: BasePolicy) -> list[float]:
    """s of each of some decisions for one cell, exploring, after one that loads what is needed."""
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
    times = []
    for ordinal in range(_DECISIONS + 1):
        rngs = [stream(0, "decision", ordinal)]
        began = time.perf_counter()
        steering.act(window, steering.features(window, rngs, explore=True), rngs, explore=True)
        times.append(time.perf_counter() - began)
    return times[1:]


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
