"""Does it lose anything? SIGKILLs engine, UI or both at random instants and compares the finished session bit by bit.

    python tests/benchmarks/kill_test.py SESSION --out DIR --chunks 600 --kills 100

SESSION is prepared (``station demo --prepare``) and is only copied. One copy runs to its goal undisturbed; another is
killed again and again until it is there. Then every episode, label and weight of the two is compared, and both folders
are verified. Prints one JSON object; exit code 1 when anything differs or fewer kills were made than asked for.
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
from datasets.randomness import stream
from datasets.store import EpisodeStore
from datasets.verify import verify
from station.headless import Goal, engine_arguments
from station.session.checkpoint import NEWEST, Checkpoints
from station.session.client import running_pid
from station.session.folder import SessionFolder

VICTIMS = ("engine", "engine", "both", "ui")
"""Equally likely; a UI alone leaves the engine running."""
EARLY = 0.15
"""Share of engines that are killed before they are ready."""
JITTER = 0.15
"""s within which a kill falls after the journal line that it waited for; longer than a round of a tiny session."""
STARTUP = 60.0
ARRAYS = (
    "proprioception",
    "observation_time",
    "action",
    "sent",
    "command_time",
    "chunk_start",
    "chunk_length",
)


@dataclass
class Tally:
    """What was done to the session."""

    kills: dict[str, int] = field(default_factory=lambda: {"engine": 0, "ui": 0, "both": 0})
    phases: dict[str, int] = field(default_factory=dict)
    """Phase that the journal showed last when an engine was killed."""
    engines: int = 0

    @property
    def total(self) -> int:
        return sum(self.kills.values())


def start_engine(path: Path, chunks: int) -> subprocess.Popen[bytes]:
    words = engine_arguments(headless=True, autopilot=True, goal=Goal(chunks=chunks))
    return subprocess.Popen(
        [sys.executable, "-m", "station.session.engine", str(path), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(path / "engine.log").open("ab"),
    )


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


def ready(folder: SessionFolder, engine: subprocess.Popen[bytes]) -> bool:
    """Wait until the engine listens; False when it ended before."""
    end = time.monotonic() + STARTUP
    while time.monotonic() < end and engine.poll() is None:
        if running_pid(folder) == engine.pid:
            return True
        time.sleep(0.02)
    return False


def kill(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        process.send_signal(signal.SIGKILL)
        process.wait()


def one_life(folder: SessionFolder, chunks: int, life: int, seed: int, mean: float, tally: Tally) -> bool:
    """Start an engine and kill it, or its UI, or both, after `mean` journal lines or so; whether it was done first."""
    rng = stream(seed, "kill", life)
    engine = start_engine(folder.path, chunks)
    tally.engines += 1
    if rng.random() < EARLY:
        time.sleep(float(rng.uniform(0.0, 2.0)))
        return struck(folder, engine, None, "engine", tally)
    if not ready(folder, engine):
        return finished(engine)
    while True:
        victim = VICTIMS[int(rng.integers(len(VICTIMS)))]
        ui = start_ui(folder.path) if victim != "engine" else None
        if not lived(folder, engine, int(rng.uniform(0.0, 2.0 * mean)), float(rng.uniform(0.0, JITTER))):
            kill(ui)
            return finished(engine)
        if victim != "ui":
            return struck(folder, engine, ui, victim, tally)
        kill(ui)
        tally.kills["ui"] += 1


def lived(folder: SessionFolder, engine: subprocess.Popen[bytes], lines: int, more: float) -> bool:
    """Let the engine write so many journal lines, and live a little longer; False when it ended before."""
    journal = Journal(folder.journal)
    goal = journal.last_seq + lines
    while journal.last_seq < goal and engine.poll() is None:
        time.sleep(0.01)
        journal.refresh()
    time.sleep(more)
    return engine.poll() is None


def struck(
    folder: SessionFolder,
    engine: subprocess.Popen[bytes],
    ui: subprocess.Popen[bytes] | None,
    victim: str,
    tally: Tally,
) -> bool:
    if engine.poll() is not None:
        kill(ui)
        return finished(engine)
    engine.send_signal(signal.SIGKILL)
    kill(ui)
    engine.wait()
    tally.kills[victim] += 1
    lines = Journal(folder.journal).ledger().lines.get("phase", [])
    phase = str(lines[-1].fields["phase"]) if lines else "none"
    tally.phases[phase] = tally.phases.get(phase, 0) + 1
    return False


def finished(engine: subprocess.Popen[bytes]) -> bool:
    if engine.wait() != 0:
        raise SystemExit(f"An engine ended by itself with code {engine.returncode}; read its engine.log.")
    return True


def undisturbed(folder: SessionFolder, chunks: int) -> float:
    """Run to the goal; returns the seconds after the engine was ready."""
    engine = start_engine(folder.path, chunks)
    ready(folder, engine)
    began = time.monotonic()
    finished(engine)
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
    """Damage, and episodes that the journal enters twice."""
    stores = [EpisodeStore(root) for root in (folder.demos, folder.episodes)]
    report = verify(stores, folder.journal)
    entered = [line.fields["id"] for line in Journal(folder.journal).lines if line.op == "episode"]
    twice = sorted({name for name in entered if entered.count(name) > 1})
    return ([] if report.ok else [json.dumps(report.to_json())]) + [f"{name} entered twice" for name in twice]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("session", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--chunks", type=int, default=600)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for name in ("reference", "killed"):
        shutil.copytree(given.session, given.out / name)
    reference, killed = (SessionFolder.open(given.out / name) for name in ("reference", "killed"))
    seconds = undisturbed(reference, given.chunks)
    written = len(Journal(reference.journal).lines) - len(Journal(killed.journal).lines)
    mean = 0.5 * written / given.kills
    tally, began, life = Tally(), time.monotonic(), 0
    while not one_life(killed, given.chunks, life, given.seed, mean, tally):
        life += 1
        print(f"{tally.total} kills, {time.monotonic() - began:.0f} s", file=sys.stderr)
    found = differences(reference, killed) + sane(killed)
    print(
        json.dumps(
            {
                "kills": tally.kills,
                "total": tally.total,
                "engines": tally.engines,
                "phases": tally.phases,
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
