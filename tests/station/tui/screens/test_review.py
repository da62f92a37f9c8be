"""The review screen as an operator uses it: choose, play, look at the end, judge again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static
from textual.widgets._footer import FooterKey

from datasets.episode import Outcome
from datasets.journal.journal import EpisodeStatus, Journal
from datasets.journal.records import EpisodeCommitted, Labelled
from datasets.lock import WriterLock
from station.review.catalogue import Catalogue, Item
from station.review.take import Take
from station.session.core.events import Pause
from station.session.folder import SessionFolder
from station.session.snapshot import Phase
from station.tui.app import Review, StationApp
from station.tui.keymap import Keymap, default_keymap
from station.tui.screens.help import KeysHelp
from station.tui.screens.home import HomeScreen
from station.tui.screens.review import ReviewScreen
from station.tui.screens.session import SessionScreen
from station.tui.widgets.episodes import EpisodeList
from station.tui.widgets.panel import Panel
from station.tui.widgets.tile import CameraTile
from station.tui.widgets.trajectory import Trajectory
from tests.station.recorded import TinyTask, recorded
from tests.station.tui.conftest import Open
from tests.station.tui.fakes import FakeEngines, FakeFeed, snapshot

PATIENCE = 60.0


@pytest.fixture
def folder(tmp_path: Path) -> SessionFolder:
    return recorded(tmp_path / "orange-1")


def reviewing(folder: SessionFolder, engines: FakeEngines, review: Review | None = None) -> StationApp:
    return StationApp(
        folder=folder.path,
        sessions=folder.path.parent,
        engines=engines,
        keymap=default_keymap(),
        review=review or Review(),
    )


async def until(pilot: Pilot[int], condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {words(pilot)}"
        await pilot.pause(0.02)
    await pilot.pause()


def words(pilot: Pilot[int]) -> str:
    screen = pilot.app.screen
    parts = [str(panel.render()) for panel in screen.query(Panel)]
    return " | ".join([*parts, str(screen.query_one("#said").render())])


async def reads(pilot: Pilot[int], *sentences: str) -> None:
    await until(
        pilot,
        lambda: (
            isinstance(pilot.app.screen, ReviewScreen) and all(said in words(pilot) for said in sentences)
        ),
    )


def chosen(pilot: Pilot[int]) -> str:
    item = pilot.app.screen.query_one(EpisodeList).chosen
    return item.id if item else ""


def stands(folder: SessionFolder, episode: str) -> EpisodeStatus:
    return Journal(folder.journal).ledger().episodes[episode]


@pytest.mark.slow
async def test_an_episode_is_stepped_through_and_its_end_is_one_key_away(
    folder: SessionFolder, engines: FakeEngines
) -> None:
    app = reviewing(folder, engines, Review(episode="online-000001"))
    async with app.run_test(size=(120, 36)) as pilot:
        await reads(pilot, "6 recordings", "online-000001: failure by operator", "frame 1/21")
        await until(pilot, lambda: pilot.app.screen.query_one(CameraTile).drawn)
        await pilot.press("right", "right")
        await reads(pilot, "frame 3/21  0.20 s", "x +0.020")
        await pilot.press("end")
        await reads(pilot, "frame 21/21  2.00 s")
        await pilot.press("left", "tab", "tab")
        await reads(pilot, "frame 20/21", "joint_1 +1.900")
        assert pilot.app.screen.query_one(Trajectory).border_title == "proprioception"
        await pilot.press("tab")
        await reads(pilot, "gripper +0.190")
        await pilot.press("tab", "tab", "end")
        await reads(pilot, "label +0.000")
        await pilot.press("s")
        await reads(pilot, "label +1.000")
        assert "label: success" in str(pilot.app.screen.query_one(Trajectory).border_title)


@pytest.mark.slow
async def test_playing_runs_by_the_recorded_time_and_ends_at_the_last_frame(
    folder: SessionFolder, engines: FakeEngines
) -> None:
    app = reviewing(folder, engines, Review(episode="demo-a"))
    async with app.run_test(size=(120, 36)) as pilot:
        await reads(pilot, "frame 1/21", "demo 0")
        await pilot.press("plus", "plus", "plus")
        began = time.monotonic()
        await pilot.press("space")
        await reads(pilot, "8x  frame 21/21")
        assert time.monotonic() - began >= 0.2
        assert "‖" in words(pilot)
        await pilot.press("space", "space")
        await reads(pilot, "‖ 8x  frame")


async def test_an_old_failure_is_relabelled_voided_and_restored(
    folder: SessionFolder, engines: FakeEngines
) -> None:
    app = reviewing(folder, engines, Review(episode="online-000001"))
    async with app.run_test(size=(120, 36)) as pilot:
        await reads(pilot, "online-000001: failure")
        await pilot.press("s")
        await reads(pilot, "online-000001: success; it is in the journal")
        assert (stands(folder, "online-000001").outcome, stands(folder, "online-000001").by) == (
            "success",
            "review",
        )
        await pilot.press("v")
        await reads(pilot, "online-000001: void; it is")
        await until(pilot, lambda: _verdict(pilot) == "void")
        await pilot.press("v")
        await reads(pilot, "online-000001: restore; it is")
        assert not stands(folder, "online-000001").void
        assert chosen(pilot) == "online-000001"
        await pilot.press("u")
        await reads(pilot, "label taken back")
        assert stands(folder, "online-000001").outcome is None


def _verdict(pilot: Pilot[int]) -> str:
    item = pilot.app.screen.query_one(EpisodeList).chosen
    return item.verdict if item else ""


async def test_a_recording_that_has_just_come_under_the_cursor_is_not_judged(
    folder: SessionFolder, engines: FakeEngines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("station.tui.sight.NAMED", 1e6)
    app = reviewing(folder, engines, Review(episode="online-000001"))
    async with app.run_test(size=(120, 36)) as pilot:
        await reads(pilot, "online-000001: failure")
        for key in ("s", "f", "t", "u", "v"):
            await pilot.press(key)
            await reads(pilot, "Not now: online-000001 came up only")
        monkeypatch.setattr("station.tui.sight.NAMED", 0.0)
        await pilot.press("v")
        await reads(pilot, "online-000001: void; it is")
    status = stands(folder, "online-000001")
    assert (status.void, status.outcome) == (True, Outcome.FAILURE)


@pytest.mark.slow
async def test_failures_since_yesterday_are_found(folder: SessionFolder, engines: FakeEngines) -> None:
    async with reviewing(folder, engines).run_test(size=(120, 36)) as pilot:
        await reads(pilot, "6 recordings")
        await pilot.press("slash")
        field = pilot.app.screen.query_one("#where", Input)
        field.value = "sucess"
        await pilot.press("enter")
        await reads(pilot, "Did you mean 'success'?")
        field.value = "failure and date>=yesterday"
        await pilot.press("enter")
        await reads(pilot, "1 recording  filter: failure and date>=yesterday", "online-000002: failure")


@pytest.mark.slow
async def test_undo_under_a_filter_means_what_was_judged_just_now(
    folder: SessionFolder, engines: FakeEngines
) -> None:
    async with reviewing(folder, engines, Review(where="failure")).run_test(size=(120, 36)) as pilot:
        await reads(pilot, "2 recordings", "online-000002: failure")
        await pilot.press("s")
        await until(pilot, lambda: _verdict(pilot) == "success")
        await pilot.pause(0.4)
        await reads(pilot, "2 recordings", "online-000002: success; it is in the journal")
        await pilot.press("u")
        await reads(pilot, "online-000002: label taken back")
        assert stands(folder, "online-000002").outcome is None
        assert stands(folder, "online-000001").outcome == "failure"
        await until(pilot, lambda: _verdict(pilot) == "pending")
        await pilot.press("slash", "enter")
        await reads(pilot, "1 recording", "online-000001: failure")


@pytest.mark.slow
async def test_loading_the_recording_does_not_replace_the_confirmation_of_its_judgement(
    folder: SessionFolder, engines: FakeEngines, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = threading.Event()
    load = Catalogue.load

    def slowly(catalogue: Catalogue, item: Item) -> Take:
        assert item.id != "online-000001" or judged.wait(PATIENCE)
        return load(catalogue, item)

    monkeypatch.setattr(Catalogue, "load", slowly)
    monkeypatch.setattr("station.tui.screens.review.CONFIRMED", PATIENCE)
    app = reviewing(folder, engines, Review(episode="online-000001"))
    async with app.run_test(size=(120, 36)) as pilot:
        await reads(pilot, "online-000001: reading")
        await pilot.press("s")
        await reads(pilot, "online-000001: success; it is in the journal")
        judged.set()
        await reads(pilot, "frame 1/21", "online-000001: success; it is in the journal")


@pytest.mark.slow
async def test_letters_in_the_filter_judge_nothing(folder: SessionFolder, engines: FakeEngines) -> None:
    before = folder.journal.read_bytes()
    async with reviewing(folder, engines).run_test(size=(120, 36)) as pilot:
        await reads(pilot, "6 recordings")
        await pilot.press("slash", *"sfvutq")
        assert pilot.app.screen.query_one("#where", Input).value == "sfvutq"
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, ReviewScreen)
        await pilot.press("q")
        await pilot.pause()
    assert pilot.app.return_code == 0
    assert folder.journal.read_bytes() == before


async def test_a_leftover_can_be_looked_at_but_not_judged(
    folder: SessionFolder, engines: FakeEngines
) -> None:
    before = folder.journal.read_bytes()
    async with reviewing(folder, engines).run_test(size=(120, 36)) as pilot:
        await reads(pilot, "cut off after 10 steps", "frame 1/10")
        await pilot.press("s")
        await reads(pilot, "cannot be labelled")
        await pilot.press("v")
        await pilot.pause(0.2)
    assert folder.journal.read_bytes() == before


async def test_what_an_engine_adds_meanwhile_appears_and_the_cursor_stays(
    folder: SessionFolder, engines: FakeEngines
) -> None:
    app = reviewing(folder, engines, Review(episode="online-000000"))
    async with app.run_test(size=(120, 36)) as pilot:
        await reads(pilot, "online-000000: success")
        journal = Journal(folder.journal, writable=True)
        newest = journal.ledger().lines_of(EpisodeCommitted)[-1].record
        journal.append(newest.model_copy(update={"id": "online-000007", "ordinal": 7}))
        await reads(pilot, "7 recordings")
        assert chosen(pilot) == "online-000000"


@pytest.mark.slow
async def test_while_somebody_else_writes_a_judgement_is_refused_with_who(
    folder: SessionFolder, engines: FakeEngines
) -> None:
    with WriterLock(folder.lock):
        async with reviewing(folder, engines).run_test(size=(120, 36)) as pilot:
            await reads(pilot, "6 recordings")
            await pilot.press("down")
            await reads(pilot, "online-000002: failure")
            await pilot.press("s")
            await reads(pilot, "is being written by process")


@pytest.mark.slow
async def test_a_damaged_recording_says_so_and_hides_no_other(
    folder: SessionFolder, engines: FakeEngines
) -> None:
    (folder.episodes / "episodes" / "online-000002" / "action" / "c.0.0").unlink()
    app = reviewing(folder, engines, Review(episode="online-000002"))
    async with app.run_test(size=(120, 36)) as pilot:
        await reads(pilot, "cannot be read")
        await pilot.press("down")
        await reads(pilot, "online-000001: failure", "frame 1/21")


async def test_stop_is_latched_from_the_review_of_a_session_that_is_not_open(
    folder: SessionFolder, engines: FakeEngines
) -> None:
    async with reviewing(folder, engines).run_test(size=(120, 36)) as pilot:
        await reads(pilot, "6 recordings")
        await pilot.press("x")
        assert engines.latched == [folder.path]


@pytest.mark.slow
async def test_the_session_goes_on_under_its_review(open_app: Open, folder: SessionFolder) -> None:
    async with open_app(folder=folder.path).run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, SessionScreen))
        await until(pilot, lambda: pilot.app.session.attachment.shown is not None)  # type: ignore[attr-defined]
        await pilot.press("b")
        await reads(pilot, "6 recordings", "live: rollout online-000120")
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, SessionScreen)


@pytest.mark.slow
async def test_the_home_screen_leads_to_the_recordings_and_back(
    open_app: Open, folder: SessionFolder
) -> None:
    async with open_app(folder=None).run_test(size=(120, 36)) as pilot:
        await until(
            pilot, lambda: isinstance(pilot.app.screen, HomeScreen) and pilot.app.screen.chosen is not None
        )
        await pilot.press("b")
        await reads(pilot, "6 recordings")
        await pilot.press("q")
        assert isinstance(pilot.app.screen, HomeScreen)


def cut_off(pilot: Pilot[int]) -> list[str]:
    """The keys of the footer that the screen's right edge, or the palette's key there, hides."""
    shown = list(pilot.app.screen.query(FooterKey))
    palette = [key.region.x for key in shown if key.has_class("-command-palette")]
    edge = min([pilot.app.size.width, *palette])
    keys = [key for key in shown if not key.has_class("-command-palette")]
    return [key.description for key in keys if key.region.right > edge or not key.region.width]


@pytest.mark.slow
async def test_on_the_smallest_terminal_no_key_is_cut_off(open_app: Open, folder: SessionFolder) -> None:
    async with open_app(folder=None).run_test(size=(80, 24)) as pilot:
        await until(
            pilot, lambda: isinstance(pilot.app.screen, HomeScreen) and pilot.app.screen.chosen is not None
        )
        await until(pilot, lambda: bool(pilot.app.screen.query(FooterKey)))
        assert not cut_off(pilot)
        await pilot.press("b")
        await reads(pilot, "6 recordings", "frame 1/10")
        await until(pilot, lambda: bool(pilot.app.screen.query(FooterKey)))
        assert not cut_off(pilot)


@pytest.mark.slow
async def test_the_help_names_every_key_as_the_operator_set_it(open_app: Open, folder: SessionFolder) -> None:
    changed = {"success": "f", "failure": "s", "help": "h", "void": "space", "pause": "v"}
    keymap = Keymap({**default_keymap().keys, **{action: (key,) for action, key in changed.items()}})
    async with open_app(keymap=keymap, folder=None).run_test(size=(120, 50)) as pilot:
        await until(
            pilot, lambda: isinstance(pilot.app.screen, HomeScreen) and pilot.app.screen.chosen is not None
        )
        await pilot.press("b")
        await reads(pilot, "6 recordings")
        await pilot.press("h")
        await until(pilot, lambda: isinstance(pilot.app.screen, KeysHelp))
        said = "\n".join(str(part.render()) for part in pilot.app.screen.query(Static))
        assert "f  Label it a success" in said and "home end  The first frame" in said
        await pilot.press("escape", "down")
        await reads(pilot, "online-000002: failure by operator")
        await pilot.press("f")
        await reads(pilot, "online-000002: success; it is in the journal")
        await pilot.press("v")
        await reads(pilot, "▶ 1x")


@pytest.mark.slow
async def test_the_key_that_plays_brakes_a_real_arm_that_moves_below(
    open_app: Open, feed: FakeFeed, folder: SessionFolder
) -> None:
    feed.snapshot = snapshot(Phase.ROLLOUT, simulated=False)
    async with open_app(folder=folder.path).run_test(size=(120, 36)) as pilot:
        await until(
            pilot,
            lambda: isinstance(pilot.app.screen, SessionScreen) and bool(pilot.app.screen.attachment.shown),
        )
        await pilot.press("b")
        await reads(pilot, "6 recordings", "online-000003")
        await pilot.press("space")
        await until(pilot, lambda: bool(feed.sent))
        assert feed.sent == [Pause()]
        await reads(pilot, "space taken", "brake and wait")
        feed.acknowledge(1, "Not now: the arm holds already.")
        await reads(pilot, "Not now: the arm holds already.")
        feed.play(phase=Phase.PAUSED)
        await reads(pilot, "live: paused")
        await pilot.press("space")
        await reads(pilot, "frame 10/10")
        assert len(feed.sent) == 1, "a paused arm is not set in motion from here"


@pytest.mark.slow
async def test_who_judged_an_episode_and_when_is_shown_in_order(
    folder: SessionFolder, engines: FakeEngines
) -> None:
    app = reviewing(folder, engines, Review(episode="demo-b"))
    async with app.run_test(size=(120, 36)) as pilot:
        await reads(pilot, "not judged yet")
        await pilot.press("f")
        await reads(pilot, "failure by review")
        await pilot.press("s")
        await reads(pilot, "→ ", "success by review")
        await pilot.press("v")
        await reads(pilot, "success by review", "void by review")


async def test_undo_gives_a_demonstration_its_recorders_label_back(
    folder: SessionFolder, engines: FakeEngines
) -> None:
    Journal(folder.journal, writable=True).append(
        Labelled(episode="demo-b", outcome=Outcome.SUCCESS, by="recorder")
    )
    app = reviewing(folder, engines, Review(episode="demo-b"))
    async with app.run_test(size=(120, 36)) as pilot:
        await reads(pilot, "demo-b: success by recorder")
        await pilot.press("f")
        await reads(pilot, "demo-b: failure; it is")
        await pilot.press("u")
        await reads(pilot, "demo-b: success, as its recorder said")
        assert stands(folder, "demo-b").outcome == "success"


async def test_an_empty_session_says_that_nothing_was_recorded(tmp_path: Path, engines: FakeEngines) -> None:
    empty = SessionFolder.create(tmp_path / "new", TinyTask(), task_name="tiny", seed=0)
    async with reviewing(empty, engines).run_test(size=(80, 24)) as pilot:
        await reads(pilot, "0 recordings", "Nothing was recorded yet.")
        await pilot.press("space", "s", "v", "end", "tab")
        await reads(pilot, "0 recordings")
