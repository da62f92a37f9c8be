"""A store and a journal to import into, for tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from datasets.episode import Outcome
from datasets.importers.enter.intake import ImportResult, Intake, Reads, inspect_all
from datasets.importers.findings import Finding, Look, Outline
from datasets.importers.read.reader import Reader
from datasets.journal.journal import Journal
from datasets.spec import DataSpec
from datasets.store import EpisodeStore


class Desk:
    """A session's demonstrations and journal, and a folder of sources."""

    def __init__(self, root: Path, spec: DataSpec, answers: dict[str, str] | None = None) -> None:
        self.spec = spec
        self.answers = {"": dict(answers or {})}
        self.inbox = root / "inbox"
        self.inbox.mkdir(parents=True)
        self.store = EpisodeStore(root / "demos", writable=True)
        self.journal = Journal(root / "journal.jsonl", writable=True)

    def start(
        self,
        *paths: Path,
        reader: Reads | None = None,
        again: bool = False,
        declared: Outcome | None = None,
        unanswered: Outline | None = None,
    ) -> Iterator[ImportResult]:
        reader = reader or Reader()
        sources = reader.find(paths or (self.inbox,))
        intake = Intake(self.store, self.journal)
        return intake.run(
            sources,
            self.spec,
            self.answers,
            reader,
            again=again,
            declared=declared,
            unanswered=unanswered,
        )

    def run(self, *paths: Path, again: bool = False, declared: Outcome | None = None) -> list[ImportResult]:
        return list(self.start(*paths, again=again, declared=declared))

    def looks(self, path: Path) -> list[Look]:
        reader = Reader()
        return list(inspect_all(reader.find([path]), self.spec, self.answers, reader))

    def inspect_all_refused(self) -> str:
        """Why everything in the inbox is refused, one sentence after the other."""
        return "; ".join(str(look.finding.refused) for look in self.looks(self.inbox))

    def inspect(self, path: Path) -> Finding:
        (look,) = self.looks(path)
        assert look.episode is None
        return look.finding
