"""How many CPU threads a decision gets: a fixed rule of network and machine, then whatever the session began with.

Nothing is measured for it: a sum is rounded differently with another number of threads, and a resumed session is to
compute the same numbers.
"""

from __future__ import annotations

from datasets.journal.journal import Journal
from datasets.journal.records import SessionOpened
from policy.base import BasePolicy
from policy.devices import cores
from station.session.engine.options import EngineOptions
from station.session.folder import SessionFolder

_MOST = 16
"""A decision has too few rows for more."""


def decision_threads(
    base: BasePolicy, options: EngineOptions, recorded: int, *, simulated: bool, overlap: bool
) -> tuple[int, tuple[str, ...]]:
    """The number for this engine, and what the operator should know of it.

    `recorded`: that of the session's last engine, 0 for none; `overlap`: the arms move while the policy decides.
    """
    if base.device.type != "cpu":
        return options.threads, ()
    usual = usual_threads(large=base.large, small=options.threads, simulated=simulated, overlap=overlap)
    wanted = options.decision_threads or recorded or usual
    if not options.decision_threads and recorded > max(usual, cores()):
        return usual, (
            f"Decisions used {recorded} CPU threads in this session so far, and this machine has {cores()} cores: they "
            f"use {usual} now, and may differ in the last bits.",
        )
    return wanted, ()


def usual_threads(*, large: bool, small: int, simulated: bool, overlap: bool) -> int:
    """`small` for a small network; for a large one every core but those that real arms need meanwhile."""
    if not large:
        return small
    # one core for the controllers of real arms, and one for the engine's own loop if it goes on meanwhile
    kept = 0 if simulated else 1 + overlap
    return min(_MOST, max(1, cores() - kept))


def recorded_threads(folder: SessionFolder) -> int:
    """What the session's last engine used; 0 if there was none, or an earlier version's."""
    if not folder.journal.exists():
        return 0
    opened = Journal(folder.journal).ledger().lines_of(SessionOpened)
    return (opened[-1].record.decision_threads or 0) if opened else 0
