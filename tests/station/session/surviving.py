"""A fault in the middle of a session, and what has to hold after it whoever made the arm.

How a fault is struck and mended, what is said of it and how an arm is seen to stand are told beside each emulator.
"""

from __future__ import annotations

import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import pytest

from datasets.episode import Outcome
from datasets.store import EpisodeStore
from datasets.verify import verify
from hardware.robot.cell import RobotCell
from station.session.core.events import Label
from station.session.engine.engine import Engine
from station.session.snapshot import Phase
from station.session.status import count
from station.tui.keymap import default_keymap
from station.tui.widgets.headline import call
from tests.hardware.arms.xarm_bench import wait_until
from tests.station.session.answering import go, rearm
from tests.station.session.driving import press, roll, until_phase
from tests.station.session.leftovers import cut_off, kept

_TO_REST = 20.0
"""s; an arm needs a fraction of one, a busy machine's emulator more."""


@dataclass(frozen=True, kw_only=True)
class Scene(ABC):
    """A session whose arm, called arm, can be broken."""

    engine: Engine

    @abstractmethod
    def stands(self) -> bool:
        """Whether the arm has been at rest for a while."""

    @abstractmethod
    def position_mm(self) -> list[float]:
        """Where the tool really is; empty while nothing can tell."""

    @property
    def cell(self) -> RobotCell:
        cell = self.engine._parts.cells[0]
        assert isinstance(cell, RobotCell)
        return cell

    def signal_controller(self, number: signal.Signals) -> None:
        pid = self.cell.arm_group.processes["arm"].pid
        assert pid is not None
        os.kill(pid, number)

    @property
    def headline(self) -> str:
        """What the operator reads at the top of the screen."""
        shown = call(self.engine.snapshot(images=False), None, default_keymap())
        return f"{shown.badge} {shown.sentence} {shown.below}"


AScene = TypeVar("AScene", bound=Scene)


@dataclass(frozen=True, kw_only=True)
class Fault(Generic[AScene]):
    """How something breaks, what is said, and what a person does about it."""

    strike: Callable[[AScene], object]
    said: str
    mend: Callable[[AScene], object] = lambda _: None
    stays: bool = False
    """Going on before it is mended is answered with the same fault."""


OF_EVERY_ARM: dict[str, Fault[Scene]] = {
    "the arm's controller is killed": Fault(
        strike=lambda it: it.signal_controller(signal.SIGKILL), said="its controller is not running"
    ),
    "the arm's controller is suspended": Fault(
        strike=lambda it: it.signal_controller(signal.SIGSTOP), said="its controller has been silent"
    ),
    "somebody stops": Fault(
        strike=lambda it: it.engine._latch.stop(),
        said="Re-arm, then continue",
        mend=lambda it: press(it.engine, rearm()),
    ),
}


def go_on(engine: Engine) -> None:
    """Say it again as long as something is still wrong: a process that hangs is known for one after a while."""
    deadline = time.monotonic() + 60.0
    while engine.state.phase is Phase.FAULT:
        assert time.monotonic() < deadline, engine.state.reason
        press(engine, go())
        said = time.monotonic()
        while engine.state.phase is Phase.FAULT and time.monotonic() < said + 1.0:
            engine.turn()


def survive(scene: AScene, fault: Fault[AScene], *, tolerance_mm: float) -> None:
    """An episode is cut off by the fault, and the next one is run and labelled.

    In between the arm stands, to within `tolerance_mm`, and the screen says why.
    """
    engine = scene.engine
    before = count(engine.folder)
    broken_off = roll(engine, steps=9)
    fault.strike(scene)
    until_phase(engine, Phase.FAULT)
    assert fault.said in scene.headline, scene.headline
    assert cut_off(engine.folder)[broken_off]["reason"] in engine.state.reason
    assert kept(engine.folder)[broken_off] == cut_off(engine.folder)[broken_off]["steps"] >= 9
    wait_until(scene.stands, _TO_REST)
    stood_at = scene.position_mm()

    if fault.stays:
        press(engine, go())
        until_phase(engine, Phase.FAULT)
        assert fault.said in scene.headline, scene.headline
    fault.mend(scene)
    if stood_at:
        assert scene.position_mm() == pytest.approx(stood_at, abs=tolerance_mm), "nothing moves by itself"

    go_on(engine)
    following = roll(engine)
    press(engine, Label(episode=following, outcome=Outcome.SUCCESS))
    until_phase(engine, Phase.READY)
    counts = count(engine.folder)
    assert counts.success == before.success + 1
    assert counts.failure + counts.timeout + counts.void == before.failure + before.timeout + before.void
    assert counts.cut_off == before.cut_off + 1
    assert following != broken_off
    store = EpisodeStore(engine.folder.episodes)
    assert following in store and broken_off not in store
    assert verify([store], engine.folder.journal).ok
