"""Camera controls that affect the image: requested by the task file, and read back from the camera.

A control that the task file omits keeps the camera's value, and is still read back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hardware.cameras.settings import LiveCameraSettings
from hardware.device import Reading

UNITS = {"exposure": "ms", "white_balance": "K", "gain": "", "focus": ""}
"""Name in the task file -> unit; empty: the device's own unit."""
AUTOMATIC = "automatic"
_ROUNDING = 1e-3
"""Relative tolerance between the value set and the value read back."""


def asked(settings: LiveCameraSettings) -> dict[str, float]:
    """The controls that the task file sets."""
    values = {name: getattr(settings, name) for name in UNITS}
    values["exposure"] = values["exposure"] or None
    return {name: float(value) for name, value in values.items() if value is not None}


def named(found: Mapping[str, Reading]) -> dict[str, Reading]:
    """The values with units in their names, for a journal."""
    return {f"{name}, {UNITS[name]}" if UNITS[name] else name: value for name, value in found.items()}


def deviations(wanted: Mapping[str, float], found: Mapping[str, Reading]) -> Iterator[str]:
    """A sentence for each control that the camera did not set as requested."""
    for name, value in wanted.items():
        if name not in found:
            yield f"{name} cannot be read back; {value:g} was requested."
        elif not _same(found[name], value):
            yield (
                f"{name} is {_written(found[name])}, not {value:g} as in the task file. "
                f"Set {name} to a value that the camera accepts."
            )


def _same(found: Reading, wanted: float) -> bool:
    return not isinstance(found, str) and abs(found - wanted) <= _ROUNDING * max(1.0, abs(wanted))


def _written(value: Reading) -> str:
    return value if isinstance(value, str) else f"{value:g}"
