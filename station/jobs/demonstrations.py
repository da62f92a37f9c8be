"""Which demonstrations of a session its base is trained on, and how the others are reported.

Successes are used. Unlabelled ones are used if the task, or the operator for this session, says so; the choice is
a line of the journal, so an interrupted training resumes with the same ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datasets.episode import EpisodeKind, Outcome
from datasets.journal.journal import EpisodeStatus, Journal, Ledger
from datasets.journal.records import SettingChanged
from datasets.selection import PENDING
from datasets.wording import counted

if TYPE_CHECKING:
    from pathlib import Path

    from station.tasks.config import DemonstrationSettings

USE_UNLABELLED = "use_unlabelled"
"""Of the setting, in the task and in the journal."""
_VOID = "void"


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What training uses."""

    used: tuple[EpisodeStatus, ...]
    """In order of name."""
    left_out: dict[str, int]
    """Verdict -> number left out because of it."""


def choose(ledger: Ledger, settings: DemonstrationSettings) -> Chosen:
    """What to train this session's base on."""
    unlabelled = takes_unlabelled(ledger, settings)
    demos = [status for status in ledger.episodes.values() if status.kind is EpisodeKind.DEMO]
    used = usable(demos, successes_only=settings.successes_only, unlabelled=unlabelled)
    names = {status.id for status in used}
    left_out = Counter(_verdict(status) for status in demos if status.id not in names and not status.pruned)
    return Chosen(used=tuple(used), left_out=dict(left_out))


def usable(
    demos: Iterable[EpisodeStatus], *, successes_only: bool, unlabelled: bool = False
) -> list[EpisodeStatus]:
    """Usable demonstrations in order of name: not void and, if required, a success."""
    chosen = [
        status
        for status in demos
        if not status.void
        and (
            status.outcome is Outcome.SUCCESS or not successes_only or (unlabelled and status.outcome is None)
        )
    ]
    return sorted(chosen, key=lambda status: status.id)


def takes_unlabelled(ledger: Ledger, settings: DemonstrationSettings) -> bool:
    """The operator's last choice, else the task's."""
    records = (line.record for line in reversed(ledger.lines_of(SettingChanged)))
    said = next((record for record in records if record.name == USE_UNLABELLED), None)
    return settings.use_unlabelled if said is None else bool(said.value)


def remember_unlabelled(journal: Journal, settings: DemonstrationSettings, wanted: bool | None) -> None:
    """Journal the operator's choice on unlabelled demonstrations; None: no choice."""
    if wanted is not None and wanted != takes_unlabelled(journal.ledger(), settings):
        journal.append(SettingChanged(name=USE_UNLABELLED, value=wanted))


def in_words(chosen: Chosen) -> str:
    """One sentence: what is used and what is not."""
    kinds = Counter(_verdict(status) for status in chosen.used)
    used = f"{counted(len(chosen.used), 'demonstration')} ({_listed(kinds)})"
    return f"{used}; left out: {_listed(chosen.left_out)}" if chosen.left_out else used


def nothing_in_words(path: Path, chosen: Chosen) -> str:
    """Why there is nothing to train on, and how to get something."""
    total = sum(chosen.left_out.values())
    if not total:
        return (
            f"{path} holds no demonstration yet. Import some with 'station import'; how to record them: "
            "'station guide demonstrations'."
        )
    words = [
        f"{path} holds {counted(total, 'demonstration')} and training can use none of them: "
        f"{_listed(chosen.left_out)}; it uses successes."
    ]
    if PENDING in chosen.left_out:
        words += [
            f"If those without a verdict are successes, say so: station label {path} --where 'demo and pending' "
            "success.",
            f"To use them as they are: station train {path} --unlabelled (or use_unlabelled = true in "
            "[demonstrations] of the task, before 'station new').",
        ]
    else:
        words.append(f"See them with 'station review {path}', or import others.")
    return " ".join(words)


def _verdict(status: EpisodeStatus) -> str:
    if status.void:
        return _VOID
    return PENDING if status.outcome is None else status.outcome.value


def _listed(kinds: Counter[str] | dict[str, int]) -> str:
    """As in "12 success, 4 without a verdict"."""
    words = {PENDING: "without a verdict"}
    return ", ".join(f"{number} {words.get(kind, kind)}" for kind, number in sorted(kinds.items()))
