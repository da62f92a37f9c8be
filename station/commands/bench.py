"""``station bench``: measures, each one committed command that can be repeated and resumed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datasets.errors import StationError, UsageError
from datasets.own_files import open_own
from station.commands.options import CellsOption, DeviceOption, JsonOption, TaskOption, reporter
from station.compute import device_name
from station.interruption import interruptible
from station.plain import say, terminal
from station.tether import Tether

if TYPE_CHECKING:
    from station.benchmark.learns import Protocol

app = typer.Typer(
    help="Measure: does it learn, and how fast does this machine compute?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

_POLL = 0.5
"""s between checks of the running seeds."""

OutOption = Annotated[
    Path, typer.Option("--out", help="Folder of the benchmark; the same command resumes there.")
]
TargetOption = Annotated[int, typer.Option("--chunks", min=1, help="Online chunks per seed.")]
LayoutsOption = Annotated[int, typer.Option("--layouts", min=1, help="Paired test layouts.")]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="Torch threads per seed.")]


@app.command("learns")
def learns(
    *,
    out: OutOption,
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds, e.g. 0,1,2 or 0-4.")] = "0-4",
    task: TaskOption = "place-orange",
    chunks: TargetOption = 9000,
    layouts: LayoutsOption = 150,
    cells: CellsOption = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, max=64, help="Seeds in parallel.")] = 1,
    threads: ThreadsOption = 1,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train every seed from scratch and compare the steered policy with its base on held-out layouts."""
    from policy.devices import choose
    from station.benchmark import report
    from station.benchmark.learns import Protocol, pin, result_path

    interruptible()
    chosen = choose(device_name(device))
    say(f"Computing on {chosen.words}.", err=True)
    wanted = parse_seeds(seeds)
    protocol = Protocol(
        out=out,
        task=task,
        chunks=chunks,
        layouts=layouts,
        cells=cells,
        threads=threads,
        device=str(chosen.device),
    )
    pin(protocol)
    failed = _supervise(protocol, [seed for seed in wanted if not result_path(out, seed).exists()], jobs)
    done = [report.read(path) for seed in wanted if (path := result_path(out, seed)).exists()]
    if done:
        summary = report.build(done)
        report.write(out / "report.json", summary.to_json())
        if as_json:
            say(json.dumps(summary.to_json()))
        else:
            terminal().print(report.table(summary))
    if failed:
        logs = ", ".join(str(_log(protocol, seed)) for seed in failed)
        raise StationError(f"Seeds {', '.join(map(str, failed))} did not finish; see {logs}.")


@app.command("speed")
def speed(
    *,
    task: TaskOption = "place-orange",
    device: DeviceOption = None,
    threads: Annotated[
        int, typer.Option("--threads", min=1, help="Torch threads; an engine uses 1 unless told otherwise.")
    ] = 1,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.1, max=60.0, help="Spent on each figure.")
    ] = 2.0,
    as_json: JsonOption = False,
) -> None:
    """Measure decision, update, training, simulation and commit on this machine, each beside its limit.

    The limit of what networks compute is the rate of one large matrix product, measured in the same run with the same
    threads: a share of 75 % or more leaves little to gain. Uses networks and episodes in the task's sizes with made-up
    contents, in a temporary folder; no arm moves and no session changes.
    """
    from policy.devices import choose
    from station.benchmark import speed as measuring
    from station.tasks.config import load_task

    chosen = choose(device_name(device))
    with reporter(as_json=as_json) as report:
        found = measuring.measure(load_task(task), chosen, threads=threads, seconds=seconds, reporter=report)
        if as_json:
            report.event("done", **found.to_json())
    if not as_json:
        terminal().print(measuring.table(found))


@app.command("seed", hidden=True)
def one_seed(
    seed: int,
    *,
    out: OutOption,
    task: TaskOption,
    chunks: TargetOption,
    layouts: LayoutsOption,
    cells: CellsOption = None,
    threads: ThreadsOption = 1,
    device: DeviceOption = "cpu",
) -> None:
    """Run one seed of `learns`, as its supervisor starts it."""
    from station.benchmark.learns import Protocol, run_seed

    protocol = Protocol(
        out=out,
        task=task,
        chunks=chunks,
        layouts=layouts,
        cells=cells,
        threads=threads,
        device=device or "cpu",
    )
    with reporter(as_json=True) as report:
        run_seed(protocol, seed, report)


def parse_seeds(text: str) -> list[int]:
    """``0,2,5-7`` -> [0, 2, 5, 6, 7].

    Raises:
        UsageError: not a list of seeds.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdigit() or (last and not last.isdigit()):
            raise UsageError(f"'{text}' is not a list of seeds. Write, for instance, 0,1,2 or 0-4.")
        seeds.extend(range(int(first), int(last or first) + 1))
    return list(dict.fromkeys(seeds))


def _supervise(protocol: Protocol, seeds: Sequence[int], jobs: int) -> list[int]:
    """Run the seeds, `jobs` at a time, each in its own process; returns those that failed."""
    waiting, failed = list(seeds), list[int]()
    running: dict[int, subprocess.Popen[bytes]] = {}
    with Tether() as tether:
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    seed = waiting.pop(0)
                    running[seed] = _start(protocol, seed, tether)
                    say(f"seed {seed} started; log: {_log(protocol, seed)}", err=True)
                time.sleep(_POLL)
                for seed in [seed for seed, child in running.items() if child.poll() is not None]:
                    if running.pop(seed).returncode:
                        failed.append(seed)
        finally:
            for child in running.values():
                child.terminate()
            for child in running.values():
                child.wait()
    return failed


def _start(protocol: Protocol, seed: int, tether: Tether) -> subprocess.Popen[bytes]:
    """Start in its own process group: an interruption reaches it once, through the supervisor or its tether."""
    options = {
        "--out": protocol.out,
        "--task": protocol.task,
        "--chunks": protocol.chunks,
        "--layouts": protocol.layouts,
        "--cells": protocol.cells,
        "--threads": protocol.threads,
        "--device": protocol.device,
    }
    words = [part for name, value in options.items() if value is not None for part in (name, str(value))]
    command = [sys.executable, "-m", "station", "bench", "seed", str(seed), *words]
    environment = {**os.environ, "OMP_NUM_THREADS": str(protocol.threads), **tether.environment}
    with open_own(_log(protocol, seed), "ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            pass_fds=tether.inherited,
            start_new_session=True,
        )


def _log(protocol: Protocol, seed: int) -> Path:
    return protocol.out / f"seed-{seed:03d}.log"
