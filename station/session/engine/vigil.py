"""Device health while nothing moves: checked several times a second, in every phase of a session.

A reported problem counts at once. Silence must last, and the engine must have been awake
meanwhile: after a suspend or a stall, every device looks silent for a moment. Knows no cell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from hardware.cell import Check, unnamed

LOOK_EVERY = 0.1
"""s between checks."""
LASTING = 0.4
"""s that silence must last."""
_HELD_UP = 1.0
"""s between two checks after which the first is discarded."""


class Vigil:
    """Watches the devices of an engine."""

    def __init__(self, look: Callable[[], Sequence[Check]], clock: Callable[[], float]) -> None:
        """`look` returns what is wrong now."""
        self._look = look
        self._clock = clock
        self._looked = float("-inf")
        self._since: dict[str, float] = {}

    def wrong(self, said: str = "") -> str:
        """Problems to report, in sentences; empty if there are none, and between checks.

        `said`: what the operator has been told already; it is not repeated.
        """
        now = self._clock()
        if now - self._looked < LOOK_EVERY:
            return ""
        if now - self._looked > _HELD_UP:
            self.forget()
        self._looked = now
        found = [*self._look()]
        self._since = {check.name: self._since.get(check.name, now) for check in found}
        return " ".join(
            check.told() for check in found if self._counts(check, now) and not _is_in(said, check)
        )

    def forget(self) -> None:
        """Something else now watches the devices: discard what was seen so far."""
        self._since = {}

    def _counts(self, check: Check, now: float) -> bool:
        return not check.silent or now - self._since[check.name] >= LASTING


def _is_in(said: str, check: Check) -> bool:
    """Whether this device was named as failing: of a report its words count too, of silence not, since it grows."""
    device = check.name.rpartition(" ")[2]
    words = "" if check.silent else unnamed(device, check.detail).rstrip(".!?")
    named = rf"(?<![\w-]){re.escape(device)}: {re.escape(words)}"
    if re.match(r"[\w-]+: ", words):  # an arm reports its gripper, which may have reported the same itself
        named += rf"|(?<!: ){re.escape(words)}"
    return re.search(named, said) is not None
