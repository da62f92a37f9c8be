"""Does an arm move, or an episode get a label, that nobody asked for? Random keys on two screens, an emulated xArm.

    python -m tests.benchmarks.random_keys --minutes 30 --out DIR

Two real UIs in tmux on one session (``run`` and ``attach``), with a client attached to each. About half of the presses
are those of a person who reads what the screen shows for longer than 0.8 s and answers it, so that episodes begin and
end; the others are any key at any time, in bursts too. UI and engine are suspended for up to eight seconds now and
then, and the controller reports errors. Beside it are logged: the emulator's true joints every 50 ms, each phase that
the engine tells of, what each screen shows, and each key with what its screen showed just before. Now and then one key
is pressed on a quiet screen, which has to tell of it.

What explains a motion and a label stands in `rules`. Prints a table and writes DIR/report.json and DIR/log.json; exit
code 1 when anything is unexplained or a key was not answered. ``--judge DIR`` looks at a log again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from datasets.journal.journal import Journal, Line
from datasets.journal.records import Record
from station.session.folder import SessionFolder
from tests.benchmarks.random_keys import rules
from tests.benchmarks.random_keys.log import Halt, Log, Press, Shot
from tests.benchmarks.random_keys.trial import Trial
from tests.emulators.xarm import XArmEmulator
from tests.hardware.arms.xarm_cell import cell_table, video
from tests.station.test_xarm_session import write_demonstration, write_task


def prepare(out: Path, emulator: XArmEmulator, goal: int) -> Path:
    """A small trained session on the emulated arm; `goal`: online episodes until it is finished."""
    import tomlkit

    task = write_task(out / "task.toml", cell_table(emulator, video(out / "film.avi")))
    table: Any = tomlkit.parse(task.read_text())
    table["session"].update(episode_steps=60, grace=2.0, evaluation_episodes=2, episodes=goal)
    task.write_text(tomlkit.dumps(table))
    for x in (-1.0, 0.0, 1.0):
        write_demonstration(out / "demos" / f"demo{x:+.0f}.h5", x)
    session = str(out / "session")
    steps = (["new", session, "--task", "task.toml"], ["import", session, "demos"], ["train", session])
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"}
    for words in steps:
        subprocess.run([sys.executable, "-m", "station", *words], cwd=out, env=environment, check=True)
    return out / "session"


def judge(log: Log, lines: Sequence[Line[Record]]) -> tuple[dict[str, object], bool]:
    """The figures, and whether everything is explained."""
    phases = rules.runs(log)
    moved = rules.motions(log, phases)
    labels, mislabelled = rules.judgements(lines, log)
    watched = [press for press in log.presses if press.watched]
    mute = [f"{p.key} at {p.at:.1f}: {p.shown!r}" for p in watched if p.answered is None]
    odd = [f"{m.begin:.1f} to {m.end:.1f}: {m.odd}" for m in moved if m.odd]
    causeless = rules.causeless(phases)
    episodes = [run for run in phases if run.phase in rules.EPISODES and not run.unseen]
    late = [run.begin - run.pressed for run in phases if run.pressed is not None]
    report: dict[str, object] = {
        "minutes": round((log.poses[-1][0] - log.poses[0][0]) / 60.0, 1),
        "presses": len(log.presses),
        "of these, a person's": sum(press.person for press in log.presses),
        "on a suspended UI": sum(press.held for press in log.presses),
        "on the second screen": sum(press.screen == 1 for press in log.presses),
        "by phase": dict(Counter(press.phase or "no engine" for press in log.presses).most_common()),
        "suspended": dict(Counter(halt.who for halt in log.halts)),
        "engines": len({run.pid for run in phases}),
        "episodes that began": sum("READY" in run.cause for run in episodes),
        "episodes that ended whole": sum(
            line.op == "episode" for line in lines if line.time >= log.wall + log.starts[0]
        ),
        "episodes that were cut off": sum(line.op == "cut_off" for line in lines),
        "motions": len(moved),
        "explained": dict(Counter(motion.why for motion in moved if not motion.odd).most_common()),
        "from a key to its phase, longest, s": round(max(late, default=0.0), 1),
        "unexplained motions": odd,
        "phases that nobody began": causeless,
        "judgements": labels,
        "judgements that nobody gave": mislabelled,
        "keys that the screen had to tell of": len(watched),
        "longest wait for that, s": round(max((p.answered or 0.0 for p in watched), default=0.0), 1),
        "keys that it did not tell of": mute,
    }
    return report, not (odd or causeless or mislabelled or mute)


def read_log(path: Path) -> Log:
    """A log that was written."""
    table = json.loads(path.read_text())
    return Log(
        presses=[Press(**each) for each in table["presses"]],
        poses=[(at, pose) for at, pose in table["poses"]],
        shots=[Shot(**each) for each in table["shots"]],
        halts=[Halt(**each) for each in table["halts"]],
        starts=table["starts"],
        wall=table["wall"],
    )


def run(out: Path, minutes: float, seed: int, goal: int) -> None:
    """Press keys; leaves the log and the session in `out`."""
    out.mkdir(parents=True)
    with XArmEmulator() as emulator:
        trial = Trial(prepare(out, emulator, goal), emulator, seed)
        try:
            trial.run(minutes)
        finally:
            trial.close()
            (out / "log.json").write_text(json.dumps(asdict(trial.log)))


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--goal", type=int, default=8, help="online episodes until the session is finished")
    parser.add_argument("--judge", type=Path, help="look at the log of this folder again")
    given = parser.parse_args()
    if (given.out is None) == (given.judge is None):
        parser.error("one of --out and --judge")
    out = (given.judge or given.out).absolute()
    if given.judge is None:
        run(out, given.minutes, given.seed, given.goal)
    lines = [*Journal(SessionFolder.open(out / "session").journal).lines]
    report, fine = judge(read_log(out / "log.json"), lines)
    (out / "report.json").write_text(json.dumps(report, indent=1))
    for name, value in report.items():
        print(f"{name:38} {value}")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
