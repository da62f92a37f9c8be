"""``station doctor``."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from datasets.errors import ExitCode
from station import sessions
from station.commands.options import DeviceOption, JsonOption, complete_tasks
from station.compute import device_name
from station.plain import say, terminal, visible

if TYPE_CHECKING:
    from rich.console import Console

    from hardware.robot.examination import DeviceReport
    from station.jobs.doctor import MachineFinding
    from station.session.folder import SessionFolder

TaskArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[TASK]",
        help="Also connect and measure the devices of this task (a name or a .toml file) or session.",
        autocompletion=complete_tasks,
    ),
]
SecondsOption = Annotated[
    float, typer.Option("--seconds", min=0.5, max=600.0, help="Seconds to measure each device.")
]
HoldOption = Annotated[
    bool,
    typer.Option("--hold/--no-hold", help="Enable the arms and hold their pose while measuring."),
]
RecoverOption = Annotated[
    bool,
    typer.Option("--recover", help="Clear the arms' faults first; check that it is safe before you use it."),
]

_NAME_WIDTH = 35


def doctor(
    task: TaskArgument = None,
    *,
    seconds: SecondsOption = 3.0,
    hold: HoldOption = True,
    recover: RecoverOption = False,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check this machine and a task's devices: what is missing, how fast they are, what to change."""
    console = terminal()
    chosen = _load(task)
    findings = _machine(console, quiet=as_json)
    if chosen is not None:
        findings += _decision(console, chosen, _session(task), device_name(device), quiet=as_json)
    if not as_json:
        _limits(console, task)
    reports = _devices(console, chosen, seconds=seconds, hold=hold, recover=recover, quiet=as_json)
    if as_json:
        say(json.dumps(_plain(findings, reports)))
    from station.jobs.doctor import healthy

    if not healthy(findings) or not all(report.ready for report in reports or ()):
        raise typer.Exit(ExitCode.FAILED)


def _load(task: str | None) -> Any:
    """Load before any check, so that a wrong name fails at once."""
    from station.session.limits import in_force
    from station.tasks.config import load_task

    session = _session(task)
    if session is not None:
        return in_force(session)
    return None if task is None else load_task(task)


def _session(name: str | None) -> SessionFolder | None:
    """The session of this name; None if it names a task."""
    from station.session.folder import SessionFolder
    from station.tasks.shelf import list_tasks

    if name is None or name in list_tasks() or not (sessions.place(name) / sessions.HEADER_FILE).is_file():
        return None
    return SessionFolder.open(sessions.place(name))


def _limits(console: Console, name: str | None) -> None:
    """Whether a session's limits are those of its task file today."""
    from station.session.limits import remarks

    session = _session(name)
    for sentence in remarks(session) if session is not None else ():
        _print_remedy(console, sentence, "yellow")


def _machine(console: Console, *, quiet: bool) -> list[MachineFinding]:
    from station.jobs.doctor import examine

    findings = []
    for finding in examine(sessions.sessions_root()):
        findings.append(finding)
        if not quiet:
            _print_finding(console, finding)
    return findings


def _decision(
    console: Console, task: Any, session: SessionFolder | None, device: str, *, quiet: bool
) -> list[MachineFinding]:
    """How long the task's networks take for a decision here; that it is too slow is a note."""
    from station.jobs.decision import check_decision
    from station.jobs.doctor import MachineFinding

    if not quiet:
        console.print("      Measuring how long a decision takes ...", style="dim")
    finding = MachineFinding(check=check_decision(task, session, device=device), optional=True)
    if not quiet:
        _print_finding(console, finding)
    return [finding]


def _print_finding(console: Console, finding: MachineFinding) -> None:
    from rich.table import Table
    from rich.text import Text

    check = finding.check
    mark, style = ("ok", "green") if check.ok else ("note", "yellow") if finding.optional else ("FIX", "red")
    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_column(width=4, justify="right")
    row.add_column(width=_NAME_WIDTH)
    row.add_row(Text(mark, style), Text(visible(check.name), "bold"), check.detail)
    console.print(row)
    if not check.ok:
        _print_remedy(console, check.remedy, style)


def _print_remedy(console: Console, remedy: str, style: str) -> None:
    from rich.padding import Padding
    from rich.text import Text

    console.print(Padding(Text(visible(f"-> {remedy}"), style=style), (0, 0, 0, 6)))


def _devices(
    console: Console, task: Any, *, seconds: float, hold: bool, recover: bool, quiet: bool
) -> Sequence[DeviceReport] | None:
    if task is None:
        return None
    from rich.text import Text

    from station.jobs import cell_doctor

    if not quiet:
        held = "Arms whose limits are set are enabled and hold their pose: keep clear." if hold else ""
        own = f"{task.cell.kind} may enable its arms: keep clear."
        warning = {"simulated": "", "robot": held}.get(task.cell.kind, own)
        console.print("", f"Connecting the devices of {task.name} ... {warning}".rstrip(), sep="\n")
    # the table is complete: log lines of the controllers would repeat it
    os.environ.setdefault("STATION_LOG", "CRITICAL")
    reports = cell_doctor.examine_cell(task, seconds=seconds, hold=hold, recover=recover)
    if not quiet:
        console.print(*cell_doctor.tables(reports, console.width))
        for sentence in cell_doctor.remedies(reports):
            _print_remedy(console, sentence, "red")
        for sentence in cell_doctor.notes(reports):
            _print_remedy(console, sentence, "yellow")
        ready = all(report.ready for report in reports)
        console.print(
            Text("The cell is ready.", style="green")
            if ready
            else Text(
                f"The cell is NOT ready: fix the above, then check again.{_steps(task)}", style="bold red"
            )
        )
    return reports


def _steps(task: Any) -> str:
    """The guides with every step for this cell's arms; none for custom drivers."""
    from station.guides.pages import guides

    known = {guide.name for guide in guides()}
    named = sorted({arm.driver for arm in getattr(task.cell, "arms", ())} & known)
    return f" Every step: {', '.join(f'station guide {name}' for name in named)}." if named else ""


def _plain(findings: list[MachineFinding], reports: Sequence[DeviceReport] | None) -> Any:
    from hardware.robot.examination import as_plain

    machine = [{**asdict(finding.check), "optional": finding.optional} for finding in findings]
    if reports is None:
        return machine
    devices = [as_plain(report) for report in reports]
    return {
        "machine": machine,
        "devices": devices,
        "ready": all(report.ready for report in reports),
    }
