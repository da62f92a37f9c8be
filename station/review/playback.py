"""Which frame of a recording is shown: by its own time stamps, faster, slower, or one frame at a time."""

from __future__ import annotations

import numpy as np

from datasets.observation import TimeArray

SPEEDS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


class Playback:
    """A position in N frames."""

    def __init__(self, time: TimeArray, *, speed: float = 1.0) -> None:
        """`time` [N] in s, never falling; stands still at the first frame."""
        self._time = time
        self._now = 0.0
        self.frame = 0
        self.speed = speed
        self.playing = False

    @property
    def frames(self) -> int:
        """N."""
        return len(self._time)

    @property
    def at_end(self) -> bool:
        """Whether the last frame is shown."""
        return self.frame >= self.frames - 1

    @property
    def elapsed(self) -> float:
        """s of the recording up to the frame."""
        return float(self._time[self.frame]) if self.frames else 0.0

    def advance(self, seconds: float) -> bool:
        """Advance by elapsed time; returns whether a new frame is due. Pauses at the last one."""
        if not self.playing or not self.frames:
            return False
        self._now += seconds * self.speed
        before = self.frame
        self.frame = max(0, int(np.searchsorted(self._time, self._now, side="right")) - 1)
        self.playing = not self.at_end
        return self.frame != before

    def toggle(self) -> None:
        """Play or pause; from the last frame, play from the first."""
        if not self.playing and self.at_end:
            self.jump(0)
        self.playing = not self.playing and self.frames > 1

    def step(self, frames: int) -> None:
        """Pause, and move this many frames on or back."""
        self.playing = False
        self.jump(self.frame + frames)

    def jump(self, frame: int) -> None:
        """Show this frame, or the nearest there is."""
        self.frame = min(max(frame, 0), max(self.frames - 1, 0))
        self._now = self.elapsed

    def last(self) -> None:
        """Pause at the last frame: how it ended."""
        self.step(self.frames)

    def change_speed(self, places: int) -> None:
        """The next faster or slower one."""
        index = SPEEDS.index(self.speed) + places
        self.speed = SPEEDS[min(max(index, 0), len(SPEEDS) - 1)]
