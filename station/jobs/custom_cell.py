"""Examines a cell whose class a task file names: what can be asked of any `Cell` while it stands still.

`station.testing.check_cell` checks the rest of the contract, and moves the arms.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from hardware.cell import Cell, CellError, Check
from hardware.latch import StopLatch
from hardware.robot.examination import DeviceReport
from hardware.settings import CellSettings

_PATIENCE = 5.0
"""s for the first frames, before their absence is a problem."""


def examine(
    settings: CellSettings, latch: StopLatch, *, seconds: float = 3.0, recover: bool = False
) -> Sequence[DeviceReport]:
    """Reports on the cell, each device that it names, and each camera's frames over `seconds` s. Nothing moves.

    With `recover`, faults are cleared first.
    """
    name, problems = type(settings).__name__, list[Check]()
    devices: list[DeviceReport] = []
    try:
        cell = settings.build(latch)
        name = type(cell).__name__
        try:
            cell.connect()
            if recover:
                cell.recover()
            problems += _standing(cell, settings)
            devices = _devices(cell, seconds)
            problems += cell.watch()
        finally:
            cell.close()
    except CellError as error:
        problems.append(Check(name=name, ok=False, detail=str(error)))
    except Exception as error:  # noqa: BLE001 - code of others may raise anything
        problems.append(
            Check(
                name=name,
                ok=False,
                detail=f"it raises {type(error).__name__} ({error})",
                remedy="A cell raises CellErrors that say what to do: correct its code. 'station guide extending'.",
            )
        )
    unique = {(check.name, check.detail): check for check in problems}
    return [DeviceReport(device="cell", identity=name, problems=tuple(unique.values())), *devices]


def _standing(cell: Cell, settings: CellSettings) -> list[Check]:
    """Its own preflight, once its cameras have had time to deliver, and whether it records what its settings say."""
    until = time.monotonic() + _PATIENCE
    while (wrong := [check for check in cell.preflight() if not check.ok]) and time.monotonic() < until:
        time.sleep(0.1)
    if cell.spec != settings.spec:
        said, delivers = settings.spec.to_json(), cell.spec.to_json()
        differing = ", ".join(name for name in said if said[name] != delivers[name])
        wrong.append(
            Check(
                name="spec",
                ok=False,
                detail=f"its settings and the cell differ in {differing}",
                remedy="Training would refuse its episodes: let both give the same spec.",
            )
        )
    return wrong


def _devices(cell: Cell, seconds: float) -> list[DeviceReport]:
    """Who answered, and how fast frames came, by the stamps of `observe`."""
    stamps: dict[str, list[float]] = {camera.name: [] for camera in cell.spec.cameras}
    ages = dict.fromkeys(stamps, 0.0)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        seen = cell.observe()
        for name, stamp in seen.image_times.items():
            ages[name] = max(ages[name], seen.time - stamp)
            if stamp not in stamps[name][-1:]:
                stamps[name].append(stamp)
        time.sleep(min(0.005, 0.1 * cell.spec.dt))
    known = dict(cell.devices())
    cameras = [
        DeviceReport(
            device=f"camera {name}",
            identity=known.pop(f"camera {name}").said if f"camera {name}" in known else "",
            rate=_rate(times),
            wanted=cell.spec.control_hz,
            frame_age=ages[name],
        )
        for name, times in stamps.items()
    ]
    others = [DeviceReport(device=name, identity=device.said) for name, device in known.items()]
    return [*others, *cameras]


def _rate(stamps: Sequence[float]) -> float | None:
    """Hz; None with fewer than two frames."""
    return (len(stamps) - 1) / (stamps[-1] - stamps[0]) if len(stamps) > 1 else None
