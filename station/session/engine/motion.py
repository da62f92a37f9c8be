"""Everything that moves: homing, layouts and rollouts of the engine's cells, and what they recorded.

Called between turns of the engine's loop; every call is short. Decides nothing about the session: it answers with
events.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from datetime import UTC, datetime
from typing import Any

from datasets.episode import Ending, EpisodeHeader, EpisodeKind, Outcome
from datasets.observation import Image
from datasets.randomness import stream
from hardware.cell import Cell, CellError, Check, Layout, StoppedError
from hardware.latch import StopLatch
from policy.remote.error import RemotePolicyError
from station.session.core.effects import (
    AbortMotion,
    Brake,
    Effect,
    EndMotion,
    RearmLatch,
    RecoverDevices,
    ResumeMotion,
    SetLatch,
    ShowLayouts,
)
from station.session.core.events import Event, EventSource, Faulted, Homed, MotionEnded, PreflightDone, Stop
from station.session.core.state import Slot
from station.session.engine.dependencies import EngineDependencies
from station.session.engine.episode_writer import EpisodeWriter
from station.session.engine.partial import PartialLog
from station.session.engine.rollout import Finished, Homing, Rollout, Start

_TRUTH = {
    Ending.SUCCESS: Outcome.SUCCESS,
    Ending.IRRECOVERABLE: Outcome.FAILURE,
    Ending.EPISODE_LIMIT: Outcome.TIMEOUT,
}

_PATIENCE = 0.02
"""s that a turn waits for the store when nothing moves."""

PURPOSES = {EpisodeKind.ONLINE: "rollout", EpisodeKind.EVALUATION: "evaluation"}
"""Which seeded schedule of layouts, and which random streams, a kind of episode uses."""


class Motion:
    """The cells of one engine."""

    def __init__(
        self,
        parts: EngineDependencies,
        *,
        seed: int,
        writer: EpisodeWriter,
        partial: PartialLog | None,
        emit: Callable[[Event], None],
        latch: StopLatch,
        pool: Executor | None,
    ) -> None:
        """`emit` gets the resulting events; `partial` is for cells that cannot rerun an episode."""
        self.policy_version = 0
        """Stamped on every episode that begins."""
        self.block: int | None = None
        """Evaluation block that episodes belong to."""
        self.targets: list[Layout] = []
        """Layouts that wait for the operator."""
        self._parts = parts
        self._seed = seed
        self._writer = writer
        self._partial = partial
        self._emit = emit
        self._latch = latch
        self._pool = pool
        self._connected: list[Cell] = []
        self._homing: Homing | None = None
        self._rollout: Rollout | None = None
        self.decision: float | None = None
        """s that the newest decision took; None before the first."""
        self._slots: dict[str, Slot] = {}
        self._unrecovered: list[str] = []
        self._stop_told = False
        self._late_told = True
        self._orders: dict[type[Effect], Callable[[Any], None]] = {
            RecoverDevices: lambda _: self.recover(),
            ShowLayouts: lambda effect: self.show_layouts(effect.slots),
            Brake: lambda _: self.brake(),
            ResumeMotion: lambda _: self.resume(),
            EndMotion: lambda effect: self.end(effect.episode, effect.outcome),
            AbortMotion: lambda effect: self.abort(effect.reason),
            SetLatch: lambda _: self._set_latch(),
            RearmLatch: lambda _: latch.rearm(),
        }

    def carry_out(self, effect: Effect) -> bool:
        """Carry it out if it is an order to the cells or their latch; returns whether it was."""
        order = self._orders.get(type(effect))
        if order is not None:
            order(effect)
        return order is not None

    @property
    def step(self) -> int:
        """Control steps of the running episode."""
        return self._rollout.steps if self._rollout else 0

    @property
    def advancing(self) -> bool:
        """Whether an episode runs; each of its steps checks the devices."""
        return self._rollout is not None and bool(self._rollout.running)

    def wrong(self) -> list[Check]:
        """What is wrong with the devices now."""
        return [check for cell in self._connected for check in cell.watch()]

    def images(self) -> dict[str, Image]:
        """Newest images of the first cell; the last known ones where a camera is silent."""
        moving = self._rollout.newest_images() if self._rollout else {}
        if moving:
            return moving
        try:
            return self._parts.cells[0].observe().images
        except CellError:
            return {}

    def target_images(self) -> dict[str, Image]:
        """How the first cell's scene should look."""
        return self._parts.cells[0].layout_images(self.targets[0]) if self.targets else {}

    def recover(self) -> None:
        """The operator continues after a fault: clear the devices' faults; `preflight` reports what remains."""
        for cell in self._parts.cells:
            try:
                cell.recover()
            except CellError as error:
                self._unrecovered.append(str(error))

    def preflight(
        self, checks: Sequence[Check] = (), known: Callable[[Sequence[Cell]], Sequence[Check]] | None = None
    ) -> None:
        """Open the devices and check everything a start needs; `checks` are results from elsewhere.

        `known` checks whether the connected devices are those that the session knows.
        """
        problems, self._unrecovered = [*self._unrecovered, *_problems(checks)], []
        for cell in self._parts.cells:
            try:
                if cell not in self._connected:
                    cell.connect()
                    self._connected.append(cell)
                problems += _problems(cell.preflight())
            except CellError as error:
                problems.append(str(error))
        if known is not None:
            problems += _problems(known(self._connected))
        self._emit(PreflightDone(problems=tuple(dict.fromkeys(problems))))

    def begin_homing(self, slots: Sequence[Slot]) -> None:
        """Move the cells of these slots home."""
        try:
            self._homing = Homing(self._cells(slots), self._pool)
        except CellError as error:
            self._trouble(error)

    def show_layouts(self, slots: Sequence[Slot]) -> None:
        """Remember the layouts that the operator is to set up."""
        self.targets = [
            self._layout(cell, slot) for cell, slot in zip(self._cells(slots), slots, strict=True)
        ]

    def begin_rollout(self, slots: Sequence[Slot], batch: int) -> None:
        """The scenes are set up: take the first observations."""
        self.targets = []
        self._slots = {slot.episode: slot for slot in slots}
        self._late_told = False
        explore = slots[0].kind is EpisodeKind.ONLINE
        try:
            starts = [self._start(cell, slot) for cell, slot in zip(self._cells(slots), slots, strict=True)]
            self._rollout = Rollout(
                starts,
                self._parts.steering,
                batch=batch,
                n_obs=self._parts.n_obs,
                episode_steps=self._parts.settings.episode_steps,
                explore=explore,
                pool=self._pool,
                partial=self._partial,
                overlap=self._parts.overlap,
            )
        except CellError as error:
            self._trouble(error)

    def homing_slice(self) -> None:
        """Continue homing for about one control period."""
        try:
            if self._homing is not None and self._homing.advance():
                self._homing = None
                self._emit(Homed())
        except CellError as error:
            self._trouble(error)

    def rollout_slice(self) -> None:
        """One control period of every running episode."""
        if self._rollout is None or not self._rollout.running:
            self._writer.collect(_PATIENCE)
            return
        part = self._rollout.advance()
        self.decision = self._rollout.decision or self.decision
        for finished in part.finished:
            self._commit(finished)
        if part.stopped:
            self._emit(self.stop())
        elif part.fault:
            self._emit(Faulted(reason=part.fault))

    def stop(self) -> Stop:
        """The stop event for the latch, naming who set it."""
        by = self._latch.by
        return Stop(source=next((source for source in EventSource if source == by), EventSource.SYSTEM))

    def not_rearmed(self, pressed: float) -> str:
        """Why a re-arm requested at `pressed` is refused; empty if allowed."""
        if self._latch.stopped_after(pressed):
            return "Not re-armed: the stop was pressed once more after that. Re-arm it when all is safe."
        try:
            self._latch.renew()
        except OSError as error:
            return f"Not re-armed: {self._latch.path} cannot be made again ({error}). Put the folder back, or leave."
        return ""

    def about_stop(self, *, stopped: bool) -> str:
        """Once after each stop, when the arms are at rest: how long they kept moving. Empty otherwise."""
        if self._stop_told or not stopped:
            self._stop_told = stopped
            return ""
        found = [latency for cell in self._parts.cells if (latency := cell.health().stop_latency) is not None]
        self._stop_told = bool(found)
        return f"The last motion command went out {1000 * max(found):.0f} ms after the stop." if found else ""

    def about_late(self) -> str:
        """Once per episode, after a decision that came later than the overlap allows. Empty otherwise."""
        if self._late_told or self._rollout is None or not self._rollout.late:
            return ""
        self._late_told = True
        overlap = self._parts.overlap
        return (
            f"A decision took longer than the overlap of {1000 * overlap * self._parts.spec.dt:.0f} ms (overlap = "
            f"{overlap}): the arm slowed down until it came. 'station doctor' measures decisions and says what helps."
        )

    def _set_latch(self) -> None:
        if not self._latch.latched:  # otherwise this reports an earlier press, not a newer one
            self._latch.stop()

    def brake(self) -> None:
        """Decelerate and hold."""
        for cell in self._parts.cells:
            cell.brake()

    def resume(self) -> None:
        """Discard the plans and observe again."""
        try:
            if self._rollout is not None:
                self._rollout.resume()
        except CellError as error:
            self._trouble(error)

    def end(self, episode: str, outcome: Outcome | None) -> None:
        """A key ends this episode."""
        if self._rollout is None:
            return
        try:
            for finished in self._rollout.end(episode):
                self._commit(finished, key="void" if outcome is None else outcome.value)
        except RemotePolicyError as error:
            self._trouble(error)

    def abort(self, reason: str) -> None:
        """Cut off everything that runs."""
        rollout, self._rollout, self._homing = self._rollout, None, None
        for episode, recorder in rollout.abort().items() if rollout else ():
            self._writer.cut_off(episode, recorder, reason)

    def close(self) -> None:
        """Brake, hold and release the devices; running episodes are discarded."""
        self._rollout = self._homing = None
        for cell in self._parts.cells:
            cell.brake()
            cell.close()

    def _cells(self, slots: Sequence[Slot]) -> list[Cell]:
        return list(self._parts.cells[: len(slots)])

    def _layout(self, cell: Cell, slot: Slot) -> Layout:
        return cell.sample_layout(self._seed, PURPOSES[slot.kind], slot.layout)

    def _start(self, cell: Cell, slot: Slot) -> Start:
        layout = self._layout(cell, slot)
        cell.reset_scene(layout)
        rng = stream(self._seed, PURPOSES[slot.kind], slot.layout)
        return Start(episode=slot.episode, cell=cell, row=slot.row, rng=rng, layout=layout)

    def _trouble(self, error: CellError | RemotePolicyError) -> None:
        self.brake()
        self._emit(self.stop() if isinstance(error, StoppedError) else Faulted(reason=str(error)))

    def _commit(self, finished: Finished, key: str | None = None) -> None:
        """Send to the store; MotionEnded follows once it is committed."""
        slot = self._slots[finished.start.episode]
        truth = _TRUTH.get(finished.ending) if finished.start.cell.simulated else None
        episode = finished.recorder.build(self._header(finished, slot, truth, key), finished.final)
        event = MotionEnded(
            episode=slot.episode,
            kind=slot.kind,
            ending=finished.ending,
            steps=episode.steps,
            chunks=episode.chunks,
            truth=truth,
        )
        self._writer.submit(episode, event, self.block)

    def _header(
        self, finished: Finished, slot: Slot, truth: Outcome | None, key: str | None
    ) -> EpisodeHeader:
        facts = {
            "truth": truth.value if truth else None,
            "key": key,
            "block": self.block,
            "decided_at": finished.recorder.decided_at if self._parts.overlap else None,
        }
        return EpisodeHeader(
            id=slot.episode,
            kind=slot.kind,
            ordinal=slot.ordinal,
            spec=self._parts.spec,
            ending=finished.ending,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            layout=finished.start.layout,
            method=self._parts.steering.name,
            policy_version=self.policy_version,
            base_hash=self._parts.base_hash,
            source={name: value for name, value in facts.items() if value is not None},
        )


def _problems(checks: Sequence[Check]) -> list[str]:
    return [check.told() for check in checks if not check.ok]
