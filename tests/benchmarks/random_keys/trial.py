"""Presses keys: some at random, some as a person who reads the screen first; suspends processes, and looks on."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

from datasets.randomness import stream
from station.session.folder import SessionError, SessionFolder
from station.session.link.address import LinkError
from station.session.link.client import Client, running_pid
from tests.benchmarks.random_keys.log import Halt, Log, Press, Shot
from tests.benchmarks.random_keys.screens import Screen, Tmux, badge, headline, named, tells_of
from tests.emulators.xarm import XArmEmulator

KEYS = (
    *(
        "r",
        "r",
        "r",
        "space",
        "space",
        "space",
        "s",
        "s",
        "f",
        "f",
        "u",
        "u",
        "v",
        "v",
        "x",
        "C-r",
        "C-x",
        "e",
        "e",
    ),
    *("c", "a", "p", "b", "n", "C-k", "?", "Enter", "Escape", "Escape", "q", "X", "R", "Tab", "Up", "k", "1"),
)
ANSWERED_KEYS = ("s", "f", "u", "v", "r", "space", "c", "a", "C-r", "C-k", "k", "1", "R", "x")
"""Keys about which the session's screen says a word, whatever it shows."""
PERSON = {
    "READY": ("r",),
    "FAULT": ("r",),
    "STOPPED": ("C-r",),
    "PAUSED": ("space", "space", "s", "v"),
    "FINISHED": ("r", "e", "v", "u", "s"),
    "NO ENGINE": ("Enter",),
    "MOVING": ("", "", "", "s", "f", "space", "v", "u", "e"),
    "EVALUATING": ("", "", "", "s", "f", "space", "v", "u"),
    "LABEL": ("", "", "s", "f", "u", "v"),
    "HOMING": ("", "", "", "space"),
    "": ("Escape",),
}
"""What somebody does who has read the headline."""
READING = 0.85
"""s that the person reads."""
PATIENCE = 6.0
"""s that the screen gets to tell of a key, on a machine that has more to do than it can."""
QUIET = 3.5
"""s without a key before one that is watched."""


class Trial:
    """The screens, the suspended processes, and the log."""

    def __init__(self, session: Path, emulator: XArmEmulator, seed: int) -> None:
        """`session` is trained; its task names the emulated arm."""
        self.session, self.emulator, self.log = SessionFolder.open(session), emulator, Log()
        self.log.wall = time.time() - time.monotonic()
        self._over, self._asking = threading.Event(), threading.Lock()
        self._rng = stream(seed, "random keys", 0)
        self._log_start()
        tmux = Tmux(f"random-keys-{os.getpid()}")
        self.screens = [Screen(tmux, word, [word, str(session)]) for word in ("run", "attach")]
        self._read: list[tuple[str, float]] = [("", 0.0), ("", 0.0)]
        """What the headline of each screen begins with, and since when."""

    def run(self, minutes: float) -> None:
        """Press for so long, once the first READY is there."""
        looks = (self._watch_arm, self._watch_screens, self._watch_session)
        watchers = [threading.Thread(target=look, daemon=True) for look in looks]
        for watcher in watchers:
            watcher.start()
        deadline = time.monotonic() + 120.0
        while self._read[0][0] != "READY" and time.monotonic() < deadline:
            time.sleep(0.2)
        end = time.monotonic() + 60.0 * minutes
        while time.monotonic() < end:
            time.sleep(float(self._rng.exponential(0.4)))
            self._act()
        self._over.set()
        for watcher in watchers:
            watcher.join()

    def close(self) -> None:
        """End screens and engine."""
        for screen in self.screens:
            screen.close()
        pid = running_pid(self.session)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    # --- what is done -----------------------------------------------------------------------------------------------

    def _act(self) -> None:
        chance = float(self._rng.random())
        if chance < 0.03:
            self._suspend()
        elif chance < 0.045:
            with self._asking:
                self.emulator.order("fail", code=31)
        elif chance < 0.08:
            self._revive()
        elif chance < 0.14:
            self._watch_one()
        elif chance < 0.6:
            self._as_a_person()
        else:
            self._press(self._any_screen(), str(self._rng.choice(KEYS)))

    def _any_screen(self) -> int:
        return int(self._rng.random() < 0.3)

    def _as_a_person(self) -> None:
        index = self._any_screen()
        word, since = self._read[index]
        if self.screens[index].held or time.monotonic() - since < READING:
            return
        if word and "WATCHING ONLY" in self.screens[index].text():
            self._press(index, "C-k", person=True)
            return
        key = str(self._rng.choice(PERSON.get(word, ("",))))
        if key:
            self._press(index, key, person=True)

    def _press(self, index: int, key: str, *, person: bool = False) -> Press:
        screen = self.screens[index]
        text, at = screen.text(), time.monotonic()
        screen.type(key)
        phase = self.log.shots[-1].phase if self.log.shots and at - self.log.shots[-1].at < 1.5 else ""
        press = Press(
            at=at,
            screen=index,
            key=key,
            badge=badge(text),
            named=named(text),
            held=screen.held,
            person=person,
            phase=phase or badge(text).lower(),
        )
        self.log.presses.append(press)
        return press

    def _watch_one(self) -> None:
        """One key on a quiet screen, and whether the screen tells of it."""
        index = self._any_screen()
        screen = self.screens[index]
        self._press(index, "Escape")
        time.sleep(QUIET)
        key, text = str(self._rng.choice(ANSWERED_KEYS)), screen.text()
        if badge(text) in ("", "STARTING", "NO ENGINE", "LOOKING", "SILENT") or tells_of(text, key):
            return
        press = self._press(index, key, person=True)
        while not tells_of(text := screen.text(), key) and time.monotonic() - press.at < PATIENCE:
            time.sleep(0.1)
        press.watched, press.shown = True, headline(text)
        press.answered = time.monotonic() - press.at if tells_of(text, key) else None

    def _suspend(self) -> None:
        """Engine or UI, while keys go on."""
        who = int(self._rng.integers(0, 3))
        pid = running_pid(self.session) if who == 2 else self.screens[who].pid()
        if pid is None:
            return
        begin, lasts = time.monotonic(), float(self._rng.uniform(0.3, 8.0))
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            if who < 2:
                self.screens[who].held = True
            while time.monotonic() < begin + lasts:
                time.sleep(float(self._rng.exponential(0.5)))
                self._press(self._any_screen(), str(self._rng.choice(KEYS)))
            os.kill(pid, signal.SIGCONT)
        self.log.halts.append(Halt(begin=begin, end=time.monotonic(), who=("run", "attach", "engine")[who]))
        if who < 2:
            time.sleep(0.2)
            self.screens[who].held = False

    def _revive(self) -> None:
        """A screen that was left is opened again; that of ``run`` starts an engine where none runs."""
        for index, screen in enumerate(self.screens):
            if screen.pid() is None:
                if index == 0:
                    self._log_start()
                screen.again()

    def _log_start(self) -> None:
        self.log.starts.append(time.monotonic())

    # --- what is seen -----------------------------------------------------------------------------------------------

    def _watch_arm(self) -> None:
        while not self._over.wait(0.05):
            with self._asking:
                truth = self.emulator.truth()
            self.log.poses.append((time.monotonic(), [round(float(each), 4) for each in truth["joints"]]))

    def _watch_screens(self) -> None:
        while not self._over.wait(0.25):
            for index, screen in enumerate(self.screens):
                if screen.held:
                    continue
                word, at = badge(screen.text()), time.monotonic()
                if word != self._read[index][0]:
                    self._read[index] = word, at

    def _watch_session(self) -> None:
        """Every snapshot, as a command sees them: at which nobody looks."""
        while not self._over.wait(0.3):
            try:
                client = Client.connect(self.session.path)
            except (LinkError, SessionError, OSError):
                continue
            self._read_line(client, running_pid(self.session) or 0)
            client.close()

    def _read_line(self, client: Client, pid: int) -> None:
        number, before = -1, None
        while client.alive and not self._over.wait(0.03):
            shot = client.newest
            if shot is None or shot.number == number:
                continue
            number = shot.number
            seen = (shot.phase, shot.question, shot.stopped, shot.episode)
            last = self.log.shots[-1] if self.log.shots else None
            if seen != before or last is None or shot.made - last.at > 0.5:
                before = seen
                self.log.shots.append(
                    Shot(
                        at=shot.made,
                        pid=pid,
                        phase=shot.phase.value,
                        question=shot.question,
                        stopped=shot.stopped,
                        episode=shot.episode,
                    )
                )
