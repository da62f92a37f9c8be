"""Whether the devices are well while nothing moves: looked at several times a second, in every phase of a session.

What a device reports counts at once. What is only judged by silence must last, and the engine must have been awake
meanwhile: a machine that was suspended or held up finds everybody else silent for an instant. Knows no cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hardware.cell import Check, unnamed

LOOK_EVERY = 0.1
"""s between two looks."""
LASTING = 0.4
"""s that silence has to last."""
_HELD_UP = 1.0
"""s between two looks after which what the first one saw counts for nothing."""


class Vigil:
    """One watch over the devices of an engine."""

    def __init__(self, look: Callable[[], Sequence[Check]], clock: Callable[[], float]) -> None:
        """`look` gives what is wrong now."""
        self._look = look
        self._clock = clock
        self._looked = float("-inf")
        self._since: dict[str, float] = {}

    def wrong(self, said: str = "") -> str:
        """What is wrong and has to be said, in sentences; empty while all is well, and between two looks.

        `said`: what the operator has been told already and is not told again.
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
        """Somebody else has the word: what was seen so far counts for nothing."""
        self._since = {}

    def _counts(self, check: Check, now: float) -> bool:
        return not check.silent or now - self._since[check.name] >= LASTING


def _is_in(said: str, check: Check) -> bool:
    """Silence grows longer while one looks, so that its device counts; of a report, its words."""
    device = check.name.rpartition(" ")[2]
    if check.silent:
        return device in said
    return unnamed(device, check.detail).rstrip(".!?") in said
