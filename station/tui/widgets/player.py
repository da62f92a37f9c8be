"""Plays one recording: images, a bar with the frame, curves over time, and the frame's values.

The review screen chooses the recording and handles labels.
"""

from __future__ import annotations

import time

import numpy as np
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from datasets.journal.journal import Line
from datasets.journal.records import Record
from station.review.playback import Playback
from station.review.take import Group, Take, label_over_time
from station.tui.widgets.panel import Panel
from station.tui.widgets.recording import Position, draw_position, draw_reading, reading
from station.tui.widgets.tile import CameraTile
from station.tui.widgets.trajectory import Trajectory

BEAT = 1 / 20
"""s between clock checks during playback."""
_NO_TIME = np.zeros(0)


class Player(Vertical):
    """Paused at the first frame until asked to play; speed and choice of curves persist across recordings."""

    def __init__(self, *, id: str | None = None) -> None:
        """Empty."""
        super().__init__(id=id)
        self._take: Take | None = None
        self._verdict = ""
        self._history: tuple[Line[Record], ...] = ()
        self._groups: tuple[Group, ...] = ()
        self._group = 0
        self._playback = Playback(_NO_TIME)
        self._ticked = time.monotonic()

    def compose(self) -> ComposeResult:
        """Images, bar, curves, values."""
        yield Horizontal(id="tiles")
        yield Panel("", draw_position, id="bar")
        yield Trajectory(id="plot")
        yield Panel("", draw_reading, id="values")

    def on_mount(self) -> None:
        """Start the playback timer."""
        self.set_interval(BEAT, self._tick)

    def show(self, take: Take | None, verdict: str) -> None:
        """Show another recording, from its first frame; None: unreadable."""
        self._take = take
        self._playback = Playback(take.time if take else _NO_TIME, speed=self._playback.speed)
        self._fit_tiles(set(take.images) if take else set())
        self.judged(verdict, ())

    def judged(self, verdict: str, history: tuple[Line[Record], ...]) -> None:
        """Show its final verdict, and all earlier ones."""
        self._verdict, self._history = verdict, history
        self._groups = (*self._take.groups, label_over_time(self._take, verdict)) if self._take else ()
        self._draw()

    def play(self) -> None:
        """Play or pause."""
        self._playback.toggle()
        self._draw()

    def step(self, frames: int) -> None:
        """Move this many frames on or back."""
        self._playback.step(frames)
        self._draw()

    def first(self) -> None:
        """Go to the first frame."""
        self._playback.step(-self._playback.frames)
        self._draw()

    def last(self) -> None:
        """Go to the last frame."""
        self._playback.last()
        self._draw()

    def change_speed(self, places: int) -> None:
        """Faster or slower."""
        self._playback.change_speed(places)
        self._draw()

    def next_group(self) -> None:
        """Show the next group of curves."""
        self._group += 1
        self._draw()

    def _tick(self) -> None:
        now = time.monotonic()
        passed, self._ticked = now - self._ticked, now
        if self._playback.advance(passed):
            self._draw()

    def _fit_tiles(self, cameras: set[str]) -> None:
        for tile in self.query(CameraTile):
            if tile.camera not in cameras:
                tile.remove()
        there = {tile.camera for tile in self.query(CameraTile)}
        tiles = self.query_one("#tiles")
        tiles.mount(*(CameraTile(camera, words="") for camera in sorted(cameras - there)))
        tiles.display = bool(cameras)

    def _draw(self) -> None:
        """Draw everything at the current frame."""
        take, play = self._take, self._playback
        self.query_one("#bar", Panel).show(
            Position(
                frame=play.frame,
                frames=play.frames,
                seconds=play.elapsed,
                speed=play.speed,
                playing=play.playing,
                verdict=self._verdict,
            )
        )
        for tile in self.query(CameraTile):
            images = take.images.get(tile.camera) if take else None
            inside = images is not None and play.frame < len(images)
            tile.show(images[play.frame] if images is not None and inside else None)
        group = self._groups[self._group % len(self._groups)] if self._groups else None
        self.query_one(Trajectory).show(group, play.elapsed)
        self.query_one("#values", Panel).show(reading(take, group, play.elapsed, self._history))
