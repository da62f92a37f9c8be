"""Does it lose anything? Ends command, engine, both or the UI at random instants and compares the session bit by bit.

    python tests/benchmarks/kill_test.py SESSION --out DIR --chunks 600 --kills 300 --cells 2 --slow 0.2 --fork

SESSION is prepared (``station demo --prepare``) and is only copied. One copy runs to its goal undisturbed; another is
ended again and again until it is there, by SIGKILL and SIGTERM, while commits are slow. Then every episode, label and
weight of the two is compared, both folders are verified, and no fault and nothing cut off may be in the journal.
Prints one JSON object; exit code 1 when anything differs or fewer kills were made than asked for.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from datasets.episode import Episode
from datasets.journal import Journal
from datasets.lock import holder
from datasets.randomness import stream
from datasets.store import EpisodeStore
from datasets.verify import verify
from station.session.checkpoint import NEWEST, Checkpoints
from station.session.client import running_pid
from station.session.folder import SessionFolder
from station.session.operations import SESSION
from station.session.status import resting_state
from tests.benchmarks import forking
from tests.benchmarks.slow_store import SITE, slow_down

VICTIMS = ("engine", "command", "both", "ui", "all")
"""Whom a signal is sent to. A command's engine has to end by itself; a UI alone leaves the engine running."""
ODDS = (0.38, 0.31, 0.25, 0.02, 0.04)
POLITE = 0.4
"""Share of the signals that are SIGTERM; the others are SIGKILL."""
EARLY = 0.15
"""Share of the lives that end before their engine is ready."""
JITTER = 0.15
"""s within which a kill falls after the journal line that it waited for; longer than a round of a tiny session."""
PATIENCE = 120.0
"""s that a start or an end may take."""
ARRAYS = (
    "proprioception",
    "observation_time",
    "action",
    "sent",
    "command_time",
    "chunk_start",
    "chunk_length",
)
Process = subprocess.Popen[bytes] | forking.Forked


@dataclass
class Tally:
    """What was done to the session."""

    kills: dict[str, int] = field(default_factory=dict)
    """By victim and signal."""
    phases: dict[str, int] = field(default_factory=dict)
    """Phase that the journal showed last when an engine was killed."""
    lives: int = 0

    @property
    def total(self) -> int:
        return sum(self.kills.values())

    def count(self, folder: SessionFolder, victim: str, number: signal.Signals) -> None:
        name = f"{victim} {number.name}"
        self.kills[name] = self.kills.get(name, 0) + 1
        lines = Journal(folder.journal).ledger().lines.get("phase", [])
        phase = str(lines[-1].fields["phase"]) if lines else "none"
        self.phases[phase] = self.phases.get(phase, 0) + 1


@dataclass(frozen=True, kw_only=True)
class Bench:
    """How commands are started."""

    folder: SessionFolder
    chunks: int
    cells: int
    slow: float
    fork: bool

    def start(self) -> Process:
        """``station run --headless`` with its engine."""
        self.folder.engine.unlink(missing_ok=True)
        words = ["run", str(self.folder.path), "--headless", "--autopilot", "--json"]
        words += ["--chunks", str(self.chunks), "--cells", str(self.cells)]
        said = self.folder.path.with_suffix(".log")
        if self.fork:
            return forking.command(words, said, lambda: slow_down(self.slow))
        return subprocess.Popen(
            [sys.executable, "-m", "station", *words],
            stdin=subprocess.DEVNULL,
            stdout=said.open("ab"),
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": self._site()},
        )

    def _site(self) -> str:
        site = self.folder.path.with_suffix(".site")
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(SITE.format(seconds=self.slow))
        return f"{site}:{Path(__file__).parents[2]}"

    def finished(self) -> bool:
        return resting_state(Journal(self.folder.journal).ledger()) == "finished"


def start_ui(path: Path) -> subprocess.Popen[bytes]:
    """The real UI in a pseudo-terminal that somebody reads."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "station", "attach", str(path)]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "140", "LINES": "45"}
    ui = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    threading.Thread(target=drain, args=(ours,), daemon=True).start()
    return ui


def drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 65536):
            pass
    except OSError:
        os.close(descriptor)


def ready(folder: SessionFolder, command: Process) -> int | None:
    """The pid of the engine once it listens and has opened the journal; None when the command ended before."""
    journal, end = Journal(folder.journal), time.monotonic() + PATIENCE
    while time.monotonic() < end and command.poll() is None:
        if any(line.op == SESSION for line in journal.refresh()):
            return running_pid(folder)
        time.sleep(0.01)
    return None


def send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def kill(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        process.send_signal(signal.SIGKILL)
        process.wait()


def one_life(bench: Bench, life: int, seed: int, mean: float, tally: Tally) -> None:
    """Start a command and end it, its engine or both after `mean` journal lines or so, unless it is done first."""
    rng = stream(seed, "kill", life)
    tally.lives += 1
    command = bench.start()
    victim = VICTIMS[int(rng.choice(len(VICTIMS), p=ODDS))]
    number = signal.SIGTERM if rng.random() < POLITE else signal.SIGKILL
    if rng.random() < EARLY:
        time.sleep(float(rng.uniform(0.0, 2.0)))
        strike(bench, command, running_pid(bench.folder), victim, number, tally)
        return
    engine = ready(bench.folder, command)
    ui = start_ui(bench.folder.path) if victim in ("ui", "all") else None
    lines, more = int(rng.uniform(0.0, 2.0 * mean + 1.0)), float(rng.uniform(0.0, JITTER))
    if lived(bench.folder, command, lines, more):
        kill(ui)
        strike(bench, command, engine, victim, number, tally)
    kill(ui)
    over(bench, command)


def strike(
    bench: Bench, command: Process, engine: int | None, victim: str, number: signal.Signals, tally: Tally
) -> None:
    """Send the signal, and wait until nobody holds the session any more."""
    if command.poll() is None:
        tally.count(bench.folder, victim, number)
        if victim in ("engine", "both", "all") and engine is not None:
            send(engine, number)
        if victim in ("command", "both", "all") or engine is None:
            command.send_signal(number)
        if victim == "ui":
            lived(bench.folder, command, 2, 0.0)
            command.send_signal(signal.SIGTERM)
    over(bench, command)


def over(bench: Bench, command: Process) -> None:
    command.wait(PATIENCE)
    end = time.monotonic() + PATIENCE
    while holder(bench.folder.lock) is not None:
        if time.monotonic() > end:
            raise SystemExit("An engine has outlived its command.")
        time.sleep(0.01)


def lived(folder: SessionFolder, command: Process, lines: int, more: float) -> bool:
    """Let the engine write so many journal lines, and live a little longer; False when it ended before."""
    journal = Journal(folder.journal)
    goal = journal.last_seq + lines
    while journal.last_seq < goal and command.poll() is None:
        time.sleep(0.01)
        journal.refresh()
    time.sleep(more)
    return command.poll() is None


def undisturbed(bench: Bench) -> float:
    """Run to the goal; returns the seconds after the engine was ready."""
    command = bench.start()
    ready(bench.folder, command)
    began = time.monotonic()
    if command.wait() != 0 or not bench.finished():
        raise SystemExit(f"The undisturbed run failed; read {bench.folder.log}.")
    return time.monotonic() - began


def differences(one: SessionFolder, other: SessionFolder) -> list[str]:
    """Everything in which two sessions are not the same."""
    first, second = EpisodeStore(one.episodes), EpisodeStore(other.episodes)
    found = [f"episode {name} is in one only" for name in set(first.ids()) ^ set(second.ids())]
    for name in sorted(set(first.ids()) & set(second.ids())):
        found += [f"{name}: {part}" for part in unequal(first.load(name), second.load(name))]
    return found + unequal_labels(one, other) + unequal_weights(one, other)


def unequal(one: Episode, other: Episode) -> list[str]:
    """Parts of an episode that differ in a bit; the wall clock's date may."""
    parts = ["header"] if facts(one) != facts(other) else []
    parts += [name for name in ARRAYS if not same(getattr(one, name), getattr(other, name))]
    for name in ("images", "features", "decisions"):
        a, b = getattr(one, name), getattr(other, name)
        parts += [f"{name}.{key}" for key in a.keys() | b.keys() if not same(a.get(key), b.get(key))]
    return parts


def facts(episode: Episode) -> dict[str, Any]:
    return {name: value for name, value in episode.header.to_json().items() if name != "created"}


def same(one: Any, other: Any) -> bool:
    return one is not None and other is not None and one.tobytes() == other.tobytes()


def unequal_labels(one: SessionFolder, other: SessionFolder) -> list[str]:
    def verdicts(folder: SessionFolder) -> dict[str, tuple[Any, ...]]:
        episodes = Journal(folder.journal).ledger().episodes
        return {
            e.id: (e.kind, e.ordinal, e.steps, e.chunks, e.ending, e.policy_version, e.outcome, e.void)
            for e in episodes.values()
        }

    first, second = verdicts(one), verdicts(other)
    return [
        f"verdict on {name}" for name in first.keys() | second.keys() if first.get(name) != second.get(name)
    ]


def unequal_weights(one: SessionFolder, other: SessionFolder) -> list[str]:
    (first, facts_one), (second, facts_two) = (Checkpoints(f.steering).load(NEWEST) for f in (one, other))
    found = [] if facts_one == facts_two else [f"checkpoint: {facts_one} against {facts_two}"]
    names = sorted(first.keys() | second.keys())
    return found + [f"weight {name}" for name in names if not equal(first.get(name), second.get(name))]


def equal(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    return one is not None and other is not None and torch.equal(one, other)


def sane(folder: SessionFolder) -> list[str]:
    """Damage, episodes that the journal enters twice, and what no simulated session may hold: nothing was wrong."""
    stores = [EpisodeStore(root) for root in (folder.demos, folder.episodes)]
    report = verify(stores, folder.journal)
    lines = Journal(folder.journal).lines
    entered = [line.fields["id"] for line in lines if line.op == "episode"]
    found = [] if report.ok else [json.dumps(report.to_json())]
    found += [
        f"{name} entered twice" for name in sorted({each for each in entered if entered.count(each) > 1})
    ]
    return found + [f"a line {line.op}: {line.fields}" for line in lines if line.op in ("fault", "cut_off")]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("session", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--chunks", type=int, default=600)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--cells", type=int, default=2)
    parser.add_argument("--slow", type=float, default=0.2, help="s that a commit waits in the mean")
    parser.add_argument(
        "--fork", action="store_true", help="fork engines instead of starting a new interpreter for each"
    )
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> int:
    given = arguments()
    given.out.mkdir(parents=True, exist_ok=True)
    for name in ("reference", "killed"):
        shutil.copytree(given.session, given.out / name)
    benches = [
        Bench(
            folder=SessionFolder.open(given.out / name),
            chunks=given.chunks,
            cells=given.cells,
            slow=slow,
            fork=given.fork,
        )
        for name, slow in (("reference", 0.0), ("killed", given.slow))
    ]
    reference, killed = (bench.folder for bench in benches)
    if given.fork:
        forking.load_everything()
    seconds = undisturbed(benches[0])
    written = len(Journal(reference.journal).lines) - len(Journal(killed.journal).lines)
    mean = 0.5 * written / given.kills
    tally, began, life = Tally(), time.monotonic(), 0
    while not benches[1].finished():
        one_life(benches[1], life, given.seed, mean, tally)
        life += 1
        print(f"{tally.total} kills, {time.monotonic() - began:.0f} s", file=sys.stderr)
    found = differences(reference, killed) + sane(killed)
    print(
        json.dumps(
            {
                "kills": dict(sorted(tally.kills.items())),
                "total": tally.total,
                "lives": tally.lives,
                "phases": tally.phases,
                "cells": given.cells,
                "episodes": len(EpisodeStore(killed.episodes).ids()),
                "lines": len(Journal(killed.journal).lines),
                "undisturbed_seconds": round(seconds, 1),
                "seconds": round(time.monotonic() - began, 1),
                "differences": found,
            },
            indent=1,
        )
    )
    return int(bool(found) or tally.total < given.kills)


if __name__ == "__main__":
    raise SystemExit(main())
