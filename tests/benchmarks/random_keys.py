"""Does an arm move, or an episode get a label, that nobody asked for? Random keys on two screens, an emulated xArm.

    python -m tests.benchmarks.random_keys --minutes 30 --out DIR

Two real UIs in tmux on one session (``run`` and ``attach``). All keys at random, in bursts too; UI and engine are
suspended for up to eight seconds now and then, and the controller reports errors. The emulator's true pose is logged
beside it every 50 ms, every 0.3 s what each screen shows, and each key with what its screen showed when it was pressed.

A motion begins when the arm moves by more than 1 mm after it stood for a second. It is explained by

- a fresh, matching press in the 6 s before: `r` on a screen that shows READY, FAULT or FINISHED, `space` on one that
  shows PAUSED, `e` on one that shows FINISHED; that UI ran while the key was pressed, and the engine was not suspended
  from the press on for longer than the limit of a press;
- the start of an engine, by this program or by Enter on NO ENGINE, in the 90 s before;
- the round that such a press began: the last state other than moving, judging, learning, saving or going home that any
  screen that ran has shown since was the one that was answered.

A label, void or restore by the operator is explained by one of `s f u v` on a screen that named this episode when the
key was pressed. Prints a table and writes DIR/report.json; exit code 1 when anything is unexplained.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import re
import shlex
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from datasets.journal import Journal
from datasets.randomness import stream
from station.session.client import running_pid
from station.session.folder import SessionFolder
from tests.emulators.xarm import XArmEmulator
from tests.hardware.arms.xarm_cell import cell_table, video
from tests.station.test_xarm_session import write_demonstration, write_task

KEYS = (
    *(
        "r",
        "r",
        "r",
        "space",
        "space",
        "s",
        "f",
        "u",
        "v",
        "x",
        "C-r",
        "C-r",
        "C-x",
        "e",
        "c",
        "a",
        "p",
        "b",
        "n",
    ),
    *("C-k", "?", "Enter", "Escape", "Escape", "q", "X", "R", "Tab", "Up", "k", "1"),
)
ANSWERS = {"r": ("READY", "FAULT", "FINISHED"), "R": ("READY", "FAULT", "FINISHED"), "space": ("PAUSED",)}
WORKING = ("MOVING", "EVALUATING", "LABEL", "LEARNING", "SAVING", "HOMING", "CHECKING")
BADGES = (*WORKING, "READY", "PAUSED", "FAULT", "FINISHED", "STOPPED", "STARTING", "SILENT", "NO ENGINE")
LIMIT = 1.3
"""s that an engine may be suspended after a press that it still obeys: the limit of a press, and some slack."""
WINDOW, START, STILL = 6.0, 90.0, 1.0
EPISODE = re.compile(r"(?:online|evaluation)-\d{6}")


@dataclass(kw_only=True)
class Press:
    """One key, and what its screen showed when it went down."""

    at: float
    screen: int
    key: str
    badge: str
    named: list[str]
    held: bool
    """The UI was suspended."""


@dataclass(kw_only=True)
class Log:
    """Everything that was seen; times are time.time()."""

    presses: list[Press] = field(default_factory=list)
    poses: list[tuple[float, list[float]]] = field(default_factory=list)
    shown: list[tuple[float, int, str]] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    halts: list[tuple[float, float, str]] = field(default_factory=list)
    """From, to, who."""


class Screen:
    """One UI in a tmux session of its own."""

    def __init__(self, name: str, words: list[str]) -> None:
        self.name, self.words, self.held = name, words, False
        environment = f"PYTHONPATH={shlex.quote(str(Path.cwd()))} OMP_NUM_THREADS=1"
        self._command = f"{environment} {shlex.join([sys.executable, '-m', 'station', *words])}; sleep 100000"
        _tmux("new-session", "-d", "-s", name, "-x", "150", "-y", "45", self._command)
        self._somebody, theirs = pty.openpty()  # a session to which nobody is attached is looked at by nobody
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 46, 150, 0, 0))
        environ = {**os.environ, "TERM": "xterm-256color"}
        self._client = subprocess.Popen(
            ["tmux", "attach", "-t", name], stdin=theirs, stdout=theirs, stderr=theirs, env=environ
        )
        os.close(theirs)
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        with suppress(OSError):
            while os.read(self._somebody, 1 << 16):
                pass

    def text(self) -> str:
        return _tmux("capture-pane", "-p", "-t", self.name)

    def type(self, key: str) -> None:
        _tmux("send-keys", "-t", self.name, key)

    def pid(self) -> int | None:
        """Of the UI; None once it has ended."""
        shell = _tmux("display", "-p", "-t", self.name, "#{pane_pid}").strip()
        found = subprocess.run(
            ["pgrep", "-P", shell, "-f", "station"], check=False, capture_output=True, text=True
        )
        return int(found.stdout.split()[0]) if found.stdout.split() else None

    def again(self) -> None:
        _tmux("respawn-pane", "-k", "-t", self.name, self._command)

    def close(self) -> None:
        _tmux("kill-session", "-t", self.name)
        self._client.wait(10.0)


def _tmux(*words: str) -> str:
    return subprocess.run(["tmux", *words], check=False, capture_output=True, text=True).stdout


def badge(text: str) -> str:
    """What the headline of a screen says; empty where another screen lies over it."""
    head = "\n".join(text.splitlines()[:3])
    return next((word for word in BADGES if f" {word} " in head), "")


def prepare(out: Path, emulator: XArmEmulator) -> Path:
    """A small trained session on the emulated arm."""
    import tomlkit

    task = write_task(out / "task.toml", cell_table(emulator, video(out / "film.avi")))
    table: Any = tomlkit.parse(task.read_text())
    table["session"].update(episode_steps=60, grace=2.0, evaluation_episodes=2)
    task.write_text(tomlkit.dumps(table))
    for x in (-1.0, 0.0, 1.0):
        write_demonstration(out / "demos" / f"demo{x:+.0f}.h5", x)
    session = str(out / "session")
    steps = (["new", session, "--task", "task.toml"], ["import", session, "demos"], ["train", session])
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"}
    for words in steps:
        subprocess.run([sys.executable, "-m", "station", *words], cwd=out, env=environment, check=True)
    return out / "session"


class Trial:
    """The screens, the suspended processes, and the log."""

    def __init__(self, session: Path, emulator: XArmEmulator, seed: int) -> None:
        self.session, self.emulator, self.log = session, emulator, Log()
        self.over, self.asking = threading.Event(), threading.Lock()
        self.rng = stream(seed, "random keys", 0)
        self.log.starts.append(time.time())
        name = f"random-keys-{os.getpid()}"
        self.screens = [
            Screen(f"{name}-{n}", [word, str(session)]) for n, word in enumerate(("run", "attach"))
        ]

    def watch_arm(self) -> None:
        while not self.over.wait(0.05):
            with self.asking:
                truth = self.emulator.truth()
            self.log.poses.append((time.time(), [round(float(x), 2) for x in truth["pose_mm"][:3]]))

    def watch_screens(self) -> None:
        while not self.over.wait(0.3):
            for index, screen in enumerate(self.screens):
                if not screen.held:
                    self.log.shown.append((time.time(), index, badge(screen.text())))

    def press(self) -> None:
        index = int(self.rng.random() < 0.3)
        screen = self.screens[index]
        key = str(self.rng.choice(KEYS))
        text, at = screen.text(), time.time()
        screen.type(key)
        text += screen.text()
        self.log.presses.append(
            Press(
                at=at, screen=index, key=key, badge=badge(text), named=EPISODE.findall(text), held=screen.held
            )
        )

    def suspend(self) -> None:
        """Engine or UI, while keys go on."""
        who = int(self.rng.integers(0, 3))
        pid = running_pid(SessionFolder.open(self.session)) if who == 2 else self.screens[who].pid()
        if pid is None:
            return
        began, lasts = time.time(), float(self.rng.uniform(0.3, 8.0))
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            if who < 2:
                self.screens[who].held = True
            while time.time() < began + lasts:
                time.sleep(float(self.rng.exponential(0.5)))
                self.press()
            os.kill(pid, signal.SIGCONT)
        self.log.halts.append((began, time.time(), ("run", "attach", "engine")[who]))
        if who < 2:
            time.sleep(0.2)
            self.screens[who].held = False

    def revive(self) -> None:
        """A screen that was left is opened again; that starts an engine where none runs."""
        for screen in self.screens:
            if screen.pid() is None:
                self.log.starts.append(time.time())
                screen.again()

    def run(self, minutes: float) -> None:
        watchers = [
            threading.Thread(target=watch, daemon=True) for watch in (self.watch_arm, self.watch_screens)
        ]
        for watcher in watchers:
            watcher.start()
        deadline = time.time() + 120.0
        while badge(self.screens[0].text()) != "READY" and time.time() < deadline:
            time.sleep(0.2)
        end = time.time() + 60.0 * minutes
        while time.time() < end:
            time.sleep(float(self.rng.exponential(0.5)))
            self.press()
            chance = float(self.rng.random())
            if chance < 0.03:
                self.suspend()
            elif chance < 0.05:
                with self.asking:
                    self.emulator.order("fail", code=31)
            elif chance < 0.12:
                self.revive()
        self.over.set()
        for watcher in watchers:
            watcher.join()

    def close(self) -> None:
        for screen in self.screens:
            screen.close()
        pid = running_pid(SessionFolder.open(self.session))
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def motions(log: Log) -> list[float]:
    """When the arm began to move after it had stood still."""
    begun, still_since = [], log.poses[0][0] if log.poses else 0.0
    before: list[float] | None = None
    for at, pose in log.poses:
        if before is not None and max(abs(a - b) for a, b in zip(pose, before, strict=True)) > 1.0:
            if at - still_since > STILL:
                begun.append(at)
            still_since, before = at, pose
        before = before or pose
    return begun


def explained(at: float, log: Log) -> str:
    """Why the arm moved then; empty when nobody knows."""
    if any(at - START < start < at for start in log.starts):
        return "an engine was started"
    fresh = [press for press in log.presses if press.at < at and _fresh(press, log)]
    if any(at - WINDOW < press.at for press in fresh):
        return "a fresh press"
    since = max((press.at for press in fresh), default=None)
    if since is None:
        return ""
    states = {word for then, _, word in log.shown if since + 2.0 < then < at - 0.5 and word}
    return "the round of a fresh press" if states <= set(WORKING) else ""


def _fresh(press: Press, log: Log) -> bool:
    wanted = ("FINISHED",) if press.key == "e" else ANSWERS.get(press.key, ())
    if press.key == "Enter":
        wanted = ("NO ENGINE",)
    hung = (end - press.at for begin, end, who in log.halts if who == "engine" and begin <= press.at <= end)
    return press.badge in wanted and not press.held and max(hung, default=0.0) <= LIMIT


def mislabelled(session: Path, log: Log) -> list[str]:
    """Lines about episodes that no screen named when a key was pressed."""
    named = {name for press in log.presses if press.key in "sfuv" for name in press.named}
    wrong = []
    for line in Journal(SessionFolder.open(session).journal).lines:
        judges = line.op in ("label", "void", "restore") and line.fields.get("by") == "operator"
        if judges and line.fields["episode"] not in named:
            wrong.append(f"{line.op} {line.fields['episode']}")
    return wrong


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    out = given.out.absolute()
    out.mkdir(parents=True)
    with XArmEmulator() as emulator:
        session = prepare(out, emulator)
        trial = Trial(session, emulator, given.seed)
        try:
            trial.run(given.minutes)
        finally:
            trial.close()
        log = trial.log
        (out / "log.json").write_text(json.dumps(asdict(log)))
        begun = motions(log)
        why = {at: explained(at, log) for at in begun}
        reasons = {word: sum(reason == word for reason in why.values()) for word in sorted(set(why.values()))}
        odd = [
            datetime.fromtimestamp(at).astimezone().isoformat() for at, reason in why.items() if not reason
        ]
        report = {
            "minutes": given.minutes,
            "presses": len(log.presses),
            "on a suspended UI": sum(press.held for press in log.presses),
            "suspended": len(log.halts),
            "motions": len(begun),
            "explained": reasons,
            "unexplained": odd,
            "labels on an episode that no screen named": mislabelled(session, log),
        }
    (out / "report.json").write_text(json.dumps(report, indent=1))
    for name, value in report.items():
        print(f"{name:42} {value}")
    return 1 if odd or report["labels on an episode that no screen named"] else 0


if __name__ == "__main__":
    sys.exit(main())
