"""Does it lose anything? Ends command, engine, both and screens at aimed instants, and compares the session bit by bit.

    python tests/benchmarks/kill_test.py SESSION --out DIR --chunks 60 --kills 300 --cells 1 2 3 --slow 0 0.2 --fork

SESSION is prepared (``station demo --prepare --task place-orange-tiny``) and is only copied. For each number of cells
one copy runs to its goal undisturbed; for each number of cells and each slowness of commits another is ended again and
again until it is there, by SIGKILL, SIGTERM, SIGINT and SIGHUP, in every phase, also while it is leaving. Screens in a
terminal of their own are attached, killed and attached again meanwhile. Then every episode, label and weight of the two
is compared, both folders are verified, no fault and nothing cut off may be in the journal, no traceback in a log, and
every process must have left the exit code that its end deserves. With --fork most starts are forks of a process that
has loaded everything; --real is the share of those that start a new interpreter all the same.
Prints one JSON object; exit code 1 when anything differs, or fewer kills were made than asked for (those of screens
are counted beside them).
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from datasets.journal.journal import Journal
from datasets.lock import holder
from datasets.randomness import stream
from station.interruption import exit_code
from station.session.folder import SessionFolder
from station.session.link.client import running_pid
from tests.benchmarks import forking
from tests.benchmarks.kill_bench import PATIENCE, Bench, Life, Screen, send
from tests.benchmarks.phase_board import COMMIT, LEAVING, STARTING
from tests.benchmarks.session_differences import differences, wrong

T = TypeVar("T")

VICTIMS = {"engine": 0.4, "command": 0.3, "both": 0.3}
"""Whom a signal is sent to, how often. A command's engine has to end by itself."""
SIGNALS = {signal.SIGKILL: 0.45, signal.SIGTERM: 0.25, signal.SIGINT: 0.15, signal.SIGHUP: 0.15}
AIMS = {
    STARTING: 0.12,
    "rollout": 0.2,
    COMMIT: 0.2,
    "update": 0.14,
    "checkpoint": 0.1,
    "homing": 0.06,
    "evaluate": 0.03,
    LEAVING: 0.15,
}
"""What the engine is doing when the signal falls, how often. LEAVING: it was asked politely, and is killed then."""
SCREENED = 0.2
"""Share of the lives in which screens are attached, killed and attached again."""
AIMING = 2.0
"""s that an aim is waited for; then the signal falls wherever it falls."""
SPREAD = 0.06
"""s within which a signal falls after its aim has come up."""


@dataclass
class Tally:
    """What was done."""

    kills: Counter[str] = field(default_factory=Counter)
    """By kind of fact and fact."""
    total: int = 0
    screens: int = 0
    lives: int = 0
    seconds: float = 0.0
    unexpected: list[str] = field(default_factory=list)
    """Exit codes and survivals that nobody expects."""

    def count(self, bench: Bench, life: Life, victim: str, number: signal.Signals) -> None:
        self.total += 1
        start = "forked" if life.forked else "real start"
        facts = {
            "victim": victim,
            "signal": number.name,
            "phase": bench.board.read(),
            "commits": "slow" if bench.slow else "as they come",
            "cells": str(bench.cells),
            "start": start,
            "screen": "attached" if life.screen is not None else "none",
            "": f"{victim} {number.name}",
        }
        for kind, fact in facts.items():
            self.kills[f"{kind} {fact}".strip()] += 1

    def count_screen(self, number: signal.Signals | None) -> None:
        self.screens += 1
        self.kills[f"screen {number.name if number else 'terminal closed'}"] += 1

    def expect(self, what: str, code: int | None, allowed: Sequence[int]) -> None:
        if code not in allowed:
            self.unexpected.append(f"{what}: exit code {code}, not {' or '.join(map(str, allowed))}")


def pick(rng: np.random.Generator, odds: dict[T, float]) -> T:
    names = list(odds)
    weights = np.array(list(odds.values()))
    return names[int(rng.choice(len(names), p=weights / weights.sum()))]


def codes(number: int) -> tuple[int, int]:
    """What a process leaves that a signal asked to end, politely or before it could listen."""
    return (-number, -number) if number == signal.SIGKILL else (exit_code(number), -number)


def one_life(bench: Bench, ordinal: int, seed: int, mean: float, tally: Tally) -> None:
    """Start a command and end it, its engine or both after `mean` journal lines or so, unless it is done first."""
    rng = stream(seed, f"kill {bench.folder.path.name}", ordinal)
    tally.lives += 1
    victim, number, aim = pick(rng, VICTIMS), pick(rng, SIGNALS), pick(rng, AIMS)
    life = bench.start(real=rng.random() < bench.real)
    if aim == STARTING:
        time.sleep(float(rng.uniform(0.0, 1.5 if life.forked else 4.0)))
        strike(bench, life, running_pid(bench.folder), victim, number, tally)
        return
    engine = bench.ready(life)
    if rng.random() < SCREENED:
        haunt(bench, life, rng, tally)
    lines = int(rng.uniform(0.0, 2.0 * mean + 1.0))
    if bench.lived(life, lines):
        if aim == LEAVING:
            ask_to_leave(bench, life, engine, rng)
            number = signal.SIGKILL
        else:
            await_aim(bench, life, aim)
            time.sleep(float(rng.uniform(0.0, SPREAD)))
        strike(bench, life, engine, victim, number, tally, polite=aim == LEAVING)
    over(bench, life)


def haunt(bench: Bench, life: Life, rng: np.random.Generator, tally: Tally) -> None:
    """Attach a screen, kill it while the engine works, attach another; the last one stays."""
    for _ in range(int(rng.integers(1, 3))):
        life.screen = Screen.attach(bench.folder, fork=life.forked)
        if not bench.lived(life, 2) or not life.screen.drawn(life.command):
            return
        time.sleep(float(rng.uniform(0.0, 0.3)))
        number = None if rng.random() < 0.2 else pick(rng, SIGNALS)
        tally.count_screen(number)
        code = life.screen.end(number)
        allowed = codes(number) if number else (0, *codes(signal.SIGHUP))
        tally.expect(f"screen, {number.name if number else 'terminal closed'}", code, allowed)
        life.screen = None
        if life.command.poll() is not None and not bench.finished():
            tally.unexpected.append("A command ended because a screen did.")
    life.screen = Screen.attach(bench.folder, fork=life.forked)


def ask_to_leave(bench: Bench, life: Life, engine: int | None, rng: np.random.Generator) -> None:
    polite = signal.Signals(int(rng.choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP])))
    await_aim(bench, life, COMMIT)
    life.asked = polite
    if engine is not None and rng.random() < 0.5:
        send(engine, polite)
    else:
        life.command.send_signal(polite)
    await_aim(bench, life, LEAVING, 0.4)
    time.sleep(float(rng.uniform(0.0, SPREAD)))


def await_aim(bench: Bench, life: Life, aim: str, patience: float = AIMING) -> None:
    end = time.monotonic() + patience
    while bench.board.read() != aim and time.monotonic() < end and life.command.poll() is None:
        time.sleep(0.0005)


def strike(
    bench: Bench,
    life: Life,
    engine: int | None,
    victim: str,
    number: signal.Signals,
    tally: Tally,
    *,
    polite: bool = False,
) -> None:
    """Send the signal, and wait until nobody holds the session any more. `polite`: it was asked to leave before."""
    if life.command.poll() is not None:
        if polite:
            tally.count(bench, life, "asked only", life.asked or signal.SIGTERM)
        over(bench, life)
        return
    tally.count(bench, life, victim, number)
    hit_command = victim != "engine" or engine is None
    if victim != "command" and engine is not None:
        send(engine, number)
    if hit_command:
        life.command.send_signal(number)
    over(bench, life)
    allowed: set[int] = (
        {*codes(number)} if hit_command else {1} if number == signal.SIGKILL else {*codes(number)}
    )
    if life.asked is not None:
        allowed |= {1, *codes(life.asked)}
    if victim == "both":
        # the engine's end may be told before the command's own signal is delivered
        allowed |= {1} if number == signal.SIGKILL else set()
    if bench.finished():
        allowed.add(0)
    tally.expect(f"{victim}, {number.name}", life.command.poll(), sorted(allowed))


def over(bench: Bench, life: Life) -> None:
    life.command.wait(PATIENCE)
    end = time.monotonic() + PATIENCE
    while holder(bench.folder.lock) is not None:
        if time.monotonic() > end:
            raise SystemExit("An engine has outlived its command.")
        time.sleep(0.01)
    if life.screen is not None:
        life.screen.end(signal.SIGKILL)
        life.screen = None


def undisturbed(bench: Bench) -> float:
    """Run to the goal; returns the seconds after the engine was ready."""
    life = bench.start(real=False)
    bench.ready(life)
    began = time.monotonic()
    if life.command.wait() != 0 or not bench.finished():
        raise SystemExit(f"The undisturbed run failed; read {bench.folder.log}.")
    return time.monotonic() - began


def campaign(bench: Bench, reference: SessionFolder, kills: int, seed: int, tally: Tally) -> list[str]:
    """Kill a session so many times on its way to the goal; returns what is not as in the undisturbed one."""
    before, began, ordinal = tally.total, time.monotonic(), 0
    goal = Journal(reference.journal).last_seq
    while not bench.finished():
        left = kills - (tally.total - before)
        lines = goal - Journal(bench.folder.journal).last_seq
        if left <= 0:
            over(bench, bench.start(real=False))
            continue
        one_life(bench, ordinal, seed, max(0.0, 0.35 * lines / left - 0.5), tally)
        ordinal += 1
        print(f"{tally.total} kills, {tally.screens} of screens; {bench}", file=sys.stderr, flush=True)
    tally.seconds += time.monotonic() - began
    return [f"{bench}: {each}" for each in differences(reference, bench.folder) + wrong(bench.folder)]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("session", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--chunks", type=int, default=60, help="goal of each session")
    parser.add_argument("--kills", type=int, default=300, help="of commands and engines, over all sessions")
    parser.add_argument("--cells", type=int, nargs="+", default=[2])
    parser.add_argument(
        "--slow", type=float, nargs="+", default=[0.0, 0.2], help="s that a commit waits in the mean"
    )
    parser.add_argument(
        "--fork", action="store_true", help="fork instead of starting a new interpreter each time"
    )
    parser.add_argument("--real", type=float, default=0.1, help="share of real starts under --fork")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> int:
    given = arguments()
    given.out.mkdir(parents=True, exist_ok=True)
    real = given.real if given.fork else 1.0
    if given.fork:
        forking.load_everything()
    tally, found, seconds = Tally(), [], {}
    kills = -(-given.kills // (len(given.cells) * len(given.slow)))
    for cells in given.cells:
        common: dict[str, Any] = {"chunks": given.chunks, "cells": cells}
        reference = Bench.copy(given.session, given.out / f"reference-{cells}", **common, slow=0.0, real=real)
        seconds[cells] = round(undisturbed(reference), 1)
        for slow in given.slow:
            killed = Bench.copy(
                given.session, given.out / f"killed-{cells}-{slow:g}", **common, slow=slow, real=real
            )
            found += campaign(killed, reference.folder, kills, given.seed, tally)
    found += tally.unexpected
    report = {
        "kills": dict(sorted(tally.kills.items())),
        "total": tally.total,
        "of_screens": tally.screens,
        "lives": tally.lives,
        "undisturbed_seconds": seconds,
        "seconds": round(tally.seconds, 1),
        "differences": found,
    }
    print(json.dumps(report, indent=1))
    return int(bool(found) or tally.total < given.kills)


if __name__ == "__main__":
    raise SystemExit(main())
