"""The device behind each name of the task file, its settings, and how to tell that it was replaced.

Pure: the drivers query the devices; the session decides what a replaced device means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

Reading = float | str
"""A setting as the device reports it."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """One arm, gripper or camera, as it identified itself."""

    said: str = ""
    """Its full self-description, for people."""
    model: str = ""
    serial: str = ""
    """Empty where the device reports none."""
    firmware: str = ""
    port: str = ""
    """Where it is plugged in; the only way to tell apart two devices of one model without serial numbers."""
    settings: dict[str, float | str] = field(default_factory=dict)
    """Settings read back from it: name with unit -> value."""
    remarks: tuple[str, ...] = ()
    """Warnings, a sentence each: a setting that it did not accept, a name that may soon be another device's."""

    def to_json(self) -> dict[str, Any]:
        """For a journal line; empty fields are omitted."""
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`; fields written by a later version are ignored."""
        known = {name: content[name] for name in cls.__dataclass_fields__ if name in content}
        return cls(**{**known, "remarks": tuple(known.get("remarks", ()))})

    @property
    def mark(self) -> str:
        """What distinguishes it from others, in words."""
        if self.serial:
            return f"serial {self.serial}"
        return f"port {self.port}" if self.port else self.model or self.said

    def is_another(self, than: Device) -> bool:
        """Whether both report enough to tell that they are different devices."""
        if self.model and than.model and self.model != than.model:
            return True
        if self.serial and than.serial:
            return self.serial != than.serial
        return bool(self.port and than.port) and self.port != than.port


Devices = Mapping[str, Device]
"""Kind and name in the task file, such as "camera wrist" -> the device that answered."""


def replaced(before: Devices, now: Devices) -> Iterator[str]:
    """A sentence for each replaced device; two that changed places are called swapped."""
    before, now = _told_apart(before), _told_apart(now)
    changed = [name for name in now if name in before and now[name].is_another(before[name])]
    told: set[str] = set()
    for name in changed:
        twin = next((other for other in changed if _swapped(name, other, before, now)), None)
        if name in told:
            continue
        if twin is None:
            yield f"{name}: {_full(before[name])} last time, {_full(now[name])} now."
            continue
        told.add(twin)
        yield f"{name} and {twin} are swapped: {now[name].mark} was {twin} last time, {now[twin].mark} was {name}."


def _told_apart(devices: Devices) -> Devices:
    """Drops serial numbers that two devices share, as some makers assign them."""
    marks = [(_kind(name), device.model, device.serial) for name, device in devices.items()]
    return {
        name: replace(device, serial="") if marks.count(mark) > 1 else device
        for mark, (name, device) in zip(marks, devices.items(), strict=True)
    }


def _kind(name: str) -> str:
    return name.split(" ", maxsplit=1)[0]


def altered(before: Devices, now: Devices) -> Iterator[str]:
    """A sentence for each changed firmware version and setting of devices that were not replaced."""
    for name in now:
        if name not in before or now[name].is_another(before[name]):
            continue
        then, is_now = before[name], now[name]
        if then.firmware and is_now.firmware and then.firmware != is_now.firmware:
            yield f"{name}: firmware {then.firmware} last time, {is_now.firmware} now."
        for setting, value in is_now.settings.items():
            if setting in then.settings and then.settings[setting] != value:
                yield f"{name}: {setting} {_written(then.settings[setting])} last time, {_written(value)} now."


def _swapped(name: str, other: str, before: Devices, now: Devices) -> bool:
    if name == other or _kind(name) != _kind(other):
        return False
    return not now[name].is_another(before[other]) and not now[other].is_another(before[name])


def _full(device: Device) -> str:
    """Model and mark, or only one where they are the same."""
    return (
        " ".join(dict.fromkeys(part for part in (device.model, device.mark) if part)) or "an unknown device"
    )


def _written(value: Reading) -> str:
    return value if isinstance(value, str) else f"{value:g}"
