"""Which demonstrations of a session its base is trained from, and what is said of those that it is not.

Successes count. Those without a verdict count where the task, or the operator for this session, says so; the choice is
a line of the journal, so that a training that was interrupted goes on with the same ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datasets.episode import EpisodeKind, Outcome
from datasets.journal.journal import EpisodeStatus, Journal, Ledger
from datasets.selection import PENDING
from datasets.wording import counted
from station.session.operations import SETTING

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
    """In the order of their names."""
    left_out: dict[str, int]
    """Verdict -> how many are not used for it."""


def choose(ledger: Ledger, settings: DemonstrationSettings) -> Chosen:
    """What the base of this session is to be trained from."""
    unlabelled = takes_unlabelled(ledger, settings)
    demos = [status for status in ledger.episodes.values() if status.kind is EpisodeKind.DEMO]
    used = usable(demos, successes_only=settings.successes_only, unlabelled=unlabelled)
    names = {status.id for status in used}
    left_out = Counter(_verdict(status) for status in demos if status.id not in names and not status.pruned)
    return Chosen(used=tuple(used), left_out=dict(left_out))


def usable(
    demos: Iterable[EpisodeStatus], *, successes_only: bool, unlabelled: bool = False
) -> list[EpisodeStatus]:
    """Those that may be learnt from, in the order of their names: not void, and a success where asked."""
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
    """As the operator said last, else as the task says."""
    said = [line for line in ledger.lines.get(SETTING, ()) if line.fields["name"] == USE_UNLABELLED]
    return bool(said[-1].fields["value"]) if said else settings.use_unlabelled


def remember_unlabelled(journal: Journal, settings: DemonstrationSettings, wanted: bool | None) -> None:
    """Write down what the operator wants of those without a verdict; None: nothing was said."""
    if wanted is not None and wanted != takes_unlabelled(journal.ledger(), settings):
        journal.append(SETTING, name=USE_UNLABELLED, value=wanted)


def in_words(chosen: Chosen) -> str:
    """What is used and what is not, one sentence."""
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
