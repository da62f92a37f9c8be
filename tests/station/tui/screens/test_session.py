from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input

from datasets.episode import Outcome
from hardware.cell import ClockSpeed
from hardware.keys.interface import KeyPress
from station.session.core.events import (
    EndEvaluation,
    EvaluateNow,
    Go,
    Label,
    Leave,
    Note,
    OperatorEvent,
    Pause,
    Rearm,
    SetAutopilot,
    SetSpeed,
    UndoLabel,
    Void,
    WithdrawEvaluation,
)
from station.session.snapshot import Phase, Undo
from station.tui.keyed_app import PadPressed
from station.tui.keymap import Keymap, default_keymap
from station.tui.screens.base import TooSmall
from station.tui.screens.evaluation import EvaluationScreen
from station.tui.screens.help import HelpScreen
from station.tui.screens.leaving import LeaveScreen
from station.tui.screens.noting import NoteScreen
from station.tui.screens.session import SessionScreen
from station.tui.sight import Sight
from station.tui.widgets.keybar import KeyBar
from station.tui.widgets.panel import Panel
from station.tui.widgets.tile import CameraTile
from tests.station.session.fakes import make_folder
from tests.station.tui.conftest import Open
from tests.station.tui.fakes import FakeEngines, FakeFeed, snapshot

EPISODE = "online-000120"


async def settled(pilot: Pilot[int]) -> None:
    """The feed is attached and the newest snapshot is drawn."""
    for _ in range(3):
        session(pilot).poll()
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
    await pilot.pause()


def session(pilot: Pilot[int]) -> SessionScreen:
    return next(screen for screen in pilot.app.screen_stack if isinstance(screen, SessionScreen))


def headline(pilot: Pilot[int]) -> str:
    return str(session(pilot).query_one("#call", Panel).render())


async def test_each_key_sends_exactly_one_event(open_app: Open, feed: FakeFeed) -> None:
    keys: list[tuple[str, Phase, OperatorEvent]] = [
        ("s", Phase.ROLLOUT, Label(episode=EPISODE, outcome=Outcome.SUCCESS)),
        ("f", Phase.ROLLOUT, Label(episode=EPISODE, outcome=Outcome.FAILURE)),
        ("r", Phase.READY, Go(answers=0)),
        ("space", Phase.ROLLOUT, Pause()),
        ("u", Phase.LABEL, UndoLabel(episode=EPISODE)),
        ("v", Phase.LABEL, Void(episode=EPISODE)),
        ("e", Phase.READY, EvaluateNow(answers=0)),
        ("c", Phase.READY, SetSpeed(speed=ClockSpeed.VIRTUAL)),
        ("a", Phase.READY, SetAutopilot(on=True)),
    ]
    async with open_app().run_test(size=(100, 30)) as pilot:
        for key, phase, event in keys:
            feed.snapshot = snapshot(phase, label="success", undo=Undo(episode=EPISODE))
            await settled(pilot)
            await pilot.press(key)
            await settled(pilot)
            assert feed.sent == [event]
            assert feed.stops == 0
            feed.sent.clear()


@pytest.mark.slow
async def test_the_evaluation_key_withdraws_what_is_queued_and_asks_before_it_ends_a_running_block(
    open_app: Open, feed: FakeFeed
) -> None:
    feed.snapshot = snapshot(Phase.READY, queued_evaluation=20)
    async with open_app().run_test(size=(120, 30)) as pilot:
        await settled(pilot)
        assert "then evaluation of 20" in str(session(pilot).query_one("#bearing", Panel).render())
        await pilot.press("e")
        assert feed.sent == [WithdrawEvaluation()]
        feed.play(queued_evaluation=0, evaluating=True, block_done=7, block_size=20)
        await settled(pilot)
        session(pilot).action_press("evaluate")
        await settled(pilot)
        assert feed.sent == [WithdrawEvaluation()], "a single press ends nothing"
        await pilot.press("e")
        await settled(pilot)
        assert feed.sent == [WithdrawEvaluation(), EndEvaluation()]


@pytest.mark.slow
async def test_a_key_that_a_busy_screen_comes_to_late_does_not_answer_what_came_up_since(
    open_app: Open, feed: FakeFeed
) -> None:
    feed.snapshot = snapshot(Phase.FAULT, reason="Collision (C31).")
    async with open_app().run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        key = Key("r", "r")
        key.time = session(pilot).came_up
        pilot.app.post_message(key)
        await settled(pilot)
        assert feed.sent == []
        assert "r not now – this came up only 0.0 s before the key" in headline(pilot)


async def test_rearm_is_a_chord_of_its_own(open_app: Open, feed: FakeFeed) -> None:
    feed.snapshot = snapshot(Phase.FAULT, stopped=True)
    async with open_app().run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        await pilot.press("ctrl+r")
        assert feed.sent == [Rearm(answers=0)]


@pytest.mark.parametrize("key", ["x", "ctrl+x"])
async def test_stop_sets_the_latch_and_queues_nothing(open_app: Open, feed: FakeFeed, key: str) -> None:
    async with open_app().run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        await pilot.press(key)
        assert (feed.stops, feed.sent) == (1, [])


async def test_a_key_names_what_was_drawn_not_what_has_arrived_since(open_app: Open, feed: FakeFeed) -> None:
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        sight = session(pilot).attachment.sight
        feed.play(episode="online-000121")
        session(pilot).attachment.sight = sight
        session(pilot).action_press("success")
        assert feed.sent == [Label(episode=EPISODE, outcome=Outcome.SUCCESS)]


async def test_the_echo_shows_taken_then_acknowledged(open_app: Open, feed: FakeFeed) -> None:
    async with open_app().run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        await pilot.press("s")
        assert "s taken" in headline(pilot)
        feed.acknowledge(1)
        await settled(pilot)
        assert "s acknowledged" in headline(pilot)


@pytest.mark.slow
async def test_in_a_text_field_letters_are_text_and_ctrl_x_stops(open_app: Open, feed: FakeFeed) -> None:
    async with open_app().run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        await pilot.press("n")
        assert isinstance(pilot.app.screen, NoteScreen)
        await pilot.press(*"sfrxuvq", "space", "e")
        assert pilot.app.screen.query_one(Input).value == "sfrxuvq e"
        assert (feed.sent, feed.stops) == ([], 0)
        await pilot.press("ctrl+x")
        assert (feed.stops, pilot.app.screen.query_one(Input).value) == (1, "sfrxuvq e")
        await pilot.press("enter")
        assert feed.sent == [Note(text="sfrxuvq e", episode=EPISODE)]


@pytest.mark.slow
async def test_the_command_palette_lists_the_keys_and_stop_works_in_it(
    open_app: Open, feed: FakeFeed
) -> None:
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        titles = [command.title for command in app.get_system_commands(app.screen)]
        assert {"success (s)", "STOP (x)", "leave (q)", "pause (space)"} <= set(titles)
        await pilot.press("ctrl+p")
        await pilot.press("s", "x", "ctrl+x")
        assert (feed.sent, feed.stops) == ([], 1)


@pytest.mark.parametrize(("key", "screen"), [("question_mark", HelpScreen), ("p", EvaluationScreen)])
async def test_stop_works_over_other_screens_and_labels_do_not(
    open_app: Open, feed: FakeFeed, key: str, screen: type
) -> None:
    async with open_app().run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        await pilot.press(key)
        assert isinstance(pilot.app.screen, screen)
        await pilot.press("s", "x")
        assert (feed.sent, feed.stops) == ([], 1)
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, SessionScreen)


@pytest.mark.slow
async def test_leaving_is_asked_once_and_can_keep_the_engine(open_app: Open, feed: FakeFeed) -> None:
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        await pilot.press("q")
        assert isinstance(app.screen, LeaveScreen)
        await pilot.press("k")
        await pilot.pause()
        assert (feed.sent, feed.closed) == ([], True)
    assert app.return_code == 0


@pytest.mark.slow
async def test_leaving_can_end_the_engine_and_waits_for_its_end(open_app: Open, feed: FakeFeed) -> None:
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        await pilot.press("q", "e")
        await settled(pilot)
        assert feed.sent == [Leave()]
        assert app.is_running
        feed.alive = False
        session(pilot).poll()
        await pilot.pause()
        assert app.return_value == 0


async def test_a_second_q_in_the_question_stays(open_app: Open, feed: FakeFeed) -> None:
    async with open_app().run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        await pilot.press("q", "q")
        await pilot.pause()
        assert isinstance(pilot.app.screen, SessionScreen)
        assert feed.sent == []


@pytest.mark.slow
async def test_a_session_that_is_being_closed_can_still_be_polled(open_app: Open) -> None:
    async with open_app().run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        screen = session(pilot)
        closing = pilot.app.pop_screen()
        screen.poll()
        await closing


async def test_a_small_terminal_is_said_and_recovers(open_app: Open, feed: FakeFeed) -> None:
    async with open_app().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        cover = session(pilot).query_one(TooSmall)
        assert cover.display
        assert "80 x 24" in str(cover.render()) and "100 x 30" in str(cover.render())
        await pilot.press("x")
        assert feed.stops == 1
        await pilot.resize_terminal(100, 30)
        await settled(pilot)
        assert not cover.display


@pytest.mark.slow
async def test_after_a_leave_that_was_refused_q_asks_again(open_app: Open, feed: FakeFeed) -> None:
    feed.snapshot = snapshot(Phase.READY)
    async with open_app().run_test(size=(120, 30)) as pilot:
        await settled(pilot)
        await pilot.press("q", "e")
        await settled(pilot)
        assert feed.sent == [Leave()]
        feed.acknowledge(1, "The disk is full. Free some space, then leave again.")
        await settled(pilot)
        assert "The disk is full" in headline(pilot)
        await pilot.press("q")
        await settled(pilot)
        assert isinstance(pilot.app.screen, LeaveScreen)
        assert not feed.closed


@pytest.mark.slow
async def test_a_pause_is_not_ended_on_a_terminal_that_is_too_small_to_show_it(
    open_app: Open, feed: FakeFeed
) -> None:
    feed.snapshot = snapshot(Phase.PAUSED)
    async with open_app().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        attachment = session(pilot).attachment
        assert attachment.shown is not None
        attachment.sight = Sight(snapshot=replace(attachment.shown, made=time.monotonic()))
        await pilot.press("space")
        assert [type(event) for event in feed.sent] == [Pause]


@pytest.mark.slow
async def test_where_nobody_sees_the_screen_keys_stop_brake_and_leave_and_nothing_else(
    open_app: Open, feed: FakeFeed
) -> None:
    async with open_app().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        for key in (
            "s",
            "F",
            "r",
            "u",
            "v",
            "e",
            "a",
            "c",
            "n",
            "p",
            "b",
            "ctrl+r",
            "ctrl+p",
            "enter",
            "question_mark",
        ):
            await pilot.press(key)
            assert isinstance(pilot.app.screen, SessionScreen), key
        assert feed.sent == []
        said = str(session(pilot).query_one(TooSmall).render())
        assert "x or Ctrl+X stops the arm, space brakes it, q leaves" in said and "does nothing" in said
        await pilot.press("space")
        assert [type(event) for event in feed.sent] == [Pause]
        feed.play(phase=Phase.PAUSED)
        await settled(pilot)
        await pilot.press("space")
        assert {type(event) for event in feed.sent} == {Pause}, "going on would move an arm that nobody sees"
        await pilot.press("X", "q")
        assert feed.stops == 1 and isinstance(pilot.app.screen, LeaveScreen)


async def test_a_pedal_labels_nothing_that_nobody_sees(open_app: Open, feed: FakeFeed) -> None:
    async with open_app().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        for action in ("success", "go"):
            press = KeyPress(device="pedal", key="KEY_C", time=time.monotonic())
            pilot.app.post_message(PadPressed(action, press, session(pilot).attachment.sight))
            await pilot.pause()
        assert feed.sent == []


@pytest.mark.slow
@pytest.mark.parametrize(("simulated", "kind"), [(True, ""), (False, "\n[cell]\nkind = 'robot'\n")])
async def test_while_the_engine_starts_an_arm_is_spoken_of_only_where_there_is_one(
    open_app: Open, engines: FakeEngines, tmp_path: Path, simulated: bool, kind: str
) -> None:
    engines.feed = None
    folder = make_folder(tmp_path / "s").path
    with (folder / "session.toml").open("a") as file:
        file.write(kind)
    async with open_app(folder=folder).run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        assert "STARTING" in headline(pilot)
        assert ("A real arm" in headline(pilot)) is not simulated
        await pilot.press("q")
    assert engines.ended == engines.started == [folder]


async def test_remapped_keys_are_obeyed_and_shown(open_app: Open, feed: FakeFeed) -> None:
    keymap = Keymap({**default_keymap().keys, "success": ("j",), "stop": ("k",)})
    async with open_app(keymap).run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        assert "j when it has succeeded" in headline(pilot)
        await pilot.press("s", "x")
        assert (feed.sent, feed.stops) == ([], 0)
        await pilot.press("j", "k", "ctrl+x")
        assert feed.sent == [Label(episode=EPISODE, outcome=Outcome.SUCCESS)]
        assert feed.stops == 2


async def test_an_unmapped_action_does_nothing(open_app: Open, feed: FakeFeed) -> None:
    keymap = Keymap({**default_keymap().keys, "void": ()})
    async with open_app(keymap).run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        await pilot.press("v")
        assert feed.sent == []


async def test_an_engine_is_started_once_when_none_runs(
    open_app: Open, engines: FakeEngines, tmp_path: Path
) -> None:
    feed, engines.feed = engines.feed, None
    async with open_app().run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        await settled(pilot)
        assert engines.started == [tmp_path / "orange-1"]
        assert "STARTING" in headline(pilot)
        engines.feed = feed
        await settled(pilot)
        await settled(pilot)
        assert "MOVING" in headline(pilot)


async def test_a_dead_engine_is_said_and_enter_starts_it_again(
    open_app: Open, feed: FakeFeed, engines: FakeEngines
) -> None:
    async with open_app().run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        feed.alive, engines.feed = False, None
        await settled(pilot)
        assert "NO ENGINE" in headline(pilot) and "Enter starts it." in headline(pilot)
        assert "moves home" not in headline(pilot)
        await pilot.press("enter")
        await settled(pilot)
        assert len(engines.started) == 1


async def test_what_starts_a_real_arm_says_that_it_then_moves_home(
    open_app: Open, feed: FakeFeed, engines: FakeEngines
) -> None:
    engines.feed = None
    async with open_app().run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        assert "STARTING" in headline(pilot) and "A real arm then moves home" in headline(pilot)
        assert len(headline(pilot).splitlines()[0]) <= 98
        feed.play(simulated=False)
        engines.feed = feed
        await settled(pilot)
        feed.alive, engines.feed = False, None
        await settled(pilot)
        assert "Enter starts it; the arm then moves home" in headline(pilot)
        assert len(headline(pilot).splitlines()[0]) <= 98


REMEDY = (
    "arm: Abnormal current in the collision check (code C31). See what the arm touched and free it; check the load in "
    "the task file, then say 'start'. Re-arm, then continue when all is safe."
)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(100, 30), (120, 36)])
@pytest.mark.parametrize("stopped", [True, False])
@pytest.mark.parametrize("key", ["", "s"])
async def test_the_whole_remedy_of_a_fault_is_read_whatever_was_pressed(
    open_app: Open, feed: FakeFeed, size: tuple[int, int], stopped: bool, key: str
) -> None:
    feed.snapshot = replace(snapshot(), phase=Phase.FAULT, stopped=stopped, reason=REMEDY)
    async with open_app().run_test(size=size) as pilot:
        await settled(pilot)
        await pilot.press(*key)
        await settled(pilot)
        call = session(pilot).query_one("#call", Panel)
        lines = str(call.render()).splitlines()
        assert REMEDY in " ".join(" ".join(line.split()) for line in lines)
        assert (f"{key} " in lines[-1]) if key else True
        assert call.size.height == len(lines) and max(len(line) for line in lines) <= call.size.width
        assert session(pilot).query_one(KeyBar).region.bottom == size[1], "nothing is pushed off the screen"


async def test_stop_works_while_there_is_no_engine(
    open_app: Open, engines: FakeEngines, tmp_path: Path
) -> None:
    engines.feed = None
    async with open_app().run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        await pilot.press("x")
        assert engines.latched == [tmp_path / "orange-1"]


async def test_an_engine_that_dies_at_the_start_says_why(open_app: Open, engines: FakeEngines) -> None:
    engines.feed, engines.death = None, "exit code 1: The base policy is missing. Train it first."
    async with open_app().run_test(size=(100, 30)) as pilot:
        for _ in range(4):
            await settled(pilot)
        assert "Train it first" in headline(pilot)


@pytest.mark.slow
async def test_the_wanted_layout_alternates_with_the_live_image(
    open_app: Open, feed: FakeFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("station.tui.screens.session.BEAT", 1e6)  # the beats below are the only ones
    live = snapshot()
    feed.snapshot = replace(
        live, phase=Phase.READY, target={name: 255 - tile for name, tile in live.tiles.items()}
    )
    async with open_app().run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        seen = set()
        for _ in range(2):
            session(pilot)._turn_beat()
            await pilot.pause()
            seen.add(str(session(pilot).query(CameraTile).first().border_title))
        assert seen == {"third · live", "third · WANTED LAYOUT"}


async def test_an_image_reaches_the_screen(open_app: Open, feed: FakeFeed) -> None:
    async with open_app().run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        tile = session(pilot).query(CameraTile).first()
        colours = {
            segment.style.color
            for y in range(tile.size.height)
            for segment in tile.render_line(y)
            if segment.style
        }
        assert len(colours) > 5


@pytest.mark.parametrize("phase", [Phase.FAULT, Phase.PAUSED, Phase.READY, Phase.UPDATE])
async def test_whenever_a_label_would_be_taken_the_screen_names_its_episode(
    open_app: Open, feed: FakeFeed, phase: Phase
) -> None:
    feed.snapshot = replace(snapshot(), phase=phase, reason="C31.", episode="online-000015", label="timeout")
    async with open_app().run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        assert "abels go to online-000015: timeout" in headline(pilot)


async def test_what_does_not_fit_beside_the_last_key_ends_visibly(open_app: Open, feed: FakeFeed) -> None:
    feed.snapshot = replace(snapshot(), phase=Phase.UPDATE, episode="online-000015-of-a-long-name" * 3)
    async with open_app().run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        await pilot.press("s")
        await settled(pilot)
        assert "…  s " in headline(pilot)
