"""Checks the devices of a task's cell before a session: which ones answer, how fast, within which limits.

Refuses to touch devices that a running session uses. `hardware.robot.examination` defines the measurements;
`station.jobs.doctor` checks the machine itself.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from datasets.errors import ExitCode, StationError
from hardware.cell import Check
from hardware.latch import StopLatch
from hardware.robot.devices import DeviceInUseError
from hardware.robot.examination import DeviceReport, examine
from hardware.robot.settings import RobotCellSettings
from hardware.simulation.settings import SimulationSettings
from station.jobs import custom_cell

if TYPE_CHECKING:
    from rich.table import Table

    from station.tasks.config import Task

_WIDE = 110
"""Columns needed to show a device's numbers and identity side by side."""
_RECOVER = (
    "Faults stay until they are cleared: check that it is safe, then run this again with --recover. In a session, "
    "continuing clears them."
)
_STEPS = 20
"""Control periods that a simulated cell is timed for."""


def examine_cell(
    task: Task, *, seconds: float = 3.0, hold: bool = True, recover: bool = False
) -> Sequence[DeviceReport]:
    """One report per device of this task's cell.

    With `hold`, arms hold their pose meanwhile; with `recover`, their faults are cleared first.

    Raises:
        StationError: a session is using one of these devices now.
    """
    if isinstance(task.cell, SimulationSettings):
        return [_simulated(task.cell)]
    with tempfile.TemporaryDirectory(prefix="station-doctor-") as folder:
        latch = Path(folder) / "stop.latch"
        try:
            if isinstance(task.cell, RobotCellSettings):
                return examine(task.cell, latch, seconds=seconds, hold=hold, recover=recover)
            return custom_cell.examine(task.cell, StopLatch(latch), seconds=seconds, recover=recover)
        except DeviceInUseError as error:
            raise StationError(str(error), exit_code=ExitCode.LOCKED) from error


def _simulated(settings: SimulationSettings) -> DeviceReport:
    """How many control periods the embedded cell manages per second."""
    from hardware.cell import ClockSpeed
    from hardware.simulation.cell import SimulatedCell

    cell = SimulatedCell(settings, None, ClockSpeed.VIRTUAL)
    cell.connect()
    cell.begin_homing()
    began, steps = time.monotonic(), 0
    while steps < _STEPS:
        if cell.advance_homing():
            cell.begin_homing()
        cell.observe()
        steps += 1
    rate = steps / (time.monotonic() - began)
    cell.close()
    slow = Check(
        name="simulated cell",
        ok=False,
        detail=f"this machine steps it {rate:.0f} times per second; {settings.control_hz} are one second of it",
        remedy="Make the images smaller, or let the clock run slower than 1x.",
    )
    return DeviceReport(
        device="simulated cell",
        identity=f"xArm-6, {', '.join(camera.name for camera in settings.cameras)}",
        rate=rate,
        wanted=float(settings.control_hz),
        problems=(slow,) if rate < settings.control_hz else (),
    )


def tables(reports: Sequence[DeviceReport], width: int) -> list[Table]:
    """One row per device; on a narrow terminal (`width` columns), identities go in a separate table."""
    from rich.text import Text

    measured = _table()
    identities = [_table()] if width < _WIDE else []
    for shown in (measured, *identities):
        shown.add_column("device")
    (identities or [measured])[0].add_column("model, serial, firmware", overflow="fold")
    for name in ("rate Hz", "age ms", "latency ms", "limits"):
        measured.add_column(name, justify="right", no_wrap=True)
    measured.add_column("verdict", no_wrap=True)
    for report in reports:
        who = report.identity or "-"
        for shown in identities:
            shown.add_row(report.device, who)
        measured.add_row(
            report.device,
            *([] if identities else [who]),
            _rate(report),
            _milliseconds(report.frame_age),
            _milliseconds(report.latency),
            _limits(report),
            Text("ready", "green") if report.ready else Text("NOT READY", "bold red"),
        )
    return [*identities, measured]


def _table() -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    return Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)


def remedies(reports: Sequence[DeviceReport]) -> list[str]:
    """What to fix, one sentence each, without repetition."""
    said = []
    for report in reports:
        said += [_sentence(report.device, check.detail, check.remedy) for check in report.problems]
        if report.joints and not reports[0].ready:
            said.append(f"{report.device} {_stands(report)}")
        said += [
            _sentence(report.device, f"{limit.name}: {limit.detail}", limit.remedy)
            for limit in report.limits
            if not limit.ok
        ]
    # drivers know that a device needs recovery, but not the command for it
    if any(report.faulty for report in reports) or any("recover" in sentence for sentence in said):
        said.append(_RECOVER)
    return list(dict.fromkeys(said))


def notes(reports: Sequence[DeviceReport]) -> list[str]:
    """Remarks on working devices."""
    return [f"{report.device}: {note}" for report in reports for note in report.notes]


def _stands(report: DeviceReport) -> str:
    """An arm's pose, as written in a task file."""
    joints = ", ".join(f"{angle:.3f}" for angle in report.joints)
    position = ", ".join(f"{metres:.3f}" for metres in report.position)
    return (
        f"stands at [{joints}] rad now, its tool at [{position}] m. Move it with the vendor's tools to where episodes "
        "start and to the corners of its workspace, run this again, and copy what you need into the task file."
    )


def _sentence(device: str, detail: str, remedy: str) -> str:
    # an error of a device begins with its name
    begins = detail.startswith(device.rpartition(" ")[2])
    said = f"{detail if begins else f'{device}: {detail}'}".rstrip(". ")
    return f"{said}. {remedy}".strip()


def _rate(report: DeviceReport) -> str:
    if report.rate is None:
        return "-"
    return f"{report.rate:.0f}" + (f" of {report.wanted:.0f}" if report.wanted else "")


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{1000 * value:.1f}"


def _limits(report: DeviceReport) -> str:
    if not report.limits:
        return "-"
    return f"{sum(limit.ok for limit in report.limits)} of {len(report.limits)} set"
