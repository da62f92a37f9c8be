"""The screens as they look, at the smallest and at a comfortable size."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from station.session.snapshot import LiveSteering, Phase
from station.tui.app import StationApp
from station.tui.keymap import default_keymap
from station.tui.screens.session import SessionScreen
from tests.station.tui.fakes import FakeEngines, FakeFeed, picture, snapshot

SMALL, LARGE = (100, 30), (140, 45)
Compare = Callable[..., bool]
Press = Callable[[Pilot[int]], Awaitable[None]]


def app(phase: Phase, **changes: Any) -> StationApp:
    shown = snapshot(phase, tiles={"third": picture(16), "wrist": picture(16, 0.2)}, **changes)
    return StationApp(
        folder=Path("orange-1"),
        sessions=Path("sessions"),
        engines=FakeEngines(FakeFeed(shown)),
        keymap=default_keymap(),
    )


def then(*keys: str) -> Press:
    async def press(pilot: Pilot[int]) -> None:
        session = pilot.app.screen
        assert isinstance(session, SessionScreen)
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        session.poll()
        await pilot.pause()
        await pilot.press(*keys)
        await pilot.pause()

    return press


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
def test_moving(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(app(Phase.ROLLOUT), terminal_size=size, run_before=then("s"))


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
def test_learning(snap_compare: Compare, size: tuple[int, int]) -> None:
    learning = LiveSteering(
        method="zprl", done=120, planned=340, rate=52.0, metrics={"rms_ratio": 0.21, "q": 0.4}
    )
    assert snap_compare(app(Phase.UPDATE, steering=learning), terminal_size=size, run_before=then())


def test_labelling(snap_compare: Compare) -> None:
    labelled = app(Phase.LABEL, label="success", grace_left=1.4)
    assert snap_compare(labelled, terminal_size=SMALL, run_before=then())


def test_stopped(snap_compare: Compare) -> None:
    stopped = app(Phase.FAULT, stopped=True, reason="The stop was latched.")
    assert snap_compare(stopped, terminal_size=SMALL, run_before=then("r"))


def test_help(snap_compare: Compare) -> None:
    assert snap_compare(app(Phase.READY), terminal_size=LARGE, run_before=then("question_mark"))


def test_evaluation_points(snap_compare: Compare) -> None:
    assert snap_compare(app(Phase.READY), terminal_size=SMALL, run_before=then("p"))


def test_leaving(snap_compare: Compare) -> None:
    assert snap_compare(app(Phase.READY), terminal_size=SMALL, run_before=then("q"))
