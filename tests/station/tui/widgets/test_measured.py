"""What is said is seen whole, also where a screen is so busy that a widget hears of a layout before it is idle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from textual.app import App, ComposeResult
from textual.content import Content
from textual.pilot import Pilot
from textual.widget import Widget

from station.session.snapshot import Phase
from station.tui.key_dispatcher import Echo, PressStatus
from station.tui.keymap import default_keymap
from station.tui.widgets.headline import call, draw_call
from station.tui.widgets.measured import Words
from station.tui.widgets.panel import Panel
from tests.station.tui.conftest import Open
from tests.station.tui.fakes import FakeFeed, snapshot
from tests.station.tui.screens.test_session import session, settled

_REFUSED = (
    "Not done: the session had changed before the key arrived, and is in ready now. Look, then press again."
)


class _Busy(App[None]):
    CSS = "Panel, Words { height: auto; border: none; }"

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self._widget = widget

    def compose(self) -> ComposeResult:
        yield self._widget


async def _say_while_busy(pilot: Pilot[None], widget: Widget, say: Callable[[str], object]) -> None:
    """Three things in one go; the layout for the first comes between the second and the third."""
    await pilot.pause(0.1)
    say("one\ntwo!")
    widget._check_refresh()
    say("one\ntwo")
    widget.screen._refresh_layout()
    say("one\ntwo\nthree")
    await pilot.pause(0.1)


@pytest.mark.parametrize("kind", ["panel", "words"])
async def test_a_widget_grows_with_what_it_says_on_a_screen_that_is_laid_out_in_between(kind: str) -> None:
    panel = Panel[str]("", lambda model, columns, rows: Content(model))
    words = Words("")
    widget, say = (panel, panel.show) if kind == "panel" else (words, words.update)
    async with _Busy(widget).run_test(size=(60, 20)) as pilot:
        await _say_while_busy(pilot, widget, say)
        assert widget.size.height == 3


async def test_a_long_refusal_is_seen_whole_on_a_busy_screen(open_app: Open, feed: FakeFeed) -> None:
    feed.snapshot = snapshot(Phase.FINISHED)
    async with open_app().run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        screen = session(pilot)
        dispatcher = screen.attachment.dispatcher
        assert dispatcher is not None
        panel = screen.query_one("#call", Panel)
        feed.play(phase=Phase.LABEL)
        screen.poll()
        panel._check_refresh()
        feed.play(phase=Phase.FINISHED)
        screen.poll()
        screen._refresh_layout()
        dispatcher.answer("v", _REFUSED)
        screen._show_call()
        await pilot.pause(0.1)
        assert str(panel.render()).count("\n") + 1 == panel.size.height


def test_a_long_refusal_leaves_what_is_said_of_those_who_look() -> None:
    echo = Echo(action="go", key="r", status=PressStatus.REFUSED, detail=_REFUSED)
    model = replace(call(snapshot(Phase.READY), echo, default_keymap()), unseen="Nobody is attached.")
    drawn = " ".join(draw_call(model, 100, 3).plain.split())
    assert "Nobody is attached." in drawn and "Look, then press again." in drawn
