"""Which device answered under a name of the task file, and how it is set; and what another one there looks like.

Pure: who answers is the drivers' business, what follows from another device the session's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

Reading = float | str
"""A setting as the device reports it."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """One arm, gripper or camera, as it introduced itself."""

    said: str = ""
    """All that it says of itself, for people."""
    model: str = ""
    serial: str = ""
    """Empty where the device tells none."""
    firmware: str = ""
    port: str = ""
    """Where it is plugged in; all there is to tell two devices of one model without serial numbers apart."""
    settings: dict[str, float | str] = field(default_factory=dict)
    """What it is set to, read back: name with unit -> value."""
    remarks: tuple[str, ...] = ()
    """What to know of it, a sentence each: a setting that it did not take, a name that may soon be another's."""

    def to_json(self) -> dict[str, Any]:
        """For a journal line; what is empty is left out."""
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`; what a later station wrote beside it is passed over."""
        known = {name: content[name] for name in cls.__dataclass_fields__ if name in content}
        return cls(**{**known, "remarks": tuple(known.get("remarks", ()))})

    @property
    def mark(self) -> str:
        """What tells it from others, in words."""
        if self.serial:
            return f"serial {self.serial}"
        return f"port {self.port}" if self.port else self.model or self.said

    def is_another(self, than: Device) -> bool:
        """Whether both say enough of themselves to tell that they are two."""
        if self.model and than.model and self.model != than.model:
            return True
        if self.serial and than.serial:
            return self.serial != than.serial
        return bool(self.port and than.port) and self.port != than.port


Devices = Mapping[str, Device]
"""Kind and name in the task file, such as "camera wrist", -> who answered."""


def replaced(before: Devices, now: Devices) -> Iterator[str]:
    """A sentence for each device that is another one than before; two that changed places are called swapped."""
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
    """A serial number that two of them share, as some makers print it, is none."""
    marks = [(_kind(name), device.model, device.serial) for name, device in devices.items()]
    return {
        name: replace(device, serial="") if marks.count(mark) > 1 else device
        for mark, (name, device) in zip(marks, devices.items(), strict=True)
    }


def _kind(name: str) -> str:
    return name.split(" ", maxsplit=1)[0]


def altered(before: Devices, now: Devices) -> Iterator[str]:
    """A sentence for each firmware and each setting that is not what it was, of devices that are the same."""
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
    """Model and mark, where they are not the same."""
    return (
        " ".join(dict.fromkeys(part for part in (device.model, device.mark) if part)) or "an unknown device"
    )


def _written(value: Reading) -> str:
    return value if isinstance(value, str) else f"{value:g}"
