"""Builds a session's real parts from its frozen task: cells, trained base, method, replay buffer."""

from __future__ import annotations

import logging

import torch

from datasets.spec import DataSpec
from datasets.store import EpisodeStore
from hardware.cell import Cell, ClockSpeed
from hardware.latch import StopLatch
from hardware.robot.cell import RobotCell
from hardware.robot.settings import RobotCellSettings
from hardware.simulation.cell import SimulatedCell
from hardware.simulation.settings import SimulationSettings
from policy import devices
from policy.base import BasePolicy, PolicyFileError
from policy.replay import ReplayBuffer
from station.policy_access import exposure, policy_access
from station.session.engine.decision_threads import decision_threads, recorded_threads
from station.session.engine.dependencies import EngineDependencies
from station.session.engine.options import EngineOptions
from station.session.folder import SessionError, SessionFolder
from station.session.limits import in_force, remarks
from station.tasks.config import Task

_log = logging.getLogger(__name__)
_PATIENCE = 10.0
"""s that a policy server has to answer for the first time."""


def compose(folder: SessionFolder, options: EngineOptions, latch: StopLatch) -> EngineDependencies:
    """The parts of an engine.

    Raises:
        SessionError: no trained base, or it was trained on other data than this cell delivers. TaskError.
        DeviceError: the device that was asked for cannot be used.
    """
    task = in_force(folder)
    chosen = devices.choose(options.device)
    _log.info("Networks compute on %s.", chosen.words)
    base, remark = base_for(folder, options.policy_server, chosen.device)
    # an operator labels one arm at a time
    usual = task.session.cells if options.headless else 1
    made = make_cells(task, options.cells or usual, ClockSpeed.REAL, latch)
    refuse_other_data(base.spec, made[0].spec)
    refuse_overlap(task, made[0])
    steering = task.steering.build(base, folder.seed, n_action_steps=task.decided_steps)

    base.threads, changed = decision_threads(
        base, options, recorded_threads(folder), simulated=made[0].simulated, overlap=task.overlap > 0
    )
    if type(base) is BasePolicy:  # a policy server has warmed up its own
        base.warm_up(len(made))

    def replay(store: EpisodeStore) -> ReplayBuffer:
        return ReplayBuffer.for_method(
            steering, base_hash=base.hash, observations=store.load, device=chosen.device
        )

    return EngineDependencies(
        cells=made,
        steering=steering,
        replay=replay,
        base_hash=base.hash,
        device=str(chosen.device),
        decision_threads=base.threads,
        n_obs=task.policy.n_obs,
        overlap=task.overlap,
        settings=task.session,
        remarks=(*remarks(folder), *remark, *changed),
    )


def make_cells(task: Task, count: int, speed: ClockSpeed, latch: StopLatch) -> list[Cell]:
    """The task's cells, unopened. Raises SessionError if there cannot be that many."""
    if isinstance(task.cell, SimulationSettings):
        return [SimulatedCell(task.cell, latch, speed) for _ in range(count)]
    if count != 1:
        raise SessionError(f"{count} cells were asked for; of real devices there is one. Leave --cells out.")
    if isinstance(task.cell, RobotCellSettings):
        return [RobotCell(task.cell, latch)]
    return [task.cell.build(latch)]


def load_base(folder: SessionFolder, device: torch.device | None = None) -> BasePolicy:
    """The session's frozen base on `device` (None: the CPU). Raises SessionError if there is none."""
    try:
        return BasePolicy.load(folder.base, device or torch.device("cpu"))
    except PolicyFileError as error:
        raise _without_base(folder, error) from error


def base_for(
    folder: SessionFolder, policy_server: str | None, device: torch.device
) -> tuple[BasePolicy, tuple[str, ...]]:
    """The session's frozen base for a method on `device`, and what to say about where it computes.

    Raises:
        SessionError: there is none. RemotePolicyError: its policy server does not answer, or serves another one.
        UsageError: there is no token for that server.
    """
    address = policy_access().address_for(folder.name, policy_server)
    if address is None:
        return load_base(folder, device), ()
    from policy.remote.base import RemoteBase

    try:
        base = RemoteBase.at(address, folder.base, device, patience=_PATIENCE)
    except PolicyFileError as error:
        raise _without_base(folder, error) from error
    where = f"The base policy computes at {address.url}, on {base.metadata.get('device')}."
    return base, (f"{where} {exposure(address.url)}".rstrip(),)


def refuse_other_data(trained: DataSpec, delivered: DataSpec) -> None:
    """Raise SessionError naming every difference."""
    before, now = trained.to_json(), delivered.to_json()
    differences = [
        f"{name} {before[name]} is now {now[name]}" for name in before if before[name] != now[name]
    ]
    if differences:
        raise SessionError(
            f"The base was trained on other data than this cell delivers: {'; '.join(differences)}. "
            "Put the setting back, or start a new session."
        )


def refuse_overlap(task: Task, cell: Cell) -> None:
    """Raise SessionError if the task wants an overlap and the cell cannot continue a running plan."""
    if task.overlap and type(cell).replan is Cell.replan:
        raise SessionError(
            f"overlap = {task.overlap}, and {type(cell).__name__} only takes whole plans. Set overlap = 0, or give it "
            "a replan (station guide extending)."
        )


def _without_base(folder: SessionFolder, error: PolicyFileError) -> SessionError:
    return SessionError(f"{folder.path} has no base policy to steer. {error} The command is 'station train'.")
