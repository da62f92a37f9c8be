"""What the log says about lines of the journal, for people; and the best learner, which an evaluation just found."""

from __future__ import annotations

from collections.abc import Callable

from datasets.journal.journal import Journal
from datasets.journal.records import Labelled, Voided
from station.session.core.effects import CloseEvaluation, Effect, Write
from station.session.engine.checkpoint import Checkpoints
from station.session.status import tally


class Commentary:
    """Follows what the engine journals."""

    def __init__(self, journal: Journal, checkpoints: Checkpoints, say: Callable[[str], None]) -> None:
        """`say` writes a line of the log."""
        self._journal = journal
        self._checkpoints = checkpoints
        self._say = say

    def follow(self, effect: Effect) -> None:
        """This effect has been journaled."""
        match effect:
            case Write(record=Labelled() as record):
                verdict = record.outcome.value if record.outcome else "label taken back"
                self._say(f"{record.episode}: {verdict}, by {record.by}.")
            case Write(record=Voided() as record):
                self._say(f"{record.episode}: void, by {record.by}.")
            case CloseEvaluation():
                self._mark_best()

    def _mark_best(self) -> None:
        """Keep the learner just evaluated if none before it did better."""
        points = tally(self._journal.ledger(), rolling_window=1).evaluations
        if not points:
            return
        newest, rates = points[-1], [point.rate for point in points if not point.early]
        early = f", ended early after {newest.rate.n} of {newest.wanted}" if newest.early else ""
        self._say(f"Evaluation: {newest.rate.successes} of {newest.rate.n} succeed{early}.")
        if not newest.early and newest.rate.value >= max(rate.value for rate in rates):
            self._checkpoints.mark_best()
