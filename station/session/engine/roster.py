"""Which devices recorded a session: a journal line for each start, and a refusal when a device has changed.

A start with a changed device is refused until that change is confirmed: what is accepted is what the newest
refusal named, so a flag left in a command line accepts nothing that has not been read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from datasets.journal.journal import Journal
from datasets.journal.records import DevicesConnected
from hardware.cell import Cell, Check
from hardware.device import Device, Devices, altered, replaced

Write = Callable[[DevicesConnected], object]
Marks = dict[str, tuple[str, str, str]]
"""Name -> model, serial and port."""


class Roster:
    """The devices of one engine."""

    def __init__(
        self,
        journal: Journal,
        write: Write,
        say: Callable[[str], None],
        *,
        session: Path,
        accept: bool = False,
    ) -> None:
        """`accept`: the operator has read which devices changed, and confirms them."""
        self._journal = journal
        self._write = write
        self._say = say
        self._session = session
        self._accepted = self._refused() if accept else None
        self._journaled: tuple[object, ...] | None = None

    def checks(self, cells: Sequence[Cell]) -> list[Check]:
        """Whether the connected devices are those of last time; called once the cells are connected."""
        now = {name: device for cell in cells for name, device in cell.devices().items()}
        if not now:
            return []
        known = self._known()
        found = [*replaced(known, now)]
        accepted = not found or self._accepted == _marks(now)
        if not accepted:
            self._enter(now, found, accepted=False)
            return [self._refusal(" ".join(found))]
        if self._enter(now, found, accepted=True):
            for sentence in (*found, *altered(known, now), *_remarks(now)):
                self._say(f"Accepted: {sentence}" if sentence in found else sentence)
        return []

    def _known(self) -> Devices:
        """The devices accepted last."""
        lines = self._journal.ledger().lines_of(DevicesConnected)
        return next((_read(line.record) for line in reversed(lines) if line.record.accepted), {})

    def _refused(self) -> Marks | None:
        """The devices refused by the newest line before this engine."""
        newest = self._journal.ledger().last_of(DevicesConnected)
        return None if newest is None or newest.record.accepted else _marks(_read(newest.record))

    def _enter(self, now: Devices, found: Sequence[str], *, accepted: bool) -> bool:
        """Write one line per start and per later change; returns whether one was written."""
        record = DevicesConnected(devices=_plain(now), accepted=accepted, replaced=[*found])
        facts = (record.devices, record.accepted)
        if facts == self._journaled:
            return False
        self._journaled = facts
        self._write(record)
        return True

    def _refusal(self, sentences: str) -> Check:
        return Check(
            name="devices",
            ok=False,
            detail=sentences,
            remedy="Reconnect the previous device, then continue. If the change is intended, leave, and start with: "
            f"station run {quote(str(self._session))} --accept-devices",
        )


def _read(record: DevicesConnected) -> Devices:
    return {name: Device.from_json(content) for name, content in record.devices.items()}


def _marks(devices: Devices) -> Marks:
    return {name: (device.model, device.serial, device.port) for name, device in devices.items()}


def _plain(devices: Devices) -> dict[str, Any]:
    """As written in a journal line."""
    return {name: device.to_json() for name, device in devices.items()}


def _remarks(devices: Devices) -> list[str]:
    return [f"{name}: {sentence}" for name, device in devices.items() for sentence in device.remarks]
