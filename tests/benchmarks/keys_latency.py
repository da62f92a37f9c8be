"""How long does a key press take, while the learner updates and the cells move?

    python tests/benchmarks/keys_latency.py SESSION --presses 300

SESSION is prepared and is changed: its engine runs headless with the automatic operator, and a front end presses a key
(a note, which the engine must journal) at irregular moments. Two times are measured for each press: until the engine
has acknowledged that it holds the event, and until its effect is on the disk. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path

import numpy as np

from datasets.journal.journal import Journal
from datasets.journal.records import Noted
from datasets.randomness import stream
from station.session.core.events import Note
from station.session.engine.options import EngineOptions
from station.session.engine.spawn import spawn
from station.session.folder import SessionFolder
from station.session.link.client import Client

GOAL = 1_000_000
PAUSE = (0.05, 0.45)
"""s between two presses."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("session", type=Path)
    parser.add_argument("--presses", type=int, default=300)
    parser.add_argument("--threads", type=int, default=2, help="torch threads of the engine")
    parser.add_argument("--after-chunks", type=int, default=0, help="wait until so many chunks are there")
    given = parser.parse_args()
    folder = SessionFolder.open(given.session)
    options = EngineOptions(headless=True, autopilot=True, chunks=GOAL, threads=given.threads)
    engine = spawn(folder, options)
    try:
        client = Client.connect(folder.path, timeout=60.0)
        wait_for_chunks(client, given.after_chunks)
        told, pressed = press(client, given.presses)
        client.close()
    finally:
        engine.terminate()
        engine.wait()
    print(json.dumps({"threads": given.threads, **told, **effects(folder, pressed)}, indent=1))
    return 0


def wait_for_chunks(client: Client, chunks: int) -> None:
    while (snapshot := client.latest()) is None or snapshot.counts.chunks < chunks:
        client.wait(1.0)


def press(client: Client, presses: int) -> tuple[dict[str, object], dict[str, float]]:
    """Press and wait for the acknowledgement, one key after another; also the wall clock of each press."""
    rng = stream(0, "presses")
    phases: Counter[str] = Counter()
    pressed: dict[str, float] = {}
    acknowledged = []
    for index in range(presses):
        time.sleep(float(rng.uniform(*PAUSE)))
        snapshot = client.latest()
        phases[snapshot.phase.value if snapshot else "unknown"] += 1
        pressed[f"press {index}"] = time.time()
        began = time.monotonic()
        number = client.send(Note(text=f"press {index}"))
        while not (ack := [ack for ack in client.acks if ack.number == number]):
            client.wait(5.0)
        if ack[0].refused:
            raise SystemExit(f"A key was refused: {ack[0].refused}")
        acknowledged.append(time.monotonic() - began)
    told = {"presses": presses, "phases": dict(phases), "acknowledged": summary(acknowledged)}
    return told, pressed


def effects(folder: SessionFolder, pressed: dict[str, float]) -> dict[str, object]:
    """Wall clock from the press to the journal line that it caused."""
    notes = Journal(folder.journal).ledger().lines_of(Noted)
    lines = {line.record.text: line.time for line in notes}
    delays = [lines[text] - when for text, when in pressed.items() if text in lines]
    return {"on_disk": summary(delays), "lost": len(pressed) - len(delays)}


def summary(seconds: list[float]) -> dict[str, float]:
    """Milliseconds."""
    values = 1000 * np.asarray(seconds)
    return {
        "p50_ms": round(float(np.percentile(values, 50)), 1),
        "p95_ms": round(float(np.percentile(values, 95)), 1),
        "max_ms": round(float(values.max()), 1),
    }


if __name__ == "__main__":
    raise SystemExit(main())
