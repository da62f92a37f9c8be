"""The UI's connection to one session: finds its engine, starts it once if asked, and notices when it is silent or gone.

Talks to no widget. `seek` may block for a moment and is called from a worker thread; everything else returns at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from station.session.core.events import OperatorEvent
from station.session.folder import SessionError, SessionFolder
from station.session.snapshot import Phase, Snapshot
from station.tui.audience import Audience, somebody
from station.tui.feed import Engines, Feed, FeedError
from station.tui.key_dispatcher import TERMINAL, Echo, KeyDispatcher, Origin, stopped
from station.tui.keymap import Keymap
from station.tui.sight import READ, Pulse, Sight

SILENCE = 6.0
"""s without a new snapshot after which the operator is warned."""

CONNECTING = 60.0
"""s that the devices of a real cell may take to connect; the engine is silent meanwhile."""

_UNTOLD = "it ended or was killed"
NO_ANSWER = 2.0
"""s without an engine after which a screen that may not start one says so."""


class LineStatus(StrEnum):
    """State of the connection to the engine."""

    SEEKING = "seeking"
    STARTING = "starting"
    LIVE = "live"
    SILENT = "silent"
    """The engine runs but sends nothing new."""
    LOST = "lost"


class Attachment:
    """One session as this UI sees it."""

    def __init__(
        self,
        folder: Path,
        engines: Engines,
        keymap: Keymap,
        *,
        start: bool = True,
        clock: Callable[[], float] = time.monotonic,
        audience: Callable[[], Audience] = somebody,
    ) -> None:
        """`start`: start an engine if none runs; else only wait for one. `audience`: who can see this screen."""
        self.folder = folder
        self._engines = engines
        self._keymap = keymap
        self._clock = clock
        self._may_start = start
        self._audience = audience
        self._since = clock()
        self._heard = clock()
        self._feed: Feed | None = None
        self._closed = False
        self.dispatcher: KeyDispatcher | None = None
        self.sight: Sight | None = None
        """What is on screen, and since when."""
        self._pulse = Pulse(clock)
        self.line = LineStatus.SEEKING
        self.before = LineStatus.SEEKING
        """The previous state."""
        self.why = ""

    @property
    def shown(self) -> Snapshot | None:
        """The snapshot that is on the screen."""
        return self.sight.snapshot if self.sight is not None else None

    @property
    def waited(self) -> float:
        """s since the current state of the line began."""
        return self._clock() - self._since

    @property
    def unheard(self) -> float:
        """s since the last new snapshot."""
        return self._clock() - self._heard

    @property
    def simulated(self) -> bool | None:
        """Whether the cell is simulated; None if neither engine nor folder has said."""
        return self.shown.simulated if self.shown is not None else self._task_simulated

    @property
    def connecting(self) -> bool:
        """Whether the engine was last seen checking a real cell, and has not been silent for longer than that takes."""
        checking = self.shown is not None and self.shown.phase is Phase.PREFLIGHT and not self.shown.simulated
        return checking and self.unheard < CONNECTING

    @cached_property
    def _task_simulated(self) -> bool | None:
        with suppress(SessionError):
            return SessionFolder.open(self.folder).simulated
        return None

    @property
    def unseen(self) -> str:
        """A remark on whether anyone can see this screen of a real cell; empty if someone surely can."""
        return "" if self.simulated else self._audience().remark

    def seek(self) -> Feed | None:
        """Look for the engine, and start it if allowed and not tried yet."""
        feed = self._attach()
        if feed is not None or self.line is LineStatus.LOST:
            return feed
        if self._may_start:
            self._may_start = False
            self._start()
        elif self.line is LineStatus.STARTING:
            self._look_for_death()
        elif self.waited > NO_ANSWER:
            self.why = self._engines.absence(self.folder)
            self._turn(LineStatus.LOST)
        return None

    def take(self, feed: Feed) -> None:
        """Use this line from now on."""
        self._feed = feed
        self.dispatcher = KeyDispatcher(feed, self._keymap, self._clock)
        self._heard = self._clock()
        if self.sight is not None:
            self.sight = self.sight.doubted("this is from before the engine was started: wait for news")
        self._turn(LineStatus.LIVE)

    def poll(self) -> Snapshot | None:
        """The newest snapshot if it differs from the one shown."""
        self._pulse.beat()
        if self._feed is None:
            if self.line is LineStatus.LOST and self.why == _UNTOLD:
                # the line breaks before the process has ended and logged its last message
                self.why = self._engines.obituary(self.folder) or _UNTOLD
            return None
        snapshot = self._feed.latest() if self._audience().anybody else self._feed.unseen()
        fresh = snapshot is not None and snapshot is not self.shown
        if snapshot is not None and fresh:
            self._draw(snapshot)
        if not self._feed.alive:
            self._lose()
        elif self.line is not LineStatus.LIVE and fresh:
            self._turn(LineStatus.LIVE)
        elif self.line is LineStatus.LIVE and self.unheard > SILENCE:
            if self.sight is not None:  # the headline no longer names state and episode
                self.sight = self.sight.doubted("no news from the engine: wait for it, then press again")
            self._turn(LineStatus.SILENT)
        return snapshot if fresh else None

    def press(self, action: str, sight: Sight | None = None, origin: Origin = TERMINAL) -> Echo | None:
        """Hand a press to the dispatcher; a stop works with or without an engine.

        `sight`: what was on screen when the key went down; None: what is there now.
        """
        if self.dispatcher is not None and self._feed is not None:
            seen = sight or self.sight
            return self.dispatcher.press(action, seen and seen.doubted(self._pulse.complaint), origin)
        if action == "stop":
            return stopped(self._keymap, self._clock(), self._engines.stop(self.folder))
        return None

    def tell_of_stop(self, origin: Origin, trouble: str = "") -> Echo:
        """A device has already set the latch, with or without an engine; `trouble`: why it could not."""
        if self.dispatcher is not None:
            return self.dispatcher.tell_of_stop(origin, trouble)
        return stopped(self._keymap, self._clock(), trouble, origin)

    def uncovered(self) -> None:
        """This screen is visible again after another one covered it."""
        if self.sight is not None:
            now = self._clock()
            self.sight = replace(self.sight, asked_since=now, named_since=now)

    def brake(self) -> Echo | None:
        """An uncertain press of `pause`: it brakes, and never ends a pause."""
        return self.press("pause", self.sight and self.sight.doubted("a doubtful key only brakes"))

    @property
    def attached(self) -> bool:
        """Whether presses go to an engine and the dispatcher reports their outcome."""
        return self.dispatcher is not None and self._feed is not None

    def stop_at_once(self) -> str:
        """Set the latch from any thread, bypassing dispatcher and screen, engine or not; returns why not."""
        feed = self._feed
        return feed.stop() if feed is not None else self._engines.stop(self.folder)

    @property
    def watching(self) -> bool:
        """Whether another front end holds the keys."""
        return self._feed is not None and self.line is LineStatus.LIVE and not self._feed.holds_keys

    def take_keys(self) -> None:
        """Request the keys."""
        if self.dispatcher is not None and self._feed is not None:
            self.dispatcher.take_keys()

    def tell(self, event: OperatorEvent, action: str) -> Echo | None:
        """Send what a dialog made."""
        return self.dispatcher.tell(event, action) if self.dispatcher is not None else None

    def restart(self) -> str:
        """Restart the engine after it was lost; returns why not, if it fails.

        It homes the arm, so the operator must have read what happened.
        """
        if self.line is not LineStatus.LOST:
            return ""
        if complaint := self._pulse.complaint:
            return complaint
        if self.waited < READ:
            return "The engine has only just gone: read what happened, then press again."
        self._may_start = True
        self._turn(LineStatus.SEEKING)
        return ""

    def close(self) -> None:
        """Disconnect; the engine keeps running, unless it was started from here and never seen."""
        unseen = self.line is LineStatus.STARTING and not self._closed
        self._closed = True
        self._hang_up()
        if unseen:
            self._engines.end(self.folder)

    def _hang_up(self) -> None:
        if self._feed is not None:
            self._feed.close()
            self._feed = None

    def _attach(self) -> Feed | None:
        try:
            return self._engines.attach(self.folder)
        except FeedError as error:
            # a starting engine may be too busy to answer yet
            if self.line is not LineStatus.STARTING:
                self.why = str(error)
                self._turn(LineStatus.LOST)
            return None

    def _draw(self, snapshot: Snapshot) -> None:
        now = self._clock()
        self.sight = (
            self.sight.following(snapshot, now)
            if self.sight
            else Sight(snapshot=snapshot, asked_since=now, named_since=now)
        )
        self._heard = now

    def _start(self) -> None:
        self._turn(LineStatus.STARTING)
        try:
            self._engines.start(self.folder)
        except FeedError as error:
            self.why = str(error)
            self._turn(LineStatus.LOST)
        if self._closed:
            # the operator left while this thread was starting it
            self._engines.end(self.folder)

    def _look_for_death(self) -> None:
        why = self._engines.obituary(self.folder)
        if why is not None:
            self.why = why
            self._turn(LineStatus.LOST)

    def _lose(self) -> None:
        self._hang_up()
        self.why = self._engines.obituary(self.folder) or _UNTOLD
        self._turn(LineStatus.LOST)

    def _turn(self, line: LineStatus) -> None:
        if line is not self.line:
            self.before, self.line, self._since = self.line, line, self._clock()
