"""The check of a cell passes the simulated one whole, and names the rule that another one breaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.observation import FloatArray, Observation
from datasets.randomness import stream
from hardware.cell import CellError, CellHealth, Check, ClockSpeed, Layout, NonFiniteCommandError, Step
from hardware.latch import StopLatch
from hardware.simulation.cell import SimulatedCell
from hardware.simulation.settings import CameraSettings, SimulationSettings
from station.testing import Workplace, check_cell
from station.testing import cell as module

SETTINGS = SimulationSettings(cameras=(CameraSettings(name="third", height=16, width=16),), shadows="none")


def workplace(folder: Path, kind: type[SimulatedCell] = SimulatedCell) -> Workplace:
    latch = StopLatch(folder / "stop.latch")
    cell = kind(SETTINGS, latch)
    x, y, z = (float(number) for number in cell.tool_pose[0])
    return Workplace(
        cell=cell,
        latch=latch,
        home=(x, y, z),
        silence_cameras=lambda: cell.freeze_camera("third"),
        wake_cameras=lambda: cell.thaw_camera("third"),
    )


def seen(**changes: Callable[[Observation], Any]) -> Callable[[SimulatedCell], Observation]:
    def observe(self: SimulatedCell) -> Observation:
        true = SimulatedCell.observe(self)
        return replace(true, **{name: change(true) for name, change in changes.items()})

    return observe


def stepping(change: Callable[[Step], Step]) -> Callable[[SimulatedCell], Step | None]:
    def advance(self: SimulatedCell) -> Step | None:
        step = SimulatedCell.advance(self)
        return None if step is None else change(step)

    return advance


def endless(self: SimulatedCell) -> Step | None:
    step = SimulatedCell.advance(self)
    if step is None and hasattr(self, "last"):
        step, self.last = self.last, None
    elif step is not None:
        self.last = step  # type: ignore[attr-defined]
    return step


def appending(self: SimulatedCell, actions: FloatArray) -> None:
    SimulatedCell.plan(self, np.concatenate([self._plan, actions]) if len(self._plan) else actions)


def patching(self: SimulatedCell, actions: FloatArray) -> None:
    SimulatedCell.plan(self, np.nan_to_num(actions, posinf=0.0))


def without_a_look(self: SimulatedCell, actions: FloatArray) -> None:
    if actions.shape[1] == self.spec.da:
        SimulatedCell.plan(self, actions)


def keeping(self: SimulatedCell, actions: FloatArray) -> None:
    if not np.isfinite(actions).all():
        raise NonFiniteCommandError("The plan has a pose that is not finite; braked. Stop and report it.")
    SimulatedCell.plan(self, actions)


def heedless(name: str) -> dict[str, Any]:
    def call(self: SimulatedCell, *given: Any) -> Any:
        latch, self._latch = self._latch, None
        try:
            return getattr(SimulatedCell, name)(self, *given)
        finally:
            self._latch = latch

    return {name: call}


def terse(self: SimulatedCell, actions: FloatArray) -> None:
    try:
        SimulatedCell.plan(self, actions)
    except NonFiniteCommandError as error:
        raise NonFiniteCommandError("NaN in plan; braked") from error


def drifting(self: SimulatedCell, seed: int, purpose: str, ordinal: int) -> Layout:
    draws = self.__dict__["draws"] = self.__dict__.get("draws", 0) + 1
    return SimulatedCell.sample_layout(self, seed, purpose, ordinal + draws)


def unlatched(self: SimulatedCell) -> list[Check]:
    return [check for check in SimulatedCell.preflight(self) if check.name != "stop latch"]


def alarmed(self: SimulatedCell) -> list[Check]:
    return [check for check in SimulatedCell.preflight(self) if not check.ok]


def real_speed(self: SimulatedCell, speed: ClockSpeed) -> None:
    if speed is not ClockSpeed.REAL:
        raise CellError("1x only")


def closing_once(self: SimulatedCell) -> None:
    if self.__dict__.get("is_closed"):
        raise OSError("closed already")
    self.__dict__["is_closed"] = self.__dict__.get("was_open", False)


def opening(self: SimulatedCell) -> None:
    self.__dict__["was_open"] = True


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "proprioception of another size": (
        {"observe": seen(proprioception=lambda o: o.proprioception[:-1])}, "its spec says finite float32"
    ),
    "a camera too few": ({"observe": seen(images=lambda _: {})}, "images are of"),
    "images of another size": (
        {"observe": seen(images=lambda o: {n: i[:8] for n, i in o.images.items()})}, "its spec says uint8"
    ),
    "frames from the future": (
        {"observe": seen(image_times=lambda o: dict.fromkeys(o.image_times, o.time + 1))}, "older than its observation"
    ),
    "other actions": ({"advance": stepping(lambda s: replace(s, action=s.action + 1))}, "steps with others"),
    "stamps that stand": (
        {"advance": stepping(lambda s: replace(s, observation=replace(s.observation, time=1.0)))}, "stamps must rise"
    ),
    "a command after its effect": (
        {"advance": stepping(lambda s: replace(s, command_time=s.command_time + 9))}, "after the observation"
    ),
    "another command": ({"advance": stepping(lambda s: replace(s, sent=s.sent + 0.1))}, "differs from an easy action"),
    "a plan behind the old one": ({"plan": appending}, "does not replace the rest"),
    "a new plan at once": (
        {"replan": lambda self, actions, after, seen: SimulatedCell.plan(self, actions)}, "follows two poses"
    ),
    "a brake that keeps the plan": ({"brake": lambda _: None}, "brake does not drop the plan"),
    "no number patched": ({"plan": patching}, "plan of a pose with nan raises nothing"),
    "no remedy": ({"plan": terse}, "does not say what to do now"),
    "the old plan after a refusal": ({"plan": keeping}, "the old plan continues"),
    "any shape": ({"plan": without_a_look}, r"plan of shape .* raises nothing"),
    "a latch that planning ignores": (heedless("plan"), "plan with the latch set raises nothing"),
    "a latch that motion ignores": (heedless("advance"), "advance with the latch set raises nothing"),
    "a latch that homing ignores": (heedless("begin_homing"), "begin_homing with the latch set"),
    "a latch that the way home ignores": (heedless("advance_homing"), "advance_homing with the latch set"),
    "stale frames": ({"freeze_camera": lambda *_: None}, "advance with silent cameras raises nothing"),
    "a preflight without the latch": ({"preflight": unlatched}, "with the latch set its preflight fails"),
    "a latch that is a fault": ({"watch": alarmed}, "watch calls the set latch a fault"),
    "layouts by chance": ({"sample_layout": drifting}, "another layout"),
    "an image of another size": (
        {"layout_images": lambda *_: {"third": np.zeros((4, 4, 3), np.uint8)}}, "its image for 'third'"
    ),
    "health without ages": ({"health": lambda _: CellHealth(achieved_hz=10.0)}, "frame_age is of"),
    "a standstill": ({"health": lambda _: CellHealth(achieved_hz=0.0)}, "achieved_hz is 0"),
    "two clocks": ({"simulated": False}, "set_speed to another than 1x raises nothing"),
    "closing once only": ({"close": closing_once, "connect": opening}, "close twice raises OSError"),
}  # fmt: skip


def test_the_simulated_cell_keeps_the_contract(tmp_path: Path) -> None:
    check_cell(workplace(tmp_path))


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    methods, words = BROKEN[name]
    monkeypatch.setattr(module, "_PATIENCE", 0.2)
    with pytest.raises(AssertionError, match=words) as caught:
        check_cell(workplace(tmp_path, type("Broken", (SimulatedCell,), methods)))
    assert "hardware.cell.Cell" in str(caught.value)


def test_a_home_that_wanders_is_named(tmp_path: Path) -> None:
    class Wandering(SimulatedCell):
        rounds = 0

        def begin_homing(self) -> None:
            self.rounds += 1
            super().begin_homing()

        def observe(self) -> Observation:
            true = super().observe()
            shift = stream(self.rounds, "wandering").normal(size=true.proprioception.shape).astype(np.float32)
            return replace(true, proprioception=true.proprioception + shift)

    with pytest.raises(AssertionError, match="from one homing to the next"):
        check_cell(workplace(tmp_path, Wandering))
