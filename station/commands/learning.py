"""``station train`` and ``station eval``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from datasets.errors import StationError
from station import sessions
from station.commands.options import CellsOption, DeviceOption, JsonOption, SessionArgument, reporter
from station.compute import device_name
from station.interruption import exit_code, signal_of
from station.plain import say
from station.reporting import Reporter, SilentReporter

if TYPE_CHECKING:
    from datasets.journal.journal import Ledger
    from station.session.folder import SessionFolder


def train(
    session: SessionArgument,
    *,
    unlabelled: Annotated[
        bool | None,
        typer.Option(
            "--unlabelled/--successes-only",
            help="Also train on demonstrations without a verdict, or not; remembered for this session.",
        ),
    ] = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the base on the session's demonstrations and evaluate it. Resumes after an interruption.

    On N GPUs: torchrun --nproc-per-node N -m station train SESSION
    """
    from policy.processes import joined
    from station.jobs import training
    from station.session.folder import SessionFolder

    folder, on = SessionFolder.open(sessions.find(session)), device_name(device)
    with joined() as processes:
        if not processes.leads:
            try:
                training.assist(folder, processes, device=on)
            except KeyboardInterrupt as error:  # the first process says so
                raise typer.Exit(exit_code(signal_of(error))) from None
            return
        with reporter(as_json=as_json) as report:
            result = training.train(
                folder, reporter=report, device=on, unlabelled=unlabelled, processes=processes
            )
            report.event("done", base_hash=result.base_hash, report=str(folder.base / "report.json"))


def evaluate(
    session: SessionArgument,
    *,
    episodes: Annotated[
        int | None, typer.Option("--episodes", min=1, help="Number of episodes; default: the task's.")
    ] = None,
    cells: CellsOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run one evaluation block of the newest policy, without exploration; stored, but never learnt from."""
    from datasets.journal.journal import Journal
    from station.jobs.remote import engine, wait_for
    from station.session.core.events import EvaluateNow, EventSource
    from station.session.folder import SessionFolder

    folder = SessionFolder.open(sessions.find(session))
    ledger = Journal(folder.journal).ledger()
    before, withdrawn = _blocks(ledger), _withdrawn(ledger)
    with engine(folder) as client:
        if client is None:
            wanted = episodes or folder.task.session.evaluation_episodes
            with SilentReporter() if as_json else reporter(as_json=False) as report:
                _run_block(folder, wanted, cells, device_name(device), report)
        else:
            number = client.send(EvaluateNow(episodes=episodes, source=EventSource.COMMAND))
            say("The running session evaluates next; its operator resets and labels.", err=True)
            wait_for(
                client,
                folder,
                lambda ledger: _blocks(ledger) > before or _withdrawn(ledger) > withdrawn,
                number=number,
                patience=None,
            )
    point = _newest_point(folder, before, withdrawn)
    if as_json:
        say(json.dumps(point))
    else:
        low, high = point["interval"]
        say(
            f"{point['successes']}/{point['n']} succeed [{low:.2f}, {high:.2f}] at {point['env_steps']} steps."
        )
    if point["ended_early"]:
        raise StationError(
            f"The evaluation was ended early, after {point['n']} of {point['wanted']} episodes. They are kept; "
            "run 'station eval' again for a complete block."
        )


def _blocks(ledger: Ledger) -> int:
    """Evaluation blocks that are complete."""
    from datasets.journal.records import EvaluationEnded

    return len(ledger.lines_of(EvaluationEnded))


def _withdrawn(ledger: Ledger) -> int:
    """How often a block that was asked for was withdrawn."""
    from datasets.journal.records import EvaluationWithdrawn

    return len(ledger.lines_of(EvaluationWithdrawn))


def _run_block(folder: SessionFolder, wanted: int, cells: int | None, device: str, report: Reporter) -> None:
    """With an engine of its own, which ends when the block is complete."""
    from station.jobs import headless
    from station.session.engine.options import EngineOptions

    options = EngineOptions.checked(
        headless=True, autopilot=True, cells=cells, evaluate=wanted, device=device
    )
    headless.run(folder, options, reporter=report)


def _newest_point(folder: SessionFolder, before: int, withdrawn: int) -> dict[str, Any]:
    from datasets.journal.journal import Journal
    from station.session import status

    points: list[dict[str, Any]] = status.to_json(status.count(folder), "")["eval"]
    if len(points) <= before and _withdrawn(Journal(folder.journal).ledger()) > withdrawn:
        raise StationError("The evaluation was withdrawn on the session's screen; no episode of it was run.")
    if len(points) <= before:
        raise StationError(f"The evaluation did not finish; run it again. The engine's log is {folder.log}.")
    return points[-1]
