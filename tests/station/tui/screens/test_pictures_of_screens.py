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
from station.tui.widgets.tile import CameraTile
from tests.station.tui.fakes import FakeEngines, FakeFeed, plain_image, snapshot

SMALL, LARGE = (100, 30), (140, 45)
Compare = Callable[..., bool]
Press = Callable[[Pilot[int]], Awaitable[None]]


@pytest.fixture(autouse=True)
def _named_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATION_CONFIG", "config.toml")


def app(phase: Phase, **changes: Any) -> StationApp:
    feed = FakeFeed(snapshot(phase, tiles={"third": plain_image(), "wrist": plain_image()}, **changes))
    feed.prompt = True
    return StationApp(
        folder=Path("orange-1"),
        sessions=Path("sessions"),
        engines=FakeEngines(feed),
        keymap=default_keymap(),
    )


def then(*keys: str) -> Press:
    async def press(pilot: Pilot[int]) -> None:
        session = pilot.app.screen
        assert isinstance(session, SessionScreen)
        while not session.query(CameraTile) or not all(tile.drawn for tile in session.query(CameraTile)):
            await pilot.pause(0.05)
        await pilot.press(*keys)
        session.poll()
        await at_rest(pilot)

    return press


async def at_rest(pilot: Pilot[int]) -> None:
    """Nothing has changed on the screen for a while."""
    before, same = "", 0
    while same < 3:
        await pilot.pause(0.25)
        now = pilot.app.export_screenshot()
        same = same + 1 if now == before else 0
        before = now


@pytest.mark.parametrize("size", [SMALL, pytest.param(LARGE, marks=pytest.mark.slow)], ids=["small", "large"])
def test_moving(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(app(Phase.ROLLOUT), terminal_size=size, run_before=then("s"))


@pytest.mark.parametrize("size", [SMALL, pytest.param(LARGE, marks=pytest.mark.slow)], ids=["small", "large"])
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


@pytest.mark.slow
def test_help(snap_compare: Compare) -> None:
    assert snap_compare(app(Phase.READY), terminal_size=LARGE, run_before=then("question_mark"))


def test_evaluation_points(snap_compare: Compare) -> None:
    assert snap_compare(app(Phase.READY), terminal_size=SMALL, run_before=then("p"))


@pytest.mark.slow
def test_leaving(snap_compare: Compare) -> None:
    assert snap_compare(app(Phase.READY), terminal_size=SMALL, run_before=then("q"))
