"""Our gradient steps and our loader beside those of other projects, taking turns in one run on the same cores.

    python -m tests.benchmarks.peers [--critics 2 5 10] [--threads 1] [--json FILE] [--venv DIR] [--without-loader]

sbx-rl and Stable-Baselines3 are installed, in the versions below, into an environment of their own: DIR, or a folder in
your cache; it needs the network once and a few minutes. It sees this environment's torch and numpy behind its own
packages, so both sides compute with the same. LeRobot's loader has an environment for its readers (see
tests/datasets/exporters/readers/environments.py). Rates are the best of the turns; on a busy machine believe those per
second of processor. Not equal: Stable-Baselines3 steps its actor every time, the others every second time; sbx-rl and
Stable-Baselines3 evaluate all target critics, ours two.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import venv
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from datasets.exporters import exporter
from datasets.exporters.source import gather
from datasets.journal.journal import Journal
from datasets.windows import TrainingWindows
from station.benchmark.speed import processor
from tests.benchmarks import loader
from tests.datasets.exporters.readers import environments

REQUIRED = (
    "jax==0.10.2",
    "flax==0.12.8",
    "optax==0.2.8",
    "tfp-nightly==0.26.0.dev20261027",
    "gymnasium==1.4.0",
    "cloudpickle==3.1.3",
)
ALONE = ("sbx-rl==0.28.0", "stable-baselines3==2.9.2")
"""Installed without torch, which is there."""
PEERS = ("ours", "sbx", "sb3")
ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("peer_update.py")


@dataclass(kw_only=True)
class Rate:
    """One learner or loader, in its own unit a second."""

    who: str
    what: str
    versions: str
    wall: float
    processor: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "station-peers"
    parser.add_argument("--venv", type=Path, default=cache)
    parser.add_argument("--critics", type=int, nargs="+", default=[2, 5, 10])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each turn")
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    parser.add_argument("--without-loader", action="store_true")
    options = parser.parse_args()
    python = environment(options.venv)
    print(f"{processor()}, {options.threads} of {os.cpu_count()} cores, ", end="")
    print(f"torch {torch.__version__}, load {os.getloadavg()[0]:.1f}\n")
    print(f"{'':<42} {'a second':>10} {'a CPU second':>14}")
    rates: list[Rate] = []
    for n in options.critics:
        rates += shown(updates(python, n, options))
    if not options.without_loader:
        rates += shown(loading(options.seconds))
    if options.json:
        facts = {"machine": processor(), "threads": options.threads, "load": os.getloadavg()}
        found = {**facts, "rates": [asdict(rate) for rate in rates]}
        options.json.write_text(json.dumps(found, indent=1) + "\n")


def shown(rates: list[Rate]) -> list[Rate]:
    """Printed."""
    for rate in rates:
        print(f"{rate.what:<26} {rate.who:<15} {rate.wall:>10.1f} {rate.processor:>14.1f}   {rate.versions}")
    print(flush=True)
    return rates


def environment(folder: Path) -> Path:
    """The interpreter of the peers' environment; builds it when it is not there."""
    python, complete = folder / "bin" / "python", folder / "complete"
    recipe = repr((REQUIRED, ALONE, sysconfig.get_paths()["purelib"]))
    if complete.exists() and complete.read_text() == recipe:
        return python
    print(f"Installing {', '.join(ALONE)} into {folder} ...", flush=True)
    venv.create(folder, with_pip=True, symlinks=True, clear=True)
    # behind its own packages, those that this torch is among
    behind = Path(torch.__file__).parents[1]
    (next(folder.glob("lib/python*/site-packages")) / "behind.pth").write_text(f"{behind}\n")
    for arguments in (REQUIRED, ("--no-deps", *ALONE)):
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
        if subprocess.run(pip, check=False).returncode:
            raise SystemExit(f"pip could not install {' '.join(arguments)}; its reason is above.")
    complete.write_text(recipe)
    return python


def updates(python: Path, n: int, options: argparse.Namespace) -> list[Rate]:
    """All learners with N critics, in turn; while one steps, the others wait for their line."""
    learners = {who: _learner(python, who, n, options.threads) for who in PEERS}
    try:
        versions = {who: json.loads(_line(learner)) for who, learner in learners.items()}
        best = dict.fromkeys(PEERS, (0.0, 0.0))
        for _ in range(options.turns):
            for who, learner in learners.items():
                count, wall, processor = _turn(learner, options.seconds)
                best[who] = max(best[who][0], count / wall), max(best[who][1], count / processor)
    finally:
        for learner in learners.values():
            learner.kill()
            learner.wait()
    what = f"updates, N = {n}"
    return [
        Rate(who=who, what=what, versions=versions[who], wall=wall, processor=processor)
        for who, (wall, processor) in best.items()
    ]


def _learner(python: Path, who: str, n: int, threads: int) -> subprocess.Popen[str]:
    command = [sys.executable if who == "ours" else str(python), str(SCRIPT), who, str(n), str(threads)]
    extra = {"OMP_NUM_THREADS": str(threads), "JAX_PLATFORMS": "cpu"}
    # our folder `datasets` bears the name of a package that theirs must not meet
    path = {"PYTHONPATH": str(ROOT)} if who == "ours" else {}
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**kept, **extra, **path}
    )


def _line(learner: subprocess.Popen[str]) -> str:
    assert learner.stdout is not None
    line = learner.stdout.readline()
    if not line:
        raise SystemExit(f"{' '.join(map(str, learner.args))} ended; its reason is above.")  # type: ignore[arg-type]
    return line


def _turn(learner: subprocess.Popen[str], seconds: float) -> tuple[float, float, float]:
    assert learner.stdin is not None
    learner.stdin.write(f"{seconds}\n")
    learner.stdin.flush()
    count, wall, processor = json.loads(_line(learner))
    return count, wall, processor


def loading(seconds: float) -> list[Rate]:
    """Windows a second, without workers, of ours and LeRobot's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = loader.make_store(folder, 6, 150, 96)
        source = gather([store], Journal(folder / "journal.jsonl").ledger(), session="benchmark")
        exporter("lerobot").export(source, folder / "lerobot")
        windows = TrainingWindows.from_store(store, store.ids(), loader.N_OBS, loader.HORIZON)
        wall, processor = loader.rates(loader.ours(windows), seconds)
        rates = [_loader("ours", wall, processor, "uint8, in memory")]
        numbers = (seconds, 0, loader.N_OBS, loader.HORIZON, loader.BATCH)
        try:
            done = environments.run(
                environments.LEROBOT_LOADER, str(folder / "lerobot"), *(str(number) for number in numbers)
            )
        except BaseException as error:  # pytest's outcome for an environment that cannot be built
            if type(error).__name__ != "Skipped":
                raise
            print(f"LeRobot's loader was not measured: {error}")
            return rates
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            reason = next(
                (line for line in lines if re.match(r"\w+Error: ", line)), "it ended without a word"
            )
            print(f"LeRobot's loader was not measured: {reason}")
            return rates
        figures: Any = json.loads(done.stdout.splitlines()[-1])
        version = next(each for each in environments.LEROBOT_LOADER.alone if each.startswith("lerobot"))
        wall, processor = figures
        return [*rates, _loader("lerobot", wall, processor, f"{version}, float32, from video")]


def _loader(who: str, wall: float, processor: float, versions: str) -> Rate:
    return Rate(who=who, what="windows, no workers", versions=versions, wall=wall, processor=processor)


if __name__ == "__main__":
    main()
